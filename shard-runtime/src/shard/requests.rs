//! Requests that do not suspend their sender: the answer comes as a message. And sends that learn what became of them.

use crate::actor::{Call, Request, Response, Route};
use crate::error::{CallError, SendError, SendReason};
use crate::mailbox::Meta;
use crate::shard::waiter::{Callback, Sink, State};
use crate::shard::{Outcome, Parcel, Shard, with_current};
use shard_wire::{Message, Pid};

/// What became of an important send, on its way back. A refused message that its sender does not take is a dead letter.
pub(crate) struct Learned<M>(Option<Result<(), SendError<M>>>);

impl<M> Learned<M> {
    /// What became of it; counted where it is heard.
    pub(crate) fn take(mut self, shard: &Shard) -> Result<(), SendError<M>> {
        let sent = self.0.take().unwrap_or(Ok(()));
        match &sent {
            Ok(()) => shard.count_sent(),
            Err(_) => shard.count_send_error(Meta::MAIN, false),
        }
        sent
    }
}

impl<M> Drop for Learned<M> {
    fn drop(&mut self) {
        if let Some(Err(_)) = self.0 {
            with_current(|current| {
                if let Some(shard) = current {
                    shard.count(|cells| &cells.dead_letters, 1);
                }
            });
        }
    }
}

impl Shard {
    /// Sends a request whose answer arrives as a [`Response`] at the current process, in the queue of its priority.
    pub(crate) fn request<M: Message>(
        &self,
        to: Route<'_>,
        request: M,
        label: u64,
        queue: u64,
        timeout: u64,
    ) -> Result<Request, SendError<M>> {
        let reference = self.wait_for_reply(timeout);
        let Some(waiter) = self.waiters.find(reference) else {
            return Err(SendError::new(SendReason::Overloaded, request));
        };
        let owner = self.current_id.get();
        let trace = self.trace().map(Box::new);
        let callback = Box::new(move |shard: &Self, outcome: Outcome| {
            let result = match outcome {
                Outcome::Reply(payload) => Ok(Parcel::reply_of::<M>(payload)),
                Outcome::Failed(error) => Err(error),
                Outcome::Due => Err(CallError::Timeout),
            };
            match shard.live_record(owner) {
                Some(record) => {
                    let response = Response::<M> { request: Request(reference), label, result };
                    match trace {
                        None => shard.post_system(record, queue, response),
                        Some(trace) => shard.post_traced(record, queue, *trace, response),
                    }
                }
                None => {
                    if result.is_ok() {
                        shard.count(|cells| &cells.late_replies, 1);
                    }
                    drop(result);
                }
            }
        });
        waiter.set_extra(|extra| extra.sink = Some(Sink::Callback(callback)));
        self.deliver_route(to, request, Meta::CALL | queue, reference)
            .inspect_err(|_| self.drop_waiter(reference))?;
        Ok(Request(reference))
    }

    /// Gives a request up: its answer will not come. `false` if it has come, or there is no such request.
    pub(crate) fn cancel_request(&self, request: Request) -> bool {
        let waits = self.waiters.find(request.0).is_some_and(|waiter| {
            waiter.state.get() == State::Waiting
                && !waiter.is_timer.get()
                && waiter.owner.get() == self.current_id.get() as u32
        });
        if waits {
            self.drop_waiter(request.0);
        }
        waits
    }

    /// Frees a waiter that has no reply yet.
    pub(super) fn drop_waiter(&self, reference: u64) {
        let Some(waiter) = self.waiters.find(reference) else { return };
        self.disarm(waiter);
        let extra = waiter.take_extra();
        self.waiters.free(reference);
        // What the callback holds may be the user's.
        self.contain(|| drop(extra));
    }

    /// A wait of the runtime's own; `None` if there are too many.
    pub(crate) fn own_waiter(&self, timeout: u64) -> Option<u64> {
        let waiter = self.own_wait(timeout);
        self.waiters.find(waiter).is_some().then_some(waiter)
    }

    /// The same for a function, which comes back if there are too many.
    pub(crate) fn own_callback(&self, timeout: u64, callback: Callback) -> Result<u64, Callback> {
        let reference = self.own_wait(timeout);
        let Some(waiter) = self.waiters.find(reference) else { return Err(callback) };
        waiter.set_extra(|extra| extra.sink = Some(Sink::Callback(callback)));
        Ok(reference)
    }

    /// Sends to a process of another shard of this node and tells whether it reached its mailbox. The message comes back if
    /// it did not.
    pub(crate) fn send_and_learn<M: Message>(
        &self,
        to: Pid,
        message: M,
        queue: u64,
        timeout: u64,
    ) -> Result<Call<'_, Learned<M>>, SendError<M>> {
        let Some(waiter) = self.own_waiter(timeout) else {
            self.count_send_error(queue, false);
            return Err(SendError::new(SendReason::Overloaded, message));
        };
        let (sender, trace) = (self.current_id.get(), self.trace());
        self.tell(to.local.shard(), move |shard| {
            let send = || shard.speaking_as(sender, || shard.deliver(to, message, queue, 0));
            let sent = shard.with_trace(trace, || shard.quietly(send));
            shard.answer_own(waiter, Learned(Some(sent)));
        });
        Ok(Call::new(self, waiter))
    }
}
