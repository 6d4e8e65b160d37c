//! What links promise holds through TLS.

use crate::support::{
    Authority, LIMIT, Relay, Valid, address, eventually, failed, free_port, now, plain, secure, wait_up,
};
use crate::{Count, Flood, Peer};
use shard_runtime::prelude::*;
use shard_runtime::{CertificateNames, LinkTls, RegistrarError, RegistrarSpec};
use std::time::Duration;

fn spawn(node: &Node, shard: u16) -> Pid {
    node.spawn(Peer::default, SpawnOptions::new().on_shard(shard)).unwrap()
}

fn flood(node: &Node, source: Pid, to: Pid, from: u64, count: u64, bytes: u64) -> u64 {
    node.call_blocking_timeout(source, Flood { to, from, count, bytes }, LIMIT).unwrap()
}

fn is_tls(node: &Node, peer: &str) -> bool {
    node.stats().peers().iter().any(|known| known.name == peer && known.connected && known.tls)
}

#[test]
fn messages_calls_and_parts_cross_through_tls_between_all_shards() {
    let authority = Authority::new();
    let one = secure("one@localhost", &authority.good()).shards(2).start().unwrap();
    let two = secure("two@localhost", &authority.good()).shards(3);
    let two = two.route("one@localhost", address(&one).to_string()).start().unwrap();
    wait_up(&two, "one@localhost");
    for from in 0..3 {
        for to in 0..2 {
            let (sink, source) = (spawn(&one, to), spawn(&two, from));
            assert_eq!(flood(&two, source, sink, 0, 5000, 16), 50);
            assert_eq!(one.call_blocking(sink, Count).unwrap(), 5000);
            // And back, where the other side dialled.
            assert_eq!(flood(&one, sink, source, 0, 1000, 200), 10);
        }
    }
    let (sink, source) = (spawn(&one, 1), spawn(&two, 2));
    assert_eq!(flood(&two, source, sink, 0, 200, 300_000), 2);
    assert_eq!(one.call_blocking(sink, Count).unwrap(), 200);
    assert!(is_tls(&one, "two@localhost") && is_tls(&two, "one@localhost"));
    assert!(one.stats().acceptors()[0].tls);
    assert_eq!(one.stats().peers()[0].counters.protocol_errors, 0);
}

#[test]
fn links_through_tls_that_are_cut_under_load_lose_double_and_reorder_nothing() {
    let authority = Authority::new();
    let one = secure("one@localhost", &authority.good()).shards(2).start().unwrap();
    let relay = Relay::to(address(&one));
    let two = secure("two@localhost", &authority.good()).shards(2);
    let two = two.route("one@localhost", relay.at.to_string()).start().unwrap();
    wait_up(&two, "one@localhost");
    let count = 4000;
    let floods: Vec<_> = [(0, 0, 2000), (0, 1, 100), (1, 0, 100), (1, 1, 150_000)]
        .into_iter()
        .map(|(from, to, bytes)| {
            let (sink, source) = (spawn(&one, to), spawn(&two, from));
            let count = if bytes > 10_000 { count / 10 } else { count };
            let two = two.clone();
            let flood = move || flood(&two, source, sink, 0, count, bytes);
            (sink, count, std::thread::Builder::new().spawn(flood).unwrap())
        })
        .collect();
    let mut cuts = 0;
    for round in 1..=4_u64 {
        let so_far = || one.call_blocking(floods[0].0, Count).unwrap();
        eventually("it goes on", || so_far() >= round * count / 6);
        cuts += relay.cut();
    }
    assert!(cuts >= 4, "{cuts}");
    for (sink, count, flood) in floods {
        flood.join().unwrap();
        eventually("all of it arrives", || one.call_blocking(sink, Count).unwrap() == count);
    }
    let peer = two.stats().peers().remove(0);
    assert!(peer.reconnections >= 1, "{peer:?}");
    assert_eq!((peer.session, peer.downs), (1, 0), "the session was resumed");
    assert_eq!((peer.counters.unknown_out, peer.counters.failed_out), (0, 0));
    assert!(peer.tls);
}

#[test]
fn a_reader_that_stands_still_stops_its_senders_through_tls_and_all_arrives_afterwards() {
    let authority = Authority::new();
    let one = secure("one@localhost", &authority.good()).start().unwrap();
    let two = secure("two@localhost", &authority.good());
    let two = two.route("one@localhost", address(&one).to_string()).start().unwrap();
    wait_up(&two, "one@localhost");
    let (sink, source) = (spawn(&one, 0), spawn(&two, 0));
    // 60 MB through a window of 1 MiB: the socket fills, and TLS with it.
    assert_eq!(flood(&two, source, sink, 0, 2000, 30_000), 20);
    assert_eq!(one.call_blocking(sink, Count).unwrap(), 2000);
    assert_eq!(two.stats().peers()[0].reconnections, 0);
}

#[test]
fn a_certificate_is_replaced_while_links_stand() {
    let (old, new) = (Authority::new(), Authority::new());
    let both = [old.pem(), new.pem()].concat();
    let first = old.issue("localhost", Valid::Now);
    let tls = LinkTls::from_pem(&first.chain, &first.key, &both).unwrap();
    let one = secure("one@localhost", &tls).start().unwrap();
    let at = address(&one).to_string();
    let two = secure("two@localhost", &old.good()).route("one@localhost", &at).start().unwrap();
    wait_up(&two, "one@localhost");
    let (sink, source) = (spawn(&one, 0), spawn(&two, 0));
    assert_eq!(flood(&two, source, sink, 0, 100, 10), 1);

    assert!(tls.replace(b"no certificate", b"no key").is_err(), "then the one in use stays");
    let second = new.issue("localhost", Valid::Now);
    tls.replace(&second.chain, &second.key).unwrap();
    // Whoever trusts only the new authority gets in; whoever trusts only the old one does not.
    let three = secure("three@localhost", &new.good()).route("one@localhost", &at).start().unwrap();
    wait_up(&three, "one@localhost");
    let four = secure("four@localhost", &old.good()).route("one@localhost", &at).start().unwrap();
    eventually("the old authority does not count", || failed(&four, "unknown_authority") > 0);
    // Links that stand keep theirs.
    assert_eq!(flood(&two, source, sink, 100, 5000, 10), 50);
    let peer = two.stats().peers().remove(0);
    assert_eq!((peer.session, peer.downs, peer.reconnections), (1, 0, 0));
    assert_eq!(four.nodes(), [] as [&str; 0]);
}

#[test]
fn nodes_find_each_other_through_a_registrar_with_tls_and_no_other_way() {
    let authority = Authority::new();
    let registrar = RegistrarSpec::embedded(free_port());
    let start = |name: &str| secure(name, &authority.good()).registrar(registrar.clone()).start();
    let one = start("one@localhost").unwrap();
    let two = start("two@localhost").unwrap();
    wait_up(&two, "one@localhost");
    eventually("they speak TLS", || is_tls(&two, "one@localhost") && is_tls(&one, "two@localhost"));
    let stranger = plain("three@localhost").registrar(registrar.clone()).start();
    let Err(NodeError::Registrar(RegistrarError::Handshake { reason, .. })) = stranger else {
        panic!("{stranger:?}")
    };
    assert_eq!(reason.name(), "plaintext");
    let stranger = secure("four@localhost", &Authority::new().good()).registrar(registrar).start();
    let Err(NodeError::Registrar(RegistrarError::Handshake { reason, .. })) = stranger else {
        panic!("{stranger:?}")
    };
    assert_eq!(reason.name(), "unknown_authority");
    assert_eq!(one.nodes(), ["two@localhost"]);
}

#[test]
fn which_name_a_certificate_must_have_is_said_by_the_policy() {
    let authority = Authority::new();
    let of = |name: &str, names: CertificateNames| authority.tls(name, Valid::Now).names(names);
    let meets = |ours: LinkTls, theirs: LinkTls| {
        let one = secure("one@localhost", &ours).start().unwrap();
        let at = address(&one).to_string();
        let two = secure("two@localhost", &theirs).route("one@localhost", at).start().unwrap();
        let until = now() + LIMIT;
        loop {
            let refusals =
                crate::support::refused(&one, "certificate_name") + failed(&two, "certificate_name");
            if refusals > 0 || !two.nodes().is_empty() {
                return refusals == 0;
            }
            assert!(now() < until, "neither a session nor a refusal");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    let node = || CertificateNames::Node;
    assert!(meets(of("one.localhost", node()), of("two.localhost", node())));
    assert!(!meets(of("one.localhost", node()), of("three.localhost", node())), "the dialer's");
    assert!(!meets(of("three.localhost", node()), of("two.localhost", node())), "the acceptor's");
    let shared = || CertificateNames::Shared("cluster".to_owned());
    assert!(meets(of("cluster", shared()), of("cluster", shared())));
    assert!(meets(of("x", CertificateNames::Any), of("y", CertificateNames::Any)));
    assert!(!meets(of("localhost", CertificateNames::Host), of("elsewhere", CertificateNames::Host)));
}
