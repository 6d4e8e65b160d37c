//! The addresses of a process of another node: pid, name and alias lead to it in one order. Real nodes, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::wire::Alias;
use shard_runtime::{DeliveryError, LinkOptions, LogLevel, NodeEvent, SendReason};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
/// The node of the processes that are sent to.
const THERE: &str = "there@localhost";

#[message]
struct Number {
    n: u64,
}
#[message(reply = u64)]
struct Count;
#[message(reply = Alias)]
struct MakeAlias;
#[message]
struct DropAlias {
    alias: Alias,
}
#[message(reply = Vec<u64>)]
struct Take;

/// Bytes of a load.
const LOAD: usize = 100_000;

/// Takes numbers.
#[derive(Default)]
struct Sink {
    numbers: Vec<u64>,
}

#[actor]
impl Sink {
    #[handle]
    fn number(&mut self, m: Number, _cx: &mut Context<'_>) -> ActorResult {
        self.numbers.push(m.n);
        Ok(())
    }
    #[handle]
    fn load(&mut self, m: Load, _cx: &mut Context<'_>) -> ActorResult {
        assert_eq!(m.bytes.len(), LOAD);
        self.numbers.push(m.n);
        Ok(())
    }
    #[handle]
    fn count(&mut self, _: Count, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(self.numbers.len() as u64)
    }
    #[handle]
    fn make(&mut self, _: MakeAlias, cx: &mut Context<'_>) -> Result<Alias, ActorError> {
        Ok(cx.create_alias()?)
    }
    #[handle]
    fn drop_alias(&mut self, m: DropAlias, cx: &mut Context<'_>) -> ActorResult {
        Ok(cx.delete_alias(m.alias)?)
    }
    #[handle]
    fn take(&mut self, _: Take, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(std::mem::take(&mut self.numbers))
    }
}

/// Sends `count` numbers to a process in turns by name, pid and alias; the second name is another process's.
#[message(reply = ())]
struct Mix {
    to: Pid,
    alias: Alias,
    count: u64,
}
/// Sends one number by name, then others with a load by pid.
#[message(reply = ())]
struct Pour {
    to: Pid,
    count: u64,
    waits: bool,
}
#[message]
struct Load {
    n: u64,
    bytes: Vec<u8>,
}
/// Asks for the count by name, then, before the answer is there, sends by pid.
#[message(reply = u64)]
struct AskThenSend {
    to: Pid,
}
#[message(reply = String)]
struct Nobody {
    to: Pid,
}
#[message(reply = String)]
struct SpeakTo {
    alias: Alias,
}
#[message(reply = String)]
struct AfterAName {
    to: Pid,
    alias: Alias,
}

#[derive(Default)]
struct Source;

#[actor]
impl Source {
    #[handle]
    fn mix(&mut self, m: Mix, cx: &mut Context<'_>) -> Result<(), ActorError> {
        for n in 0..m.count {
            match n % 4 {
                0 => cx.send(("sink", THERE), Number { n })?,
                1 => cx.send(m.to, Number { n })?,
                2 => cx.send(m.alias, Number { n })?,
                _ => {
                    cx.send(("other", THERE), Number { n })?;
                    cx.send(m.to, Number { n })?;
                }
            }
        }
        Ok(())
    }
    #[handle]
    async fn pour(&mut self, m: Pour, cx: &mut Context<'_>) -> Result<(), ActorError> {
        cx.send(("sink", THERE), Number { n: 0 })?;
        for n in 1..m.count {
            let load = Load { n, bytes: vec![7; LOAD] };
            if m.waits {
                cx.send_wait(m.to, load, LIMIT).await?;
            } else {
                cx.send(m.to, load)?;
            }
        }
        Ok(())
    }
    #[handle]
    async fn ask_then_send(&mut self, m: AskThenSend, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let asked = cx.call_timeout(("sink", THERE), Count, LIMIT);
        cx.send(m.to, Number { n: 1 })?;
        Ok(asked.await?)
    }
    #[handle]
    async fn nobody(&mut self, m: Nobody, cx: &mut Context<'_>) -> Result<String, ActorError> {
        let asked = cx.call_timeout(("nobody", THERE), Count, LIMIT);
        cx.send(m.to, Number { n: 1 })?;
        let before = cx.call_timeout(m.to, Count, LIMIT).await?;
        Ok(format!("{before} {:?}", asked.await.err()))
    }
    #[handle]
    async fn speak_to_alias(&mut self, m: SpeakTo, cx: &mut Context<'_>) -> Result<String, ActorError> {
        let sent = cx.send(m.alias, Number { n: 1 }).map_err(|error| error.reason);
        let asked = cx.call_timeout(m.alias, Count, LIMIT).await;
        let important = cx.send_important(m.alias, Number { n: 2 }, LIMIT).await;
        let important = important.map_err(|error| match error {
            DeliveryError::Refused(error) => Some(error.reason),
            _ => None,
        });
        Ok(format!("{sent:?} {asked:?} {important:?}"))
    }
    #[handle]
    async fn after_a_name(&mut self, m: AfterAName, cx: &mut Context<'_>) -> Result<String, ActorError> {
        cx.send(("sink", THERE), Number { n: 1 })?;
        let by_pid = cx.send_important(m.to, Number { n: 2 }, LIMIT).await.is_ok();
        let by_alias = cx.send_important(m.alias, Number { n: 3 }, LIMIT).await.is_ok();
        Ok(format!("{by_pid} {by_alias}"))
    }
}

struct Pair {
    here: Node,
    there: Node,
    events: Receiver<NodeEvent>,
    source: Pid,
    sink: Pid,
    alias: Alias,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.here.stop();
        self.there.stop();
    }
}

fn builder(name: &str, shards: u16) -> shard_runtime::NodeBuilder {
    Node::builder(name)
        .shards(shards)
        .listen("127.0.0.1:0")
        .cookie("unit test cookie")
        .log_level(LogLevel::Error)
}

/// Nodes in session, of which `here` has not asked for a name yet.
fn pair_of(shards: (u16, u16), links: LinkOptions, source: SpawnOptions) -> Pair {
    let there = builder(THERE, shards.1).links(links).start().unwrap();
    let sink = there.spawn(Sink::default, SpawnOptions::named("sink").on_shard(shards.1 - 1)).unwrap();
    there.spawn(Sink::default, SpawnOptions::named("other").on_shard(0)).unwrap();
    let alias = there.call_blocking(sink, MakeAlias).unwrap();
    let at = there.listen_address().unwrap().to_string();
    let here = builder("here@localhost", shards.0).route(THERE, at).start().unwrap();
    let events = here.subscribe_nodes().unwrap();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    let source = here.spawn(Source::default, source).unwrap();
    Pair { here, there, events, source, sink, alias }
}

fn pair(shards: (u16, u16)) -> Pair {
    pair_of(shards, LinkOptions::new(), SpawnOptions::new().on_shard(shards.0 - 1))
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn now() -> Instant {
    Instant::now()
}

impl Pair {
    fn taken(&self, count: u64) -> Vec<u64> {
        let (until, mut all) = (now() + LIMIT, Vec::new());
        while (all.len() as u64) < count {
            assert!(now() < until, "only {} of {count} came", all.len());
            all.extend(self.there.call_blocking(self.sink, Take).unwrap());
        }
        all
    }

    fn mix(&self) {
        // With those by the other name about as many as may wait.
        let count = 3200;
        let mix = Mix { to: self.sink, alias: self.alias, count };
        self.here.call_blocking_timeout(self.source, mix, LIMIT).unwrap();
        assert_eq!(self.taken(count), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn pids_names_and_aliases_share_one_order_from_the_first_message_on() {
    for shards in [(1, 1), (2, 2), (1, 3), (9, 8)] {
        let pair = pair(shards);
        // The names are unknown the first time, known the second.
        pair.mix();
        pair.mix();
    }
}

#[test]
fn so_they_do_from_a_process_on_a_thread_of_its_own() {
    let dedicated = SpawnOptions::new().on_shard(1).dedicated_thread();
    let pair = pair_of((2, 2), LinkOptions::new(), dedicated);
    pair.mix();
    pair.mix();
}

#[test]
fn what_waits_for_a_name_and_is_more_than_an_outbox_holds_arrives_whole_and_in_order() {
    for (shards, waits) in [((1, 1), false), ((2, 2), true), ((9, 8), false), ((9, 8), true)] {
        let pair = pair(shards);
        // 30 MB; an outbox has 8 MiB.
        let count = 300;
        let pour = Pour { to: pair.sink, count, waits };
        pair.here.call_blocking_timeout(pair.source, pour, LIMIT).unwrap();
        assert_eq!(pair.taken(count), (0..count).collect::<Vec<_>>());
        assert_eq!(pair.here.stats().node().counters.dead_letters, 0);
    }
}

#[test]
fn a_call_by_name_is_handled_before_what_is_sent_after_it_by_pid() {
    let pair = pair((2, 2));
    assert_eq!(pair.here.call_blocking(pair.source, AskThenSend { to: pair.sink }).unwrap(), 0);
    assert_eq!(pair.taken(1), [1]);
}

#[test]
fn a_name_that_nobody_has_holds_back_only_until_that_is_known() {
    let pair = pair((1, 2));
    let said = pair.here.call_blocking(pair.source, Nobody { to: pair.sink }).unwrap();
    assert_eq!(said, "1 Some(Send(NameUnknown))");
}

#[test]
fn important_messages_wait_for_names_too() {
    let pair = pair((2, 2));
    let say = AfterAName { to: pair.sink, alias: pair.alias };
    assert_eq!(pair.here.call_blocking(pair.source, say).unwrap(), "true true");
    assert_eq!(pair.taken(3), [1, 2, 3]);
}

#[test]
fn an_alias_is_an_address_until_it_is_given_up() {
    for shards in [(2, 2), (9, 8)] {
        let pair = pair(shards);
        let ask = || pair.here.call_blocking(pair.source, SpeakTo { alias: pair.alias }).unwrap();
        assert_eq!(ask(), "Ok(()) Ok(1) Ok(())");
        assert_eq!(pair.taken(2), [1, 2]);
        pair.there.send(pair.sink, DropAlias { alias: pair.alias }).unwrap();
        let gone = "Ok(()) Err(Send(AliasUnknown)) Err(Some(AliasUnknown))";
        while ask() != gone {
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_alias_of_a_node_that_has_gone_leads_nowhere() {
    let pair = pair((1, 1));
    pair.there.stop();
    while !matches!(pair.events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    let said = pair.here.call_blocking(pair.source, SpeakTo { alias: pair.alias }).unwrap();
    let gone = SendReason::NodeStopping;
    assert_eq!(said, format!("Err({gone:?}) Err(Send({gone:?})) Err(Some({gone:?}))"));
}

#[test]
fn a_node_of_the_first_version_of_the_protocol_takes_no_messages_to_aliases() {
    let pair = pair_of((1, 1), LinkOptions::new().unnumbered().max_message(1 << 20), SpawnOptions::new());
    let said = pair.here.call_blocking(pair.source, SpeakTo { alias: pair.alias }).unwrap();
    assert_eq!(said, "Err(Unsupported) Err(Send(Unsupported)) Err(Some(Unsupported))");
}
