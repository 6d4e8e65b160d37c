//! Attacks on the handshake itself, in plain text on loopback: replay, changes on the way, keys; and floods of it.

use crate::support::{
    Authority, COOKIE, OTHER, Relay, SHORT, address, eventually, failed, plain, refused, secure, wait_up,
};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;

/// What Hello has before its flags: prefix, versions, key ids, nonce, incarnation.
const FLAGS_AT: usize = 8 + 4 + 8 + 32 + 16;

#[test]
fn a_recorded_handshake_opens_nothing() {
    let guard = plain("guard@localhost").start().unwrap();
    let relay = Relay::to(address(&guard));
    let friend = plain("friend@localhost").route("guard@localhost", relay.at.to_string()).start().unwrap();
    wait_up(&friend, "guard@localhost");
    let (hello, proof) = (relay.said.recv().unwrap(), relay.said.recv().unwrap());
    assert_eq!((&hello[..6], &proof[..6]), (&b"SHRD\x01\x01"[..], &b"SHRD\x01\x03"[..]));
    friend.stop();
    eventually("it has parted", || guard.nodes().is_empty());
    let mut replay = TcpStream::connect(address(&guard)).unwrap();
    replay.write_all(&hello).unwrap();
    let mut challenge = [0; 1024];
    let count = replay.read(&mut challenge).unwrap();
    assert!(count > 100, "a challenge, with a nonce of its own");
    // Of another challenge, so it does not fit this one.
    replay.write_all(&proof).unwrap();
    eventually("it is counted", || refused(&guard, "bad_proof") == 1);
    assert_eq!(guard.nodes(), [] as [&str; 0]);
}

#[test]
fn flags_that_are_taken_away_on_the_way_are_noticed() {
    let guard = plain("guard@localhost").start().unwrap();
    let relay = Relay::editing(address(&guard), |hello| hello[FLAGS_AT..FLAGS_AT + 8].fill(0));
    let dialer = plain("dialer@localhost").route("guard@localhost", relay.at.to_string()).start().unwrap();
    eventually("the acceptor says so", || refused(&guard, "bad_proof") > 0);
    eventually("the dialer says so", || failed(&dialer, "bad_proof") > 0);
    assert_eq!((guard.nodes().len(), dialer.nodes().len()), (0, 0));
}

#[test]
fn wrong_keys_are_refused_and_keys_change_without_a_pause() {
    let guard = plain("guard@localhost").cookie(OTHER).previous_cookie(COOKIE).start().unwrap();
    let at = address(&guard).to_string();
    let old = plain("old@localhost").cookie(COOKIE).route("guard@localhost", &at).start().unwrap();
    wait_up(&old, "guard@localhost");
    let new = plain("new@localhost").cookie(OTHER).route("guard@localhost", &at).start().unwrap();
    wait_up(&new, "guard@localhost");
    let third = [COOKIE, b"!"].concat();
    let wrong = plain("wrong@localhost").cookie(third).route("guard@localhost", &at).start().unwrap();
    eventually("the acceptor says so", || refused(&guard, "wrong_cookie") > 0);
    eventually("the dialer says so", || failed(&wrong, "wrong_cookie") > 0);
    assert_eq!(guard.nodes().len(), 2);
}

/// A thousand clients that say nothing, in plain text and where TLS is spoken.
#[test]
fn a_thousand_silent_connections_keep_nobody_out_for_long() {
    raise_file_limit();
    let authority = Authority::new();
    let tls = authority.good();
    let nodes = [plain("plain@localhost"), secure("secure@localhost", &tls)];
    let friends = [plain("friend@localhost"), secure("friend@localhost", &tls)];
    for (builder, friend) in nodes.into_iter().zip(friends) {
        let node = builder.handshake_deadline(SHORT).start().unwrap();
        let at = address(&node);
        let silent: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(at).unwrap()).collect();
        eventually("what is over is refused, the rest times out", || {
            let (busy, late) = (refused(&node, "busy"), refused(&node, "timeout"));
            busy + late == 1000 && late >= 64
        });
        let friend = friend.route(node.name(), at.to_string()).start().unwrap();
        wait_up(&friend, node.name());
        drop(silent);
    }
}

/// Without a free descriptor nobody can be taken in; with one again, somebody is.
#[test]
fn a_node_that_had_no_descriptor_left_takes_connections_again() {
    let guard = plain("guard@localhost").start().unwrap();
    let at = address(&guard);
    let failures = || guard.stats().acceptors().iter().map(|acceptor| acceptor.accept_failures).sum::<u64>();
    assert_eq!(failures(), 0);
    set_file_limit(Some(1024));
    let mut filled: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // The nodes of this process need one now and then, so more than one try may be wanted.
    let mut clients = Vec::new();
    eventually("accepting has failed", || {
        filled.pop();
        clients.extend(TcpStream::connect(at));
        filled.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        failures() > 0
    });
    drop((filled, clients));
    set_file_limit(None);
    let friend = plain("friend@localhost").route("guard@localhost", at.to_string()).start().unwrap();
    wait_up(&friend, "guard@localhost");
}

fn raise_file_limit() {
    set_file_limit(None);
}

/// Sets how many descriptors this process may have; `None`: as many as are allowed.
fn set_file_limit(files: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.or(limit.maximum), ..limit }).unwrap();
}
