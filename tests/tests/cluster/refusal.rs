//! Strangers at the door: each is refused for a typed, counted reason, and the node goes on serving.

use crate::nodes::{Cluster, SOON};
use shard_runtime::Node;
use shard_tests::harness::{NodeSpec, eventually, node_binary};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The handshake's own limit is 5 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(8);

/// Waits until the node closes the connection.
fn until_closed(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a time-out");
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                panic!("the node kept the connection for {SILENCE_LIMIT:?}")
            }
            Ok(0) | Err(_) => return,
        }
    }
}

fn say(to: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(to).expect("the node listens");
    // It may close before all is written, which is a refusal too.
    drop(stream.write_all(bytes));
    until_closed(&mut stream);
}

#[test]
fn strangers_are_refused_counted_and_do_not_disturb() {
    let cluster = Cluster::start(2, &[]);
    let (place, other) = (&cluster.places[0], &cluster.places[1].name);
    eventually(SOON, "traffic before", || place.received_from(other) > 0.0);

    // Bytes without meaning.
    let noise: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    say(place.wire, &noise);
    eventually(SOON, "noise is counted", || place.refused("bad_magic") == 1.0);

    // A frame header as between connected nodes, with a length of 4 GiB, from one who has proven nothing.
    let mut header = [0; 48];
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    header[7] = 1;
    say(place.wire, &header);
    eventually(SOON, "a huge frame is counted", || place.refused("bad_magic") == 2.0);

    // The greeting of the handshake, with the largest length it can claim.
    let mut greeting = *b"SHRD\x01\x01\xff\xff";
    say(place.wire, &greeting);
    eventually(SOON, "a huge greeting is counted", || place.refused("too_large") == 1.0);
    greeting[6..].copy_from_slice(&8_u16.to_le_bytes());
    say(place.wire, &greeting);
    eventually(SOON, "an empty greeting is counted", || place.refused("malformed") == 1.0);

    // One that connects and says nothing.
    until_closed(&mut TcpStream::connect(place.wire).expect("the node listens"));
    eventually(SOON, "silence is counted", || place.refused("timeout") == 1.0);

    // A node with another cookie that knows the address.
    let stranger = Node::builder("stranger@tests")
        .max_processes(64)
        .listen("127.0.0.1:0")
        .cookie("not the cookie of the cluster, but as long")
        .cluster("tests")
        .route(&place.name, place.wire.to_string())
        .start()
        .expect("the stranger starts");
    eventually(SOON, "the wrong cookie is counted", || place.refused("wrong_cookie") >= 1.0);
    assert_eq!(stranger.nodes(), Vec::<String>::new());
    stranger.stop();

    let received = place.received_from(other);
    eventually(SOON, "traffic goes on", || place.received_from(other) > received);
    assert_eq!(place.peers(), std::slice::from_ref(other));
    assert_eq!(place.sum("ergo_connections_lost_total", &[]), 0.0);
    for reason in ["bad_magic", "too_large", "malformed", "timeout", "wrong_cookie"] {
        assert!(!cluster.log_lines(0, &format!("failed ({reason}, ")).is_empty(), "{reason} is in the log");
    }
}

#[test]
fn a_node_with_another_cookie_is_refused_by_the_registrar_and_says_so() {
    let cluster = Cluster::start(1, &[]);
    let spec = cluster.spec(0).with_variable("COOKIE", "not the cookie of the cluster, but as long");
    let spec = spec.with_variable("NODE_NAME", "other@tests").with_variable("LISTEN", "127.0.0.1:0");
    let mut node =
        spec.with_variable("RADAR_ADDR", "").with_variable("MCP_ADDR", "").start().expect("started");
    let status = node.wait(SOON).expect("a child").expect("it ends");
    assert_eq!(status.code(), Some(69), "{}", node.stderr());
    let text = node.stderr();
    assert!(text.contains("the cookies differ: give both nodes the same cookie"), "{text}");
    assert!(!text.contains("panic"), "{text}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let cluster = Cluster::start(1, &[]);
    let place = &cluster.places[0];
    for (variable, address) in [("LISTEN", place.wire), ("RADAR_ADDR", place.radar), ("MCP_ADDR", place.mcp)]
    {
        let label = format!("taken-{variable}");
        let mut node = NodeSpec::program(node_binary().expect("node builds"), &label, cluster.logs.path())
            .with_variable("NODE_NAME", "second@tests")
            .with_variable("COOKIE", "x")
            .with_variable("RADAR_ADDR", "")
            .with_variable("MCP_ADDR", "")
            .with_variable(variable, address.to_string())
            .start()
            .expect("started");
        let status = node.wait(SOON).expect("a child").expect("it ends");
        let text = node.stderr();
        assert_eq!(status.code(), Some(69), "{variable}: {text}");
        assert!(text.contains(&address.to_string()), "{variable}: {text}");
        assert!(text.contains("choose another port"), "{variable}: {text}");
    }
}
