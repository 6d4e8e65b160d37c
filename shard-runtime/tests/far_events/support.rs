//! Nodes, and processes that do what they are told and report what they hear.

use shard_runtime::prelude::*;
use shard_runtime::{
    EventError, EventFacts, EventGap, EventPosition, EventRestart, EventStart, EventStop, LinkCounters,
    LogLevel, NodeBuilder, NodeEvent, Target,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const FEED: &str = "feed@localhost";

pub(crate) type Action = Box<dyn FnOnce(&mut Context<'_>) -> String + Send>;

#[message(local, reply = String)]
pub(crate) struct Act(pub(crate) Action);
/// Holds its shard until it is let go.
#[message(local)]
pub(crate) struct Hold(pub(crate) Arc<AtomicBool>);

#[message]
pub(crate) struct Note {
    pub(crate) n: u64,
    pub(crate) bytes: Vec<u8>,
}
#[message]
pub(crate) struct Other {
    pub(crate) text: String,
}
#[message(local)]
pub(crate) struct Inner;

/// Does what it is told, and reports what it hears.
pub(crate) struct Puppet {
    tell: Sender<String>,
    last: Option<EventPosition>,
}

impl Puppet {
    fn say(&self, text: String) {
        let _nobody_listens = self.tell.send(text);
    }
}

#[actor]
impl Puppet {
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    fn hold(&mut self, m: Hold, _cx: &mut Context<'_>) -> ActorResult {
        while !m.0.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    }
    #[handle]
    fn note(&mut self, m: Event<Note>, cx: &mut Context<'_>) -> ActorResult {
        assert_eq!((m.sequence(), m.name(), m.node()), (m.n, "news", Some(FEED)));
        assert_eq!(cx.sender(), m.publisher());
        assert!(m.bytes.iter().all(|byte| *byte == m.n as u8));
        self.last = Some(m.position());
        self.say(format!("#{}", m.n));
        Ok(())
    }
    #[handle]
    fn position(&mut self, _: Position, _cx: &mut Context<'_>) -> Result<EventPosition, ActorError> {
        Ok(self.last.unwrap())
    }
    #[handle]
    fn gap(&mut self, m: EventGap, _cx: &mut Context<'_>) -> ActorResult {
        assert_eq!((&*m.name, &*m.node), ("news", FEED));
        self.say(format!("gap {} to {}", m.from, m.to));
        Ok(())
    }
    #[handle]
    fn restart(&mut self, m: EventRestart, _cx: &mut Context<'_>) -> ActorResult {
        assert_ne!(m.before, m.now);
        self.say(format!("restart after {}, another node: {}", m.last, m.before.node != m.now.node));
        Ok(())
    }
    #[handle]
    fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
        let Target::EventAt { name, node } = &m.target else { panic!("{m:?}") };
        assert_eq!((&**name, &**node), ("news", FEED));
        let typed = m.reason.downcast_ref::<EventError>().map_or(String::new(), |error| format!("{error:?}"));
        self.say(if typed.is_empty() { format!("down {}", m.reason) } else { format!("down {typed}") });
        Ok(())
    }
    #[handle]
    fn exit_signal(&mut self, m: ExitSignal, _cx: &mut Context<'_>) -> ActorResult {
        self.say(format!("exit {}", m.reason));
        Ok(())
    }
    #[handle]
    fn start(&mut self, _: EventStart, _cx: &mut Context<'_>) -> ActorResult {
        self.say("start".into());
        Ok(())
    }
    #[handle]
    fn stop(&mut self, _: EventStop, _cx: &mut Context<'_>) -> ActorResult {
        self.say("stop".into());
        Ok(())
    }
}

#[message(local, reply = EventPosition)]
pub(crate) struct Position;

pub(crate) fn builder(name: &str, shards: u16) -> NodeBuilder {
    Node::builder(name).shards(shards).listen("127.0.0.1:0").cookie("of events").log_level(LogLevel::Panic)
}

pub(crate) fn address(node: &Node) -> String {
    node.listen_address().unwrap().to_string()
}

pub(crate) fn up(events: &Receiver<NodeEvent>) -> u64 {
    loop {
        if let NodeEvent::Up { session, .. } = events.recv_timeout(LIMIT).unwrap() {
            return session;
        }
    }
}

pub(crate) struct Pair {
    pub(crate) feed: Node,
    pub(crate) reader: Node,
    pub(crate) events: [Receiver<NodeEvent>; 2],
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.reader.stop();
        self.feed.stop();
    }
}

pub(crate) fn pair_of(feed: NodeBuilder, reader: NodeBuilder) -> Pair {
    let feed = feed.start().unwrap();
    let reader = reader.route(FEED, address(&feed)).start().unwrap();
    pair_up(feed, reader)
}

pub(crate) fn pair_up(feed: Node, reader: Node) -> Pair {
    let events = [feed.subscribe_nodes().unwrap(), reader.subscribe_nodes().unwrap()];
    for (node, other) in [(&feed, &reader), (&reader, &feed)] {
        let name = other.name().to_owned();
        until("they are in session", || node.nodes().contains(&name));
    }
    let pair = Pair { feed, reader, events };
    // What the nodes know, their shards may learn a moment later.
    for (node, other) in [(&pair.feed, &pair.reader), (&pair.reader, &pair.feed)] {
        for shard in 0..node.stats().shards().len() {
            let (probe, _) = puppet(node, shard as u16);
            let name = other.name().to_owned();
            let watch = move |cx: &mut Context<'_>| {
                let target = Target::node(&name);
                format!("{:?} {:?}", cx.monitor(target.clone()), cx.demonitor(target))
            };
            until("the shards know", || act(node, probe, watch.clone()) == "Ok(()) Ok(())");
            node.kill(probe);
        }
    }
    pair
}

pub(crate) fn pair(shards: (u16, u16)) -> Pair {
    pair_of(builder(FEED, shards.0), builder("reader@localhost", shards.1))
}

pub(crate) fn puppet_with(node: &Node, options: SpawnOptions) -> (Pid, Receiver<String>) {
    let (tell, reports) = channel();
    (node.spawn(move || Puppet { tell, last: None }, options).unwrap(), reports)
}

pub(crate) fn puppet(node: &Node, shard: u16) -> (Pid, Receiver<String>) {
    puppet_with(node, SpawnOptions::new().on_shard(shard))
}

pub(crate) fn act(
    node: &Node,
    pid: Pid,
    act: impl FnOnce(&mut Context<'_>) -> String + Send + 'static,
) -> String {
    node.call_blocking_timeout(pid, Act(Box::new(act)), LIMIT).unwrap()
}

pub(crate) fn register(node: &Node, owner: Pid, options: EventOptions) -> Topic<Note> {
    let (give, taken) = channel();
    act(node, owner, move |cx| {
        give.send(cx.register_event::<Note>("news", options).unwrap()).unwrap();
        String::new()
    });
    taken.recv_timeout(LIMIT).unwrap()
}

/// Publishes numbers `from` to `to` from inside the owner.
pub(crate) fn publish(
    node: &Node,
    owner: Pid,
    topic: &Topic<Note>,
    numbers: std::ops::RangeInclusive<u64>,
    bytes: usize,
) {
    let topic = topic.clone();
    let said = act(node, owner, move |cx| {
        let publish = |n| cx.publish(&topic, Note { n, bytes: vec![n as u8; bytes] });
        format!("{:?}", numbers.map(publish).collect::<Result<Vec<()>, _>>().map(|_| ()))
    });
    assert_eq!(said, "Ok(())");
}

pub(crate) fn subscribe(node: &Node, pid: Pid) {
    assert_eq!(act(node, pid, |cx| format!("{:?}", cx.subscribe_at::<Note>("news", FEED))), "Ok(())");
}

pub(crate) fn facts(node: &Node) -> Option<EventFacts> {
    node.stats().events().into_iter().find(|event| &*event.name == "news")
}

pub(crate) fn counters(node: &Node) -> LinkCounters {
    node.stats().peers()[0].counters
}

/// Waits until the producer's node sends to so many nodes.
pub(crate) fn sends_to(node: &Node, nodes: u64) {
    until("the subscription has arrived", || facts(node).is_some_and(|facts| facts.nodes == nodes));
}

pub(crate) fn next(reports: &Receiver<String>) -> String {
    reports.recv_timeout(LIMIT).unwrap()
}

pub(crate) fn expect(reports: &Receiver<String>, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        assert_eq!(next(reports), format!("#{n}"));
    }
}

pub(crate) fn nothing(reports: &Receiver<String>) {
    assert_eq!(reports.try_recv().ok(), None);
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}

/// Ends the session between the two and has the next one begin.
pub(crate) fn cut(pair: &Pair, between: impl FnOnce()) {
    pair.feed.quarantine("reader@localhost").unwrap();
    for events in &pair.events {
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    }
    sends_to(&pair.feed, 0);
    between();
    pair.feed.allow("reader@localhost").unwrap();
    for events in &pair.events {
        up(events);
    }
}

/// Passes bytes on, and cuts what is open when it is told to.
pub(crate) struct Relay {
    pub(crate) streams: Arc<RwLock<Vec<TcpStream>>>,
    pub(crate) address: String,
}

pub(crate) fn start(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(work).unwrap();
}

impl Relay {
    pub(crate) fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let streams = Arc::new(RwLock::new(Vec::new()));
        let known = Arc::clone(&streams);
        start(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(&target) else { return };
                let mut known = known.write().unwrap();
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
                {
                    known.push(from.try_clone().unwrap());
                    start(move || {
                        let mut buffer = vec![0; 1 << 16];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _gone = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { streams, address }
    }

    /// Breaks all but the first, which is the control link.
    pub(crate) fn cut_data(&self) -> usize {
        let mut streams = self.streams.write().unwrap();
        let from = streams.len().min(2);
        let cut = streams.split_off(from);
        for stream in &cut {
            let _gone = stream.shutdown(Shutdown::Both);
        }
        cut.len()
    }
}
