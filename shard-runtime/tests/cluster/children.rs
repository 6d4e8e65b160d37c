//! Nodes in OS processes of their own, to be killed and stopped: this test binary runs itself as the child.

use crate::support::{builder, eventually, expect_ups, free_port, next, now};
use shard_runtime::wire::session::DownReason;
use shard_runtime::{Node, NodeEvent, RegistrarSpec};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const REGISTRAR: &str = "SHARD_TEST_REGISTRAR";
const NAME: &str = "SHARD_TEST_NAME";

/// Not a test by itself: with the environment set it is a node that lives until it is killed.
#[test]
fn child() {
    let (Ok(registrar), Ok(name)) = (std::env::var(REGISTRAR), std::env::var(NAME)) else { return };
    let node = builder(&name).registrar(RegistrarSpec::embedded(registrar)).start().unwrap();
    node.run_until_signal().unwrap();
}

struct Killed(Child);

impl Killed {
    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn spawn(name: &str, registrar: &str) -> Killed {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "children::child", "--nocapture"]).env(REGISTRAR, registrar).env(NAME, name);
    Killed(command.stdout(Stdio::null()).spawn().unwrap())
}

fn node(name: &str, registrar: &str) -> Node {
    builder(name).registrar(RegistrarSpec::embedded(registrar)).start().unwrap()
}

/// The child serves the registrar as well, so that its death takes both.
#[test]
fn a_killed_node_is_down_once_within_six_seconds_and_comes_back() {
    let registrar = free_port();
    let child = spawn("child@localhost", &registrar);
    eventually("the child serves", || std::net::TcpStream::connect(&registrar).is_ok());
    let nodes = [node("a@localhost", &registrar), node("b@localhost", &registrar)];
    let events: Vec<_> = nodes.iter().map(|node| node.subscribe_nodes().unwrap()).collect();
    expect_ups(&events[0], &["child@localhost", "b@localhost"]);
    expect_ups(&events[1], &["child@localhost", "a@localhost"]);
    drop(child);
    let killed = now();
    for events in &events {
        let name = "child@localhost".to_owned();
        assert_eq!(next(events), NodeEvent::Down { name, session: 1, reason: DownReason::Disconnected });
    }
    assert!(killed.elapsed() < Duration::from_secs(6), "{:?}", killed.elapsed());
    let _again = spawn("child@localhost", &registrar);
    let started = now();
    for events in &events {
        assert_eq!(next(events), NodeEvent::Up { name: "child@localhost".to_owned(), session: 2 });
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// A restart that is faster than the time-out replaces the session at once.
#[test]
fn a_node_that_is_killed_and_restarted_at_once_is_down_and_up_again() {
    let registrar = free_port();
    let node = node("a@localhost", &registrar);
    let events = node.subscribe_nodes().unwrap();
    drop(spawn_and_wait(&events, &registrar, 1));
    let _again = spawn("child@localhost", &registrar);
    let name = "child@localhost".to_owned();
    assert_eq!(
        next(&events),
        NodeEvent::Down { name: name.clone(), session: 1, reason: DownReason::Restarted }
    );
    assert_eq!(next(&events), NodeEvent::Up { name, session: 2 });
}

/// A stop of three seconds is shorter than the limit: nobody goes down on either side, the stopped one included.
#[test]
fn a_short_stop_downs_nobody() {
    let registrar = free_port();
    let node = node("a@localhost", &registrar);
    let events = node.subscribe_nodes().unwrap();
    let child = spawn_and_wait(&events, &registrar, 1);
    child.signal("-STOP");
    let quiet = events.recv_timeout(Duration::from_secs(3));
    assert!(quiet.is_err(), "{quiet:?}");
    child.signal("-CONT");
    let quiet = events.recv_timeout(Duration::from_secs(3));
    assert!(quiet.is_err(), "{quiet:?}");
    // A graceful stop says goodbye.
    child.signal("-TERM");
    let name = "child@localhost".to_owned();
    assert_eq!(next(&events), NodeEvent::Down { name, session: 1, reason: DownReason::Goodbye });
}

/// A stop longer than the limit is a down; the same life of the node comes back in a new session, which it has seen end
/// as well.
#[test]
fn a_long_stop_is_a_down_and_the_node_comes_back() {
    let registrar = free_port();
    let node = node("a@localhost", &registrar);
    let events = node.subscribe_nodes().unwrap();
    let child = spawn_and_wait(&events, &registrar, 1);
    let key = node.stats().peers()[0].key;
    child.signal("-STOP");
    let stopped = now();
    let name = || "child@localhost".to_owned();
    assert_eq!(next(&events), NodeEvent::Down { name: name(), session: 1, reason: DownReason::Heartbeat });
    let took = stopped.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(6), "{took:?}");
    child.signal("-CONT");
    assert_eq!(next(&events), NodeEvent::Up { name: name(), session: 2 });
    assert_eq!(node.stats().peers()[0].key, key, "the same life");
}

/// Two lives of one name: the registrar gives it to the one that answers, and the other, once it runs again, is refused
/// and takes nobody down.
#[test]
fn a_silent_holder_loses_its_name_and_does_not_get_it_back() {
    let registrar = free_port();
    let node = node("a@localhost", &registrar);
    let events = node.subscribe_nodes().unwrap();
    let child = spawn_and_wait(&events, &registrar, 1);
    child.signal("-STOP");
    let heir = builder("child@localhost").registrar(RegistrarSpec::embedded(registrar)).start().unwrap();
    let name = || "child@localhost".to_owned();
    assert_eq!(next(&events), NodeEvent::Down { name: name(), session: 1, reason: DownReason::Restarted });
    assert_eq!(next(&events), NodeEvent::Up { name: name(), session: 2 });
    child.signal("-CONT");
    let quiet = events.recv_timeout(Duration::from_secs(3));
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(node.stats().peers()[0].key, heir.stats().key().0);
}

fn spawn_and_wait(events: &std::sync::mpsc::Receiver<NodeEvent>, registrar: &str, session: u64) -> Killed {
    let child = spawn("child@localhost", registrar);
    assert_eq!(expect_ups(events, &["child@localhost"]), [session]);
    child
}
