//! Questions to the diagnostics of other nodes, over the control link.

use crate::support::{block_on, builder, eventually, expect_ups, next, now};
use shard_runtime::prelude::*;
use shard_runtime::{DiagCallError, DiagPort, NodeEvent};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

/// Two connected nodes: the one that asks, and the one that is asked.
fn pair() -> (Node, Node) {
    let asked = builder("asked@localhost").start().unwrap();
    let at = asked.listen_address().unwrap().to_string();
    let asker = builder("asker@localhost").route("asked@localhost", at).start().unwrap();
    expect_ups(&asker.subscribe_nodes().unwrap(), &["asked@localhost"]);
    (asker, asked)
}

fn ask(port: &DiagPort, request: &[u8], timeout: Duration) -> Result<Vec<u8>, DiagCallError> {
    block_on(port.call("asked@localhost", request.to_vec(), timeout))
}

#[test]
fn questions_are_answered_refused_or_time_out() {
    let (asker, asked) = pair();
    let port = asker.diag_port().unwrap();
    assert_eq!(ask(&port, b"anybody there", LONG), Err(DiagCallError::AgentUnavailable));
    let mut requests = asked.diag_port().unwrap().take_requests().unwrap();
    assert!(asked.diag_port().unwrap().take_requests().is_none(), "there is one agent");
    let agent = std::thread::Builder::new().spawn(move || {
        let mut kept = Vec::new();
        while let Some(request) = requests.blocking_recv() {
            assert_eq!(request.from, "asker@localhost");
            assert!(request.deadline > now());
            match request.bytes.as_slice() {
                b"echo" => drop(request.reply.send(b"echo".to_vec())),
                b"nothing" => drop(request.reply.send(Vec::new())),
                b"big" => drop(request.reply.send((0..3_000_000_u32).map(|n| n as u8).collect())),
                b"too big" => drop(request.reply.send(vec![0; (4 << 20) + 1])),
                b"refuse" => drop(request.reply),
                b"wait" => kept.push(request.reply),
                other => panic!("{other:?}"),
            }
        }
        kept.iter().filter(|reply| reply.is_closed()).count()
    });
    assert_eq!(ask(&port, b"echo", LONG).unwrap(), b"echo");
    assert_eq!(ask(&port, b"nothing", LONG).unwrap(), b"");
    let big = ask(&port, b"big", LONG).unwrap();
    assert!(big.len() == 3_000_000 && (0..3_000_000_u32).zip(&big).all(|(n, byte)| n as u8 == *byte));
    assert_eq!(ask(&port, b"too big", LONG), Err(DiagCallError::TooLarge));
    assert_eq!(ask(&port, b"refuse", LONG), Err(DiagCallError::Refused));
    assert_eq!(ask(&port, b"wait", Duration::from_millis(200)), Err(DiagCallError::Timeout));
    assert_eq!(ask(&port, &vec![0; 200 << 10], LONG), Err(DiagCallError::TooLarge));
    let nobody = block_on(port.call("nobody@localhost", Vec::new(), LONG));
    assert_eq!(nobody, Err(DiagCallError::NotConnected));
    assert_eq!(asked.stats().net().diag_served, 7);
    // A time-out is both the asker's and the asked's; whoever is first, the reply is closed.
    assert!(asker.stats().net().diag_calls >= 8);
    asked.stop();
    assert_eq!(agent.unwrap().join().unwrap(), 1, "nobody waits for the question that timed out");
}

#[test]
fn a_question_ends_with_the_session() {
    let (asker, asked) = pair();
    let events = asker.subscribe_nodes().unwrap();
    let mut requests = asked.diag_port().unwrap().take_requests().unwrap();
    let port = asker.diag_port().unwrap();
    let waiting = std::thread::Builder::new().spawn(move || ask(&port, b"wait", LONG)).unwrap();
    let request = requests.blocking_recv().unwrap();
    asked.stop();
    assert_eq!(waiting.join().unwrap(), Err(DiagCallError::Unreachable));
    assert!(matches!(next(&events), NodeEvent::Up { .. }));
    assert!(matches!(next(&events), NodeEvent::Down { .. }));
    eventually("the asked hears of it", || request.reply.is_closed());
}

#[test]
fn pings_measure_the_control_link() {
    let (asker, asked) = pair();
    let trips = block_on(asker.diag_port().unwrap().ping("asked@localhost", 20, LONG)).unwrap();
    assert_eq!(trips.len(), 20);
    assert!(trips.iter().all(|trip| *trip > 0 && *trip < 1_000_000_000), "{trips:?}");
    assert!(asker.stats().peers().remove(0).rtt_ns > 0);
    let nobody = block_on(asked.diag_port().unwrap().ping("nobody@localhost", 1, LONG));
    assert_eq!(nobody, Err(DiagCallError::NotConnected));
}
