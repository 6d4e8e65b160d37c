//! The messages of one activation, as the dispatch function that `#[actor]` emits sees them.
//!
//! Owns: the loop state of a batch, which lives in registers: no field is behind a reference and nothing has `Drop`.
//! Invariants: B1 envelopes that were handed out stay in place and readable until `close`, which settles accounts and gives
//! them back at once; after a panic [`Shard`] settles from the envelope in hand. B2 an [`Envelope`] is handed out once and
//! consumed by the method that takes its payload; its lifetime is its batch's and invariant, so it fits no other batch.
//! B3 only `close` makes a [`Closed`], so a dispatch function cannot end without settling.
//! Cost: one indirect call and one clock read per activation; per message a link, a type word, a stamp and the payload.
#![expect(unsafe_code, reason = "message hand-over; proven by order_holds_within_and_across_shards")]

use crate::actor::live::Slot;
use crate::actor::{Actor, Context, ReplyTo};
use crate::error::{ActorError, ActorResult, ExitReason};
use crate::mailbox::{EnvelopePtr, Meta};
use crate::process::{INSTRUMENTS, Record};
use crate::shard::{Carried, Reached, Shard, Traced};
use shard_wire::{Erased, Message, Payload, Vtable, vtable};
use std::marker::PhantomData;
use std::task::{Context as TaskContext, Poll, Waker};

/// How an activation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Exit {
    /// The process goes on.
    Continue,
    /// A handler waits; its future is kept.
    Suspended,
    /// The process ends; the shard holds the reason.
    Stop,
}

type Brand<'s> = PhantomData<fn(&'s ()) -> &'s ()>;

/// Proof that a batch was closed.
#[derive(Debug)]
#[must_use]
pub struct Closed<'s>(Exit, Brand<'s>);

impl Closed<'_> {
    #[inline(always)]
    pub(crate) fn exit(self) -> Exit {
        self.0
    }
}

/// The messages one activation may handle.
pub struct Batch<'s, A: Actor> {
    shard: &'s Shard,
    record: &'s Record,
    previous: EnvelopePtr,
    handled: u64,
    /// Sum of the handled messages' `meta` words: their stamps, shifted, plus flags.
    stamps: u64,
    brand: Brand<'s>,
    actor: PhantomData<fn(A)>,
}

/// The message in hand.
pub struct Envelope<'s>(EnvelopePtr, Brand<'s>);

impl std::fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Envelope").field(&self.0.vtable().type_name()).finish()
    }
}

impl<A: Actor> std::fmt::Debug for Batch<'_, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("handled", &self.handled).finish_non_exhaustive()
    }
}

impl Envelope<'_> {
    /// Whether it is an `M`: two addresses are compared.
    #[inline(always)]
    #[must_use]
    pub fn is<M: Message>(&self) -> bool {
        std::ptr::eq(self.0.vtable(), vtable::<M>())
    }
}

impl<'s, A: Actor> Batch<'s, A> {
    /// # Safety
    /// The record's body is a live `A` that no suspended handler borrows, and it is the shard's current process; the
    /// shard's intake was set for this activation.
    #[inline(always)]
    pub(crate) unsafe fn new(shard: &'s Shard, record: &'s Record) -> Self {
        let previous = shard.intake();
        Self { shard, record, previous, handled: 0, stamps: 0, brand: PhantomData, actor: PhantomData }
    }

    /// The next message, until the budget, the messages present at the start, or an urgent message end the batch.
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: the item must go back into this batch"
    )]
    #[inline(always)]
    pub fn next(&mut self) -> Option<Envelope<'s>> {
        if self.handled >= self.shard.limit() {
            return None;
        }
        Some(self.step(self.previous.next()))
    }

    #[inline(always)]
    fn step(&mut self, envelope: EnvelopePtr) -> Envelope<'s> {
        self.previous = envelope;
        self.handled += 1;
        self.shard.set_in_hand(envelope);
        Envelope(envelope, PhantomData)
    }

    /// The next message and its waiter if it is an `M` too: a run of one type stays inside its arm.
    #[inline(always)]
    fn same<M: Message>(&mut self) -> Option<(M, u64)> {
        if self.handled >= self.shard.limit() {
            return None;
        }
        let next = self.previous.next();
        if !std::ptr::eq(next.vtable(), vtable::<M>()) {
            return None;
        }
        let envelope = self.step(next);
        // SAFETY: the type was just tested, and `step` made it the latest.
        Some(unsafe { self.take_known(envelope) })
    }

    #[inline(always)]
    fn actor<'x>(&self) -> &'x mut A {
        // SAFETY: `new`: the body is a live `A`; the batch hands it to one handler at a time, and a handler that keeps it
        // ends the batch (L2).
        unsafe { &mut *self.record.body.get().cast::<A>() }
    }

    #[inline(always)]
    fn context<'x>(&self) -> Context<'x> {
        let shard: *const Shard = self.shard;
        // SAFETY: the shard outlives every handler future, which it drops before itself.
        Context::new(unsafe { &*shard })
    }

    #[inline(always)]
    fn take<M: Message>(&mut self, envelope: Envelope<'s>) -> (M, u64) {
        assert!(envelope.is::<M>(), "an arm takes only its own message type");
        // Folds away in emitted code; keeps hand-written code from taking a message after a handler was suspended.
        assert!(envelope.0 == self.previous, "only the latest message of a batch can be taken");
        // SAFETY: both were just tested.
        unsafe { self.take_known(envelope) }
    }

    /// # Safety
    /// The envelope holds an `M` and is the latest of this batch.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an envelope is consumed by the arm that takes its message (B2)"
    )]
    #[inline(always)]
    unsafe fn take_known<M: Message>(&mut self, envelope: Envelope<'s>) -> (M, u64) {
        let envelope = envelope.0;
        let meta = envelope.meta();
        if INSTRUMENTS {
            self.stamps = self.stamps.wrapping_add(meta);
        }
        // SAFETY: E3 and the caller's promise; B2: taken once.
        let message = unsafe { Payload::read::<M>(envelope.payload()) };
        let waiter = if meta & Meta::CALL == 0 { 0 } else { envelope.reply() };
        (message, waiter)
    }

    #[inline(always)]
    fn end<M: Message>(&self, waiter: u64, result: Result<M::Reply, ActorError>) -> Option<Exit> {
        match result {
            Ok(value) => {
                if waiter != 0 {
                    self.shard.answer::<M::Reply>(waiter, vtable::<M>(), value);
                }
                None
            }
            Err(error) => {
                self.shard.stop_with(error, waiter);
                Some(Exit::Stop)
            }
        }
    }

    /// Arm of a plain `fn` handler.
    #[inline(always)]
    pub fn plain<M: Message>(
        &mut self,
        envelope: Envelope<'s>,
        handler: impl Fn(&mut A, M, &mut Context<'_>) -> Result<M::Reply, ActorError>,
    ) -> Option<Exit> {
        let (mut message, mut waiter) = self.take::<M>(envelope);
        loop {
            let result = handler(self.actor(), message, &mut self.context());
            if let Some(exit) = self.end::<M>(waiter, result) {
                return Some(exit);
            }
            (message, waiter) = self.same::<M>()?;
        }
    }

    /// Arm of an `async fn` handler without an `await`: polled once on the stack, where nothing of it is left.
    #[expect(clippy::needless_pass_by_value, reason = "handlers are paths: zero-sized, and named only here")]
    #[inline(always)]
    pub fn ready<M: Message>(
        &mut self,
        envelope: Envelope<'s>,
        handler: impl AsyncFn(&mut A, M, &mut Context<'_>) -> Result<M::Reply, ActorError>,
    ) -> Option<Exit> {
        let (mut message, mut waiter) = self.take::<M>(envelope);
        loop {
            let mut context = self.context();
            let future = std::pin::pin!(handler(self.actor(), message, &mut context));
            match future.poll(&mut TaskContext::from_waker(Waker::noop())) {
                Poll::Ready(result) => {
                    if let Some(exit) = self.end::<M>(waiter, result) {
                        return Some(exit);
                    }
                }
                Poll::Pending => never(),
            }
            (message, waiter) = self.same::<M>()?;
        }
    }

    /// Arm of an `async fn` handler that may suspend.
    #[inline(always)]
    pub fn run<M: Message>(
        &mut self,
        envelope: Envelope<'s>,
        handler: impl AsyncFnOnce(&mut A, M, &mut Context<'_>) -> Result<M::Reply, ActorError> + Copy + 'static,
    ) -> Option<Exit> {
        let (mut message, mut waiter) = self.take::<M>(envelope);
        loop {
            let actor = self.actor();
            let exit = if waiter == 0 {
                // Nobody waits: there is no reply to be dropped.
                self.begin(
                    move |context| handler(actor, message, context),
                    |shard, result| shard.exit_of(result.map(drop)),
                )
            } else {
                let reply = ReplyTo::<M::Reply>::new(self.shard, waiter, vtable::<M>());
                self.begin(
                    move |context| handler(actor, message, context),
                    move |shard, result| reply.finish(shard, result),
                )
            };
            if exit.is_some() {
                return exit;
            }
            (message, waiter) = self.same::<M>()?;
        }
    }

    /// Arm of a handler that takes its `ReplyTo`.
    #[inline(always)]
    pub fn deferred<M: Message>(
        &mut self,
        envelope: Envelope<'s>,
        handler: impl FnOnce(&mut A, M, ReplyTo<M::Reply>, &mut Context<'_>) -> ActorResult,
    ) -> Option<Exit> {
        let (message, waiter) = self.take::<M>(envelope);
        let reply = ReplyTo::new(self.shard, waiter, vtable::<M>());
        match handler(self.actor(), message, reply, &mut self.context()) {
            Ok(()) => None,
            Err(error) => {
                self.shard.stop_with(error, 0);
                Some(Exit::Stop)
            }
        }
    }

    /// Arm of an `async` handler that takes its `ReplyTo`.
    #[inline(always)]
    pub fn deferred_run<M: Message>(
        &mut self,
        envelope: Envelope<'s>,
        handler: impl AsyncFnOnce(&mut A, M, ReplyTo<M::Reply>, &mut Context<'_>) -> ActorResult + 'static,
    ) -> Option<Exit> {
        let (message, waiter) = self.take::<M>(envelope);
        let actor = self.actor();
        let reply = ReplyTo::new(self.shard, waiter, vtable::<M>());
        self.begin(move |context| handler(actor, message, reply, context), Shard::exit_of)
    }

    /// Runs an `async` `init`.
    #[inline(always)]
    pub fn hook(
        mut self,
        init: impl AsyncFnOnce(&mut A, &mut Context<'_>) -> ActorResult + 'static,
    ) -> Closed<'s> {
        let actor = self.actor();
        let exit = self.begin(move |context| init(actor, context), Shard::exit_of);
        self.close(exit.unwrap_or(Exit::Continue))
    }

    /// Runs a plain `init`.
    #[inline(always)]
    pub fn hook_plain(self, init: impl FnOnce(&mut A, &mut Context<'_>) -> ActorResult) -> Closed<'s> {
        let exit = self.shard.exit_of(init(self.actor(), &mut self.context()));
        self.close(exit)
    }

    /// Runs an `async` `terminate`. It is polled once: what it awaits is not waited for.
    #[inline(always)]
    pub fn hook_terminate(
        mut self,
        terminate: impl AsyncFnOnce(&mut A, &ExitReason, &mut Context<'_>) + 'static,
    ) -> Closed<'s> {
        let actor = self.actor();
        let exit = self.begin(
            move |context| async move {
                let reason = context.shard().ending_reason();
                terminate(actor, &reason, context).await;
            },
            |_, ()| Exit::Continue,
        );
        self.close(exit.unwrap_or(Exit::Continue))
    }

    /// Runs a plain `terminate`.
    #[inline(always)]
    pub fn hook_terminate_plain(
        self,
        terminate: impl FnOnce(&mut A, &ExitReason, &mut Context<'_>),
    ) -> Closed<'s> {
        terminate(self.actor(), &self.shard.ending_reason(), &mut self.context());
        self.close(Exit::Continue)
    }

    /// Polls a future once in a slot of the pool, and keeps it there if it is not done.
    #[inline(always)]
    fn begin<F: Future>(
        &mut self,
        make: impl FnOnce(&'s mut Context<'s>) -> F,
        done: impl FnOnce(&'s Shard, F::Output) -> Exit,
    ) -> Option<Exit> {
        let mut slot = Slot::fill(self.shard.futures(), self.context(), make, done);
        let waker = self.shard.waker_of(self.record);
        match slot.poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(Exit::Continue) => None,
            Poll::Ready(exit) => Some(exit),
            Poll::Pending => {
                self.record.live.set(slot.keep(self.shard.sender()));
                // The actor is borrowed from here on: this batch hands out nothing more.
                self.shard.end_batch();
                Some(Exit::Suspended)
            }
        }
    }

    /// Suspends the process for work of its own: until that is done, no further message is handed out.
    pub(crate) fn suspend(
        &mut self,
        work: impl AsyncFnOnce(&mut A, &mut Context<'_>) -> ActorResult + 'static,
    ) -> Option<Exit> {
        let actor = self.actor();
        self.begin(move |context| work(actor, context), Shard::exit_of)
    }

    /// Takes a message out of its envelope to hand it on; whoever gets it sees its sender, and answers its caller.
    #[expect(clippy::needless_pass_by_value, reason = "an envelope is consumed (B2)")]
    pub(crate) fn carry(&mut self, envelope: Envelope<'s>) -> Carried {
        let envelope = envelope.0;
        assert!(envelope == self.previous, "only the latest message of a batch can be taken");
        self.stamps = self.stamps.wrapping_add(envelope.meta());
        // SAFETY: E3: a filled envelope holds a live payload; B2: taken once.
        let payload = unsafe { envelope.payload().read() };
        // SAFETY: E3: the payload is of the type that the envelope's table describes.
        let message = unsafe { Erased::from_parts(envelope.vtable(), payload) };
        self.shard.carry(envelope, message)
    }

    /// The shard.
    pub(crate) fn shard(&self) -> &'s Shard {
        self.shard
    }

    /// The actor, for a dispatch function written inside this crate, which keeps it no longer than one message.
    pub(crate) fn body(&mut self) -> &mut A {
        self.actor()
    }

    /// Takes a message of a trace out of its wrapping; any other is what it was.
    pub(crate) fn bare(&mut self, envelope: Envelope<'s>) -> Envelope<'s> {
        if envelope.is::<Traced>() {
            assert!(envelope.0 == self.previous, "only the latest message of a batch can be taken");
            // SAFETY: E3 and the type test; what is taken out is replaced at once by what it held.
            let traced = unsafe { Payload::read::<Traced>(envelope.0.payload()) };
            self.shard.unwrap_traced(self.record, envelope.0, traced);
        }
        envelope
    }

    /// No arm matched by address: unwraps a message of a trace, or one with the address it was sent by, compares type ids, makes a
    /// message a view or a view its message where that is what an arm takes, else counts the message as unhandled and answers
    /// its caller.
    #[cold]
    #[inline(never)]
    pub fn unmatched(&mut self, envelope: Envelope<'s>, types: &[&'static Vtable]) -> Option<Envelope<'s>> {
        if envelope.is::<Traced>() {
            return Some(self.bare(envelope));
        }
        if envelope.is::<Reached>() {
            return self.addressed(envelope, types);
        }
        let vtable = envelope.0.vtable();
        for own in types {
            if own.type_id() == vtable.type_id() && !std::ptr::eq(*own, vtable) {
                envelope.0.set_vtable(own);
                return Some(envelope);
            }
        }
        if self.shard.to_form_of(envelope.0, types) {
            return Some(envelope);
        }
        self.stamps = self.stamps.wrapping_add(envelope.0.meta());
        self.shard.unhandled(self.record, envelope.0);
        None
    }

    /// Makes a message with the address it was sent by what an arm takes; `None`: none takes it.
    fn addressed(&mut self, envelope: Envelope<'s>, types: &[&'static Vtable]) -> Option<Envelope<'s>> {
        assert!(envelope.0 == self.previous, "only the latest message of a batch can be taken");
        let meta = envelope.0.meta();
        // SAFETY: E3 and the caller's type test; what is taken out is replaced at once.
        let reached = unsafe { Payload::read::<Reached>(envelope.0.payload()) };
        if self.shard.open_reached(self.record, envelope.0, reached, types) {
            return Some(envelope);
        }
        self.stamps = self.stamps.wrapping_add(meta);
        None
    }

    /// Ends the batch: accounts are written once, envelopes go back once.
    #[inline(always)]
    pub fn close(self, exit: Exit) -> Closed<'s> {
        if self.handled > 0 {
            self.shard.settle(self.record, self.handled, self.previous, self.stamps);
        }
        // What is kept decides, not what the caller says.
        let exit = match (exit, self.record.live.get().is_null()) {
            (Exit::Suspended, true) => Exit::Continue,
            (Exit::Continue, false) => Exit::Suspended,
            (exit, _) => exit,
        };
        Closed(exit, PhantomData)
    }
}

#[cold]
#[inline(never)]
fn never() -> ! {
    panic!("a handler without `await` returned Pending")
}
