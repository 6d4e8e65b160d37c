//! The right to answer one call, once.
//!
//! Invariant: T1 a `ReplyTo` answers exactly once: by `send`, by `refuse`, or by its drop, which answers `NoReply`.
//! Threads: it may leave its shard; an answer from elsewhere is handed to the home shard.

use crate::actor::Exit;
use crate::error::{ActorError, CallError};
use crate::shard::{Home, Shard, with_current};
use shard_wire::Vtable;
use std::marker::PhantomData;

/// The right to answer one call. Dropping it answers [`CallError::NoReply`].
///
/// For a message that was sent, not called, it answers nobody.
pub struct ReplyTo<R: Send + 'static> {
    waiter: u64,
    vtable: &'static Vtable,
    home: Home,
    reply: PhantomData<fn(R)>,
}

impl<R: Send + 'static> std::fmt::Debug for ReplyTo<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyTo").field("waiter", &self.waiter).finish_non_exhaustive()
    }
}

impl<R: Send + 'static> ReplyTo<R> {
    #[inline(always)]
    pub(crate) fn new(shard: &Shard, waiter: u64, vtable: &'static Vtable) -> Self {
        Self { waiter, vtable, home: shard.home(), reply: PhantomData }
    }

    /// Whether somebody waits for the answer.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.waiter != 0
    }

    /// Answers.
    #[inline(always)]
    pub fn send(mut self, value: R) {
        let waiter = std::mem::take(&mut self.waiter);
        if waiter == 0 {
            return;
        }
        let vtable = self.vtable;
        with_current(|current| match current {
            Some(shard) if shard.home() == self.home => shard.answer::<R>(waiter, vtable, value),
            _ => self.home.post(move |shard| shard.answer::<R>(waiter, vtable, value)),
        });
    }

    /// Answers with an error.
    pub fn refuse(mut self, error: CallError) {
        self.refuse_now(error);
    }

    #[cold]
    fn refuse_now(&mut self, error: CallError) {
        let waiter = std::mem::take(&mut self.waiter);
        with_current(|current| match current {
            Some(shard) if shard.home() == self.home => shard.refuse(waiter, error),
            _ => self.home.post(move |shard| shard.refuse(waiter, error)),
        });
    }

    /// Lends the right to somebody who answers if nothing goes wrong: returns the waiter, and answers nobody meanwhile.
    #[inline(always)]
    pub(crate) fn lend(&mut self) -> u64 {
        std::mem::take(&mut self.waiter)
    }

    /// Takes back what was lent.
    pub(crate) fn give_back(&mut self, waiter: u64) {
        self.waiter = waiter;
    }

    /// Whether it was made on this shard, where its waiter is known.
    pub(crate) fn is_of(&self, shard: &Shard) -> bool {
        shard.home() == self.home
    }

    /// Answers with what a handler returned.
    #[inline(always)]
    pub(crate) fn finish(mut self, shard: &Shard, result: Result<R, ActorError>) -> Exit {
        let waiter = std::mem::take(&mut self.waiter);
        match result {
            Ok(value) => {
                if waiter != 0 {
                    shard.answer::<R>(waiter, self.vtable, value);
                }
                Exit::Continue
            }
            Err(error) => {
                shard.stop_with(error, waiter);
                Exit::Stop
            }
        }
    }
}

impl<R: Send + 'static> Drop for ReplyTo<R> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.waiter != 0 {
            self.refuse_now(with_current(|current| current.map_or(CallError::NoReply, Shard::refusal)));
        }
    }
}
