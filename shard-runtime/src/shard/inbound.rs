//! What enters a shard from elsewhere: parcels in rings and in the inbox, and how its sleep is ended.
//!
//! Invariants: I1 a parcel owns its payload until it is unpacked; a parcel that is dropped drops its message. I2 a port is
//! shared by all senders; only the owning shard drains its inbox.
#![expect(unsafe_code, reason = "erased payloads; proven by what_a_ring_still_holds_is_dropped_once")]

use crate::mailbox::Meta;
use crate::process::{AliasTable, Table};
use crate::ring::{Inbox, InboxError, Sleep};
use crate::shard::{Shard, ShardCells, ShardCounters};
use atomic_waker::AtomicWaker;
use shard_wire::{Message, Payload, Vtable};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// One message, reply or refusal between shards: 64 bytes.
#[repr(C, align(64))]
pub(crate) struct Parcel {
    /// Local id of the target, or the waiter for replies and refusals.
    pub(crate) target: u64,
    pub(crate) vtable: &'static Vtable,
    pub(crate) from: u64,
    pub(crate) meta: u64,
    pub(crate) payload: Payload,
    pub(crate) reply: u64,
}

const _: () = assert!(size_of::<Parcel>() == 64);

// SAFETY: I1: the payload is a `Message`, a reply (both `Send`) or a plain number.
unsafe impl Send for Parcel {}

impl Parcel {
    /// Packs a value of the type that `vtable` describes.
    #[inline(always)]
    pub(crate) fn new<T: Send + 'static>(
        target: u64,
        vtable: &'static Vtable,
        from: u64,
        meta: u64,
        reply: u64,
        value: T,
    ) -> Self {
        let mut payload = Payload::EMPTY;
        // SAFETY: the payload is local and empty.
        unsafe { Payload::write(&raw mut payload, value) };
        Self { target, vtable, from, meta, payload, reply }
    }

    /// Gives up the payload: whoever calls this owns the value in it.
    #[inline(always)]
    pub(crate) fn unpack(self) -> ManuallyDrop<Self> {
        ManuallyDrop::new(self)
    }

    /// Moves a parcel out of a slot whose owner gives it up.
    pub(crate) fn take_over(parcel: &ManuallyDrop<Self>) -> Self {
        // SAFETY: the ring shows each parcel once and does not drop it: whoever sees it owns it (`drain_in_place`).
        ManuallyDrop::into_inner(unsafe { std::ptr::read(parcel) })
    }

    /// The message, which must be an `M`: a parcel that was just packed and did not get away.
    pub(crate) fn into_message<M: Message>(self) -> M {
        assert!(self.vtable.is::<M>(), "a parcel comes back as what it was packed as");
        let this = self.unpack();
        // SAFETY: I1 and the type test above.
        unsafe { Payload::read::<M>(&raw const this.payload) }
    }

    /// A function to run on the target shard.
    pub(crate) fn task(run: Box<dyn FnOnce(&Shard) + Send>) -> Self {
        type Run = Box<dyn FnOnce(&Shard) + Send>;
        let table = const { &shard_wire::Table::<Run>::local() }.erased();
        Self::new(0, table, 0, Meta::TASK, 0, run)
    }

    /// The function of a task.
    pub(crate) fn into_task(self) -> Box<dyn FnOnce(&Shard) + Send> {
        debug_assert!(self.meta & Meta::TASK != 0, "only tasks carry a function");
        let this = self.unpack();
        // SAFETY: tasks are packed with this type.
        unsafe { Payload::read::<Box<dyn FnOnce(&Shard) + Send>>(&raw const this.payload) }
    }

    /// The error number of a refusal.
    pub(crate) fn refusal_code(self) -> u32 {
        debug_assert!(self.meta & Meta::REFUSE != 0, "only refusals carry a code");
        let this = self.unpack();
        // SAFETY: refusals are packed with a `u64`.
        let code = unsafe { Payload::read::<u64>(&raw const this.payload) };
        code as u32
    }

    /// The reply in a payload that answers a call with an `M`.
    pub(crate) fn reply_of<M: Message>(payload: Payload) -> M::Reply {
        // SAFETY: W4: the payload answers a waiter that a call with an `M` made, and is consumed here.
        unsafe { Payload::read::<M::Reply>(&raw const payload) }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if self.meta & Meta::REFUSE == 0 {
            // SAFETY: I1: a live value of this type, dropped once.
            unsafe { self.vtable.drop_payload(&raw mut self.payload) }
        }
    }
}

/// What the inbox of a shard carries.
pub(crate) enum Inbound {
    /// A message from outside any shard, or a reply to one.
    Parcel(Parcel),
    /// Something to run on the shard.
    Task(Box<dyn FnOnce(&Shard) + Send>),
    /// A foreign waker fired.
    Wake {
        /// The process's slot.
        slot: u32,
        /// Low bits of its generation.
        generation: u64,
    },
}

/// A shard as everybody else sees it.
pub(crate) struct Port {
    pub(crate) table: Arc<Table>,
    pub(crate) aliases: Arc<AliasTable>,
    pub(crate) cells: Arc<ShardCells>,
    pub(crate) inbox: Inbox<Inbound>,
    pub(crate) waker: AtomicWaker,
    /// Wakes the task that ends a wrong park.
    pub(crate) rescue: AtomicWaker,
    rescued: AtomicBool,
    over_budget: AtomicBool,
    /// Shared by the messages of traces that entered here: how many there are is how often it is shared.
    pub(super) traces: Arc<()>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("inbox", &self.inbox.len()).finish_non_exhaustive()
    }
}

impl Port {
    /// Reserves the tables of a shard with room for at least `processes`.
    ///
    /// # Errors
    /// The system refused the address space.
    pub(crate) fn reserve(processes: u32, inbox_limit: usize) -> std::io::Result<Self> {
        Ok(Self {
            table: Arc::new(Table::reserve(processes)?),
            aliases: Arc::new(AliasTable::reserve()?),
            cells: Arc::default(),
            inbox: Inbox::new(inbox_limit),
            waker: AtomicWaker::new(),
            rescue: AtomicWaker::new(),
            rescued: AtomicBool::new(false),
            over_budget: AtomicBool::new(false),
            traces: Arc::default(),
        })
    }

    /// The port of an annex, which has one process. Its aliases are its home shard's; the table is there because ports have
    /// one, and finds nothing for an annex.
    ///
    /// # Errors
    /// The system refused the address space.
    pub(crate) fn reserve_annex(model: &Self) -> std::io::Result<Self> {
        Ok(Self {
            table: Arc::new(Table::reserve_one()?),
            aliases: Arc::clone(&model.aliases),
            cells: Arc::default(),
            inbox: Inbox::new(model.inbox.limit()),
            waker: AtomicWaker::new(),
            rescue: AtomicWaker::new(),
            rescued: AtomicBool::new(false),
            over_budget: AtomicBool::new(false),
            traces: Arc::default(),
        })
    }

    /// What the shard has published.
    pub(crate) fn counters(&self) -> ShardCounters {
        ShardCounters { traces_held: self.traced() as u64, ..self.cells.read() }
    }

    /// Hands something to the shard from outside and wakes it.
    #[expect(clippy::result_large_err, reason = "a refused item comes back, a message with it")]
    pub(crate) fn post(&self, item: Inbound) -> Result<(), InboxError<Inbound>> {
        self.inbox.push(item, || self.waker.wake())
    }

    /// The same for what must not be refused while the shard lives.
    #[expect(clippy::result_large_err, reason = "a refused item comes back, a message with it")]
    pub(crate) fn post_reserved(&self, item: Inbound) -> Result<(), InboxError<Inbound>> {
        self.inbox.push_reserved(item, || self.waker.wake())
    }

    /// Ends the shard's sleep if it sleeps; returns whether it did.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        self.sleep().wake(|| self.waker.wake())
    }

    /// Whether the shard's memory budget is used up.
    #[inline]
    pub(crate) fn is_over_budget(&self) -> bool {
        self.over_budget.load(Relaxed)
    }

    /// Written by the shard.
    pub(crate) fn set_over_budget(&self, is_over: bool) {
        self.over_budget.store(is_over, Relaxed);
    }

    /// Counts a message that was refused for it, from any thread.
    pub(crate) fn count_over_budget(&self) {
        self.cells.over_budget.fetch_add(1, Relaxed);
    }

    /// Ends a wrong park: called by the watchdog.
    pub(crate) fn rescue(&self) {
        self.rescued.store(true, Relaxed);
        self.rescue.wake();
    }

    /// Whether the watchdog has called since the last look.
    pub(crate) fn is_rescued(&self) -> bool {
        self.rescued.swap(false, Relaxed)
    }

    /// The shard's sleep flag and run mark.
    #[inline]
    pub(crate) fn sleep(&self) -> &Sleep {
        self.inbox.sleep()
    }
}
