//! A process on a thread of its own, as its thread sees it: the annex, a shard with this one process.
//!
//! The thread owns the actor, its mailbox, its waiters and its timers. Everything by which the world knows the process (pid,
//! names, aliases, events, relations, what it traps) belongs to its home shard, where a [proxy](super::proxy) stands for it.
//! Invariants: D1 the process has its home shard's id here, so that `cx.pid()` and sends to itself need no translation; no
//! other id names a process here. D2 the annex reports the end of its process once, after `terminate`; it takes messages, and
//! refuses their callers, until the home shard has heard and says that no more will come.
//! Threads: its own, which may block in a callback for as long as it likes. Cost: a thread and about 100 KiB.

use crate::actor::ActorTable;
use crate::error::{ExitReason, SendError};
use crate::mailbox::Meta;
use crate::oneshot;
use crate::process::{Env, Flags, InspectAnswer, Record};
use crate::reactor::annex::Logical;
use crate::shard::deliver::DUE_SHIFT;
use crate::shard::pump::panic_message;
use crate::shard::{Inbound, Scope, Shard, with_current};
use shard_wire::Message;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::fence;
use std::time::Duration;

/// How long the thread of a process waits for an answer of its home shard.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Which annex, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// Index of the annex.
    pub(crate) index: u16,
    /// The home shard.
    pub(crate) home: u16,
    /// Local id of the process.
    pub(crate) id: u64,
}

/// What makes a shard an annex.
#[derive(Debug)]
pub(crate) struct Annex {
    home: u16,
    id: u64,
    /// The process has ended, and the home shard was told.
    is_vacant: Cell<bool>,
    /// The home shard has heard: nothing more will come from it.
    is_released: Cell<bool>,
}

impl Annex {
    pub(crate) fn new(lease: &Lease) -> Self {
        Self { home: lease.home, id: lease.id, is_vacant: Cell::new(false), is_released: Cell::new(false) }
    }
}

/// A process on its way to its thread.
pub(super) struct Birth {
    pub(super) id: u64,
    pub(super) actor: &'static ActorTable,
    pub(super) has_init: bool,
    /// Of [`Flags`]: those that matter where it runs.
    pub(super) traits: u32,
    pub(super) budget: u32,
    pub(super) family: (u64, u64),
    pub(super) name: u32,
    pub(super) env: Env,
    pub(super) send_queue: u64,
    /// Makes the actor, a `Box` of what `actor` describes.
    pub(super) make: Box<dyn FnOnce() -> *mut u8 + Send>,
}

/// On the process's own thread.
impl Shard {
    /// Whether this is the shard of one process on a thread of its own, which may block.
    #[inline]
    pub(crate) fn is_annex(&self) -> bool {
        self.annex.is_some()
    }

    /// The shard that the world sees its processes on.
    pub(crate) fn home_index(&self) -> u16 {
        self.annex.as_ref().map_or(self.index, |annex| annex.home)
    }

    /// Makes the actor and starts its life.
    pub(super) fn move_in(&self, birth: Birth) {
        let Some(annex) = &self.annex else { return };
        let Birth { id, actor, has_init, traits, budget, family, name, env, send_queue, make } = birth;
        let record = self.table.record(id as u32);
        let home = annex.home;
        self.fill(record, id, actor, budget, family);
        self.table.table().identity(id as u32).name.store(name, Relaxed);
        record.set_flags(traits | Flags::START | Flags::QUEUED | Flags::RUNNING);
        // ORDERING: pairs with the Acquire load of a reader's sweep: who sees the id sees the rest.
        record.id.store(id, Release);
        self.with_extension(record, |extension| {
            extension.env = env;
            extension.send_queue = send_queue;
            if has_init {
                extension.started = Some(Box::new(move |annex: &Self, started| {
                    if started.is_ok() {
                        annex.tell(home, move |home| home.annex_is_up(id));
                    }
                }));
            }
        });
        let cells = self.cells();
        cells.current_since.store(self.clock.ticks(), Relaxed);
        cells.current.store(id, Relaxed);
        let made = catch_unwind(AssertUnwindSafe(make));
        cells.current.store(0, Relaxed);
        self.set_now(self.clock.ticks());
        match made {
            Ok(body) => {
                record.body.set(body);
                record.set_flags(traits);
                if has_init {
                    record.add_flags(Flags::START);
                    self.make_ready(record);
                } else {
                    self.tell(home, move |home| home.annex_is_up(id));
                }
            }
            Err(panic) => {
                self.count(|cells| &cells.panics, 1);
                record.set_flags(Flags::TERMINATED);
                drop(self.take_extension(record));
                let text = format!("the actor's factory panicked: {}", panic_message(panic.as_ref()));
                self.report_end(id, ExitReason::Panic(text.into()));
            }
        }
    }

    /// The home shard says that the process is to end.
    pub(super) fn end_resident(&self, id: u64, reason: ExitReason) {
        match (self.live_record(id), reason) {
            (None, _) => {}
            (Some(_), ExitReason::Kill) => self.kill_here(id),
            (Some(record), reason) => self.end_by_signal(record, reason),
        }
    }

    /// Tells the home shard that the process has ended (D2).
    pub(super) fn report_end(&self, id: u64, reason: ExitReason) {
        let Some(annex) = &self.annex else { return };
        annex.is_vacant.set(true);
        // If the home shard has stopped, nobody wants to know.
        self.tell(annex.home, move |home| home.annex_has_ended(id, reason));
    }

    /// The home shard has heard of the end.
    pub(super) fn release(&self, id: u64) {
        if let Some(annex) = self.annex.as_ref().filter(|annex| annex.id == id) {
            annex.is_released.set(true);
        }
    }

    /// Whether the process has ended and its home shard has heard, or has stopped.
    pub(crate) fn is_over(&self) -> bool {
        self.annex.as_ref().is_some_and(|annex| {
            let home = || self.node.port(annex.home).is_none_or(|port| port.inbox.is_closed());
            annex.is_vacant.get() && (annex.is_released.get() || home())
        })
    }

    /// Whether only the home shard's word is missing, which a home shard that stops does not give.
    pub(crate) fn is_vacant(&self) -> bool {
        self.annex.as_ref().is_some_and(|annex| annex.is_vacant.get())
    }

    /// The thread cannot go on: the process is reported as ended by a panic of the runtime. Its actor is lost.
    pub(crate) fn give_up(&self, message: &str) {
        let Some(annex) = &self.annex else { return };
        if !annex.is_vacant.get() {
            self.report_end(annex.id, ExitReason::Panic(message.into()));
        }
    }

    /// The last act: refuses what is still in the inbox. Returns where the next occupant's waiters begin.
    pub(crate) fn move_out(&self) -> Option<u32> {
        let _scope = Scope::enter(self);
        let inbox = &self.port.inbox;
        inbox.close();
        while !inbox.is_finished() {
            inbox.drain(usize::MAX, |item| self.contain(|| self.take_in(item)));
        }
        let cells = self.cells();
        for gauge in [&cells.waiters, &cells.timers, &cells.ready, &cells.envelope_bytes, &cells.future_bytes]
        {
            gauge.store(0, Relaxed);
        }
        cells.current.store(0, Relaxed);
        self.publish_facts();
        self.waiters.next_first()
    }

    /// Answers an inspect request that came by the home shard.
    pub(super) fn inspect_resident(&self, id: u64, items: Vec<String>) {
        let home = self.home_index();
        let answer: InspectAnswer = Box::new(move |entries| {
            with_current(|annex| {
                if let Some(annex) = annex {
                    annex.tell(home, move |home| home.answer_inspect(id, entries));
                }
            });
        });
        // A process that has ended meanwhile is answered for by its home shard.
        let _ended = self.inspect(id, items, answer);
    }

    /// Publishes what the home shard is asked about the process: written when the thread has nothing to do.
    pub(crate) fn publish_facts(&self) {
        let Some(annex) = &self.annex else { return };
        let Some(facts) = self.node.annexes().facts(self.index) else { return };
        let record = self.live_record(annex.id);
        let awaited = record.map_or(0, |record| self.waiters.calls_of(record.slot()).len() as u64);
        facts.awaited.store(awaited, Relaxed);
        for (queue, cell) in facts.queues.iter().enumerate() {
            let length = record.and_then(|record| {
                self.with_existing_extension(record, |extension| Some(extension.queues[queue].len()))
            });
            cell.store(length.unwrap_or(0), Relaxed);
        }
    }

    /// Places of a bounded mailbox have become free: senders that wait for room wait at the home shard.
    pub(super) fn report_room(&self, record: &Record) {
        let Some(annex) = &self.annex else { return };
        // ORDERING: pairs with the fence in `await_room`: of a release and a wish one sees the other.
        fence(SeqCst);
        let wish = self.node.annexes().wants_room(self.index);
        if wish.is_some_and(|wish| wish.load(Relaxed) && wish.swap(false, Relaxed)) {
            let id = record.id.load(Relaxed);
            self.tell(annex.home, move |home| home.room_came_up(id));
        }
    }

    /// Ties a shard of a simulated node to the others.
    pub(crate) fn set_logical(&self, logical: &Rc<Logical>) {
        // Once, when it is made.
        let _set_before = self.logical.set(Rc::clone(logical));
        if logical.journal().is_some() {
            self.begin_watch();
        }
    }

    /// The other shards of a simulated node.
    pub(crate) fn logical(&self) -> Option<&Rc<Logical>> {
        self.logical.get()
    }

    /// Asks the home shard for something on behalf of the current process, and waits for the answer. On an ordinary shard it
    /// is done at once. `None`: the home shard is stuck, or has stopped; if it goes on, it will have been done.
    pub(crate) fn at_home<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Self) -> R + Send + 'static,
    ) -> Option<R> {
        let Some(annex) = &self.annex else { return Some(ask(self)) };
        let id = annex.id;
        if let Some(logical) = self.logical.get() {
            let home = logical.shard(annex.home)?;
            let _scope = Scope::enter(&home);
            home.set_now(self.clock.ticks());
            let answer = home.speaking_as(id, || ask(&home));
            home.mesh.publish(&home);
            return Some(answer);
        }
        let (answer, mut outcome) = oneshot::channel();
        let task = move |home: &Self| {
            let result = home.speaking_as(id, || ask(home));
            // The thread may have stopped waiting.
            let _unheard = answer.send(result);
        };
        self.node.port(annex.home)?.post_reserved(Inbound::Task(Box::new(task))).ok()?;
        outcome.recv_timeout(ASK_LIMIT).ok()
    }

    /// Has the home shard send to another node, for an annex has no links; says what became of it. If the home shard says nothing,
    /// it is stuck, and sends when it goes on.
    pub(crate) fn send_by_home<M: Message>(
        &self,
        message: M,
        flags: u64,
        reply: u64,
        send: impl FnOnce(&Self, M, u64) -> Result<(), SendError<M>> + Send + 'static,
    ) -> Result<(), SendError<M>> {
        let left = self.waiters.find(reply).map_or(0, |waiter| {
            let left = waiter.due.get().wrapping_sub((self.now.get() >> DUE_SHIFT) as u32).cast_signed();
            u64::from(left.max(0).unsigned_abs()) << DUE_SHIFT
        });
        let sent = self.at_home(move |home| {
            if flags & Meta::CALL == 0 {
                send(home, message, 0)
            } else {
                home.relay_call(reply, left, message, send)
            }
        });
        sent.unwrap_or(Ok(())).inspect(|()| self.count_sent())
    }

    /// Node of a remote caller: its call is entered at the home shard.
    pub(super) fn key_of_caller(&self, reply: u64) -> u64 {
        self.at_home(move |home| home.net.caller_key(reply)).unwrap_or(0)
    }
}
