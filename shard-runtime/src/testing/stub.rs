//! A process that answers calls of one type with a function of the test's, or fails to when told to.

use crate::actor::{Actor, Batch, Closed, Context, Exit, ReplyTo};
use crate::error::{ActorResult, CallError};
use shard_wire::{Message, Pid, Vtable, vtable};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::Rc;

/// A process of a [`Bed`](super::Bed) that answers each `M`.
#[derive(Debug)]
pub struct Stub<M: Message> {
    pub(super) pid: Pid,
    pub(super) plan: Rc<Plan<M>>,
}

/// What becomes of a request, if it is not answered.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answer,
    Refuse(CallError),
    Silence,
}

/// What the test and the actor share.
pub(super) struct Plan<M: Message> {
    asked: Cell<usize>,
    fates: RefCell<VecDeque<Fate>>,
    /// What is never answered: a right that is dropped would be an answer.
    unanswered: RefCell<Vec<ReplyTo<M::Reply>>>,
    of: PhantomData<fn(M)>,
}

impl<M: Message> std::fmt::Debug for Plan<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl<M: Message> Default for Plan<M> {
    fn default() -> Self {
        let (asked, fates, unanswered) = (Cell::new(0), RefCell::default(), RefCell::default());
        Self { asked, fates, unanswered, of: PhantomData }
    }
}

impl<M: Message> Stub<M> {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Requests it has got, answered or not.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.plan.asked.get()
    }

    /// Answers the next requests as usual: what is planned next is for those after them.
    pub fn answer_next(&self, times: usize) -> &Self {
        self.next(times, Fate::Answer)
    }

    /// Answers the next requests, after those that something is planned for already, with an error.
    pub fn fail_next(&self, times: usize, error: CallError) -> &Self {
        self.next(times, Fate::Refuse(error))
    }

    /// Never answers the next requests, after those that something is planned for already: their callers' time runs out.
    pub fn ignore_next(&self, times: usize) -> &Self {
        self.next(times, Fate::Silence)
    }

    fn next(&self, times: usize, fate: Fate) -> &Self {
        self.plan.fates.borrow_mut().extend(std::iter::repeat_n(fate, times));
        self
    }
}

/// The actor behind a stub.
pub(super) struct Answering<M: Message, F> {
    pub(super) plan: Rc<Plan<M>>,
    pub(super) answer: F,
}

impl<M: Message, F: FnMut(M) -> M::Reply> Answering<M, F> {
    #[expect(clippy::unnecessary_wraps, reason = "the form of a handler")]
    fn handle(&mut self, request: M, reply: ReplyTo<M::Reply>, _: &mut Context<'_>) -> ActorResult {
        self.plan.asked.set(self.plan.asked.get() + 1);
        let fate = self.plan.fates.borrow_mut().pop_front();
        match fate.unwrap_or(Fate::Answer) {
            Fate::Answer => reply.send((self.answer)(request)),
            Fate::Refuse(error) => reply.refuse(error),
            Fate::Silence => self.plan.unanswered.borrow_mut().push(reply),
        }
        Ok(())
    }
}

impl<M: Message, F: FnMut(M) -> M::Reply + 'static> Actor for Answering<M, F> {
    const BEHAVIOR: &'static str = "testing.Stub";
    const TYPES: &'static [&'static Vtable] = &[vtable::<M>()];
    const HAS_INIT: bool = false;
    const HAS_TERMINATE: bool = false;

    fn dispatch(mut batch: Batch<'_, Self>) -> Closed<'_> {
        while let Some(envelope) = batch.next() {
            let envelope = batch.bare(envelope);
            let own =
                if envelope.is::<M>() { Some(envelope) } else { batch.unmatched(envelope, Self::TYPES) };
            if let Some(envelope) = own
                && let Some(exit) = batch.deferred::<M>(envelope, Self::handle)
            {
                return batch.close(exit);
            }
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
