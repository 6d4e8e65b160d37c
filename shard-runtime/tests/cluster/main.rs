//! Several nodes in one OS process: they find each other, lose each other, refuse strangers, and answer while their
//! shards are stuck.

mod children;
mod diag;
mod quarantine;
mod support;

use shard_runtime::prelude::*;
use shard_runtime::wire::session::DownReason;
use shard_runtime::{NodeBuilder, NodeEvent, NodeRouteError, RegistrarError, RegistrarRole, RegistrarSpec};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::{COOKIE, SHORT, builder, error_count, eventually, expect_ups, free_port, next, now};

#[message(reply = u64)]
struct Count {
    by: u64,
}
#[message(local)]
struct Spin {
    millis: u64,
}

#[derive(Default)]
struct Counter {
    total: u64,
}

#[actor]
impl Counter {
    #[handle]
    fn count(&mut self, m: Count, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.total += m.by;
        Ok(self.total)
    }
    /// Keeps its shard busy, as no handler should.
    #[handle]
    fn spin(&mut self, m: Spin, _cx: &mut Context<'_>) -> ActorResult {
        let until = now() + Duration::from_millis(m.millis);
        while now() < until {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

fn down(name: &str, session: u64, reason: DownReason) -> NodeEvent {
    NodeEvent::Down { name: name.to_owned(), session, reason }
}

#[test]
fn two_nodes_connect_by_a_route_and_part_with_a_goodbye() {
    let first = builder("first@localhost").start().unwrap();
    let at = first.listen_address().unwrap().to_string();
    let second = builder("second@localhost").route("first@localhost", at).start().unwrap();
    let (events, others) = (first.subscribe_nodes().unwrap(), second.subscribe_nodes().unwrap());
    let session = expect_ups(&events, &["second@localhost"]);
    assert_eq!(expect_ups(&others, &["first@localhost"]), session);
    assert_eq!(first.nodes(), ["second@localhost"]);
    second.stop();
    assert_eq!(next(&events), down("second@localhost", session[0], DownReason::Goodbye));
    assert_eq!(first.nodes(), [] as [&str; 0]);
    let peer = first.stats().peers().pop().unwrap();
    assert_eq!((peer.ups, peer.downs, peer.connected, peer.dialled), (1, 1, false, false));
    let net = first.stats().net();
    assert_eq!((net.connections_established, net.connections_lost), (1, 1));
    assert!(net.connections_lost_by.contains(&("goodbye", 1)));
}

#[test]
fn calls_cross_nodes_by_pid_and_by_name() {
    let first = builder("server@localhost").shards(2).start().unwrap();
    let at = first.listen_address().unwrap().to_string();
    let pid = first.spawn(Counter::default, SpawnOptions::named("counter").on_shard(1)).unwrap();
    let second = builder("caller@localhost").shards(2).route("server@localhost", at).start().unwrap();
    expect_ups(&second.subscribe_nodes().unwrap(), &["server@localhost"]);
    assert_eq!(second.call_blocking(pid, Count { by: 1 }).unwrap(), 1);
    assert_eq!(second.call_blocking(("counter", "server@localhost"), Count { by: 2 }).unwrap(), 3);
    let asked = second.call_blocking(("nobody", "server@localhost"), Count { by: 2 });
    assert!(asked.is_err(), "{asked:?}");
}

/// The peer cannot be dialled back: it is asked to dial the data link that this side wants.
#[test]
fn a_node_that_cannot_dial_gets_its_data_links_dialled_by_the_peer() {
    let first = builder("passive@localhost").start().unwrap();
    let at = first.listen_address().unwrap().to_string();
    let second = builder("active@localhost").route("passive@localhost", at).start().unwrap();
    expect_ups(&first.subscribe_nodes().unwrap(), &["active@localhost"]);
    let pid = second.spawn(Counter::default, SpawnOptions::new()).unwrap();
    assert_eq!(first.call_blocking(pid, Count { by: 4 }).unwrap(), 4);
}

#[test]
fn five_nodes_find_each_other_and_survive_the_loss_of_the_registrar() {
    let registrar = RegistrarSpec::embedded(free_port());
    let start = |name: &str| builder(name).registrar(registrar.clone()).start().unwrap();
    let names: Vec<String> = (1..=5).map(|n| format!("n{n}@localhost")).collect();
    let mut nodes: Vec<Node> = names.iter().map(|name| start(name)).collect();
    let mut events: Vec<_> = nodes.iter().map(|node| node.subscribe_nodes().unwrap()).collect();
    for (events, own) in events.iter().zip(&names) {
        let others: Vec<&str> = names.iter().filter(|name| *name != own).map(String::as_str).collect();
        expect_ups(events, &others);
    }
    assert_eq!(nodes[0].stats().registrar().role, RegistrarRole::Server, "the first serves");
    assert!(nodes[1..].iter().all(|node| node.stats().registrar().role == RegistrarRole::Client));

    nodes.remove(0).stop();
    events.remove(0);
    for events in &events {
        assert_eq!(next(events), down("n1@localhost", 1, DownReason::Goodbye));
    }
    let role = |node: &Node| node.stats().registrar().role;
    eventually("one of the others serves, and all are registered", || {
        let servers = nodes.iter().filter(|node| role(node) == RegistrarRole::Server).count();
        servers == 1 && nodes.iter().all(|node| role(node) != RegistrarRole::None)
    });
    // The first comes back under its name, as a client now: a session above the one before, and no other event.
    let back = start("n1@localhost");
    assert_eq!(role(&back), RegistrarRole::Client);
    for events in &events {
        assert_eq!(next(events), NodeEvent::Up { name: "n1@localhost".into(), session: 2 });
    }
    let known = back.stats().registrar().nodes.len();
    assert_eq!(known, 4);
    for events in &events {
        assert_eq!(events.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty), "links do not depend on it");
    }
}

#[test]
fn a_name_that_lives_is_refused_by_the_registrar() {
    let registrar = RegistrarSpec::embedded(free_port());
    let start = |name: &str| builder(name).registrar(registrar.clone()).start();
    let server = start("server@localhost").unwrap();
    let client = start("client@localhost").unwrap();
    let refused = |name: &str| match start(name) {
        Err(NodeError::Registrar(RegistrarError::NameTaken { name })) => name.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("server@localhost"), "server@localhost", "held by the serving node");
    assert_eq!(refused("client@localhost"), "client@localhost", "held by a client that answers the probe");
    client.stop();
    let _again = start("client@localhost").expect("the name is free again");
    eventually("the server knows it again", || server.stats().registrar().nodes.len() == 1);
}

#[test]
fn a_registrar_is_garbage_safe_and_wants_the_cookie() {
    let address = free_port();
    let registrar = RegistrarSpec::embedded(address.clone());
    let server =
        builder("server@localhost").registrar(registrar.clone()).handshake_deadline(SHORT).start().unwrap();
    garbage(&address);
    let errors = || server.stats().acceptors().pop().expect("the registrar's");
    eventually("garbage is counted", || {
        let errors = errors().errors;
        error_count(&errors, "bad_magic") == 1 && error_count(&errors, "timeout") == 1
    });
    let stranger =
        builder("stranger@localhost").cookie("another cookie").registrar(registrar.clone()).start();
    assert!(matches!(stranger, Err(NodeError::Registrar(RegistrarError::Handshake { .. }))), "{stranger:?}");
    eventually("so is the wrong cookie", || error_count(&errors().errors, "wrong_cookie") == 1);
    let other = builder("other@localhost").cluster("another").registrar(registrar.clone()).start();
    assert!(matches!(other, Err(NodeError::Registrar(RegistrarError::Handshake { .. }))), "{other:?}");
    let _friend = builder("friend@localhost").registrar(registrar).start().expect("it still serves");
}

/// What is no registrar is said to be none.
#[test]
fn a_port_that_another_program_holds_is_a_typed_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let foreign = std::thread::Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let refused = builder("lost@localhost").registrar(RegistrarSpec::embedded(address)).start();
    assert!(matches!(refused, Err(NodeError::Registrar(RegistrarError::Handshake { .. }))), "{refused:?}");
    foreign.unwrap().join().unwrap();
}

/// Sends random bytes, a valid header with a huge length, and nothing; waits until each is closed.
fn garbage(address: &str) {
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    };
    let closed = |mut stream: TcpStream| {
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it was not closed"),
        }
    };
    let silent = connect();
    let mut random = connect();
    random.write_all(&[0x5a; 300]).unwrap();
    closed(random);
    let mut huge = connect();
    huge.write_all(b"SHRD\x01\x01\xff\xff").unwrap();
    closed(huge);
    closed(silent);
}

#[test]
fn strangers_are_refused_by_reason_and_the_node_keeps_serving() {
    let node = builder("node@localhost").handshake_deadline(SHORT).start().unwrap();
    let at = node.listen_address().unwrap().to_string();
    let errors = || node.stats().acceptors().remove(0).errors;
    garbage(&at);
    eventually("each is counted", || {
        let errors = errors();
        ["bad_magic", "too_large", "timeout"].iter().all(|reason| error_count(&errors, reason) == 1)
    });
    let stranger =
        builder("stranger@localhost").cookie("another").route("node@localhost", &at).start().unwrap();
    eventually("the wrong cookie is counted on both sides", || {
        let dials = stranger.stats().net().dial_errors;
        error_count(&errors(), "wrong_cookie") >= 1 && error_count(&dials, "wrong_cookie") >= 1
    });
    assert_eq!(stranger.nodes(), [] as [&str; 0]);
    let friend = builder("friend@localhost").route("node@localhost", &at).start().unwrap();
    expect_ups(&friend.subscribe_nodes().unwrap(), &["node@localhost"]);
    assert_eq!(node.nodes(), ["friend@localhost"]);
}

/// More silent clients than there are places: the node closes what is over, and a friend gets in once they time out.
#[test]
fn silent_clients_are_bounded() {
    let node = builder("node@localhost").handshake_deadline(SHORT).start().unwrap();
    let at = node.listen_address().unwrap().to_string();
    let silent: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(&at).unwrap()).collect();
    let count = |reason: &str| error_count(&node.stats().acceptors().remove(0).errors, reason);
    eventually("what is over is refused, the rest times out", || {
        count("busy") == 16 && count("timeout") == 64
    });
    let friend = builder("friend@localhost").route("node@localhost", &at).start().unwrap();
    expect_ups(&friend.subscribe_nodes().unwrap(), &["node@localhost"]);
    drop(silent);
}

#[test]
fn a_shard_that_spins_downs_nobody_and_is_reported() {
    let busy = builder("busy@localhost").shards(1).start().unwrap();
    let at = busy.listen_address().unwrap().to_string();
    let watcher = builder("watcher@localhost").shards(1).route("busy@localhost", at).start().unwrap();
    let (ours, theirs) = (busy.subscribe_nodes().unwrap(), watcher.subscribe_nodes().unwrap());
    expect_ups(&ours, &["watcher@localhost"]);
    expect_ups(&theirs, &["busy@localhost"]);
    let pid = busy.spawn(Counter::default, SpawnOptions::new()).unwrap();
    let ends = now() + Duration::from_secs(7);
    busy.send(pid, Spin { millis: 7000 }).unwrap();
    let stalled = || watcher.stats().peers().remove(0).stalled;
    eventually("the watcher hears which process is in the way", || {
        stalled().first().is_some_and(|stall| stall.pid == pid && stall.stalled_ms > 500)
    });
    let port = watcher.diag_port().unwrap();
    let mut trips = 0;
    while now() < ends {
        let got = support::block_on(port.ping("busy@localhost", 10, Duration::from_secs(2))).unwrap();
        trips += got.len();
        assert!(got.iter().all(|trip| *trip < 1_000_000_000), "{got:?}");
    }
    assert!(trips >= 10);
    eventually("it is over", || stalled().is_empty());
    assert_eq!(watcher.call_blocking(pid, Count { by: 1 }).unwrap(), 1);
    for events in [&ours, &theirs] {
        assert_eq!(events.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty), "nobody went down");
    }
}

#[test]
fn settings_of_the_network_are_checked_at_start() {
    let start =
        |build: fn(NodeBuilder) -> NodeBuilder| build(Node::builder("a@localhost")).start().unwrap_err();
    assert!(matches!(start(|b| b.listen("127.0.0.1:0")), NodeError::Cookie(_)), "no cookie");
    assert!(
        matches!(start(|b| b.listen("0.0.0.0:0").cookie(COOKIE)), NodeError::Cookie(_)),
        "too short off loopback"
    );
    let long = |b: NodeBuilder| b.cookie("0123456789abcdef0123456789abcdef");
    assert!(matches!(
        long(Node::builder("a@localhost")).listen("0.0.0.0:0").start(),
        Err(NodeError::Cookie(_))
    ));
    let open = long(Node::builder("a@localhost")).listen("0.0.0.0:0").allow_plaintext(true).start().unwrap();
    assert!(open.listen_address().is_some());
    assert!(matches!(
        start(|b| b.listen("nonsense").cookie(COOKIE)),
        NodeError::BadSetting { setting: "listen", .. }
    ));
    let route = |b: NodeBuilder| b.cookie(COOKIE).route("b@localhost", "no-port");
    let route = route(Node::builder("a@localhost")).start();
    assert!(matches!(route, Err(NodeError::Route(NodeRouteError::BadAddress { .. }))), "{route:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken =
        Node::builder("a@localhost").cookie(COOKIE).listen(taken.local_addr().unwrap().to_string()).start();
    assert!(matches!(taken, Err(NodeError::Listen { .. })), "{taken:?}");
    let alone = Node::builder("alone@localhost").start().unwrap();
    assert_eq!(alone.listen_address(), None);
    assert!(matches!(alone.subscribe_nodes(), Err(NodeError::NoNetwork)));
    assert!(matches!(alone.connect("b@localhost"), Err(NodeError::NoNetwork)));
}
