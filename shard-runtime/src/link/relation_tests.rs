//! Frames that speak of what is not their sender's: a simulated shard, and a peer that says what it likes.

use crate::actor::local_message;
use crate::error::ExitReason;
use crate::link::Session;
use crate::process::FIRST_SLOT;
use crate::shard::{Scope, Shard};
use crate::{ActorResult, Context, Simulation, SpawnOptions};
use shard_runtime_macros::{actor, handle};
use shard_wire::LocalId;
use shard_wire::frame::{FrameBuf, FrameHead, Parsed, parse};
use shard_wire::header::FrameKind;
use shard_wire::relation::{Ended, Reason, Relation, Subject};
use shard_wire::session::DownReason;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(super) const KEY: u64 = 77;

#[derive(Default)]
struct Idle;

#[actor]
impl Idle {
    #[handle]
    fn nothing(&mut self, _m: Nothing, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

struct Nothing;
local_message!(Nothing);

pub(super) fn session() -> Arc<Session> {
    Arc::new(Session::sample("two@localhost", 1, KEY))
}

/// Has a shard take a frame; how many were refused so far, and how many were sent.
fn take(shard: &Shard, session: &Session, head: &FrameHead<'_>, body: &[u8]) -> (u64, u64) {
    let mut buffer = FrameBuf::default();
    buffer.push_frame(head, |out| out.put(body)).unwrap();
    let Parsed::Frame(frame) = parse(buffer.as_slice(), buffer.max_frame()).unwrap() else {
        panic!("a whole frame")
    };
    let _scope = Scope::enter(shard);
    shard.handle_relation(&frame, 0, KEY);
    let links = shard.net.links.borrow();
    let sent = links[0].as_ref().unwrap().data.out.pushed().1;
    (session.peer.shards[0].relations_refused.load(Relaxed), sent)
}

#[test]
fn frames_speak_only_of_processes_of_their_sender() {
    let mut sim = Simulation::new("one@localhost", 1, 7).unwrap();
    let target = sim.spawn(0, Idle::default, &SpawnOptions::new()).unwrap();
    sim.run();
    let session = session();
    let consumer = LocalId(u64::from(FIRST_SLOT) + 77);
    let by_pid = Relation { subject: Subject::Pid(target.local.0) }.to_bytes();
    let signal = Ended { subject: None, reason: Reason::Error("forged".into()) }.to_bytes();
    {
        let shard = sim.shard_of(target);
        shard.session_up(Arc::clone(&session));
        let slot = session.placement.slot_for(0, 0).unwrap();
        shard.net.link_of(0, slot, 0, 0).unwrap();
        let watch = FrameHead {
            to: target.local,
            from: consumer,
            reference: 1,
            ..FrameHead::new(FrameKind::Monitor)
        };
        let exit = FrameHead { kind: FrameKind::Exit, reference: 0, ..watch };
        let refused = [
            // A process of a shard that the peer does not have, the node itself, nobody.
            (FrameHead { from: LocalId(1 << 52 | consumer.0), ..watch }, &by_pid),
            (FrameHead { from: LocalId::CORE, ..watch }, &by_pid),
            (FrameHead { from: LocalId::NONE, ..watch }, &by_pid),
            // A target in the header and another one in the body; a number that none has.
            (FrameHead { to: consumer, ..watch }, &by_pid),
            (FrameHead { reference: u64::MAX, ..watch }, &by_pid),
            // An exit of nobody; one to what is no process; a down that nobody has asked for has a subject.
            (FrameHead { from: LocalId(1 << 52 | consumer.0), ..exit }, &signal),
            (FrameHead { to: LocalId(2), ..exit }, &signal),
            (FrameHead { kind: FrameKind::Down, ..exit }, &signal),
            // No reason, no name.
            (exit, &by_pid),
            (watch, &Relation { subject: Subject::Name }.to_bytes()),
        ];
        for (count, (head, body)) in refused.iter().enumerate() {
            assert_eq!(take(shard, &session, head, body), (count as u64 + 1, 0), "{head:?}");
        }
        let refused = refused.len() as u64;
        // The end of what was never watched is heard by nobody, whatever it is called.
        for subject in [Subject::Pid(target.local.0), Subject::Alias(3), Subject::Pid(consumer.0)] {
            let body = Ended { subject: Some(subject), reason: Reason::Kill }.to_bytes();
            for kind in [FrameKind::Exit, FrameKind::Down] {
                assert_eq!(take(shard, &session, &FrameHead { kind, ..watch }, &body), (refused, 0));
            }
        }
        // Nobody: the answer says so. Somebody: the answer comes with the end.
        let nobody = LocalId(target.local.0 + 1);
        let body = Relation { subject: Subject::Pid(nobody.0) }.to_bytes();
        let counts = take(shard, &session, &FrameHead { to: nobody, ..watch }, &body);
        assert_eq!(counts, (refused, 1));
        assert_eq!(take(shard, &session, &watch, &by_pid), (refused, 1));
        assert_eq!(session.peer.shards[0].relations_in.load(Relaxed), 1);
    }
    sim.kill(target);
    let shard = sim.shard_of(target);
    assert_eq!(shard.net.links.borrow()[0].as_ref().unwrap().data.out.pushed().1, 2);
    assert_eq!(session.peer.shards[0].relations_in.load(Relaxed), 0);
}

#[test]
fn a_session_that_has_ended_leaves_nothing_behind() {
    let mut sim = Simulation::new("one@localhost", 1, 7).unwrap();
    let target = sim.spawn(0, Idle::default, &SpawnOptions::new()).unwrap();
    sim.run();
    let session = session();
    let body = Relation { subject: Subject::Pid(target.local.0) }.to_bytes();
    {
        let shard = sim.shard_of(target);
        shard.session_up(Arc::clone(&session));
        let slot = session.placement.slot_for(0, 0).unwrap();
        shard.net.link_of(0, slot, 0, 0).unwrap();
        let watch = FrameHead {
            to: target.local,
            from: LocalId(u64::from(FIRST_SLOT) + 77),
            reference: 1,
            ..FrameHead::new(FrameKind::Link)
        };
        assert_eq!(take(shard, &session, &watch, &body), (0, 0));
        let _scope = Scope::enter(shard);
        assert_eq!(shard.facts(target.local.0).unwrap().linked_by.len(), 1);
        shard.session_down(&session.peer.name, 1, DownReason::Heartbeat);
        assert!(shard.facts(target.local.0).unwrap().linked_by.is_empty());
        assert_eq!(session.peer.shards[0].relations_in.load(Relaxed), 0);
        // It lives, and a late exit of that session finds no session.
        let to = target;
        let late = shard
            .send_exit(shard_wire::Pid { node: shard_wire::IncarnationKey(KEY), ..to }, ExitReason::Kill);
        assert!(late.is_err());
    }
    assert!(sim.process(target).is_some());
}
