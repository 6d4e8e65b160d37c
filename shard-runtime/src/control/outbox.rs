//! What waits to be written to one control link.
//!
//! Invariants: O1 both lanes are bounded in bytes. O2 what the session needs overtakes bulk (diagnostics answers), so
//! that heartbeats do not wait behind megabytes. Threads: one.

use shard_wire::session::{ControlError, ControlMsg};
use std::cell::RefCell;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Bytes of the session's own messages that may wait.
const URGENT_BYTES: usize = 4 << 20;
/// Bytes of diagnostics that may wait.
const BULK_BYTES: usize = 16 << 20;
/// Bytes of one write.
const WRITE_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
struct Lane {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Lane {
    fn push(&mut self, message: Vec<u8>, limit: usize) -> bool {
        // LIMIT: bytes that wait for a peer which does not read.
        if self.bytes + message.len() > limit {
            return false;
        }
        self.bytes += message.len();
        self.messages.push_back(message);
        true
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        while out.len() < WRITE_BYTES
            && let Some(message) = self.messages.pop_front()
        {
            self.bytes -= message.len();
            out.extend_from_slice(&message);
        }
    }
}

#[derive(Debug, Default)]
struct Lanes {
    urgent: Lane,
    bulk: Lane,
    closing: bool,
}

/// The queue of one control link.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lanes: RefCell<Lanes>,
    ready: Notify,
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The lane is full.
    Full,
    /// The message is over a limit of its own.
    Unfit(ControlError),
}

impl Outbox {
    /// Queues bytes as they are, before all that follows.
    pub(super) fn push_bytes(&self, bytes: Vec<u8>) {
        self.lanes.borrow_mut().urgent.push(bytes, URGENT_BYTES);
        self.ready.notify_one();
    }

    /// Queues a message.
    pub(super) fn push(&self, message: &ControlMsg) -> Result<(), Refusal> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).map_err(Refusal::Unfit)?;
        let mut lanes = self.lanes.borrow_mut();
        let taken = match message {
            ControlMsg::DiagCall { .. } | ControlMsg::DiagChunk { .. } => lanes.bulk.push(bytes, BULK_BYTES),
            _ => lanes.urgent.push(bytes, URGENT_BYTES),
        };
        drop(lanes);
        self.ready.notify_one();
        if taken { Ok(()) } else { Err(Refusal::Full) }
    }

    /// Ends the writer once everything is written.
    pub(super) fn close(&self) {
        self.lanes.borrow_mut().closing = true;
        self.ready.notify_one();
    }

    /// The next bytes to write; `None` once it is closed and empty.
    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        loop {
            {
                let mut lanes = self.lanes.borrow_mut();
                let mut batch = Vec::new();
                lanes.urgent.take(&mut batch);
                lanes.bulk.take(&mut batch);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if lanes.closing {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BULK_BYTES, Outbox, Refusal};
    use shard_wire::session::{ControlMsg, ControlReader};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn take(outbox: &Outbox) -> Poll<Option<Vec<u8>>> {
        let next = pin!(outbox.next());
        next.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn heartbeats_overtake_bulk_and_bulk_is_bounded() {
        let outbox = Outbox::default();
        let chunk = |seq| ControlMsg::DiagChunk { req_id: 1, seq, last: false, bytes: vec![0; 60 << 10] };
        let mut taken = 0;
        while outbox.push(&chunk(taken)).is_ok() {
            taken += 1;
        }
        assert_eq!(outbox.push(&chunk(taken)), Err(Refusal::Full));
        assert!(taken as usize > BULK_BYTES / (61 << 10));
        let goodbye = ControlMsg::Goodbye { reason: "test".to_owned() };
        outbox.push(&goodbye).unwrap();
        outbox.close();
        let mut reader = ControlReader::default();
        let mut messages = Vec::new();
        while let Poll::Ready(Some(batch)) = take(&outbox) {
            reader.push(&batch);
            while let Some(message) = reader.next_message().unwrap() {
                messages.push(message);
            }
        }
        assert_eq!(messages.len() as u32, taken + 1);
        assert_eq!(messages[0], goodbye);
        assert_eq!(take(&outbox), Poll::Ready(None));
    }

    #[test]
    fn an_open_empty_outbox_waits() {
        assert_eq!(take(&Outbox::default()), Poll::Pending);
    }
}
