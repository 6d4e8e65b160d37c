//! What a shard keeps of the processes that other nodes have asked it for, by session and by the id of the request.
//!
//! Owns: what each request came to, for as long as it may be tried again. Invariants: G1 a process that is up and not
//! claimed is in here until it is claimed or ended. G2 what is under way is never forgotten; what is settled is forgotten
//! oldest first, beyond [`MAX_SETTLED`]. G3 the end of a session takes all of it out, as a whole, once.

use crate::link::Session;
use rustc_hash::FxHashMap;
use shard_wire::LocalId;
use shard_wire::ask::Answer;
use std::collections::VecDeque;
use std::sync::Arc;

/// Requests of one session and shard that may be under way: not started, or not claimed.
const MAX_UNDER_WAY: usize = 1024;
/// Requests of one session and shard that are remembered after that.
const MAX_SETTLED: usize = 4096;

/// How far a request is.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Stage {
    /// Its `init` runs.
    Starting,
    /// The same, and nobody wants it any more.
    Doomed,
    /// It runs, and nobody has it yet.
    Up(LocalId),
    /// It runs, and the asker has it.
    Claimed(LocalId),
    /// It did not start.
    Refused(Answer),
    /// It ran and was given up.
    GivenUp,
}

impl Stage {
    fn is_settled(&self) -> bool {
        matches!(self, Self::Claimed(_) | Self::Refused(_) | Self::GivenUp)
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Guest {
    /// Under which name the process is offered.
    pub(super) offer: Arc<str>,
    pub(super) stage: Stage,
    /// Tick until which the asker waits.
    pub(super) until: u64,
}

#[derive(Debug)]
struct Visit {
    session: Arc<Session>,
    guests: FxHashMap<u64, Guest>,
    settled: VecDeque<u64>,
}

/// The requests of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    visits: Vec<Visit>,
    /// Whether a timer looks for what nobody claims.
    pub(super) is_timed: bool,
}

fn is_it(one: &Session, other: &Session) -> bool {
    one.key == other.key && one.number == other.number
}

impl Guests {
    fn visit(&mut self, session: &Session) -> Option<&mut Visit> {
        self.visits.iter_mut().find(|visit| is_it(&visit.session, session))
    }

    /// What is known of a request.
    pub(super) fn find(&mut self, session: &Session, id: u64) -> Option<&mut Guest> {
        self.visit(session)?.guests.get_mut(&id)
    }

    /// Notes a request that is begun. `false`: there are too many.
    pub(super) fn begin(&mut self, session: &Arc<Session>, id: u64, guest: Guest) -> bool {
        if self.visit(session).is_none() {
            let session = Arc::clone(session);
            self.visits.push(Visit { session, guests: FxHashMap::default(), settled: VecDeque::new() });
        }
        let Some(visit) = self.visit(session) else { return false };
        // LIMIT: requests under way.
        if visit.guests.len() - visit.settled.len() >= MAX_UNDER_WAY {
            return false;
        }
        visit.guests.insert(id, guest);
        true
    }

    /// Moves a request on from where it was. What it was; `None` if it is not known or was settled already.
    pub(super) fn advance(&mut self, session: &Session, id: u64, to: Stage) -> Option<Stage> {
        let visit = self.visit(session)?;
        let guest = visit.guests.get_mut(&id).filter(|guest| !guest.stage.is_settled())?;
        let is_settled = to.is_settled();
        let before = std::mem::replace(&mut guest.stage, to);
        if is_settled {
            visit.settled.push_back(id);
            // LIMIT: G2.
            if visit.settled.len() > MAX_SETTLED
                && let Some(oldest) = visit.settled.pop_front()
            {
                visit.guests.remove(&oldest);
            }
        }
        Some(before)
    }

    /// Takes everything of a session out: the processes that nobody has claimed.
    pub(super) fn end(&mut self, session: &Session) -> Vec<LocalId> {
        let Some(at) = self.visits.iter().position(|visit| is_it(&visit.session, session)) else {
            return Vec::new();
        };
        let visit = self.visits.swap_remove(at);
        visit.guests.into_values().filter_map(|guest| up(&guest.stage)).collect()
    }

    /// Requests whose process is up, not claimed, and not waited for any more at tick `now`.
    pub(super) fn overdue(&self, now: u64) -> Vec<(Arc<Session>, u64)> {
        let of = |visit: &Visit| {
            let late =
                visit.guests.iter().filter(|(_, guest)| up(&guest.stage).is_some() && guest.until <= now);
            late.map(|(id, _)| (Arc::clone(&visit.session), *id)).collect::<Vec<_>>()
        };
        self.visits.iter().flat_map(of).collect()
    }

    /// How many processes are up and not claimed.
    pub(super) fn unclaimed(&self) -> usize {
        let of = |visit: &Visit| visit.guests.values().filter(|guest| up(&guest.stage).is_some()).count();
        self.visits.iter().map(of).sum()
    }
}

fn up(stage: &Stage) -> Option<LocalId> {
    if let Stage::Up(local) = stage { Some(*local) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{Guest, Guests, MAX_SETTLED, MAX_UNDER_WAY, Stage};
    use crate::link::far::session_for_tests as session;
    use shard_wire::LocalId;
    use std::sync::Arc;

    fn guest(until: u64) -> Guest {
        Guest { offer: Arc::from("worker"), stage: Stage::Starting, until }
    }

    #[test]
    fn a_request_is_settled_once_and_sessions_are_kept_apart() {
        let (one, two) = (session(1), session(2));
        let mut guests = Guests::default();
        assert!(guests.begin(&one, 5, guest(10)) && guests.begin(&two, 5, guest(20)));
        assert_eq!(guests.advance(&one, 5, Stage::Up(LocalId(7))), Some(Stage::Starting));
        assert_eq!(guests.advance(&two, 5, Stage::Up(LocalId(8))), Some(Stage::Starting));
        assert_eq!((guests.unclaimed(), guests.overdue(9).len(), guests.overdue(10).len()), (2, 0, 1));
        assert_eq!(guests.advance(&one, 5, Stage::Claimed(LocalId(7))), Some(Stage::Up(LocalId(7))));
        assert_eq!(guests.advance(&one, 5, Stage::GivenUp), None, "claimed is claimed");
        assert_eq!(guests.end(&one), [], "what is claimed lives on");
        assert_eq!(guests.end(&two), [LocalId(8)]);
        assert_eq!(guests.end(&two), []);
        assert_eq!(guests.advance(&two, 5, Stage::GivenUp), None);
    }

    #[test]
    fn what_is_under_way_is_bounded_and_what_is_settled_is_forgotten_in_order() {
        let one = session(1);
        let mut guests = Guests::default();
        for id in 0..MAX_UNDER_WAY as u64 {
            assert!(guests.begin(&one, id, guest(0)));
        }
        assert!(!guests.begin(&one, 9999, guest(0)));
        assert!(guests.advance(&one, 3, Stage::GivenUp).is_some());
        assert!(guests.begin(&one, 9999, guest(0)), "a settled one makes room");
        for id in 10_000..9_999 + MAX_SETTLED as u64 {
            guests.advance(&one, id - 1, Stage::GivenUp);
            assert!(guests.begin(&one, id, guest(0)));
        }
        assert!(guests.find(&one, 3).is_some());
        guests.advance(&one, 4, Stage::GivenUp);
        assert!(guests.find(&one, 3).is_none(), "the oldest is forgotten");
        assert!(guests.find(&one, 5).is_some(), "what is under way is not");
    }
}
