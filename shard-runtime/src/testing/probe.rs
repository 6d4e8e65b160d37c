//! A process that keeps whatever it is sent, for a test to look at and answer.
//!
//! Invariant: P1 what a probe has received lies in a queue that its actor and the test share on one thread.

use crate::actor::{Actor, Batch, Closed, Exit, ReplyTo};
use crate::shard::Carried;
use shard_wire::{Erased, Message, Pid, Vtable};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a probe has received, in order.
pub(super) type Inbox = Rc<RefCell<VecDeque<Carried>>>;

/// A process of a [`Bed`](super::Bed) that keeps what it is sent.
#[derive(Debug)]
pub struct Probe {
    pub(super) pid: Pid,
    pub(super) received: Inbox,
}

impl Probe {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Messages it has received and the test has not taken yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received.borrow().len()
    }

    /// Whether the test has taken all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type names of what waits, oldest first: what a failed assertion prints.
    #[must_use]
    pub fn waiting(&self) -> Vec<&'static str> {
        self.received.borrow().iter().map(|carried| carried.message.vtable().type_name()).collect()
    }
}

/// One message that a probe has received.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// Who sent it.
    pub from: Pid,
}

/// The actor behind a probe.
pub(super) struct Recorder(pub(super) Inbox);

impl Actor for Recorder {
    const BEHAVIOR: &'static str = "testing.Probe";
    const TYPES: &'static [&'static Vtable] = &[];
    const HAS_INIT: bool = false;
    const HAS_TERMINATE: bool = false;

    fn dispatch(mut batch: Batch<'_, Self>) -> Closed<'_> {
        while let Some(envelope) = batch.next() {
            let envelope = batch.bare(envelope);
            let carried = batch.carry(envelope);
            batch.body().0.borrow_mut().push_back(carried);
        }
        batch.close(Exit::Continue)
    }

    fn init(batch: Batch<'_, Self>) -> Closed<'_> {
        batch.close(Exit::Continue)
    }

    fn terminate(batch: Batch<'_, Self>) -> Closed<'_> {
        batch.close(Exit::Continue)
    }
}

/// The oldest message, which must be an `M`.
pub(super) fn take<M: Message>(probe: &Probe) -> Result<(M, Carried), String> {
    let mut received = probe.received.borrow_mut();
    let Some(first) = received.front() else {
        return Err(format!("expected a {}, but nothing was received", std::any::type_name::<M>()));
    };
    if !first.message.is::<M>() {
        let found = first.message.vtable().type_name();
        return Err(format!("expected a {}, but received a {found}", std::any::type_name::<M>()));
    }
    let Some(Carried { from, flags, reply, message }) = received.pop_front() else {
        return Err("the queue of a probe changed while it was looked at".to_owned());
    };
    let rest = Carried { from, flags, reply, message: Erased::new(Taken) };
    match message.downcast::<M>() {
        Ok(message) => Ok((message, rest)),
        Err(_) => Err("a message changed its type".to_owned()),
    }
}

/// Stands where a message was taken out.
struct Taken;

impl Message for Taken {
    type Reply = ();
    const TABLE: &'static shard_wire::Table<Self> = {
        static TABLE: shard_wire::Table<Taken> = shard_wire::Table::local();
        &TABLE
    };
}

/// The right to answer a call that a probe has received.
pub(super) fn reply_of<M: Message>(shard: &crate::shard::Shard, carried: &Carried) -> ReplyTo<M::Reply> {
    let is_call = carried.flags & crate::mailbox::Meta::CALL != 0;
    let waiter = if is_call { carried.reply } else { 0 };
    ReplyTo::new(shard, waiter, shard_wire::vtable::<M>())
}
