//! How traces travel: with the messages that a handler sends, and into the handlers that get them.
//!
//! A message of a trace is wrapped in [`Traced`], whose table no actor lists. So it meets what an unknown type meets, behind
//! the arms of a dispatch function, where it is unwrapped and its handler given a span of its own; and whatever drops a message
//! drops its trace. Senders come here by the [gate](super::gate) (decision 0021).
//! Invariants: T1 what is wrapped is never a `Traced`. T2 a process whose handler has a trace has the flag `TRACED`; while
//! that handler runs, its context is the shard's and the gate says so, and while it is suspended, the extension has it. T3 a
//! handler in a trace ends its batch, so the next message never sees its context.
//! Cost: none for what is in no trace. For each message in one, a box of 96 bytes and an activation of its own.

use crate::actor::local_message;
use crate::error::{SendError, SendReason};
use crate::mailbox::EnvelopePtr;
use crate::process::{Flags, Record};
use crate::shard::bounded::Admission;
use crate::shard::{Carried, Parcel, Port, Shard};
use crate::trace::TraceContext;
use shard_wire::{Erased, Message, Pid, vtable};
use std::cell::Cell;
use std::num::{NonZeroU64, NonZeroU128};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Most messages of traces that entered at one shard and are not handled yet. What exceeds them goes without its trace.
const MAX_TRACED: usize = 1 << 20;

/// Among the flags of a message for another node: the shard's trace is its. It lies above those of an envelope, where a send
/// looks for a threshold of compression anyway.
pub(crate) const TRACE_FLAG: u64 = 1 << 63;

/// A message with the context in which it was sent.
#[derive(Debug)]
pub(crate) struct Traced {
    context: TraceContext,
    message: Erased,
    /// Counts those that are not handled yet.
    _held: Arc<()>,
}
local_message!(Traced);

/// A message that is sent: wrapped, or as it is.
pub(crate) type Wrapped<M> = Result<Traced, M>;

fn unwrapped<M: Message>(message: Erased) -> M {
    match message.downcast::<M>() {
        Ok(message) => message,
        Err(_) => unreachable!("a message comes back as what it was wrapped as"),
    }
}

impl Parcel {
    /// Packs a message that is sent.
    pub(crate) fn sent<M: Message>(
        target: u64,
        from: u64,
        meta: u64,
        reply: u64,
        message: Wrapped<M>,
    ) -> Self {
        match message {
            Ok(traced) => Self::new(target, vtable::<Traced>(), from, meta, reply, traced),
            Err(message) => Self::new(target, vtable::<M>(), from, meta, reply, message),
        }
    }

    /// The message, for a sender that gets it back.
    pub(crate) fn into_sent<M: Message>(self) -> M {
        if self.vtable.is::<Traced>() {
            return unwrapped(self.into_message::<Traced>().message);
        }
        self.into_message()
    }
}

/// What a shard knows of traces.
pub(super) struct Traces {
    /// The context of the handler that runs, or of what is being sent (T2).
    active: Cell<Option<TraceContext>>,
    /// Where the ids of this shard begin, and how many were drawn.
    seed: (u64, u64),
    drawn: Cell<u64>,
}

impl Traces {
    /// Ids differ between nodes, shards, and shards that follow each other on one index; a simulation repeats them.
    pub(super) fn new(key: u64, shard: u16, now: u64) -> Self {
        let seed = (mixed(key ^ now.rotate_left(32)), mixed(key.rotate_left(32) ^ u64::from(shard)));
        Self { active: Cell::new(None), seed, drawn: Cell::new(0) }
    }

    fn draw(&self) -> u64 {
        let drawn = self.drawn.get().wrapping_add(1);
        self.drawn.set(drawn);
        mixed(self.seed.0.wrapping_add(drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15)) ^ self.seed.1)
    }

    fn span(&self) -> NonZeroU64 {
        NonZeroU64::new(self.draw()).unwrap_or(NonZeroU64::MIN)
    }

    fn trace(&self) -> NonZeroU128 {
        let id = u128::from(self.draw()) << 64 | u128::from(self.draw());
        NonZeroU128::new(id).unwrap_or(NonZeroU128::MIN)
    }
}

/// The finaliser of splitmix64.
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Port {
    /// A message as it is sent, with its context if it has one: from any thread.
    pub(crate) fn wrapped<M: Message>(&self, context: Option<TraceContext>, message: M) -> Wrapped<M> {
        match context {
            None => Err(message),
            Some(context) => self.wrap_erased(context, Erased::new(message)).map_err(unwrapped),
        }
    }

    fn wrap_erased(&self, context: TraceContext, message: Erased) -> Result<Traced, Erased> {
        self.wrap_within(MAX_TRACED, context, message)
    }

    fn wrap_within(&self, most: usize, context: TraceContext, message: Erased) -> Result<Traced, Erased> {
        // LIMIT: messages of traces that are not handled.
        if self.traced() >= most {
            self.count_untraced();
            return Err(message);
        }
        Ok(Traced { context, message, _held: Arc::clone(&self.traces) })
    }

    /// Messages of traces that entered here and are not handled yet.
    pub(crate) fn traced(&self) -> usize {
        Arc::strong_count(&self.traces) - 1
    }

    /// A message goes without its trace.
    #[cold]
    pub(crate) fn count_untraced(&self) {
        self.cells.traces_dropped.fetch_add(1, Relaxed);
    }
}

/// What a handler does.
impl Shard {
    /// The context of the handler that runs.
    #[inline]
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.traces.active.get()
    }

    /// The flag of what is sent to another node now.
    pub(crate) fn trace_flag(&self) -> u64 {
        if self.trace().is_some() { TRACE_FLAG } else { 0 }
    }

    /// Begins a trace for the rest of the handler that runs. `None` where nothing is traced: in `init` and `terminate`.
    #[cold]
    pub(crate) fn begin_trace(&self) -> Option<TraceContext> {
        let context = TraceContext::begin(self.traces.trace(), self.traces.span());
        self.set_trace(Some(context)).then_some(context)
    }

    /// Sets the context of the handler that runs; `false` where nothing is traced.
    #[cold]
    pub(crate) fn set_trace(&self, context: Option<TraceContext>) -> bool {
        let Some(record) = self.live_record(self.current_id.get()) else { return false };
        let flags = record.flags();
        if flags & Flags::RUNNING == 0 || flags & (Flags::START | Flags::TERMINATED) != 0 {
            return false;
        }
        match context {
            Some(context) => self.enter_trace(record, context),
            // The flag stays, so that what ends a handler in a trace is done.
            None => self.drop_trace(),
        }
        true
    }

    fn enter_trace(&self, record: &Record, context: TraceContext) {
        self.traces.active.set(Some(context));
        self.gate_traces(true);
        record.add_flags(Flags::TRACED);
        // T3.
        self.limit.set(0);
    }

    fn drop_trace(&self) {
        self.traces.active.set(None);
        self.gate_traces(false);
    }

    /// Runs sends, outside of the handler that caused them, in the trace that it had.
    pub(crate) fn with_trace<R>(&self, context: Option<TraceContext>, f: impl FnOnce() -> R) -> R {
        if context.is_none() {
            return f();
        }
        // Also if a message that is encoded panics.
        let _restore =
            Restore { shard: self, active: self.traces.active.replace(context), gate: self.gate.get() };
        self.gate_traces(true);
        f()
    }
}

/// What was before a `with_trace`.
struct Restore<'s> {
    shard: &'s Shard,
    active: Option<TraceContext>,
    gate: u64,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.shard.traces.active.set(self.active);
        self.shard.gate.set(self.gate);
    }
}

/// What an activation does.
impl Shard {
    /// Takes a message out of its wrapping: its handler gets a span of its own. This is where a message of a trace is
    /// delivered.
    #[cold]
    #[inline(never)]
    pub(crate) fn unwrap_traced(&self, record: &Record, envelope: EnvelopePtr, traced: Traced) {
        let Traced { context, message, _held: _ } = traced;
        let (vtable, payload) = message.into_parts();
        envelope.fill_erased(vtable, envelope.from(), envelope.meta(), payload);
        self.enter_trace(record, context.child(self.traces.span()));
    }

    /// A handler in a trace has ended. This is where its span ends.
    #[cold]
    #[inline(never)]
    pub(super) fn end_trace(&self, record: &Record) {
        if record.flags() & Flags::TRACED != 0 {
            record.clear_flags(Flags::TRACED);
            self.drop_trace();
        }
    }

    /// An activation has ended whose handler has a trace, if it has not ended itself, and goes on some time.
    #[cold]
    #[inline(never)]
    pub(super) fn suspend_trace(&self, record: &Record) {
        let Some(context) = self.trace().filter(|_| !record.live.get().is_null()) else {
            return self.end_trace(record);
        };
        self.with_extension(record, |extension| extension.trace = Some(context));
        self.drop_trace();
    }

    /// A suspended handler with a trace goes on.
    #[cold]
    #[inline(never)]
    pub(super) fn resume_trace(&self, record: &Record) {
        if let Some(context) = self.with_existing_extension(record, |extension| extension.trace.take()) {
            self.enter_trace(record, context);
        }
    }
}

/// What a send does.
impl Shard {
    /// Sends in the trace of the handler that runs.
    #[cold]
    #[inline(never)]
    pub(super) fn deliver_traced<M: Message>(
        &self,
        to: Pid,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        if to.node.0 != self.key {
            return self.deliver_remote(to, message, flags | TRACE_FLAG, reply);
        }
        let local = to.local;
        let record = self.table.record(local.slot());
        let is_here = record.id.load(Relaxed) == local.0;
        let admission = match self.node.port(local.shard()) {
            _ if is_here => self.admit_here(record, local, flags),
            Some(port) if local.shard() != self.index => port.admit(local, flags),
            _ => Admission::Refuse(SendReason::NoProcess),
        };
        match admission {
            Admission::Enter => {}
            Admission::Drop => {
                self.count_sent();
                self.drop_newest(message, flags, reply);
                return Ok(());
            }
            Admission::Refuse(reason) => return self.refused(to, reason, message, flags),
        }
        let (meta, from) = (self.stamp() | flags, self.current_id.get());
        let parcel = Parcel::sent(local.0, from, meta, reply, self.port.wrapped(self.trace(), message));
        let refused = if !is_here {
            self.mesh.push(self, local.shard(), parcel)
        } else if record.flags() & Flags::DEDICATED != 0 {
            self.hand_over(record, parcel).err()
        } else {
            self.arrive_special(record, parcel);
            None
        };
        if let Some(refused) = refused {
            self.forget_place(local, flags);
            self.count_send_error(flags, false);
            return Err(SendError::new(SendReason::Overloaded, refused.into_sent()));
        }
        self.count_sent();
        Ok(())
    }

    /// A message goes without its trace.
    #[cold]
    pub(crate) fn count_untraced(&self) {
        self.port.count_untraced();
    }

    /// A message that comes from elsewhere, or is handed on, in a trace.
    #[cold]
    pub(crate) fn traced(&self, context: TraceContext, message: Erased) -> Erased {
        self.port.wrap_erased(context, message).map_or_else(|message| message, Erased::new)
    }

    /// A message that the handler that runs hands on.
    #[inline]
    pub(super) fn trace_carried(&self, carried: Carried) -> Carried {
        match self.trace() {
            None => carried,
            Some(context) => Carried { message: self.traced(context, carried.message), ..carried },
        }
    }

    /// Posts the answer to a request that was sent in a trace.
    #[cold]
    pub(super) fn post_traced<M: Message>(
        &self,
        record: &Record,
        queue: u64,
        context: TraceContext,
        message: M,
    ) {
        match self.port.wrapped(Some(context), message) {
            Ok(traced) => self.post_system(record, queue, traced),
            Err(message) => self.post_system(record, queue, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Traces;
    use crate::behavior::Retire;
    use crate::shard::Port;
    use crate::trace::TraceContext;
    use shard_wire::Erased;
    use std::collections::HashSet;

    #[test]
    fn what_exceeds_the_limit_goes_without_its_trace() {
        let port = Port::reserve(64, 16).unwrap();
        let context = TraceContext::new(1, 2, true).unwrap();
        let wrap = || port.wrap_within(2, context, Erased::new(Retire));
        let (first, _second) = (wrap().unwrap(), wrap().unwrap());
        assert!(wrap().is_err_and(|message| message.is::<Retire>()), "the message comes back");
        assert_eq!((port.counters().traces_held, port.counters().traces_dropped), (2, 1));
        drop(first);
        assert_eq!(port.counters().traces_held, 1);
        assert!(wrap().is_ok(), "there is room again");
    }

    #[test]
    fn ids_do_not_repeat_between_shards_and_followers() {
        let mut seen = HashSet::new();
        for (key, shard, now) in [(7, 0, 0), (7, 1, 0), (8, 0, 0), (7, 0, 1), (0, 0, 0)] {
            let traces = Traces::new(key, shard, now);
            for _ in 0..1_000 {
                assert!(seen.insert(traces.span().get()));
                assert!(seen.insert(traces.trace().get() as u64));
            }
        }
        let again = Traces::new(7, 0, 0);
        assert!(seen.contains(&again.span().get()), "a simulation repeats them");
    }
}
