//! Diagnostics traffic between nodes: bytes of a question to a peer's diagnostics thread, and of its answer back.
//!
//! It runs over control links between control threads, so it works while every shard of both nodes is stuck. What the
//! bytes mean is the business of who asks and who answers.

use crate::control::input::{DiagAnswer, Order};
use crate::error::DiagCallError;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Largest answer, in bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Largest question, in bytes: one control message.
pub(super) const MAX_QUESTION_BYTES: usize = 100 << 10;
/// Questions of peers that may wait for the agent.
const REQUEST_QUEUE: usize = 256;

/// A question that a peer's diagnostics thread asks this node's.
#[derive(Debug)]
#[non_exhaustive]
pub struct DiagRequest {
    /// The node that asks.
    pub from: String,
    /// The question.
    pub bytes: Vec<u8>,
    /// When the asker stops waiting.
    pub deadline: Instant,
    /// Where the answer goes, 4 MiB at most; dropping it refuses the question. It is closed once nobody waits.
    pub reply: oneshot::Sender<Vec<u8>>,
}

/// What a thread outside wants of diagnostics.
#[derive(Debug)]
pub(crate) enum DiagOrder {
    /// Ask a peer.
    Call { id: u64, node: String, request: Vec<u8>, deadline: Instant, answer: DiagAnswer },
    /// Measure one round trip.
    Ping { id: u64, node: String, deadline: Instant, answer: DiagAnswer },
    /// Nobody waits for this call any more.
    Cancel { id: u64 },
    /// Questions of peers go here.
    Agent(mpsc::Sender<DiagRequest>),
}

/// Asks the diagnostics of other nodes, and receives their questions. Clones are the same port.
#[derive(Clone, Debug)]
pub struct DiagPort {
    orders: mpsc::Sender<Order>,
    next: Arc<AtomicU64>,
    taken: Arc<AtomicBool>,
}

/// Takes a call back when its future is dropped.
struct Guard<'a> {
    port: &'a DiagPort,
    id: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A call that is over is not known any more; a full queue lets the deadline end it.
        let _late = self.port.orders.try_send(Order::Diag(DiagOrder::Cancel { id: self.id }));
    }
}

impl DiagPort {
    pub(super) fn new(orders: mpsc::Sender<Order>) -> Self {
        Self { orders, next: Arc::new(AtomicU64::new(1)), taken: Arc::new(AtomicBool::new(false)) }
    }

    /// Asks the diagnostics thread of a connected node. Needs no particular runtime. Dropping the future takes the
    /// question back.
    ///
    /// # Errors
    /// There is no answer within `timeout`, and why.
    pub async fn call(
        &self,
        node: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, DiagCallError> {
        if request.len() > MAX_QUESTION_BYTES {
            return Err(DiagCallError::TooLarge);
        }
        let (node, deadline) = (node.to_owned(), crate::clock::now() + timeout);
        self.order(|id, answer| DiagOrder::Call { id, node, request, deadline, answer }).await
    }

    /// Round trips over the control link of a connected node, in nanoseconds, one after the other: `count` of them, or
    /// those that came back within `timeout` if that is at least one.
    ///
    /// # Errors
    /// None came back, and why.
    pub async fn ping(&self, node: &str, count: u32, timeout: Duration) -> Result<Vec<u64>, DiagCallError> {
        let deadline = crate::clock::now() + timeout;
        let mut trips = Vec::new();
        for _ in 0..count {
            let node = node.to_owned();
            match self.order(|id, answer| DiagOrder::Ping { id, node, deadline, answer }).await {
                Ok(bytes) => trips.extend(bytes.first_chunk().map(|trip| u64::from_le_bytes(*trip))),
                Err(DiagCallError::Timeout) if !trips.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(trips)
    }

    /// The questions of other nodes. The first call gets the receiver, later ones `None`. While nobody has taken it, or
    /// once it was dropped, peers are told that there is no agent.
    #[must_use]
    pub fn take_requests(&self) -> Option<mpsc::Receiver<DiagRequest>> {
        if self.taken.swap(true, Relaxed) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(REQUEST_QUEUE);
        let sent = self.orders.try_send(Order::Diag(DiagOrder::Agent(sender)));
        if sent.is_err() {
            self.taken.store(false, Relaxed);
        }
        sent.ok().map(|()| receiver)
    }

    async fn order(&self, make: impl FnOnce(u64, DiagAnswer) -> DiagOrder) -> Result<Vec<u8>, DiagCallError> {
        let (answer, outcome) = oneshot::channel();
        let id = self.next.fetch_add(1, Relaxed);
        let _guard = Guard { port: self, id };
        self.orders.try_send(Order::Diag(make(id, answer))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DiagCallError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => DiagCallError::Unreachable,
        })?;
        outcome.await.unwrap_or(Err(DiagCallError::Unreachable))
    }
}
