//! What must hold at the end of a soak, and the table of it.

use super::ledger::{Class, Fate, Ledger, Tally};
use shard_runtime::ShardCounters;
use std::fmt;

/// One rule of the account.
#[derive(Debug, Clone)]
struct Line {
    what: String,
    /// What the program saw.
    program: String,
    /// What the runtime counted, or what else it must equal.
    runtime: String,
    holds: bool,
}

/// The account of a soak.
#[derive(Debug, Clone)]
pub struct Account {
    classes: Vec<(Class, u64, Vec<u64>)>,
    tallies: Vec<(Tally, u64)>,
    lines: Vec<Line>,
    messages: u64,
}

/// Replies are not messages: their account is their own.
fn is_reply(class: Class) -> bool {
    matches!(class, Class::AskReply | Class::RequestReply)
}

struct Books<'l> {
    ledger: &'l Ledger,
}

impl Books<'_> {
    fn messages(&self, fate: Fate) -> u64 {
        Class::ALL.iter().filter(|class| !is_reply(**class)).map(|class| self.ledger.fate(*class, fate)).sum()
    }

    fn replies(&self, fate: Fate) -> u64 {
        Class::ALL.iter().filter(|class| is_reply(**class)).map(|class| self.ledger.fate(*class, fate)).sum()
    }

    fn tally(&self, tally: Tally) -> u64 {
        self.ledger.tally(tally)
    }
}

impl Account {
    /// Compares the books with the runtime's counters, once everything has ended.
    pub(super) fn new(ledger: &Ledger, counters: &ShardCounters) -> Self {
        let classes = Class::ALL.iter().map(|class| {
            let fates = Fate::ALL.iter().map(|fate| ledger.fate(*class, *fate)).collect();
            (*class, ledger.made(*class), fates)
        });
        let classes: Vec<_> = classes.collect();
        let messages = classes.iter().filter(|(class, ..)| !is_reply(*class)).map(|(_, made, _)| made).sum();
        let tallies = Tally::ALL.iter().map(|tally| (*tally, ledger.tally(*tally))).collect();
        let mut account = Self { classes, tallies, lines: Vec::new(), messages };
        account.tokens();
        let books = Books { ledger };
        account.losses(&books, counters);
        account.errors(&books, counters);
        account.processes(&books, counters);
        account
    }

    /// Whether everything holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.holds)
    }

    /// Messages sent, replies apart.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    fn equal(&mut self, what: &str, program: u64, runtime: u64) {
        let (program_text, runtime_text) = (program.to_string(), runtime.to_string());
        self.lines.push(Line {
            what: what.to_owned(),
            program: program_text,
            runtime: runtime_text,
            holds: program == runtime,
        });
    }

    /// For what the program cannot see to the unit.
    fn within(&mut self, what: &str, low: u64, high: u64, runtime: u64) {
        self.lines.push(Line {
            what: what.to_owned(),
            program: format!("{low}..={high}"),
            runtime: runtime.to_string(),
            holds: (low..=high).contains(&runtime),
        });
    }

    /// A further rule.
    pub(super) fn require(&mut self, what: &str, found: impl fmt::Display, holds: bool) {
        self.lines.push(Line {
            what: what.to_owned(),
            program: String::new(),
            runtime: found.to_string(),
            holds,
        });
    }

    fn tokens(&mut self) {
        for (class, made, fates) in self.classes.clone() {
            let dropped = fates.iter().sum();
            if made != dropped {
                self.equal(&format!("{}: made = dropped", class.text()), made, dropped);
            }
        }
        let made = self.classes.iter().map(|(_, made, _)| made).sum();
        let dropped = self.classes.iter().map(|(.., fates)| fates.iter().sum::<u64>()).sum();
        self.equal("tokens made = tokens dropped", made, dropped);
    }

    fn losses(&mut self, books: &Books<'_>, counters: &ShardCounters) {
        let posted_lost = counters.posted.wrapping_sub(books.tally(Tally::SystemStarted));
        let lost = books.messages(Fate::LostWithMailbox) + posted_lost;
        self.equal("lost with the mailbox of an ended process", lost, counters.mailbox_lost);
        let interrupted = books.messages(Fate::Interrupted);
        self.equal("dropped in mid-handler", interrupted, counters.interrupted);
        // What was dropped inside its own send: by policy, unless a call was refused, which gives nothing back.
        let in_call = books.tally(Tally::CallsRefused)
            + books.tally(Tally::SelfCalls)
            + books.tally(Tally::CallsRefusedAtDoor);
        let newest = books.messages(Fate::DroppedNewest).wrapping_sub(in_call);
        let taken = books.tally(Tally::Started) + books.tally(Tally::SystemStarted);
        let oldest = counters
            .retired_in
            .wrapping_sub(taken)
            .wrapping_sub(counters.unhandled)
            .wrapping_sub(counters.mailbox_lost);
        let (seen_oldest, astray) = (books.messages(Fate::DroppedOldest), books.messages(Fate::Astray));
        // A call from outside that is refused on a shard gives nothing back either.
        let elsewhere = astray.wrapping_sub(books.tally(Tally::CallsRefusedOutside));
        self.equal(
            "dropped by policy + dead letters + unhandled",
            newest.wrapping_add(seen_oldest).wrapping_add(elsewhere),
            counters.policy_dropped + counters.dead_letters + counters.unhandled,
        );
        // A queue full of what the runtime sent, which is spared, gives up the message that has just come: seen as newest, it
        // was queued. So these two are bounds; their sum, above, is exact.
        self.within("oldest dropped by policy", seen_oldest, seen_oldest + elsewhere + newest, oldest);
        // What is sent by a timer, or by way of a shard, is dropped where no handler of ours is on the stack.
        let by_way = [Class::Delayed, Class::Beat, Class::Important, Class::Outside];
        let unseen = by_way.iter().map(|class| books.ledger.fate(*class, Fate::Astray)).sum::<u64>();
        let found = counters.policy_dropped.wrapping_sub(oldest);
        self.within("newest dropped by policy", 0, newest + unseen, found);
        let unknown = books.ledger.fate(Class::Unknown, Fate::Astray);
        self.within("unhandled", 0, unknown, counters.unhandled);
        self.equal("late replies", books.replies(Fate::Astray), counters.late_replies);
        let reply_fates = [Fate::Handled, Fate::LostWithMailbox, Fate::Astray];
        let replies = reply_fates.iter().map(|fate| books.replies(*fate)).sum();
        let made = Class::ALL.iter().filter(|class| is_reply(**class)).map(|class| books.ledger.made(*class));
        self.equal("replies = taken + late + lost with the caller's mailbox", made.sum(), replies);
    }

    fn errors(&mut self, books: &Books<'_>, counters: &ShardCounters) {
        self.equal("sends that came back", books.tally(Tally::SendsRefused), counters.send_errors_local);
        let seen = books.tally(Tally::CallsRefused)
            + books.tally(Tally::CallsRefusedOutside)
            + books.tally(Tally::RequestsRefused)
            + books.tally(Tally::CallsTimedOut)
            + books.tally(Tally::ResponsesTimedOut);
        let answered = books.tally(Tally::ResponsesOk)
            + books.tally(Tally::ResponsesTimedOut)
            + books.tally(Tally::ResponsesFailed)
            + books.tally(Tally::RequestsCancelled);
        let open = books.tally(Tally::Requests).wrapping_sub(answered);
        let unseen = books.tally(Tally::CallsAbandoned) + open;
        self.within(
            "calls and requests refused or timed out",
            seen,
            seen + unseen,
            counters.call_errors_local,
        );
        self.equal(
            "requests of immortal processes, each answered once",
            books.tally(Tally::DriverRequests),
            books.tally(Tally::DriverResponses),
        );
        let out = books.tally(Tally::Out);
        let delayed = books.ledger.made(Class::Beat) + books.tally(Tally::Armed);
        self.within("messages out", out, out + delayed, counters.retired_out);
        self.equal("answers of another's", 0, books.tally(Tally::Misrouted));
        self.equal("corrupt messages", 0, books.tally(Tally::Corrupt));
        let refused = [
            counters.mailbox_refused,
            counters.send_errors_remote,
            counters.call_errors_remote,
            counters.refused,
        ];
        self.equal("refused by rings and other nodes", 0, refused.iter().sum());
    }

    fn processes(&mut self, books: &Books<'_>, counters: &ShardCounters) {
        self.equal("processes ended", books.tally(Tally::Terminates), counters.terminated);
        self.equal("processes started = ended", counters.spawned, counters.terminated);
        self.equal("processes that did not start", books.tally(Tally::SpawnsFailed), counters.spawn_failed);
        self.equal("panics", books.tally(Tally::Panics), counters.panics);
        self.equal("processes left", 0, counters.processes);
        self.equal("calls and timers left", 0, counters.waiters + counters.timers);
        self.equal("messages left in rings", 0, counters.backlog);
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20} {:>12}", "class", "made")?;
        for fate in Fate::ALL {
            write!(f, " {:>17}", fate.text())?;
        }
        writeln!(f)?;
        let mut sums = vec![0; Fate::COUNT];
        let mut all = 0;
        for (class, made, fates) in &self.classes {
            write!(f, "{:<20} {made:>12}", class.text())?;
            for (sum, count) in sums.iter_mut().zip(fates) {
                *sum += count;
                write!(f, " {count:>17}")?;
            }
            all += made;
            writeln!(f)?;
        }
        write!(f, "{:<20} {all:>12}", "in all")?;
        for sum in sums {
            write!(f, " {sum:>17}")?;
        }
        writeln!(f, "\n\n{:<60} {:>24}", "seen by the program", "count")?;
        for (tally, count) in &self.tallies {
            writeln!(f, "{:<60} {count:>24}", tally.text())?;
        }
        writeln!(f, "\n{:<60} {:>24} {:>14}", "account", "program", "runtime")?;
        for Line { what, program, runtime, holds } in &self.lines {
            let mark = if *holds { "" } else { "   DIFFERS" };
            writeln!(f, "{what:<60} {program:>24} {runtime:>14}{mark}")?;
        }
        Ok(())
    }
}
