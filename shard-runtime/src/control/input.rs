//! What reaches the control thread's loop: from its own tasks, from shards and from threads outside.
//!
//! Three queues. Inputs of tasks are bounded: a link that talks faster than the loop listens is read more slowly.
//! Requests of shards are not bounded by the queue but by what they are (Q1 in `link::request`): a shard asks once per
//! slot, name, link and session, never per message. Orders of threads outside are bounded; a full queue is `Overloaded`.

use crate::control::diag::DiagOrder;
use crate::control::event::NodeEvent;
use crate::control::shake::{Failed, Waiting};
use crate::control::stream::LinkStream;
use crate::error::{DiagCallError, RegistrarError};
use crate::link::{ControlSink, Request};
use shard_wire::NodeName;
use shard_wire::handshake::Established;
use shard_wire::session::{ControlMsg, LinkId};
use std::sync::mpsc::SyncSender;
use tokio::sync::{mpsc, oneshot};

/// Inputs of tasks that may wait.
pub(super) const INPUT_QUEUE: usize = 1024;
/// Orders of threads outside that may wait.
pub(super) const ORDER_QUEUE: usize = 4096;

pub(super) type Inputs = mpsc::Sender<Input>;

/// A dialer that has proven itself, with its place among the handshakes.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) waiting: Waiting,
    pub(super) _place: crate::control::admission::Place,
}

/// Something a task of the control thread has to say.
#[derive(Debug)]
pub(super) enum Input {
    /// A dialer has proven itself.
    Authenticated(Box<Authenticated>),
    /// A dial has ended.
    Dialled { link: LinkId, outcome: Result<(LinkStream, Box<Established>), Failed> },
    /// Bytes came in on a control link, and with them these messages.
    Heard { link: LinkId, at_ns: u64, messages: Vec<ControlMsg> },
    /// A control link has ended.
    Lost { link: LinkId, why: &'static str },
    /// The agent has answered a peer's question, or has not.
    Answered { peer: NodeName, session: u64, request: u64, answer: Result<Vec<u8>, DiagCallError> },
}

/// Something a thread outside wants.
#[derive(Debug)]
pub(crate) enum Order {
    /// Tell this receiver about sessions, starting with those that stand.
    Subscribe(SyncSender<NodeEvent>),
    /// Something about diagnostics.
    Diag(DiagOrder),
}

/// The steps of a node's life.
#[derive(Debug)]
pub(crate) enum Step {
    /// The shards are up: accept, register, and say how that went.
    Open(SyncSender<Result<(), RegistrarError>>),
    /// Tell all peers, now and later, that this node takes nothing new.
    Leave,
    /// Deregister, say goodbye to all peers, flush, then answer. `true`: all that was accepted is answered.
    Goodbye(SyncSender<()>, bool),
    /// The shards have ended: end.
    End,
}

/// The way from shards to the control thread.
#[derive(Debug)]
pub(crate) struct Sink(pub(crate) mpsc::UnboundedSender<Request>);

impl ControlSink for Sink {
    fn request(&self, request: Request) -> bool {
        self.0.send(request).is_ok()
    }
}

/// Where an answer to a diagnostics call goes.
pub(super) type DiagAnswer = oneshot::Sender<Result<Vec<u8>, DiagCallError>>;
