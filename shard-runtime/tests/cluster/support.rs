//! What the tests of several nodes share.
#![expect(unreachable_pub, reason = "the root of a test binary has no outside")]

use shard_runtime::{LogLevel, Node, NodeBuilder, NodeEvent};
use std::future::Future;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

pub const COOKIE: &str = "a cookie for tests";
/// A handshake deadline that a test can wait for.
pub const SHORT: Duration = Duration::from_millis(700);
const LIMIT: Duration = Duration::from_secs(20);

pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
    Instant::now()
}

/// A port of the loopback address that was free a moment ago. Below the range from which the system takes the ports of
/// outgoing connections, so that none of them gets it meanwhile.
pub fn free_port() -> String {
    static TURN: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = std::process::id().wrapping_mul(7919).wrapping_add(TURN.fetch_add(1, Relaxed));
        let address = format!("127.0.0.1:{}", 10_000 + turn % 20_000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

pub fn builder(name: &str) -> NodeBuilder {
    Node::builder(name).listen("127.0.0.1:0").cookie(COOKIE).log_level(LogLevel::Debug)
}

/// Waits for a condition that other threads make true.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = now() + LIMIT;
    while !condition() {
        assert!(now() < until, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub fn next(events: &Receiver<NodeEvent>) -> NodeEvent {
    events.recv_timeout(LIMIT).expect("an event in time")
}

/// Waits for an up of every name; any other event is a failure. Returns the sessions in the order of the names.
pub fn expect_ups(events: &Receiver<NodeEvent>, names: &[&str]) -> Vec<u64> {
    let mut found = vec![None; names.len()];
    while found.iter().any(Option::is_none) {
        match next(events) {
            NodeEvent::Up { name, session } => {
                let place = names.iter().position(|known| *known == name).expect("a known name");
                assert_eq!(found[place].replace(session), None, "{name} came up twice");
            }
            other => panic!("{other:?}"),
        }
    }
    found.into_iter().flatten().collect()
}

pub fn error_count(errors: &[(&'static str, u64)], reason: &str) -> u64 {
    errors.iter().find(|(name, _)| *name == reason).expect("every reason is listed").1
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, without any runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park_timeout(Duration::from_secs(1));
    }
}
