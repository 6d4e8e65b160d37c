//! The future of a call: a reference to a waiter of the shard.
//!
//! Invariant: C1 a `Call` owns its waiter from creation to drop, on the shard it was made on, where it stays.
//! Cancellation: dropping it frees the waiter; a late reply is counted and dropped. The request may still be handled.

use crate::error::CallError;
use crate::shard::Shard;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

/// The answer to come of a call. Resolves to the reply, or to why there is none.
#[must_use = "the request was sent; await the answer, or drop this to ignore it"]
pub struct Call<'c, R: Send + 'static> {
    shard: &'c Shard,
    waiter: u64,
    reply: PhantomData<fn() -> R>,
}

impl<R: Send + 'static> std::fmt::Debug for Call<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("waiter", &self.waiter).finish_non_exhaustive()
    }
}

impl<'c, R: Send + 'static> Call<'c, R> {
    #[inline(always)]
    pub(crate) fn new(shard: &'c Shard, waiter: u64) -> Self {
        Self { shard, waiter, reply: PhantomData }
    }
}

impl<R: Send + 'static> Future for Call<'_, R> {
    type Output = Result<R, CallError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let outcome = self.shard.poll_waiter::<R>(self.waiter, task);
        if outcome.is_ready() {
            // The waiter went with its answer.
            self.as_mut().get_mut().waiter = 0;
        }
        outcome
    }
}

impl<R: Send + 'static> Drop for Call<'_, R> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.waiter != 0 {
            self.shard.free_waiter::<R>(self.waiter);
        }
    }
}
