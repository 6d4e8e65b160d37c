//! One connection of the embedded registrar: messages in both directions over a control stream.

use crate::control::outbox::Outbox;
use crate::control::stream::{LinkStream, ReadHalf, WriteHalf};
use crate::registrar::{CHANNEL, RegistrarMsg};
use shard_wire::session::{ControlMsg, ControlReader};
use std::rc::Rc;
use tokio::task::{AbortHandle, spawn_local};

const READ_BYTES: usize = 8 << 10;

/// The reading end.
pub(super) struct Incoming {
    half: ReadHalf,
    reader: ControlReader,
}

/// The writing end; dropping it closes the connection once nobody reads either.
pub(super) struct Outgoing {
    outbox: Rc<Outbox>,
    writer: AbortHandle,
}

/// Splits a connection whose handshake is done. `first` is written before all else.
pub(super) fn split(stream: LinkStream, first: Vec<u8>, unread: &[u8]) -> (Incoming, Outgoing) {
    let (read_half, write_half) = stream.into_split();
    let mut reader = ControlReader::default();
    reader.push(unread);
    let outbox = Rc::new(Outbox::default());
    if !first.is_empty() {
        outbox.push_bytes(first);
    }
    let writer = spawn_local(write(write_half, Rc::clone(&outbox))).abort_handle();
    (Incoming { half: read_half, reader }, Outgoing { outbox, writer })
}

async fn write(mut half: WriteHalf, outbox: Rc<Outbox>) {
    while let Some(batch) = outbox.next().await {
        if half.write_all(&batch).await.is_err() {
            // The reading end sees it too.
            return;
        }
    }
    // The peer may have closed first.
    let _gone = half.shutdown().await;
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The peer closed, or the connection broke.
    Closed,
    /// It sent something else.
    Garbage,
}

impl Incoming {
    /// The next message. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<RegistrarMsg, Over> {
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.reader.next_message() {
                Ok(Some(ControlMsg::Service { channel: CHANNEL, bytes })) => {
                    return RegistrarMsg::decode(&bytes).map_err(|_| Over::Garbage);
                }
                Ok(Some(_)) => return Err(Over::Garbage),
                Ok(None) => {}
                Err(error) if error.is_fatal() => return Err(Over::Garbage),
                Err(_) => continue,
            }
            match self.half.read(&mut buffer).await {
                Ok(count) if count > 0 => self.reader.push(buffer.get(..count).unwrap_or_default()),
                _ => return Err(Over::Closed),
            }
        }
    }
}

impl Outgoing {
    /// Queues a message; `false` if the peer does not read.
    pub(super) fn send(&self, message: &RegistrarMsg) -> bool {
        // Records were checked when they were made, so they fit.
        let Ok(bytes) = message.encode() else { return false };
        self.outbox.push(&ControlMsg::Service { channel: CHANNEL, bytes }).is_ok()
    }

    /// Closes once everything is written.
    pub(super) fn finish(&self) {
        self.outbox.close();
    }

    /// Leaves the writer to end by itself; it does once everything is written.
    pub(super) fn detach(mut self) {
        self.finish();
        self.writer = spawn_local(async {}).abort_handle();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.writer.abort();
    }
}
