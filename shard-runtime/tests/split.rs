//! Processes that want to know by which address they were reached hear it of other nodes as of their own. Real nodes, real
//! sockets: what one hears of a script that runs on its node is what it hears of the same script on another one.

use shard_runtime::prelude::*;
use shard_runtime::wire::Alias;
use shard_runtime::{Addressed, LogLevel, Message, NodeEvent, Pool, Target};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
/// The node of the processes that are sent to.
const THERE: &str = "there@localhost";

#[message]
struct Note {
    n: u64,
    rest: Vec<u8>,
}
fn note(n: u64) -> Note {
    Note { n, rest: Vec::new() }
}
#[message(reply = u64)]
struct Double {
    n: u64,
}
/// Answered later than its handler ends.
#[message(reply = String)]
struct Later {
    n: u64,
}
#[message(reply = Alias)]
struct MakeAlias;
#[message(reply = Vec<String>)]
struct Heard;
#[message]
struct Split {
    on: bool,
}

/// Notes what comes, bare or addressed.
#[derive(Default)]
struct Hearer {
    heard: Vec<String>,
    alias: Option<Alias>,
}

impl Hearer {
    fn hear(&mut self, what: &str, by: Option<&Target>, cx: &Context<'_>) {
        let by = match by {
            None => "bare".to_owned(),
            Some(Target::Name(name)) => format!("by name {name}"),
            Some(Target::Alias(alias)) if Some(*alias) == self.alias => "by alias".to_owned(),
            Some(other) => format!("by {other:?}"),
        };
        let traced = if cx.trace().is_some() { " traced" } else { "" };
        self.heard.push(format!("{what} {by}{traced}"));
    }
}

#[actor]
impl Hearer {
    #[handle]
    fn note(&mut self, m: Note, cx: &mut Context<'_>) -> ActorResult {
        self.hear(&format!("note {}", m.n), None, cx);
        Ok(())
    }
    #[handle]
    fn addressed_note(&mut self, m: Addressed<Note>, cx: &mut Context<'_>) -> ActorResult {
        assert!(m.message.rest.iter().all(|byte| *byte == 7), "the body is what was sent");
        self.hear(&format!("note {}", m.message.n), Some(&m.by), cx);
        Ok(())
    }
    #[handle]
    fn double(&mut self, m: Double, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.hear(&format!("double {}", m.n), None, cx);
        Ok(m.n * 2)
    }
    #[handle]
    async fn addressed_double(
        &mut self,
        m: Addressed<Double>,
        cx: &mut Context<'_>,
    ) -> Result<u64, ActorError> {
        cx.sleep(Duration::from_millis(1)).await;
        self.hear(&format!("double {}", m.message.n), Some(&m.by), cx);
        Ok(m.message.n * 2)
    }
    #[handle]
    fn later(&mut self, m: Later, reply: ReplyTo<String>, cx: &mut Context<'_>) -> ActorResult {
        self.hear(&format!("later {}", m.n), None, cx);
        reply.send(format!("later {}", m.n));
        Ok(())
    }
    #[handle]
    fn addressed_later(
        &mut self,
        m: Addressed<Later>,
        reply: ReplyTo<String>,
        cx: &mut Context<'_>,
    ) -> ActorResult {
        self.hear(&format!("later {}", m.message.n), Some(&m.by), cx);
        reply.send(format!("later {}", m.message.n));
        Ok(())
    }
    #[handle]
    fn make(&mut self, _: MakeAlias, cx: &mut Context<'_>) -> Result<Alias, ActorError> {
        let alias = cx.create_alias()?;
        self.alias = Some(alias);
        Ok(alias)
    }
    #[handle]
    fn heard(&mut self, _: Heard, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        Ok(std::mem::take(&mut self.heard))
    }
    #[handle]
    fn split(&mut self, m: Split, cx: &mut Context<'_>) -> ActorResult {
        cx.split_handle(m.on);
        Ok(())
    }
}

/// Takes notes as views, or addressed and whole.
#[derive(Default)]
struct Viewer {
    heard: Vec<String>,
}

#[actor]
impl Viewer {
    #[handle]
    fn note(&mut self, m: View<Note>, _cx: &mut Context<'_>) -> ActorResult {
        self.heard.push(format!("view {}", m.n.to_native()));
        Ok(())
    }
    #[handle]
    fn addressed(&mut self, m: Addressed<Note>, _cx: &mut Context<'_>) -> ActorResult {
        self.heard.push(format!("note {} by {:?}", m.message.n, m.by));
        Ok(())
    }
    #[handle]
    fn heard(&mut self, _: Heard, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        Ok(std::mem::take(&mut self.heard))
    }
}

/// Knows bare messages only.
#[derive(Default)]
struct Plain {
    heard: Vec<String>,
}

#[actor]
impl Plain {
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.heard.push(format!("note {}", m.n));
        Ok(())
    }
    #[handle]
    fn double(&mut self, m: Double, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.heard.push(format!("double {}", m.n));
        Ok(m.n * 2)
    }
    #[handle]
    fn heard(&mut self, _: Heard, _cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        Ok(std::mem::take(&mut self.heard))
    }
}

/// Says what becomes of sends and calls by each address.
#[message(reply = Vec<String>)]
struct Script {
    to: Pid,
    alias: Alias,
}
#[message(reply = Vec<String>)]
struct ToName {
    name: String,
}

#[derive(Default)]
struct Source;

#[actor]
impl Source {
    #[handle]
    async fn script(&mut self, m: Script, cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        let (to, name, alias) = (m.to, ("hearer", THERE), m.alias);
        cx.send(to, note(1))?;
        cx.send(name, note(2))?;
        cx.send(alias, note(3))?;
        let mut said = vec![
            format!("{:?}", cx.call_timeout(to, Double { n: 4 }, LIMIT).await),
            format!("{:?}", cx.call_timeout(name, Double { n: 5 }, LIMIT).await),
            format!("{:?}", cx.call_timeout(alias, Double { n: 6 }, LIMIT).await),
            format!("{:?}", cx.call_timeout(to, Later { n: 7 }, LIMIT).await),
            format!("{:?}", cx.call_timeout(name, Later { n: 8 }, LIMIT).await),
            format!("{:?}", cx.call_timeout(alias, Later { n: 9 }, LIMIT).await),
            format!("{}", cx.send_important(to, note(10), LIMIT).await.is_ok()),
            format!("{}", cx.send_important(name, note(11), LIMIT).await.is_ok()),
            format!("{}", cx.send_important(alias, note(12), LIMIT).await.is_ok()),
        ];
        cx.send(name, note(13))?;
        cx.send(name, Note { n: 14, rest: vec![7; 1 << 12] })?;
        cx.send(alias, Note { n: 15, rest: vec![7; 1 << 20] })?;
        said.push(format!("{:?}", cx.call_timeout(alias, Double { n: 16 }, LIMIT).await));
        cx.send_with(alias, note(17), Priority::High)?;
        said.push(format!("{:?}", cx.call_with(name, Double { n: 18 }, Priority::High, LIMIT).await));
        cx.begin_trace();
        cx.send(to, note(19))?;
        cx.send(name, note(20))?;
        cx.send(alias, note(21))?;
        said.push(format!("{:?}", cx.call_timeout(name, Double { n: 22 }, LIMIT).await));
        said.push(format!("{}", cx.send_important(alias, note(23), LIMIT).await.is_ok()));
        Ok(said)
    }
    #[handle]
    async fn speak(&mut self, m: ToName, cx: &mut Context<'_>) -> Result<Vec<String>, ActorError> {
        let to = (&*m.name, THERE);
        cx.send(to, note(1))?;
        let important = cx.send_important(to, note(2), LIMIT).await.is_ok();
        let called = cx.call_timeout(to, Double { n: 3 }, LIMIT).await;
        Ok(vec![format!("{important}"), format!("{called:?}")])
    }
}

struct Pair {
    here: Node,
    there: Node,
    /// Of each node.
    sources: [Pid; 2],
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

/// Nodes in session, with a source on each.
fn pair(shards: (u16, u16), source: impl Fn() -> SpawnOptions) -> Pair {
    let there = builder(THERE, shards.1).start().unwrap();
    let at = there.listen_address().unwrap().to_string();
    let here = builder("here@localhost", shards.0).route(THERE, at).start().unwrap();
    let events = here.subscribe_nodes().unwrap();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    let near = there.spawn(Source::default, source().on_shard(0)).unwrap();
    let far = here.spawn(Source::default, source().on_shard(shards.0 - 1)).unwrap();
    Pair { here, there, sources: [near, far] }
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn now() -> Instant {
    Instant::now()
}

impl Pair {
    /// What the source of the hearer's node said, and the one of the other node.
    fn ask<M: Message<Reply = Vec<String>>>(&self, place: usize, message: M) -> Vec<String> {
        let node = if place == 0 { &self.there } else { &self.here };
        node.call_blocking_timeout(self.sources[place], message, LIMIT).unwrap()
    }

    fn heard(&self, of: Pid, count: usize) -> Vec<String> {
        let (until, mut all) = (now() + LIMIT, Vec::new());
        while all.len() < count {
            assert!(now() < until, "only {all:?} of {count} came");
            all.extend(self.there.call_blocking(of, Heard).unwrap());
        }
        all
    }

    fn unhandled(&self) -> u64 {
        self.there.stats().shards().iter().map(|shard| shard.counters.unhandled).sum()
    }

    /// The script, near and far, is heard in the same words.
    fn compare(&self, options: SpawnOptions) {
        let hearer = self.there.spawn(Hearer::default, options).unwrap();
        let alias = self.there.call_blocking(hearer, MakeAlias).unwrap();
        let mut runs = [0, 1].map(|place| {
            let said = self.ask(place, Script { to: hearer, alias });
            (said, self.heard(hearer, 23))
        });
        // What has a priority, and what is traced, may be handled in any order with the rest.
        for (_, heard) in &mut runs {
            heard[16..].sort();
        }
        let [(said, heard), (far_said, far_heard)] = runs;
        assert_eq!((said.len(), heard.len()), (13, 23));
        assert_eq!(heard[1], "note 2 by name hearer");
        assert_eq!(heard[2], "note 3 by alias");
        assert_eq!((said, heard), (far_said, far_heard));
    }
}

fn split(shards: u16) -> SpawnOptions {
    SpawnOptions::named("hearer").on_shard(shards - 1).split_handle()
}

#[test]
fn a_process_hears_of_other_nodes_as_of_its_own_by_which_address_it_was_reached() {
    for shards in [(1, 1), (2, 2), (1, 3), (9, 8)] {
        let pair = pair(shards, SpawnOptions::new);
        pair.compare(split(shards.1));
    }
}

#[test]
fn so_it_does_on_a_thread_of_its_own_and_with_a_bounded_mailbox() {
    for shards in [(2, 2), (9, 8)] {
        let pair = pair(shards, SpawnOptions::new);
        pair.compare(split(shards.1).dedicated_thread());
    }
    let pair = pair((2, 2), SpawnOptions::new);
    pair.compare(split(2).with_mailbox(100));
}

#[test]
fn so_it_does_of_senders_that_compress_and_of_those_on_threads_of_their_own() {
    pair((2, 2), || SpawnOptions::new().compression(0)).compare(split(2));
    pair((2, 2), || SpawnOptions::new().dedicated_thread()).compare(split(2));
}

#[test]
fn who_does_not_ask_for_it_gets_messages_bare_and_may_ask_at_any_time() {
    let pair = pair((2, 2), SpawnOptions::new);
    let hearer = pair.there.spawn(Hearer::default, SpawnOptions::named("hearer").on_shard(1)).unwrap();
    let heard = || {
        pair.ask(1, ToName { name: "hearer".to_owned() });
        pair.heard(hearer, 3)
    };
    let (bare, told) = (
        ["note 1 bare", "note 2 bare", "double 3 bare"],
        ["note 1 by name hearer", "note 2 by name hearer", "double 3 by name hearer"],
    );
    assert_eq!(heard(), bare);
    pair.there.send(hearer, Split { on: true }).unwrap();
    pair.there.call_blocking(hearer, Heard).unwrap();
    assert_eq!(heard(), told);
    pair.there.send(hearer, Split { on: false }).unwrap();
    pair.there.call_blocking(hearer, Heard).unwrap();
    assert_eq!(heard(), bare);
}

#[test]
fn who_has_no_handler_for_addressed_messages_has_none_for_those_of_other_nodes() {
    let pair = pair((2, 2), SpawnOptions::new);
    let plain = pair.there.spawn(Plain::default, SpawnOptions::named("plain").split_handle()).unwrap();
    for place in [0, 1] {
        let before = pair.unhandled();
        let said = pair.ask(place, ToName { name: "plain".to_owned() });
        assert_eq!(said, ["true", "Err(Unhandled)"], "place {place}");
        let until = now() + LIMIT;
        while pair.unhandled() < before + 3 {
            assert!(now() < until, "place {place}: {} are counted", pair.unhandled() - before);
            std::thread::yield_now();
        }
        assert!(pair.there.call_blocking(plain, Heard).unwrap().is_empty());
    }
}

#[test]
fn a_process_that_takes_views_gets_what_is_addressed_whole() {
    let pair = pair((2, 2), SpawnOptions::new);
    let options = SpawnOptions::named("viewer").on_shard(1).split_handle();
    let viewer = pair.there.spawn(Viewer::default, options).unwrap();
    for place in [0, 1] {
        pair.ask(place, ToName { name: "viewer".to_owned() });
        let heard = pair.heard(viewer, 2);
        assert_eq!(heard, ["note 1 by Name(\"viewer\")", "note 2 by Name(\"viewer\")"], "place {place}");
    }
}

#[test]
fn a_pool_hands_on_by_which_address_it_was_reached() {
    let pair = pair((2, 2), SpawnOptions::new);
    let options = SpawnOptions::named("pool").on_shard(1).split_handle();
    let pool = pair.there.spawn(|| Pool::of(Hearer::default).size(1), options).unwrap();
    for place in [0, 1] {
        pair.ask(place, ToName { name: "pool".to_owned() });
        let heard = pair.heard(pool, 3);
        let told = ["note 1 by name pool", "note 2 by name pool", "double 3 by name pool"];
        assert_eq!(heard, told, "place {place}");
    }
}
