//! Frames about events that say what they must not: a simulated shard, and a peer that says what it likes.

use crate::actor::local_message;
use crate::error::EventError;
use crate::event::{Event, EventOptions};
use crate::link::relation_tests::{KEY, session};
use crate::link::{LinkCells, Session};
use crate::shard::{Scope, Shard};
use crate::{ActorResult, Context, Down, EventGap, Pid, Simulation, SpawnOptions};
use shard_runtime_macros::{actor, handle};
use shard_wire::event::{Item, Refusal, RelayId, Subscribe, Unsubscribed};
use shard_wire::frame::{FrameBuf, FrameHead, Parsed, parse};
use shard_wire::header::FrameKind;
use shard_wire::relation::Reason;
use shard_wire::session::DownReason;
use shard_wire::{LocalId, Message, message, vtable};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};

#[message]
struct News {
    n: u32,
}
#[message(old, name = "event_tests::Tale")]
struct TaleV1 {
    n: u32,
}
#[message(name = "event_tests::Tale", replaces = TaleV1)]
struct Tale {
    n: u32,
    teller: u32,
}
impl From<TaleV1> for Tale {
    fn from(old: TaleV1) -> Self {
        Self { n: old.n, teller: 7 }
    }
}
impl From<&Tale> for TaleV1 {
    fn from(new: &Tale) -> Self {
        Self { n: new.n }
    }
}
struct Secret;
local_message!(Secret);
struct Begin;
local_message!(Begin);
struct BeginTale;
local_message!(BeginTale);

/// Subscribes, and tells what it gets.
struct Reader {
    tell: Sender<String>,
}

#[actor]
impl Reader {
    #[handle]
    fn begin(&mut self, _: Begin, cx: &mut Context<'_>) -> ActorResult {
        cx.subscribe_at::<News>("news", "two@localhost")?;
        Ok(())
    }
    #[handle]
    fn news(&mut self, m: Event<News>, _cx: &mut Context<'_>) -> ActorResult {
        let _gone = self.tell.send(format!("#{} {}", m.sequence(), m.n));
        Ok(())
    }
    #[handle]
    fn begin_tale(&mut self, _: BeginTale, cx: &mut Context<'_>) -> ActorResult {
        cx.subscribe_at::<Tale>("tales", "two@localhost")?;
        Ok(())
    }
    #[handle]
    fn tale(&mut self, m: Event<Tale>, _cx: &mut Context<'_>) -> ActorResult {
        let _gone = self.tell.send(format!("#{} {} by {}", m.sequence(), m.n, m.teller));
        Ok(())
    }
    #[handle]
    fn gap(&mut self, m: EventGap, _cx: &mut Context<'_>) -> ActorResult {
        let _gone = self.tell.send(format!("gap {} {}", m.from, m.to));
        Ok(())
    }
    #[handle]
    fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
        let _gone = self.tell.send(format!("down {}", m.reason));
        Ok(())
    }
}

/// Registers `news`, and `secret` of which nothing leaves the node.
#[derive(Default)]
struct Producer;

#[actor]
impl Producer {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let options = EventOptions::new().buffer(4);
        let topic = cx.register_event::<News>("news", options)?;
        cx.register_event::<Secret>("secret", options)?;
        for n in 1..=6 {
            cx.publish(&topic, News { n })?;
        }
        Ok(())
    }
    #[handle]
    fn begin(&mut self, _: Begin, cx: &mut Context<'_>) -> ActorResult {
        cx.unregister_event("news")?;
        Ok(())
    }
}

fn cells(session: &Session) -> &LinkCells {
    &session.peer.shards[0]
}

fn connect(shard: &Shard, session: &Arc<Session>) {
    shard.session_up(Arc::clone(session));
    let slot = session.placement.slot_for(0, 0).unwrap();
    shard.net.link_of(0, slot, 0, 0).unwrap();
}

/// Has a shard take a frame; how many frames of data and of signals it has sent so far.
fn take(shard: &Shard, head: &FrameHead<'_>, body: &[u8]) -> (u64, u64) {
    let mut buffer = FrameBuf::default();
    buffer.push_frame(head, |out| out.put(body)).unwrap();
    let Parsed::Frame(frame) = parse(buffer.as_slice(), buffer.max_frame()).unwrap() else {
        panic!("a whole frame")
    };
    let _scope = Scope::enter(shard);
    match head.kind {
        FrameKind::Event => shard.handle_event(&frame, 0, KEY),
        _ => shard.handle_relation(&frame, 0, KEY),
    }
    sent(shard)
}

fn nodes(shard: &Shard) -> u64 {
    let events = shard.node().events().facts();
    events.iter().find(|event| &*event.name == "news").unwrap().nodes
}

fn sent(shard: &Shard) -> (u64, u64) {
    shard.net.links.borrow()[0].as_ref().unwrap().data.out.pushed()
}

#[test]
fn subscriptions_are_of_relays_of_their_sender() {
    let mut sim = Simulation::new("one@localhost", 1, 7).unwrap();
    let owner = sim.spawn(0, Producer::default, &SpawnOptions::new()).unwrap();
    sim.run();
    let session = session();
    let relay = RelayId::new(0, 5);
    let key = vtable::<News>().wire_ops().unwrap().key();
    let body = Subscribe { key, since: None }.to_bytes();
    let head = FrameHead {
        from: LocalId(relay.bits()),
        reference: 1,
        name: Some("news"),
        ..FrameHead::new(FrameKind::Subscribe)
    };
    {
        let shard = sim.shard_of(owner);
        connect(shard, &session);
        let refused = [
            // A process, a relay of a shard that the peer does not have, no name, no number, no body.
            (FrameHead { from: LocalId(77), ..head }, &body[..]),
            (FrameHead { from: LocalId(RelayId::new(1, 5).bits()), ..head }, &body),
            (FrameHead { name: None, ..head }, &body),
            (FrameHead { reference: u64::MAX, ..head }, &body),
            (head, &body[..7]),
        ];
        for (count, (head, body)) in refused.iter().enumerate() {
            assert_eq!(take(shard, head, body), (0, 0), "{head:?}");
            assert_eq!(cells(&session).relations_refused.load(Relaxed), count as u64 + 1);
        }
        // What there is not, is of another type, or stays at home: one answer each.
        let other = Subscribe { key: shard_wire::MessageKey(7), since: None }.to_bytes();
        for (count, (name, body)) in
            [("no news", &body), ("secret", &body), ("news", &other)].iter().enumerate()
        {
            assert_eq!(take(shard, &FrameHead { name: Some(name), ..head }, body), (0, count as u64 + 1));
        }
        assert_eq!(cells(&session).relations_in.load(Relaxed), 0);
        // The begin, and four that are kept. A second one replaces the first.
        assert_eq!(take(shard, &head, &body), (5, 3));
        assert_eq!(take(shard, &head, &body), (10, 3));
        assert_eq!(cells(&session).relations_in.load(Relaxed), 1);
        assert_eq!(nodes(shard), 1);
        // To undo what is not there changes nothing.
        let undo = FrameHead { kind: FrameKind::Unsubscribe, ..head };
        assert_eq!(
            take(shard, &FrameHead { from: LocalId(RelayId::new(0, 6).bits()), ..undo }, &[]),
            (10, 3)
        );
        assert_eq!(cells(&session).relations_in.load(Relaxed), 1);
        assert_eq!(take(shard, &undo, &[]), (10, 3));
        assert_eq!(nodes(shard), 0);
        assert_eq!(take(shard, &head, &body), (15, 3));
    }
    sim.send(owner, Begin).unwrap();
    sim.run();
    let shard = sim.shard_of(owner);
    assert_eq!(sent(shard), (15, 4), "the end is told once");
    assert_eq!(cells(&session).relations_in.load(Relaxed), 0);
    let _scope = Scope::enter(shard);
    shard.session_down(&session.peer.name, 1, DownReason::Heartbeat);
}

#[test]
fn a_node_has_few_relays_of_one_event() {
    let mut sim = Simulation::new("one@localhost", 1, 7).unwrap();
    let owner = sim.spawn(0, Producer::default, &SpawnOptions::new()).unwrap();
    sim.run();
    let session = session();
    let key = vtable::<News>().wire_ops().unwrap().key();
    let body = Subscribe { key, since: None }.to_bytes();
    let head = |relay, kind| FrameHead {
        from: LocalId(RelayId::new(0, relay).bits()),
        reference: 1,
        name: Some("news"),
        ..FrameHead::new(kind)
    };
    let shard = sim.shard_of(owner);
    connect(shard, &session);
    for relay in 1..=8 {
        assert_eq!(take(shard, &head(relay, FrameKind::Subscribe), &body), (relay * 5, 0));
    }
    assert_eq!(take(shard, &head(9, FrameKind::Subscribe), &body), (40, 1), "refused");
    assert_eq!(cells(&session).relations_refused.load(Relaxed), 1);
    assert_eq!((nodes(shard), cells(&session).relations_in.load(Relaxed)), (1, 8));
    for relay in 1..=7 {
        take(shard, &head(relay, FrameKind::Unsubscribe), &[]);
    }
    assert_eq!((nodes(shard), cells(&session).relations_in.load(Relaxed)), (1, 1));
    assert_eq!(take(shard, &head(9, FrameKind::Subscribe), &body), (45, 1));
    take(shard, &head(8, FrameKind::Unsubscribe), &[]);
    take(shard, &head(9, FrameKind::Unsubscribe), &[]);
    assert_eq!((nodes(shard), cells(&session).relations_in.load(Relaxed)), (0, 0));
    let _scope = Scope::enter(shard);
    shard.session_down(&session.peer.name, 1, DownReason::Heartbeat);
}

/// Body of a publication.
fn publication(n: u32) -> Vec<u8> {
    publication_of(&News { n })
}

fn publication_of<M: Message>(message: &M) -> Vec<u8> {
    let item = Item::Publication { queue: 0, publisher: 99, at_ns: u64::MAX }.to_bytes();
    let mut buffer = FrameBuf::default();
    let write = |out: &mut shard_wire::frame::BodyWriter<'_>| {
        out.put(&item)?;
        vtable::<M>().wire_ops().unwrap().encode(message, out)
    };
    buffer.push_frame(&FrameHead::new(FrameKind::Event), write).unwrap();
    let Parsed::Frame(frame) = parse(buffer.as_slice(), buffer.max_frame()).unwrap() else {
        panic!("a whole frame")
    };
    frame.body.to_vec()
}

fn reader(sim: &mut Simulation) -> (Pid, Receiver<String>) {
    let (tell, told) = channel();
    let pid = sim.spawn(0, move || Reader { tell }, &SpawnOptions::new()).unwrap();
    (pid, told)
}

#[test]
fn a_peer_that_numbers_as_it_likes_changes_nothing_but_what_its_subscribers_get() {
    let mut sim = Simulation::new("one@localhost", 1, 7).unwrap();
    let (pid, told) = reader(&mut sim);
    sim.run();
    let session = session();
    connect(sim.shard_of(pid), &session);
    sim.send(pid, Begin).unwrap();
    sim.run();
    let shard = sim.shard_of(pid);
    assert_eq!(sent(shard), (0, 1), "one subscription");
    let key = vtable::<News>().wire_ops().unwrap().key();
    let to = LocalId(RelayId::new(0, 1).bits());
    let event = |reference| FrameHead { to, reference, key, ..FrameHead::new(FrameKind::Event) };
    let begin = Item::Begin { event: 1, buffer: u64::MAX, subscription: 1 }.to_bytes();
    // Before the begin, to nobody, and a begin that answers nothing.
    take(shard, &event(1), &publication(1));
    take(shard, &FrameHead { to: LocalId(5), ..event(1) }, &begin);
    take(shard, &FrameHead { to: LocalId(to.0 + 1), ..event(1) }, &begin);
    let unasked = Item::Begin { event: 1, buffer: 0, subscription: 9 }.to_bytes();
    take(shard, &event(1), &unasked);
    assert_eq!(cells(&session).undeliverable.load(Relaxed), 3);
    take(shard, &event(0), &begin);
    // One that jumps, one that is doubled, one that goes back, and bodies that are none.
    take(shard, &event(1), &publication(1));
    take(shard, &event(5), &publication(5));
    take(shard, &event(5), &publication(5));
    take(shard, &event(2), &publication(2));
    assert_eq!(cells(&session).duplicates.load(Relaxed), 2);
    take(shard, &event(6), &begin[..9]);
    let broken = Item::Publication { queue: 0, publisher: 0, at_ns: 0 }.to_bytes();
    take(shard, &event(6), &broken);
    assert_eq!(cells(&session).decode_errors.load(Relaxed), 2);
    take(shard, &FrameHead { key: shard_wire::MessageKey(3), ..event(7) }, &publication(7));
    assert_eq!(cells(&session).unknown_types.load(Relaxed), 1);
    take(shard, &event(8), &Item::Gap { to: 3 }.to_bytes());
    take(shard, &event(8), &Item::Gap { to: u64::MAX }.to_bytes());
    take(shard, &event(9), &publication(9));
    // Ends of other subscriptions and of none.
    let end = |sent, has_begun| {
        let reason = Reason::Kill;
        Unsubscribed { refusal: Refusal::Ended, has_begun, sent, last: 0, reason }.to_bytes()
    };
    let over = FrameHead { to, reference: 2, ..FrameHead::new(FrameKind::Unsubscribed) };
    take(shard, &over, &end(0, true));
    assert_eq!(cells(&session).relations_refused.load(Relaxed), 0);
    take(shard, &FrameHead { to: LocalId(9), ..over }, &end(0, true));
    take(shard, &over, &end(0, true)[..9]);
    assert_eq!(cells(&session).relations_refused.load(Relaxed), 2);
    sim.run();
    take(sim.shard_of(pid), &FrameHead { reference: 1, ..over }, &end(u64::MAX, true));
    sim.run();
    let heard: Vec<_> = told.try_iter().collect();
    let most = u64::MAX;
    let expected = [
        "#1 1".to_owned(),
        "gap 2 4".into(),
        "#5 5".into(),
        "gap 6 6".into(),
        "gap 7 7".into(),
        format!("gap 8 {most}"),
        "down kill".into(),
    ];
    assert_eq!(heard, expected);
    assert!(EventError::RemoteType.to_string().contains("version"));
}

#[test]
fn what_a_peer_refuses_is_asked_for_in_each_earlier_version_once() {
    let mut sim = Simulation::new("one@localhost", 1, 7).unwrap();
    let (pid, told) = reader(&mut sim);
    sim.run();
    let first = session();
    connect(sim.shard_of(pid), &first);
    sim.send(pid, BeginTale).unwrap();
    sim.run();
    let shard = sim.shard_of(pid);
    let to = LocalId(RelayId::new(0, 1).bits());
    let refused = |number| FrameHead { to, reference: number, ..FrameHead::new(FrameKind::Unsubscribed) };
    let (refusal, reason) = (Refusal::OtherType, Reason::NoProcess);
    let no = Unsubscribed { refusal, has_begun: false, sent: 0, last: 0, reason }.to_bytes();
    assert_eq!(sent(shard), (0, 1));
    assert_eq!(take(shard, &refused(1), &no), (0, 2));
    // Said again, of one that is not waited for any more.
    assert_eq!(take(shard, &refused(1), &no), (0, 2));
    let (now, then) = (vtable::<Tale>().wire_ops().unwrap(), vtable::<TaleV1>().wire_ops().unwrap());
    let event = |reference, key| FrameHead { to, reference, key, ..FrameHead::new(FrameKind::Event) };
    take(shard, &event(1, then.key()), &Item::Begin { event: 1, buffer: 0, subscription: 2 }.to_bytes());
    take(shard, &event(1, then.key()), &publication_of(&TaleV1 { n: 5 }));
    // Not as it was asked for.
    take(shard, &event(2, now.key()), &publication_of(&Tale { n: 6, teller: 1 }));
    assert_eq!(cells(&first).unknown_types.load(Relaxed), 1);
    // The next session begins with the version that the subscribers name.
    {
        let _scope = Scope::enter(shard);
        shard.session_down(&first.peer.name, 1, DownReason::Heartbeat);
    }
    let second = Arc::new(Session { number: 2, ..Arc::into_inner(session()).unwrap() });
    {
        let _scope = Scope::enter(shard);
        connect(shard, &second);
    }
    sim.run();
    let shard = sim.shard_of(pid);
    take(shard, &event(3, now.key()), &Item::Begin { event: 1, buffer: 0, subscription: 3 }.to_bytes());
    take(shard, &event(3, now.key()), &publication_of(&Tale { n: 8, teller: 2 }));
    {
        let _scope = Scope::enter(shard);
        shard.session_down(&second.peer.name, 2, DownReason::Heartbeat);
    }
    let third = Arc::new(Session { number: 3, ..Arc::into_inner(session()).unwrap() });
    {
        let _scope = Scope::enter(shard);
        connect(shard, &third);
    }
    sim.run();
    // The last version is refused, too.
    let before = sent(sim.shard_of(pid)).1;
    assert_eq!(take(sim.shard_of(pid), &refused(4), &no).1, before + 1);
    assert_eq!(take(sim.shard_of(pid), &refused(5), &no).1, before + 1);
    sim.run();
    let heard: Vec<_> = told.try_iter().collect();
    let last = format!("down {}", EventError::RemoteType);
    assert_eq!(heard, ["#1 5 by 7", "gap 2 2", "#3 8 by 2", last.as_str()]);
}

#[test]
fn a_subscription_outlives_its_session_and_goes_on_from_where_it_was() {
    let mut sim = Simulation::new("one@localhost", 1, 7).unwrap();
    let (pid, told) = reader(&mut sim);
    sim.run();
    let first = session();
    connect(sim.shard_of(pid), &first);
    sim.send(pid, Begin).unwrap();
    sim.run();
    let shard = sim.shard_of(pid);
    let to = LocalId(RelayId::new(0, 1).bits());
    let event = |reference| FrameHead { to, reference, ..FrameHead::new(FrameKind::Event) };
    take(shard, &event(4), &Item::Begin { event: 3, buffer: 0, subscription: 1 }.to_bytes());
    take(shard, &event(4), &Item::Gap { to: 9 }.to_bytes());
    {
        let _scope = Scope::enter(shard);
        shard.session_down(&first.peer.name, 1, DownReason::Heartbeat);
    }
    let second = session();
    let second = Arc::new(Session { number: 2, ..Arc::into_inner(second).unwrap() });
    {
        let _scope = Scope::enter(shard);
        connect(shard, &second);
    }
    sim.run();
    let shard = sim.shard_of(pid);
    // An answer of the former session, and then the one that is waited for, which has moved on.
    take(shard, &event(12), &Item::Begin { event: 3, buffer: 0, subscription: 1 }.to_bytes());
    take(shard, &event(12), &Item::Begin { event: 3, buffer: 0, subscription: 2 }.to_bytes());
    sim.run();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["gap 4 9", "gap 10 11"]);
}
