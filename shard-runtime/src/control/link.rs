//! One control link: a task that reads, a task that writes, and the queue between the loop and the writer.
//!
//! Invariants: L1 the reader stops at the first fatal byte. L2 a link that is closed with `flush` is written out for at
//! most [`FLUSH_LIMIT`], without reading any more. L3 dropping a [`ControlLink`] ends both tasks.

use crate::control::input::{Input, Inputs};
use crate::control::outbox::Outbox;
use crate::control::shake::Shaker;
use crate::control::stream::{LinkStream, ReadHalf, WriteHalf};
use shard_wire::session::{ControlReader, LinkId};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinHandle, spawn_local};

/// How long a closed link is written out.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 64 << 10;

/// A control link that stands.
#[derive(Debug)]
pub(super) struct ControlLink {
    pub(super) outbox: Rc<Outbox>,
    /// Dialled by this node.
    pub(super) by_us: bool,
    pub(super) is_tls: bool,
    reader: AbortHandle,
    writer: JoinHandle<()>,
}

impl ControlLink {
    /// Starts the tasks of a link. `first` is written before all else; `unread` was received behind the handshake.
    pub(super) fn start(
        link: LinkId,
        stream: LinkStream,
        by_us: bool,
        first: Vec<u8>,
        unread: Vec<u8>,
        shaker: &Rc<Shaker>,
        inputs: &Inputs,
    ) -> Self {
        let outbox = Rc::new(Outbox::default());
        if !first.is_empty() {
            outbox.push_bytes(first);
        }
        let is_tls = stream.is_tls();
        let (read_half, write_half) = stream.into_split();
        let reader = spawn_local(read(link, read_half, unread, Rc::clone(shaker), inputs.clone()));
        let writer = spawn_local(write(link, write_half, Rc::clone(&outbox), inputs.clone()));
        Self { outbox, by_us, is_tls, reader: reader.abort_handle(), writer }
    }

    /// Ends the link. With `flush` the returned task ends once everything is written, or the limit is over.
    pub(super) fn close(mut self, flush: bool) -> Option<JoinHandle<()>> {
        self.reader.abort();
        if !flush {
            return None;
        }
        self.outbox.close();
        let mut writer = std::mem::replace(&mut self.writer, spawn_local(async {}));
        Some(spawn_local(async move {
            if tokio::time::timeout(FLUSH_LIMIT, &mut writer).await.is_err() {
                writer.abort();
            }
        }))
    }
}

impl Drop for ControlLink {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

async fn read(link: LinkId, mut half: ReadHalf, unread: Vec<u8>, shaker: Rc<Shaker>, inputs: Inputs) {
    let mut reader = ControlReader::default();
    let mut buffer = vec![0; READ_BYTES];
    reader.push(&unread);
    let why = loop {
        let mut messages = Vec::new();
        let broken = loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break false,
                Err(error) if error.is_fatal() => break true,
                Err(_) => {}
            }
        };
        if inputs.send(Input::Heard { link, at_ns: shaker.now_ns(), messages }).await.is_err() {
            return;
        }
        if broken {
            break "the peer broke the control protocol";
        }
        match half.read(&mut buffer).await {
            Ok(0) => break "the peer closed the connection",
            Ok(count) => reader.push(buffer.get(..count).unwrap_or_default()),
            Err(_) => break "the connection failed",
        }
    };
    // The loop ends with its tasks.
    let _ended = inputs.send(Input::Lost { link, why }).await;
}

async fn write(link: LinkId, mut half: WriteHalf, outbox: Rc<Outbox>, inputs: Inputs) {
    while let Some(batch) = outbox.next().await {
        if half.write_all(&batch).await.is_err() {
            let _ended = inputs.send(Input::Lost { link, why: "the connection failed" }).await;
            return;
        }
    }
    // The peer may have closed first.
    let _gone = half.shutdown().await;
}
