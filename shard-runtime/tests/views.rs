//! Messages handled as views: read where they were received, held for as long as it pleases, at a bounded price for the link.

use shard_runtime::prelude::*;
use shard_runtime::{LinkCounters, LinkOptions, LogLevel, NodeBuilder, NodeEvent, OnFull};
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[data]
#[derive(Clone)]
struct Item {
    name: String,
    value: u64,
}

/// Answered with the sum of its values.
#[message(reply = u64)]
#[derive(Clone)]
struct Batch {
    n: u64,
    items: Vec<Item>,
}

fn batch(n: u64, items: u64) -> Batch {
    Batch { n, items: (0..items).map(|i| Item { name: format!("item {i} of {n}"), value: n + i }).collect() }
}

fn sum(n: u64, items: u64) -> u64 {
    (0..items).map(|i| n + i).sum()
}

/// Panics unless the batch is as [`batch`] makes it. Gives its number.
fn check(view: &View<Batch>) -> u64 {
    let n = view.n.to_native();
    for (i, item) in view.items.iter().enumerate() {
        assert_eq!(item.name.as_str(), format!("item {i} of {n}"));
        assert_eq!(item.value.to_native(), n + i as u64);
    }
    n
}

fn total(view: &View<Batch>) -> u64 {
    view.items.iter().map(|item| item.value.to_native()).sum()
}

#[message(old, name = "views::Dated")]
struct DatedV1 {
    day: u64,
}
#[message(name = "views::Dated", replaces = DatedV1)]
struct Dated {
    day: u64,
    note: String,
}
impl From<DatedV1> for Dated {
    fn from(old: DatedV1) -> Self {
        Self { day: old.day, note: "of old".to_owned() }
    }
}
impl From<&Dated> for DatedV1 {
    fn from(new: &Dated) -> Self {
        Self { day: new.day }
    }
}

/// What was handled so far, by its numbers.
#[message(reply = Vec<u64>)]
struct Seen;
/// Nothing but work.
#[message]
struct Noise {
    rest: Vec<u8>,
}
/// Drop what is held, after a look at it. Answered with how many there were.
#[message(reply = u64)]
struct Release;
/// Asked while a view is held; answered when it is opened.
#[message(reply = u64)]
struct Gate;
#[message]
struct Open;
#[message]
struct Block;

/// Reads and forgets.
#[derive(Default)]
struct Reader {
    seen: Vec<u64>,
}

#[actor]
impl Reader {
    #[handle]
    fn batch(&mut self, m: View<Batch>, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.seen.push(check(&m));
        Ok(total(&m))
    }
    #[handle]
    async fn dated(&mut self, m: View<Dated>, _cx: &mut Context<'_>) -> ActorResult {
        self.seen.push(m.day.to_native());
        self.seen.push(m.note.len() as u64);
        Ok(())
    }
    #[handle]
    fn noise(&mut self, m: Noise, _cx: &mut Context<'_>) -> ActorResult {
        assert!(m.rest.iter().all(|byte| *byte == 7));
        self.seen.push(m.rest.len() as u64);
        Ok(())
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(self.seen.clone())
    }
}

/// Keeps what it gets.
#[derive(Default)]
struct Keeper {
    held: Vec<View<Batch>>,
}

#[actor]
impl Keeper {
    #[handle]
    fn batch(&mut self, m: View<Batch>, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let total = total(&m);
        self.held.push(m);
        Ok(total)
    }
    #[handle]
    fn release(&mut self, _: Release, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        for (n, view) in self.held.iter().enumerate() {
            assert_eq!(check(view), n as u64);
        }
        Ok(self.held.drain(..).count() as u64)
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(self.held.iter().map(check).collect())
    }
}

/// Answers when its gate is opened, with a view in its hand all the while.
struct Waiting {
    gate: Pid,
}

#[actor]
impl Waiting {
    #[handle]
    async fn batch(&mut self, m: View<Batch>, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        check(&m);
        cx.call_timeout(self.gate, Gate, LIMIT).await?;
        check(&m);
        Ok(total(&m))
    }
}

/// Answers later, from another handler.
#[derive(Default)]
struct Later {
    waiting: Vec<(View<Batch>, ReplyTo<u64>)>,
    gates: Vec<ReplyTo<u64>>,
}

#[actor]
impl Later {
    #[handle]
    fn batch(&mut self, m: View<Batch>, reply: ReplyTo<u64>, _cx: &mut Context<'_>) -> ActorResult {
        self.waiting.push((m, reply));
        Ok(())
    }
    #[handle]
    fn gate(&mut self, _: Gate, reply: ReplyTo<u64>, _cx: &mut Context<'_>) -> ActorResult {
        self.gates.push(reply);
        Ok(())
    }
    #[handle]
    fn open(&mut self, _: Open, _cx: &mut Context<'_>) -> ActorResult {
        for (view, reply) in self.waiting.drain(..) {
            check(&view);
            reply.send(total(&view));
        }
        for gate in self.gates.drain(..) {
            gate.send(1);
        }
        Ok(())
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(vec![self.waiting.len() as u64, self.gates.len() as u64])
    }
}

/// Takes the message, not its view.
#[derive(Default)]
struct Owner {
    seen: Vec<u64>,
}

#[actor]
impl Owner {
    #[handle]
    fn batch(&mut self, m: Batch, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.seen.push(m.n);
        Ok(m.items.iter().map(|item| item.value).sum())
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(self.seen.clone())
    }
}

/// Hands views on, as they are.
struct Forwarder {
    to: Pid,
}

#[actor]
impl Forwarder {
    #[handle]
    fn batch(&mut self, m: View<Batch>, reply: ReplyTo<u64>, cx: &mut Context<'_>) -> ActorResult {
        if m.n.to_native().is_multiple_of(2) {
            drop(reply);
            cx.forward(self.to, m).map_err(|error| error.reason)?;
        } else {
            cx.forward_call(self.to, m, reply).map_err(|error| error.reason)?;
        }
        Ok(())
    }
}

/// Never gets to its second message.
struct Stuck {
    gate: Pid,
}

#[actor]
impl Stuck {
    #[handle]
    async fn block(&mut self, _: Block, cx: &mut Context<'_>) -> ActorResult {
        cx.call_timeout(self.gate, Gate, LIMIT * 10).await?;
        Ok(())
    }
    #[handle]
    fn batch(&mut self, m: View<Batch>, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(check(&m))
    }
}

/// Sends batches of numbers `0..count`, and waits between them for a turn.
#[message(reply = u64)]
struct Write {
    to: Pid,
    count: u64,
    items: u64,
}
#[message(reply = u64)]
struct Ask {
    to: Pid,
    n: u64,
    items: u64,
}
#[message(reply = ())]
struct Important {
    to: Pid,
    n: u64,
}
#[message(reply = u64)]
struct Pour {
    to: Pid,
    count: u64,
    bytes: u64,
}
#[message]
struct Date {
    to: Pid,
    is_old: bool,
}

#[derive(Default)]
struct Source;

#[actor]
impl Source {
    #[handle]
    async fn write(&mut self, m: Write, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        for n in 0..m.count {
            cx.send_wait(m.to, batch(n, m.items), LIMIT).await.map_err(|error| error.reason)?;
        }
        Ok(m.count)
    }
    #[handle]
    async fn ask(&mut self, m: Ask, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(cx.call_timeout(m.to, batch(m.n, m.items), LIMIT).await?)
    }
    #[handle]
    async fn important(&mut self, m: Important, cx: &mut Context<'_>) -> Result<(), ActorError> {
        assert!(cx.send_important(m.to, batch(m.n, 5), LIMIT).await.is_ok());
        Ok(())
    }
    #[handle]
    async fn pour(&mut self, m: Pour, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        for _ in 0..m.count {
            let noise = Noise { rest: vec![7; m.bytes as usize] };
            cx.send_wait(m.to, noise, LIMIT).await.map_err(|error| error.reason)?;
        }
        Ok(m.count)
    }
    #[handle]
    fn date(&mut self, m: Date, cx: &mut Context<'_>) -> ActorResult {
        if m.is_old {
            cx.send(m.to, DatedV1 { day: 3 }).map_err(|error| error.reason)?;
        } else {
            cx.send(m.to, Dated { day: 4, note: "of now".to_owned() }).map_err(|error| error.reason)?;
        }
        Ok(())
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
    Instant::now()
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = now() + LIMIT;
    while !is_so() {
        assert!(now() < until, "{what} in time");
        std::thread::yield_now();
    }
}

struct Pair {
    one: Node,
    two: Node,
    source: Pid,
}

fn builder(name: &str, shards: u16) -> NodeBuilder {
    Node::builder(name).shards(shards).listen("127.0.0.1:0").cookie("of views").log_level(LogLevel::Error)
}

fn pair_of(one: NodeBuilder, two: NodeBuilder) -> Pair {
    let one = one.start().unwrap();
    let address = one.listen_address().unwrap().to_string();
    joined(one, two, address)
}

/// The second node dials the first by this address.
fn joined(one: Node, two: NodeBuilder, address: String) -> Pair {
    let two = two.route("one@localhost", address).start().unwrap();
    for node in [&one, &two] {
        let events = node.subscribe_nodes().unwrap();
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    }
    let source = two.spawn(|| Source, SpawnOptions::new()).unwrap();
    Pair { one, two, source }
}

fn pair() -> Pair {
    pair_of(builder("one@localhost", 1), builder("two@localhost", 1))
}

impl Pair {
    fn host<A: shard_runtime::Actor>(&self, make: impl FnOnce() -> A + Send + 'static) -> Pid {
        self.one.spawn(make, SpawnOptions::new().on_shard(0)).unwrap()
    }
    fn counters(&self) -> LinkCounters {
        self.one.stats().peers()[0].counters
    }
    fn views(&self) -> (u64, u64) {
        let counters = self.counters();
        (counters.views_lent, counters.views_copied)
    }
    fn write(&self, to: Pid, count: u64, items: u64) {
        let write = Write { to, count, items };
        assert_eq!(self.two.call_blocking_timeout(self.source, write, LIMIT).unwrap(), count);
    }
    fn ask(&self, to: Pid, n: u64, items: u64) -> Result<u64, CallError> {
        self.two.call_blocking_timeout(self.source, Ask { to, n, items }, LIMIT)
    }
    fn seen(&self, of: Pid) -> Vec<u64> {
        self.one.call_blocking_timeout(of, Seen, LIMIT).unwrap()
    }
}

fn numbers(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn a_message_of_another_node_is_read_where_it_was_received() {
    let pair = pair();
    let reader = pair.host(Reader::default);
    // Each is awaited, so that no more than one lies anywhere.
    for n in 0..200 {
        assert_eq!(pair.ask(reader, n, 20).unwrap(), sum(n, 20));
    }
    assert_eq!(pair.seen(reader), numbers(200));
    assert_eq!(pair.views(), (200, 0));
    // What the actor takes as a message is one, and what is no view costs none.
    let pour = Pour { to: reader, count: 3, bytes: 100 };
    assert_eq!(pair.two.call_blocking(pair.source, pour).unwrap(), 3);
    eventually("the noise", || pair.seen(reader).len() == 203);
    assert_eq!(pair.views(), (200, 0));
}

#[test]
fn important_messages_streams_and_those_in_parts_or_compressed_are_views_too() {
    let pair = pair();
    let reader = pair.host(Reader::default);
    pair.two.call_blocking(pair.source, Important { to: reader, n: 1 }).unwrap();
    assert_eq!((pair.seen(reader), pair.views()), (vec![1], (1, 0)));

    // In parts: 2 MB and more.
    assert_eq!(pair.ask(reader, 2, 60_000).unwrap(), sum(2, 60_000));
    assert_eq!(pair.views(), (2, 0));

    let packing = pair.two.spawn(|| Source, SpawnOptions::new().compression(1024)).unwrap();
    for items in [500, 60_000] {
        let ask = Ask { to: reader, n: 3, items };
        assert_eq!(pair.two.call_blocking_timeout(packing, ask, LIMIT).unwrap(), sum(3, items));
    }
    assert_eq!((pair.counters().compressed_in, pair.views()), (2, (4, 0)));

    pair.write(reader, 20_000, 10);
    eventually("the stream", || pair.seen(reader).len() == 20_004);
    assert_eq!(pair.seen(reader)[4..], numbers(20_000));
    let (lent, copied) = pair.views();
    assert_eq!(lent + copied, 20_004);
    assert!(lent > 4, "{lent} lent, {copied} copied");
}

#[test]
fn each_form_reaches_each_handler() {
    let pair = pair();
    let node = &pair.one;
    let (reader, owner) = (pair.host(Reader::default), pair.host(Owner::default));
    let other = node.spawn(Reader::default, SpawnOptions::new().dedicated_thread()).unwrap();
    for (n, to) in [reader, owner, other].into_iter().enumerate() {
        let n = n as u64;
        node.send(to, batch(n, 3)).unwrap();
        assert_eq!(node.call_blocking(to, batch(n + 1, 4)).unwrap(), sum(n + 1, 4));
        node.send(to, View::new(&batch(n + 2, 3)).unwrap()).unwrap();
        assert_eq!(node.call_blocking(to, View::new(&batch(n + 3, 4)).unwrap()).unwrap(), sum(n + 3, 4));
        // From another node, as messages and as views.
        assert_eq!(pair.ask(to, n + 4, 5).unwrap(), sum(n + 4, 5));
        pair.two.send(to, View::new(&batch(n + 5, 5)).unwrap()).unwrap();
        assert_eq!(pair.two.call_blocking(to, View::new(&batch(n + 6, 5)).unwrap()).unwrap(), sum(n + 6, 5));
        assert_eq!(pair.seen(to), (n..n + 7).collect::<Vec<_>>());
    }
    assert_eq!(pair.views(), (6, 0), "the owner gets messages");
    // One message and one view of it share nothing but the bytes, which many may have.
    let view = View::new(&batch(9, 9)).unwrap();
    for _ in 0..3 {
        node.send(reader, view.clone()).unwrap();
    }
    assert_eq!(pair.seen(reader)[7..], [9, 9, 9]);
}

#[test]
fn an_earlier_version_is_read_as_a_view_of_the_later_one() {
    let pair = pair();
    let reader = pair.host(Reader::default);
    for is_old in [true, false] {
        pair.two.send(pair.source, Date { to: reader, is_old }).unwrap();
    }
    eventually("both", || pair.seen(reader).len() == 4);
    assert_eq!(pair.seen(reader), [3, 6, 4, 6]);
    assert_eq!(pair.counters().decode_errors, 0);
}

#[test]
fn a_view_is_handed_on_as_it_is() {
    let pair = pair();
    let (reader, owner) = (pair.host(Reader::default), pair.host(Owner::default));
    let far = pair.two.spawn(Reader::default, SpawnOptions::new()).unwrap();
    for (to, n) in [(reader, 0), (owner, 0)] {
        let forwarder = pair.host(move || Forwarder { to });
        assert_eq!(
            pair.ask(forwarder, n + 1, 4).unwrap(),
            sum(n + 1, 4),
            "answered by whom it was handed to"
        );
        pair.two.send(forwarder, batch(n + 2, 4)).unwrap();
        eventually("what was handed on", || pair.seen(to).len() == 2);
        assert_eq!(pair.seen(to), [n + 1, n + 2]);
    }
    // Its sender keeps nothing: the bytes go as they came.
    let view = View::new(&batch(4, 4)).unwrap();
    pair.one.send(far, view).unwrap();
    eventually("what went to the other node", || {
        pair.two.call_blocking_timeout(far, Seen, LIMIT).unwrap() == [4]
    });
    let counters = pair.two.stats().peers()[0].counters;
    assert_eq!((counters.views_lent, counters.views_copied), (1, 0));
}

#[test]
fn answers_may_come_later_and_views_are_held_meanwhile() {
    let pair = pair();
    let later = pair.host(Later::default);
    let waiting = pair.host(move || Waiting { gate: later });
    let reader = pair.host(Reader::default);
    let askers: Vec<_> = (0..2).map(|_| pair.two.spawn(|| Source, SpawnOptions::new()).unwrap()).collect();
    std::thread::scope(|scope| {
        let answers: Vec<_> = [later, waiting]
            .into_iter()
            .zip(&askers)
            .map(|(to, asker)| {
                let ask = Ask { to, n: 7, items: 30 };
                scope.spawn(|| pair.two.call_blocking_timeout(*asker, ask, LIMIT))
            })
            .collect();
        eventually("both held", || pair.seen(later) == [1, 1]);
        assert_eq!(pair.views(), (2, 0));
        // Much more than the buffers of the link hold.
        let pour = Pour { to: reader, count: 10_000, bytes: 500 };
        assert_eq!(pair.two.call_blocking_timeout(pair.source, pour, LIMIT).unwrap(), 10_000);
        eventually("the noise", || pair.seen(reader).len() == 10_000);
        pair.one.send(later, Open).unwrap();
        for answer in answers {
            assert_eq!(answer.join().unwrap().unwrap(), sum(7, 30));
        }
    });
}

/// Each one is awaited and kept, so each is in a chunk of its own: as many as may be lent, then copies.
#[test]
fn who_keeps_views_holds_a_bounded_part_of_its_link() {
    for (leases, lent) in [(4, 4), (1, 1), (0, 0)] {
        let one = builder("one@localhost", 1).links(LinkOptions::new().leases(leases));
        let pair = pair_of(one, builder("two@localhost", 1));
        let keeper = pair.host(Keeper::default);
        for n in 0..30 {
            assert_eq!(pair.ask(keeper, n, 10).unwrap(), sum(n, 10));
        }
        assert_eq!(pair.views(), (lent, 30 - lent), "{leases} leases");
        assert_eq!(pair.one.call_blocking(keeper, Release).unwrap(), 30);
        // They are free again.
        for n in 0..lent {
            assert_eq!(pair.ask(keeper, n, 10).unwrap(), sum(n, 10));
        }
        assert_eq!(pair.views(), (2 * lent, 30 - lent), "{leases} leases");
    }
}

#[test]
fn a_slow_actor_with_a_full_mailbox_stops_nobody_else() {
    let pair = pair();
    let gate = pair.host(Later::default);
    let bounded = SpawnOptions::new().on_shard(0).with_mailbox(500).on_full(OnFull::DropNewest);
    let stuck = pair.one.spawn(move || Stuck { gate }, bounded).unwrap();
    let reader = pair.host(Reader::default);
    pair.one.send(stuck, Block).unwrap();
    eventually("it waits", || pair.seen(gate) == [0, 1]);
    // 10 MB, of which half a megabyte is queued.
    pair.write(stuck, 10_000, 30);
    pair.write(reader, 2000, 30);
    eventually("the others' stream", || pair.seen(reader).len() == 2000);
    assert_eq!(pair.seen(reader), numbers(2000));
    let (lent, copied) = pair.views();
    assert_eq!(lent + copied, 12_000);
    assert!(copied > 0 && lent > 0, "{lent} lent, {copied} copied");
    // All that it kept is given back with it.
    let before = pair.views();
    pair.one.kill(stuck);
    eventually("its end", || pair.one.stats().process(stuck.local).is_none());
    for n in 0..50 {
        assert_eq!(pair.ask(reader, n, 10).unwrap(), sum(n, 10));
    }
    assert_eq!(pair.views(), (before.0 + 50, before.1));
}

#[test]
fn views_outlive_their_link() {
    let mut pair = pair();
    let keeper = pair.host(Keeper::default);
    for n in 0..10 {
        pair.ask(keeper, n, 10).unwrap();
    }
    let events = pair.one.subscribe_nodes().unwrap();
    pair.two.stop();
    while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    assert_eq!(pair.seen(keeper), numbers(10));
    // The next session has a buffer of its own.
    pair.two = builder("two@localhost", 1)
        .route("one@localhost", pair.one.listen_address().unwrap().to_string())
        .start()
        .unwrap();
    let theirs = pair.two.subscribe_nodes().unwrap();
    for events in [&events, &theirs] {
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    }
    pair.source = pair.two.spawn(|| Source, SpawnOptions::new()).unwrap();
    for n in 10..20 {
        pair.ask(keeper, n, 10).unwrap();
    }
    assert_eq!(pair.one.call_blocking(keeper, Release).unwrap(), 20);
}

/// Passes bytes on. Those of data links are held, and their connections reset, when it is told to.
struct Relay {
    connections: Arc<RwLock<Vec<Connection>>>,
    is_held: Arc<AtomicBool>,
    address: String,
}

/// Of both ends, and whether it is to be reset.
struct Connection([TcpStream; 2], Arc<AtomicBool>);

fn start(work: impl FnOnce() + Send + 'static) {
    let _runs = std::thread::Builder::new().spawn(work).unwrap();
}

impl Relay {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, is_held) = (Arc::new(RwLock::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (known, held) = (Arc::clone(&connections), Arc::clone(&is_held));
        start(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(&target) else { return };
                let is_cut = Arc::new(AtomicBool::new(false));
                let mut known = known.write().unwrap();
                // The first is the control link.
                let held = if known.is_empty() { Arc::default() } else { Arc::clone(&held) };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (held, is_cut) = (Arc::clone(&held), Arc::clone(&is_cut));
                    start(move || Self::pass(from, to, &held, &is_cut));
                }
                known.push(Connection([near, far], is_cut));
            }
        });
        Self { connections, is_held, address }
    }

    fn pass(mut from: TcpStream, mut to: TcpStream, held: &AtomicBool, is_cut: &AtomicBool) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while held.load(Ordering::SeqCst) && !is_cut.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            if is_cut.load(Ordering::SeqCst) || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // A connection that is cut hears no goodbye: it is reset when its last handle goes.
        let how = if is_cut.load(Ordering::SeqCst) { Shutdown::Read } else { Shutdown::Both };
        let _gone = to.shutdown(how);
    }

    fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::SeqCst);
    }

    /// Resets all data links, with all that is under way. How many.
    fn reset(&self) -> usize {
        let mut known = self.connections.write().unwrap();
        let from = known.len().min(1);
        let cut = known.split_off(from);
        for Connection(ends, is_cut) in &cut {
            is_cut.store(true, Ordering::SeqCst);
            for end in ends {
                // They may have ended already.
                let _gone = socket2::SockRef::from(end).set_linger(Some(Duration::ZERO));
                let _gone = end.shutdown(Shutdown::Read);
            }
        }
        cut.len()
    }
}

impl Pair {
    /// Sends a stream to a new reader while its link is reset: before any of it arrives, and in its midst.
    fn stream_over_resets(&self, relay: &Relay, count: u64, mut after_each: impl FnMut()) {
        let (reader, other) = (self.host(Reader::default), self.host(Owner::default));
        // The link stands.
        assert_eq!(self.ask(other, 0, 1).unwrap(), sum(0, 1));
        let sent = || self.two.stats().peers()[0].counters.bytes_out;
        let (got_before, sent_before) = (self.counters().messages_in, sent());
        relay.hold(true);
        std::thread::scope(|scope| {
            scope.spawn(|| self.write(reader, count, 10));
            eventually("the stream is under way", || sent() > sent_before + 50_000);
            assert!(relay.reset() > 0 && self.counters().messages_in == got_before);
            after_each();
            relay.hold(false);
            for part in 1..4 {
                let far = got_before + part * count / 5;
                eventually("the stream goes on", || self.counters().messages_in > far);
                relay.reset();
                after_each();
            }
        });
        eventually("the stream", || self.seen(reader).len() as u64 >= count);
        assert_eq!(self.seen(reader), numbers(count), "in order, none lost, none doubled");
    }
}

#[test]
fn a_reset_of_their_link_leaves_views_as_they_are_and_loses_nothing() {
    let one = builder("one@localhost", 1).start().unwrap();
    let relay = Relay::to(one.listen_address().unwrap().to_string());
    let pair = joined(one, builder("two@localhost", 1), relay.address.clone());
    let keeper = pair.host(Keeper::default);
    let ask = |count| (0..count).for_each(|n| assert_eq!(pair.ask(keeper, n, 10).unwrap(), sum(n, 10)));
    let count = 10_000;
    // All that may be lent is held: it stays what it was, and on lease, whatever happens to the link.
    ask(10);
    assert_eq!(pair.views(), (4, 6));
    pair.stream_over_resets(&relay, count, || assert_eq!(pair.seen(keeper), numbers(10)));
    assert_eq!((pair.seen(keeper), pair.views()), (numbers(10), (4, 6 + count)));
    // What is dropped after a reset may be lent again.
    assert_eq!(pair.one.call_blocking(keeper, Release).unwrap(), 10);
    ask(4);
    assert_eq!(pair.views(), (8, 6 + count));
    assert!(relay.reset() > 0);
    assert_eq!(pair.one.call_blocking(keeper, Release).unwrap(), 4);
    // Nothing is held but by what waits in a mailbox while its link is reset.
    pair.stream_over_resets(&relay, count, || ());
    let (lent, copied) = pair.views();
    assert_eq!(lent + copied, 14 + 2 * count);
    assert!(lent > 8, "{lent} lent");
    ask(4);
    assert_eq!(pair.views(), (lent + 4, copied), "all was given back");
    assert_eq!(pair.one.call_blocking(keeper, Release).unwrap(), 4);
    for node in [&pair.one, &pair.two] {
        let stats = &node.stats().peers()[0];
        let counters = &stats.counters;
        assert_eq!((stats.ups, stats.downs), (1, 0), "one session");
        assert_eq!((counters.unknown_out, counters.failed_out), (0, 0), "{counters:?}");
        assert_eq!((counters.protocol_errors, counters.decode_errors), (0, 0), "{counters:?}");
        assert!(stats.reconnections >= 3, "{} reconnections", stats.reconnections);
    }
}
