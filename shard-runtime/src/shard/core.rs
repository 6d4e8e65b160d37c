//! The shard's parts and the small accessors that the rest of the crate reaches them by.
//!
//! Invariants: S1 a shard is created, used and dropped on one thread, and does not move while it has processes. S2 in
//! `current` is the process whose handler is on the stack; its id and the envelope in hand name who speaks and to whom.

use crate::actor::Exit;
use crate::clock::Clock;
use crate::cron::Scheduler;
use crate::error::{ActorError, CallError, ExitReason, NodeError};
use crate::link::Net;
use crate::mailbox::{EnvelopePtr, Meta, Pool};
use crate::process::{INSTRUMENTS, OwnedAliases, OwnedTable, Record, Watch, bump};
use crate::reactor::annex::Logical;
use crate::shard::audience::Audiences;
use crate::shard::current::{self, Home};
use crate::shard::kept::Kept;
use crate::shard::mesh::Mesh;
use crate::shard::proxy::Proxies;
use crate::shard::ready::Ready;
use crate::shard::tasks::Tasks;
use crate::shard::topics::Topics;
use crate::shard::trace::Traces;
use crate::shard::waiter::Waiters;
use crate::shard::{Annex, FuturePool, Lease, Port, ShardCells, ShardCounters};
use crate::shared::NodeShared;
use crate::wheel::{DEFAULT_TIMER_LIMIT, Wheel};
use shard_wire::{IncarnationKey, LocalId, Pid, ViewPool};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Duration;

/// Messages one activation of a process may handle by default.
pub(crate) const DEFAULT_BUDGET: u32 = 256;

/// Activations of one turn.
pub(crate) const ACTIVATIONS: u32 = 64;

/// Nanoseconds that an activation may take before it counts as a stall: 100 ms.
pub(crate) const STALL_NS: u64 = 100_000_000;

/// What a shard is made with.
#[derive(Clone, Debug)]
pub(crate) struct ShardSettings {
    /// Envelopes touched before the shard is ready.
    pub(crate) prefault_messages: usize,
    /// Slots of a ring between two shards.
    pub(crate) ring_slots: usize,
    /// Bytes that queued messages may take before outside senders and links are refused.
    pub(crate) budget_bytes: u64,
}

/// One shard of a node. Handlers reach it through their [`Context`](crate::Context).
pub struct Shard {
    // What a send touches.
    pub(super) key: u64,
    /// `key`, or another value while there is something special about what is sent: then no target is on the fast path.
    pub(super) gate: Cell<u64>,
    pub(super) table: OwnedTable,
    pub(super) pool: Pool,
    pub(super) stamp: Cell<u64>,
    pub(super) current_id: Cell<u64>,
    pub(super) sent: Cell<u64>,
    /// The process of another shard that was last found alive, and when.
    pub(super) seen: Cell<(u64, u64)>,
    pub(super) ready: Ready,
    // The running activation.
    pub(super) intake: Cell<EnvelopePtr>,
    pub(super) other_head: Cell<EnvelopePtr>,
    pub(super) limit: Cell<u64>,
    pub(super) in_hand: Cell<EnvelopePtr>,
    pub(super) now: Cell<u64>,
    pub(super) current: Cell<*const Record>,
    pub(super) source: Cell<usize>,
    pub(super) again: Cell<bool>,
    pub(super) live_sender: Cell<Pid>,
    pub(super) reason: Cell<Option<Box<ExitReason>>>,
    pub(super) ending: RefCell<Option<Rc<ExitReason>>>,
    pub(super) refusal: Cell<CallError>,
    /// Where the handler of the process that ends now panicked.
    pub(super) panic_place: RefCell<Option<String>>,
    /// Failed sends are not counted as such: whoever runs them counts what becomes of the message.
    pub(super) quiet: Cell<bool>,
    // The rest.
    pub(super) index: u16,
    home: Home,
    pub(super) node: Arc<NodeShared>,
    pub(super) port: Arc<Port>,
    pub(super) clock: Clock,
    pub(super) futures: FuturePool,
    pub(super) waiters: Waiters,
    pub(super) wheel: RefCell<Wheel>,
    pub(super) mesh: Mesh,
    pub(crate) net: Net,
    /// Memory for views of messages of this node; made on first use, and away while it is used.
    pub(super) views: RefCell<Option<Box<ViewPool>>>,
    pub(super) due: RefCell<Vec<u64>>,
    pub(super) free_slots: RefCell<Vec<u32>>,
    pub(super) aliases: OwnedAliases,
    /// Events whose producers live here.
    pub(crate) topics: Topics,
    /// Who of this shard is subscribed to which event.
    pub(super) audiences: Audiences,
    /// I/O of this shard: futures beside the processes, and descriptors.
    pub(super) tasks: Tasks,
    /// Processes of this shard that watch other nodes.
    pub(super) node_watchers: RefCell<Vec<(Watch, u32)>>,
    /// Why the last processes ended: for watchers whose request comes just too late.
    pub(super) obituaries: RefCell<VecDeque<(u64, ExitReason)>>,
    /// What processes had queued when they ended, kept for their successors.
    pub(super) kept: RefCell<Kept>,
    /// Cron jobs: all of the node, on shard 0.
    cron: RefCell<Scheduler>,
    pub(super) budget_bytes: u64,
    /// Ticks that an activation may take before it counts as a stall.
    pub(super) stall_ticks: u64,
    pub(super) default_timeout: u64,
    pub(super) stopping: Cell<bool>,
    /// Activations of one turn.
    pub(super) activations: u32,
    /// What makes it an annex: the shard of one process on a thread of its own.
    pub(super) annex: Option<Annex>,
    /// Processes of this shard that live in annexes.
    pub(super) proxies: Proxies,
    pub(super) traces: Traces,
    /// The other shards of a simulated node.
    pub(super) logical: OnceCell<Rc<Logical>>,
}

/// What differs between shards and annexes.
struct Parts {
    table: OwnedTable,
    pool: Pool,
    waiters: Waiters,
    mesh: Mesh,
    budget_bytes: u64,
    annex: Option<Annex>,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Shard {
    /// Makes the shard on the thread that will run it.
    pub(crate) fn new(
        node: Arc<NodeShared>,
        index: u16,
        clock: Clock,
        settings: &ShardSettings,
    ) -> Result<Self, NodeError> {
        super::place::remember_places();
        let memory = |what| move |source| NodeError::Memory { what, source };
        let port = port_of(&node, index)?;
        let parts = Parts {
            table: OwnedTable::new(Arc::clone(&port.table)),
            pool: Pool::new(settings.prefault_messages).map_err(memory("messages"))?,
            waiters: Waiters::new(index).map_err(memory("waiters"))?,
            mesh: Mesh::new(node.shards(), settings.ring_slots),
            budget_bytes: settings.budget_bytes,
            annex: None,
        };
        let shard = Self::from_parts(node, port, index, clock, parts);
        if index == 0 {
            shard.raise_steward();
        }
        Ok(shard)
    }

    /// Makes the annex of a process on the thread that will run it.
    pub(crate) fn new_annex(node: Arc<NodeShared>, lease: &Lease, clock: Clock) -> Result<Self, NodeError> {
        let memory = |what| move |source| NodeError::Memory { what, source };
        let index = lease.index;
        let (port, home) = (port_of(&node, index)?, port_of(&node, lease.home)?);
        let first = node.annexes().first_generation(index);
        let parts = Parts {
            table: OwnedTable::with_bounds(Arc::clone(&port.table), Arc::clone(&home.table)),
            pool: Pool::small(),
            waiters: Waiters::following(index, first).map_err(memory("waiters"))?,
            // Everything goes by inboxes.
            mesh: Mesh::new(0, 0),
            // What one process may queue is bounded by its mailbox and its inbox.
            budget_bytes: u64::MAX,
            annex: Some(Annex::new(lease)),
        };
        Ok(Self::from_parts(node, port, index, clock, parts))
    }

    fn from_parts(node: Arc<NodeShared>, port: Arc<Port>, index: u16, clock: Clock, parts: Parts) -> Self {
        let now = clock.ticks();
        let core = Pid { node: node.key(), local: LocalId::CORE };
        let default_timeout = ticks_of(&clock, crate::actor::DEFAULT_CALL_TIMEOUT);
        let is_annex = parts.annex.is_some();
        Self {
            key: node.key().0,
            gate: Cell::new(node.key().0),
            aliases: OwnedAliases::new(Arc::clone(&port.aliases), index),
            topics: Topics::default(),
            audiences: Audiences::default(),
            tasks: Tasks::default(),
            node_watchers: RefCell::default(),
            obituaries: RefCell::default(),
            budget_bytes: parts.budget_bytes,
            kept: RefCell::default(),
            cron: RefCell::default(),
            // A thread of its own may be held for as long as its process likes.
            stall_ticks: if is_annex { u64::MAX } else { clock.ticks_in(STALL_NS) },
            // And looks at its inbox between any two messages.
            activations: if is_annex { 1 } else { ACTIVATIONS },
            table: parts.table,
            pool: parts.pool,
            stamp: Cell::new(now << Meta::BITS),
            current_id: Cell::new(LocalId::CORE.0),
            sent: Cell::new(0),
            seen: Cell::new((0, 0)),
            ready: Ready::new(),
            intake: Cell::new(EnvelopePtr::NULL),
            other_head: Cell::new(EnvelopePtr::NULL),
            limit: Cell::new(0),
            in_hand: Cell::new(EnvelopePtr::NULL),
            now: Cell::new(now),
            current: Cell::new(std::ptr::null()),
            source: Cell::new(Self::SOURCE_MAIN),
            again: Cell::new(false),
            live_sender: Cell::new(core),
            reason: Cell::new(None),
            ending: RefCell::new(None),
            refusal: Cell::new(CallError::NoReply),
            panic_place: RefCell::new(None),
            quiet: Cell::new(false),
            index,
            home: Home { node: node.index(), shard: index, serial: node.serial() },
            futures: FuturePool::new(),
            waiters: parts.waiters,
            wheel: RefCell::new(Wheel::new(now, DEFAULT_TIMER_LIMIT)),
            mesh: parts.mesh,
            net: Net::new(),
            views: RefCell::default(),
            due: RefCell::default(),
            free_slots: RefCell::default(),
            default_timeout,
            stopping: Cell::new(false),
            annex: parts.annex,
            proxies: Proxies::default(),
            traces: Traces::new(node.key().0, index, now),
            logical: OnceCell::new(),
            port,
            node,
            clock,
        }
    }

    /// What a message that is sent now bears as its time.
    #[inline(always)]
    pub(super) fn stamp(&self) -> u64 {
        if INSTRUMENTS { self.stamp.get() } else { 0 }
    }

    /// The current process has sent a message.
    #[inline(always)]
    pub(crate) fn count_sent(&self) {
        if INSTRUMENTS {
            self.sent.set(self.sent.get() + 1);
        }
    }

    /// `source` while Main is dispatched; otherwise an index into the extension's queues.
    pub(super) const SOURCE_MAIN: usize = usize::MAX;

    #[inline(always)]
    pub(crate) fn home(&self) -> Home {
        self.home
    }

    #[inline(always)]
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    #[inline(always)]
    pub(crate) fn node(&self) -> &Arc<NodeShared> {
        &self.node
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    #[inline(always)]
    pub(crate) fn futures(&self) -> &FuturePool {
        &self.futures
    }

    #[inline(always)]
    pub(crate) fn current_id(&self) -> u64 {
        self.current_id.get()
    }

    #[inline(always)]
    pub(crate) fn pid(&self, local: u64) -> Pid {
        Pid { node: IncarnationKey(self.key), local: LocalId(local) }
    }

    #[inline(always)]
    pub(crate) fn current_pid(&self) -> Pid {
        self.pid(self.current_id.get())
    }

    /// Sender of the message in hand, or of the one a resumed handler works on.
    #[inline(always)]
    pub(crate) fn sender(&self) -> Pid {
        let envelope = self.in_hand.get();
        if envelope.is_null() {
            return self.live_sender.get();
        }
        if envelope.meta() & Meta::REMOTE != 0 {
            return self.remote_sender(envelope);
        }
        self.pid(envelope.from())
    }

    #[cold]
    fn remote_sender(&self, envelope: EnvelopePtr) -> Pid {
        let reply = envelope.reply();
        let is_call = envelope.meta() & Meta::CALL != 0;
        let key = if is_call { self.key_of_caller(reply) } else { reply };
        Pid { node: IncarnationKey(key), local: LocalId(envelope.from()) }
    }

    #[inline(always)]
    pub(crate) fn intake(&self) -> EnvelopePtr {
        self.intake.get()
    }

    #[inline(always)]
    pub(crate) fn limit(&self) -> u64 {
        self.limit.get()
    }

    /// The running batch hands out no further message.
    #[inline(always)]
    pub(crate) fn end_batch(&self) {
        self.limit.set(0);
    }

    #[inline(always)]
    pub(crate) fn set_in_hand(&self, envelope: EnvelopePtr) {
        self.in_hand.set(envelope);
    }

    #[inline(always)]
    pub(crate) fn default_timeout(&self) -> u64 {
        self.default_timeout
    }

    /// A duration in ticks of the shard's clock.
    pub(crate) fn ticks(&self, duration: Duration) -> u64 {
        ticks_of(&self.clock, duration)
    }

    #[inline(always)]
    pub(super) fn set_now(&self, now: u64) {
        self.now.set(now);
        self.stamp.set(now << Meta::BITS);
    }

    #[inline(always)]
    pub(crate) fn waker_of(&self, record: &Record) -> ManuallyDrop<Waker> {
        current::waker(self.home(), record.id.load(Relaxed))
    }

    #[inline(always)]
    pub(crate) fn cells(&self) -> &ShardCells {
        &self.port.cells
    }

    /// What readers see of this shard.
    pub(crate) fn counters(&self) -> ShardCounters {
        self.port.counters()
    }

    #[inline(always)]
    pub(crate) fn count(&self, cell: impl FnOnce(&ShardCells) -> &AtomicU64, by: u64) {
        bump(cell(self.cells()), by);
    }

    /// Stores why the current process ends, and tells who waits for the answer.
    #[cold]
    #[inline(never)]
    pub(crate) fn stop_with(&self, error: ActorError, waiter: u64) {
        self.reason.set(Some(Box::new(error.into_reason())));
        if waiter != 0 {
            self.refuse(waiter, CallError::Terminated);
        }
    }

    #[inline(always)]
    pub(crate) fn exit_of(&self, result: Result<(), ActorError>) -> Exit {
        match result {
            Ok(()) => Exit::Continue,
            Err(error) => {
                self.stop_with(error, 0);
                Exit::Stop
            }
        }
    }

    /// Why the process whose `terminate` runs has ended.
    pub(crate) fn ending_reason(&self) -> Rc<ExitReason> {
        self.ending.borrow().clone().unwrap_or_else(|| Rc::new(ExitReason::Normal))
    }

    /// What a dropped `ReplyTo` tells its caller now: the cause, if a process is being ended.
    /// Where the handler of the process that ends now panicked, if it did.
    pub(crate) fn panic_place(&self) -> Option<String> {
        self.panic_place.borrow().clone()
    }

    pub(crate) fn refusal(&self) -> CallError {
        if std::thread::panicking() { CallError::Panicked } else { self.refusal.get() }
    }

    /// Whether the node has told this shard to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Ticks at the start of the current activation or turn.
    #[inline]
    pub(crate) fn now_ticks(&self) -> u64 {
        self.now.get()
    }

    /// Nanoseconds in ticks of the shard's clock.
    pub(crate) fn nanos_in_ticks(&self, nanos: u64) -> u64 {
        self.clock.ticks_in(nanos)
    }

    /// Nanoseconds of the shard's clock.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.span_ns(self.now.get())
    }

    /// Some bits that nobody can foretell and that a simulation repeats: for jitter.
    pub(crate) fn random(&self) -> u64 {
        // The finaliser of splitmix64 over what differs between shards, turns and processes.
        let mut x = self.now.get() ^ self.current_id.get().rotate_left(32) ^ self.key;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn cron(&self) -> &RefCell<Scheduler> {
        &self.cron
    }
}

fn port_of(node: &NodeShared, index: u16) -> Result<Arc<Port>, NodeError> {
    node.port_arc(index).ok_or_else(|| NodeError::Shard { shard: index, reason: "no such shard".into() })
}

fn ticks_of(clock: &Clock, duration: Duration) -> u64 {
    clock.ticks_in(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
