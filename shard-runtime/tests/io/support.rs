//! What the tests of I/O processes share.

use shard_runtime::prelude::*;
use shard_runtime::{Pinning, ShardCounters};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long a condition may take to come true.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A node with this many shards.
pub(crate) fn node(name: &str, shards: u16) -> Node {
    Node::builder(&format!("{name}@localhost")).shards(shards).pinning(Pinning::None).start().unwrap()
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + LIMIT;
    while !holds() {
        assert!(now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline of a test on real sockets")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The counters of all shards.
pub(crate) fn counters(node: &Node) -> ShardCounters {
    node.stats().node().counters
}

/// A way out of actors for what a test wants to see.
pub(crate) fn probe<T>() -> (Sender<T>, Probe<T>) {
    let (sender, receiver) = channel();
    (sender, Probe(receiver))
}

pub(crate) struct Probe<T>(Receiver<T>);

impl<T> Probe<T> {
    /// The next value.
    pub(crate) fn next(&self) -> T {
        self.0.recv_timeout(LIMIT).unwrap()
    }

    /// The next value, if there is one already.
    pub(crate) fn try_next(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

/// Connects, with a limit on every read.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// A stream whose calls go on after a signal: with time-outs set, the system does not do that.
#[derive(Debug)]
pub(crate) struct Steady(pub(crate) TcpStream);

fn steady<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl std::io::Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        steady(|| self.0.read(buffer))
    }
}

impl std::io::Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        steady(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
