//! Single rules of the core, each against hand-made inputs. Whole clusters are in `tests/session_sim.rs`.

use super::{Command, ControlMsg, DownReason, LinkId, SessionConfig, SessionCore, Stall, Timing};
use crate::handshake::{
    ClusterName, Established, Intent, Introduction, LiveSession, Reason, Source, Verdict,
};
use crate::placement::Slot;
use crate::{Incarnation, LocalId, NodeName, Pid, ShardId};

const SECOND: u64 = 1_000_000_000;
const FRESH: Intent = Intent::Control { live: None, next: 1 };

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn intro(node: &str, start_nanos: u64) -> Introduction {
    Introduction {
        name: name(node),
        incarnation: Incarnation { start_nanos, random: 1 },
        cluster: ClusterName::new("c").unwrap(),
        flags: 0,
        max_frame_bytes: 1 << 20,
        heartbeat_ms: 1000,
        shards: 2,
        max_links: 64,
    }
}

fn core(node: &str) -> SessionCore {
    SessionCore::new(SessionConfig::new(intro(node, 1), 9))
}

fn verdict(commands: &[Command], link: LinkId) -> Option<Verdict> {
    commands.iter().find_map(|command| match command {
        Command::Judged { link: of, verdict } if *of == link => Some(*verdict),
        _ => None,
    })
}

/// Has the peer dial in; returns its link, its verdict and all commands.
fn accept(
    core: &mut SessionCore,
    now: u64,
    peer: &Introduction,
    intent: Intent,
) -> (LinkId, Option<Verdict>, Vec<Command>) {
    let link = core.on_authenticated(now, peer, intent);
    let commands = core.take_commands();
    (link, verdict(&commands, link), commands)
}

fn dialed(commands: &[Command]) -> (LinkId, Intent) {
    let mut dials = commands.iter().filter_map(|command| match command {
        Command::Dial { link, intent, .. } => Some((*link, *intent)),
        _ => None,
    });
    let first = dials.next().expect("no dial");
    assert_eq!(dials.next(), None, "one dial at a time");
    first
}

fn established(peer: &Introduction, intent: Intent, session: u64, epoch: u32) -> Established {
    Established { peer: peer.clone(), intent, version: 1, session, epoch, unread: Vec::new() }
}

fn downs(commands: &[Command]) -> Vec<(u64, DownReason)> {
    let down = |command: &Command| match command {
        Command::PeerDown { session, reason, .. } => Some((*session, *reason)),
        _ => None,
    };
    commands.iter().filter_map(down).collect()
}

/// Ticks at each deadline up to `until`, collecting commands.
fn tick_until(core: &mut SessionCore, until: u64) -> Vec<Command> {
    let mut all = Vec::new();
    while let Some(at) = core.next_deadline().filter(|at| *at <= until) {
        core.on_tick(at);
        all.extend(core.take_commands());
    }
    all
}

#[test]
fn a_silent_peer_is_suspect_after_three_seconds_and_down_after_five() {
    let mut a = core("a@h");
    accept(&mut a, 0, &intro("b@h", 2), FRESH);
    let before = tick_until(&mut a, 5 * SECOND - 1);
    assert!(before.contains(&Command::PeerSuspect { peer: name("b@h"), session: 1 }));
    let beats =
        before.iter().filter(|c| matches!(c, Command::SendControl { msg: ControlMsg::Heartbeat { .. }, .. }));
    assert_eq!(beats.count(), 4);
    assert_eq!(downs(&before), []);
    assert_eq!(downs(&tick_until(&mut a, 5 * SECOND)), [(1, DownReason::Heartbeat)]);
    // Signalled once; nobody asked for the peer, so nothing is dialled.
    assert_eq!(tick_until(&mut a, 100 * SECOND), []);
}

/// Its last byte came after the last answer to a heartbeat: the link is not blamed for what is the peer's silence.
#[test]
fn a_peer_that_falls_silent_at_once_is_down_by_its_heartbeat() {
    let mut a = core("a@h");
    let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), FRESH);
    a.on_heard(SECOND / 100, link);
    assert_eq!(downs(&tick_until(&mut a, 5 * SECOND)), []);
    assert_eq!(downs(&tick_until(&mut a, 6 * SECOND)), [(1, DownReason::Heartbeat)]);
}

#[test]
fn any_byte_keeps_the_session_and_a_mute_control_link_is_dialled_again() {
    let mut a = core("a@h");
    let (control, ..) = accept(&mut a, 0, &intro("b@h", 2), FRESH);
    let data = Intent::Data { session: 1, slot: Slot { low: 0, high: 0 }, epoch: 1 };
    let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), data);
    let mut all = Vec::new();
    for second in 1..=8 {
        a.on_heard(second * SECOND, link);
        all.extend(tick_until(&mut a, second * SECOND));
    }
    assert_eq!(downs(&all), []);
    assert!(all.contains(&Command::CloseLink { link: control, flush: false }));
    let live = Some(LiveSession { number: 1, with: intro("b@h", 2).incarnation.key() });
    let (_, intent) = dialed(&all);
    assert_eq!(intent, Intent::Control { live, next: 2 });
}

#[test]
fn after_a_local_stall_sockets_are_drained_before_peers_are_judged() {
    let stalled = |heard: bool| {
        let mut a = core("a@h");
        let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), FRESH);
        assert!(a.next_deadline().unwrap() <= SECOND);
        a.on_tick(60 * SECOND);
        let mut all = a.take_commands();
        if heard {
            a.on_heard(60 * SECOND + 1, link);
        }
        all.extend(tick_until(&mut a, 61 * SECOND));
        (downs(&all), a.counters().stalls)
    };
    assert_eq!(stalled(true), (vec![], 1));
    assert_eq!(stalled(false), (vec![(1, DownReason::Heartbeat)], 1));
}

#[test]
fn a_goodbye_ends_the_session_at_once_on_both_sides() {
    let mut a = core("a@h");
    let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), FRESH);
    a.on_control(1, link, ControlMsg::Goodbye { reason: "upgrade".to_owned() });
    assert_eq!(downs(&a.take_commands()), [(1, DownReason::Goodbye)]);

    let mut b = core("b@h");
    let (link, ..) = accept(&mut b, 0, &intro("a@h", 1), FRESH);
    b.goodbye(1, "upgrade");
    let commands = b.take_commands();
    assert_eq!(downs(&commands), [(1, DownReason::Shutdown)]);
    let said = |c: &Command| matches!(c, Command::SendControl { msg: ControlMsg::Goodbye { .. }, .. });
    let closed = |c: &Command| *c == Command::CloseLink { link, flush: true };
    assert!(commands.iter().position(said).unwrap() < commands.iter().position(closed).unwrap());
    let (_, answer, _) = accept(&mut b, 2, &intro("a@h", 1), FRESH);
    assert_eq!(answer, Some(Verdict::Refuse(Reason::Refused)));
}

#[test]
fn when_both_dial_at_once_the_smaller_name_wins() {
    let (mut a, mut b) = (core("a@h"), core("b@h"));
    a.connect(0, &name("b@h"));
    b.connect(0, &name("a@h"));
    let (dial_a, dial_b) = (dialed(&a.take_commands()), dialed(&b.take_commands()));
    let (_, at_a, _) = accept(&mut a, 1, &intro("b@h", 1), dial_b.1);
    assert_eq!(at_a, Some(Verdict::Refuse(Reason::Duplicate)));
    let (_, at_b, _) = accept(&mut b, 1, &intro("a@h", 1), dial_a.1);
    assert_eq!(at_b, Some(Verdict::Accept { session: 1, epoch: 0 }));
    a.on_dialed(2, dial_a.0, &established(&intro("b@h", 1), dial_a.1, 1, 0));
    b.on_dial_failed(2, dial_b.0, Reason::Duplicate, Source::Proven);
    for core in [&mut a, &mut b] {
        assert_eq!(core.counters().ups, 1);
        assert!(core.peers().all(|peer| peer.linked));
    }
    // A dial that was under way since before the session gets nothing more than that.
    let (_, late, _) = accept(&mut a, 3, &intro("b@h", 1), dial_b.1);
    assert_eq!(late, Some(Verdict::Refuse(Reason::Duplicate)));
}

#[test]
fn a_restarted_peer_replaces_its_old_incarnation_in_order() {
    let mut a = core("a@h");
    let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), FRESH);
    a.on_link_lost(1, link);
    let (_, answer, commands) = accept(&mut a, 2, &intro("b@h", 3), FRESH);
    assert_eq!(answer, Some(Verdict::Accept { session: 2, epoch: 0 }));
    assert_eq!(downs(&commands), [(1, DownReason::Restarted)]);
    let down = commands.iter().position(|c| matches!(c, Command::PeerDown { .. }));
    let up = commands.iter().position(|c| matches!(c, Command::PeerUp { session: 2, .. }));
    assert!(down.unwrap() < up.unwrap());
}

#[test]
fn of_two_twins_the_living_one_keeps_its_name() {
    let mut a = core("a@h");
    let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), FRESH);
    let (twin, answer, commands) = accept(&mut a, SECOND, &intro("b@h", 3), FRESH);
    assert_eq!(answer, None);
    assert!(matches!(commands[..], [Command::SendControl { msg: ControlMsg::Heartbeat { .. }, .. }]));
    // Only one may wait.
    let (_, second, _) = accept(&mut a, SECOND, &intro("b@h", 4), FRESH);
    assert_eq!(second, Some(Verdict::Refuse(Reason::Busy)));
    a.on_control(SECOND + 5, link, ControlMsg::HeartbeatAck { seq: 1, echo_ns: 0 });
    let commands = a.take_commands();
    assert_eq!(verdict(&commands, twin), Some(Verdict::Refuse(Reason::NameInUse)));
    assert_eq!(downs(&commands), []);
}

#[test]
fn of_two_twins_the_silent_one_and_the_unrecorded_one_lose_their_name() {
    let mut a = core("a@h");
    accept(&mut a, 0, &intro("b@h", 2), FRESH);
    let (twin, ..) = accept(&mut a, SECOND, &intro("b@h", 3), FRESH);
    let commands = tick_until(&mut a, 2 * SECOND);
    assert_eq!(verdict(&commands, twin), Some(Verdict::Accept { session: 2, epoch: 0 }));
    assert_eq!(downs(&commands), [(1, DownReason::Restarted)]);
    // The registrar's word needs no probe.
    a.on_record(2 * SECOND, &name("b@h"), intro("b@h", 4).incarnation);
    let (_, answer, commands) = accept(&mut a, 2 * SECOND, &intro("b@h", 4), FRESH);
    assert_eq!(answer, Some(Verdict::Accept { session: 3, epoch: 0 }));
    assert_eq!(downs(&commands), [(2, DownReason::Restarted)]);
    // And nobody takes this node's own name.
    let (_, answer, _) = accept(&mut a, 2 * SECOND, &intro("a@h", 9), FRESH);
    assert_eq!(answer, Some(Verdict::Refuse(Reason::NameInUse)));
}

#[test]
fn only_a_proven_peer_can_say_that_the_name_is_taken() {
    for (source, heeded) in [(Source::Unproven, false), (Source::Proven, true)] {
        let mut a = core("a@h");
        a.connect(0, &name("b@h"));
        let (link, _) = dialed(&a.take_commands());
        a.on_dial_failed(1, link, Reason::NameInUse, source);
        assert_eq!(a.take_commands().contains(&Command::NameRefused { peer: name("b@h") }), heeded);
    }
}

#[test]
fn dials_back_off_with_jitter_up_to_the_limit() {
    let mut a = core("a@h");
    a.connect(0, &name("b@h"));
    let timing = Timing::default();
    let (mut now, mut pause) = (0, timing.backoff_ns);
    for _ in 0..12 {
        let (link, _) = dialed(&a.take_commands());
        a.on_dial_failed(now, link, Reason::Unreachable, Source::Local);
        let next = a.next_deadline().unwrap();
        assert!((now + pause / 2..=now + pause).contains(&next), "pause {} of {pause}", next - now);
        now = next;
        pause = (pause * 2).min(timing.backoff_max_ns);
        a.on_tick(now);
    }
}

#[test]
fn a_data_link_of_another_session_or_slot_is_refused() {
    let mut a = core("a@h");
    let b = intro("b@h", 2);
    let data = |session, low| Intent::Data { session, slot: Slot { low, high: 0 }, epoch: 1 };
    assert_eq!(accept(&mut a, 0, &b, data(1, 0)).1, Some(Verdict::Refuse(Reason::StaleSession)));
    accept(&mut a, 0, &b, FRESH);
    assert_eq!(accept(&mut a, 0, &b, data(2, 0)).1, Some(Verdict::Refuse(Reason::StaleSession)));
    assert_eq!(
        accept(&mut a, 0, &intro("b@h", 3), data(1, 0)).1,
        Some(Verdict::Refuse(Reason::StaleSession))
    );
    assert_eq!(accept(&mut a, 0, &b, data(1, 2)).1, Some(Verdict::Refuse(Reason::BadSlot)));
    assert_eq!(accept(&mut a, 0, &b, data(1, 0)).1, Some(Verdict::Accept { session: 1, epoch: 1 }));
}

#[test]
fn a_new_epoch_closes_the_one_before_and_losing_it_ends_no_session() {
    let mut a = core("a@h");
    let b = intro("b@h", 2);
    accept(&mut a, 0, &b, FRESH);
    let slot = Slot { low: 1, high: 0 };
    let (old, ..) = accept(&mut a, 0, &b, Intent::Data { session: 1, slot, epoch: 1 });
    let (new, answer, commands) = accept(&mut a, 1, &b, Intent::Data { session: 1, slot, epoch: 3 });
    assert_eq!(answer, Some(Verdict::Accept { session: 1, epoch: 3 }));
    let at = |wanted: &dyn Fn(&Command) -> bool| commands.iter().position(wanted).unwrap();
    let closed = at(&|c| *c == Command::CloseLink { link: old, flush: false });
    assert!(closed < at(&|c| matches!(c, Command::LinkUp { epoch: 3, .. })));
    a.on_link_lost(2, new);
    let commands = a.take_commands();
    assert!(commands.iter().any(|c| matches!(c, Command::LinkDown { epoch: 3, .. })));
    assert_eq!(downs(&commands), []);
    // The peer dialled it, so the peer dials it again, unless a local shard needs it.
    a.want_slot(SECOND, &name("b@h"), slot);
    assert_eq!(dialed(&a.take_commands()).1, Intent::Data { session: 1, slot, epoch: 4 });
}

#[test]
fn a_link_waits_until_its_shard_has_processed_the_last_down() {
    let mut a = core("a@h");
    let b = intro("b@h", 2);
    let (link, ..) = accept(&mut a, 0, &b, FRESH);
    a.on_control(0, link, ControlMsg::SessionDown { session: 1, reason: DownReason::Closed });
    accept(&mut a, 1, &b, Intent::Control { live: None, next: 2 });
    let slot = Slot { low: 1, high: 0 };
    let (_, answer, commands) = accept(&mut a, 1, &b, Intent::Data { session: 2, slot, epoch: 1 });
    assert_eq!(answer, Some(Verdict::Accept { session: 2, epoch: 1 }));
    let handed = |commands: &[Command]| commands.iter().any(|c| matches!(c, Command::LinkUp { .. }));
    assert!(!handed(&commands));
    a.on_down_processed(ShardId::new(0).unwrap(), &name("b@h"), 1);
    assert!(!handed(&a.take_commands()));
    a.on_down_processed(ShardId::new(1).unwrap(), &name("b@h"), 1);
    assert!(handed(&a.take_commands()));
}

#[test]
fn stalled_shards_are_told_and_so_is_their_end() {
    let mut a = core("a@h");
    let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), FRESH);
    let pid = Pid { node: intro("b@h", 2).incarnation.key(), local: LocalId(5) };
    let stalls = vec![Stall { shard: 1, stalled_ms: 12_300, pid }];
    let told = |commands: Vec<Command>| {
        commands.into_iter().find_map(|c| match c {
            Command::PeerStalls { stalls, .. } => Some(stalls),
            _ => None,
        })
    };
    let beat = |stalls: &[Stall]| ControlMsg::Heartbeat { seq: 1, sent_ns: 0, stalls: stalls.to_vec() };
    a.on_control(1, link, beat(&stalls));
    assert_eq!(told(a.take_commands()), Some(stalls));
    a.on_control(2, link, beat(&[]));
    assert_eq!(told(a.take_commands()), Some(vec![]));
    a.on_control(3, link, beat(&[]));
    assert_eq!(told(a.take_commands()), None);
}

#[test]
fn forgotten_peers_never_get_an_old_session_number_again() {
    let mut config = SessionConfig::new(intro("a@h", 1), 9);
    config.max_peers = 1;
    let mut a = SessionCore::new(config);
    let (link, ..) = accept(&mut a, 0, &intro("b@h", 2), Intent::Control { live: None, next: 40 });
    assert_eq!(accept(&mut a, 0, &intro("c@h", 2), FRESH).1, Some(Verdict::Refuse(Reason::Busy)));
    a.on_control(0, link, ControlMsg::Goodbye { reason: String::new() });
    for shard in [0, 1] {
        a.on_down_processed(ShardId::new(shard).unwrap(), &name("b@h"), 40);
    }
    assert_eq!(accept(&mut a, 1, &intro("c@h", 2), FRESH).1, Some(Verdict::Accept { session: 41, epoch: 0 }));
}
