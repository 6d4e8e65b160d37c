//! A call that could not be handed on: the request and the right to answer it come back.

use crate::actor::ReplyTo;
use crate::error::{CallError, SendReason};
use shard_wire::Message;
use std::fmt;
use sync_wrapper::SyncWrapper;

type Parts<M> = SyncWrapper<(M, ReplyTo<<M as Message>::Reply>)>;

/// A call that could not be handed on, and why. [`ForwardError::into_parts`] gives request and reply back, to try elsewhere; if
/// this is dropped instead, the caller is told why.
#[non_exhaustive]
pub struct ForwardError<M: Message> {
    /// Why.
    pub reason: SendReason,
    /// Boxed, so that a result of a forward that succeeds is small.
    parts: Option<Box<Parts<M>>>,
}

impl<M: Message> ForwardError<M> {
    #[cold]
    pub(crate) fn new(reason: SendReason, request: M, reply: ReplyTo<M::Reply>) -> Self {
        Self { reason, parts: Some(Box::new(SyncWrapper::new((request, reply)))) }
    }

    /// Why, the request, and the right to answer it.
    #[must_use]
    pub fn into_parts(mut self) -> (SendReason, M, ReplyTo<M::Reply>) {
        let Some(parts) = self.parts.take() else {
            unreachable!("they are taken once, with the error itself")
        };
        let (request, reply) = parts.into_inner();
        (self.reason, request, reply)
    }
}

impl<M: Message> Drop for ForwardError<M> {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        let (request, reply) = parts.into_inner();
        if reply.is_awaited() {
            reply.refuse(CallError::Send(self.reason));
        }
        drop(request);
    }
}

impl<M: Message> fmt::Debug for ForwardError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<M: Message> fmt::Display for ForwardError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<M: Message> std::error::Error for ForwardError<M> {}
