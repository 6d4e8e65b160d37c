//! A process on a thread of its own, as its home shard sees it: the proxy.
//!
//! Owns: pid, names, aliases, events, relations, limits, and the right to end it. The record of the process on this shard holds
//! no queue: what is sent to it is handed on to the inbox of its [annex](super::annex).
//! Invariants: P1 the end of a dedicated process is fired once: when its thread reports it, after `terminate`, or, if it was
//! killed and its thread does not come out of a callback, when patience ends. Then it is a zombee: no longer addressed, seen by
//! readers until its thread returns. P2 its slot is freed when its thread has given the annex back, not before, so nothing that
//! the thread still says can meet a successor. P3 this shard never waits for the thread.
//! Cost: a message is one more inbox; a spawn is a thread.

use crate::actor::{Actor, SpawnOptions, TableOf, TimerRef};
use crate::error::{CallError, ExitReason, SendError, SendReason, SpawnError};
use crate::mailbox::Meta;
use crate::oneshot;
use crate::process::{Flags, InspectAnswer, PendingInspect, QUEUES, Record, StartedAnswer};
use crate::reactor::annex::launch;
use crate::shard::annex::Birth;
use crate::shard::annexes::NoAnnex;
use crate::shard::bounded::queue_index;
use crate::shard::ending::refusal_for;
use crate::shard::signals::MAX_INSPECTS;
use crate::shard::waiter::Sink;
use crate::shard::{Inbound, Lease, LogLevel, MAX_ANNEXES, Origin, Outcome, Parcel, Shard};
use shard_wire::{LocalId, Message, Pid, vtable};
use std::cell::RefCell;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::fence;
use std::time::Duration;

/// Between two looks at whether a killed process is inside a callback.
const LOOK: Duration = Duration::from_millis(50);
/// Looks after which a killed process whose thread says nothing is given up, whatever it does.
const LOOKS: u32 = 100;

/// One process that lives elsewhere.
struct Proxy {
    id: u64,
    annex: u16,
    /// Its end has fired (P1).
    has_ended: bool,
    /// The limit of its birth.
    birth: Option<TimerRef>,
    /// The next look at whether it has ended by force.
    look: Option<TimerRef>,
}

/// The processes of a shard that live in annexes, until their threads are gone.
#[derive(Default)]
pub(super) struct Proxies {
    list: RefCell<Vec<Proxy>>,
    /// Who waits until there are none.
    done: RefCell<Option<oneshot::Sender<()>>>,
}

impl Proxies {
    fn with<R>(&self, id: u64, f: impl FnOnce(&mut Proxy) -> R) -> Option<R> {
        self.list.borrow_mut().iter_mut().find(|proxy| proxy.id == id).map(f)
    }
}

/// Birth.
impl Shard {
    /// Starts a process on a thread of its own, and tells when it is up.
    pub(crate) fn spawn_dedicated<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: &SpawnOptions,
        mut origin: Origin,
        told: impl FnOnce(&Self, Result<Pid, SpawnError>) + 'static,
    ) {
        self.ascribe(&mut origin, options);
        let (record, lease) = match self.lodge(options, origin.application) {
            Ok(lodged) => lodged,
            Err(error) => {
                self.count(|cells| &cells.spawn_failed, 1);
                return told(self, Err(error));
            }
        };
        let id = lease.id;
        let actor = TableOf::<A>::TABLE;
        self.start(record, id, actor, false, options, origin);
        record.oldest.store(u64::from(lease.index), Relaxed);
        record.add_flags(Flags::DEDICATED);
        let pid = self.pid(id);
        let answer: StartedAnswer = Box::new(move |shard, started| {
            told(shard, started.map(|()| pid).map_err(|reason| SpawnError::Init { reason }));
        });
        let identity = self.identity(record);
        let (family, name) =
            ((identity.parent.load(Relaxed), identity.leader.load(Relaxed)), identity.name.load(Relaxed));
        let (env, send_queue) = self.with_extension(record, |extension| {
            extension.started = Some(answer);
            (extension.env.clone(), extension.send_queue)
        });
        let sender = if send_queue == 0 { 0 } else { Flags::SENDER };
        let birth = Birth {
            id,
            actor,
            has_init: A::HAS_INIT,
            traits: record.flags() & Flags::BOUNDED | sender,
            // One message between two looks at the inbox, so that a kill need not wait for more than one that blocks.
            budget: options.budget_or(1),
            family,
            name,
            env,
            send_queue,
            make: Box::new(move || Box::into_raw(Box::new(factory())).cast()),
        };
        let limit = options.init_timeout();
        let birth_timer = self.timer(limit, move |home| home.birth_is_overdue(id, limit));
        let proxy = Proxy { id, annex: lease.index, has_ended: false, birth: birth_timer, look: None };
        self.proxies.list.borrow_mut().push(proxy);
        self.tell(lease.index, move |annex| annex.move_in(birth));
    }

    /// A record here, a place there, and a thread for it.
    fn lodge(&self, options: &SpawnOptions, application: u32) -> Result<(&Record, Lease), SpawnError> {
        if self.node.is_stopping() {
            return Err(SpawnError::Stopping);
        }
        let (record, id) = self.claim(options, application)?;
        match self.rent(id) {
            Ok(lease) => Ok((record, lease)),
            Err(error) => {
                self.unclaim(id, application);
                Err(error)
            }
        }
    }

    fn rent(&self, id: u64) -> Result<Lease, SpawnError> {
        let annexes = self.node.annexes();
        let index = annexes.take(id).map_err(|error| match error {
            NoAnnex::Full => SpawnError::ThreadLimit { limit: MAX_ANNEXES },
            NoAnnex::Memory(source) => SpawnError::Thread { source },
        })?;
        let lease = Lease { index, home: self.index, id };
        launch(self, lease).map_err(|source| {
            if let Some(port) = self.node.port(index) {
                port.inbox.close();
            }
            annexes.give_back(index, Some(annexes.first_generation(index)));
            SpawnError::Thread { source }
        })?;
        Ok(lease)
    }

    /// The process is up: whoever waits for that is told.
    pub(super) fn annex_is_up(&self, id: u64) {
        self.cancel_for(id, |proxy| proxy.birth.take());
        let Some(record) = self.live_record(id) else { return };
        let started = self.with_existing_extension(record, |extension| extension.started.take());
        if let Some(started) = started {
            started(self, Ok(()));
        }
    }

    fn birth_is_overdue(&self, id: u64, limit: Duration) {
        self.cancel_for(id, |proxy| proxy.birth.take());
        if let Some(record) = self.live_record(id) {
            self.order_end(record, ExitReason::InitTimeout { limit }, true);
        }
    }

    fn cancel_for(&self, id: u64, which: impl FnOnce(&mut Proxy) -> Option<TimerRef>) {
        if let Some(timer) = self.proxies.with(id, which).flatten() {
            self.cancel_timer(timer);
        }
    }
}

/// Messages.
impl Shard {
    /// Hands a message of this shard on to its process's thread.
    pub(super) fn deliver_to_annex<M: Message>(
        &self,
        record: &Record,
        to: Pid,
        message: M,
        flags: u64,
        reply: u64,
    ) -> Result<(), SendError<M>> {
        let meta = self.stamp.get() | flags;
        let parcel = Parcel::new(to.local.0, vtable::<M>(), self.current_id.get(), meta, reply, message);
        match self.hand_over(record, parcel) {
            Ok(()) => {
                self.sent.set(self.sent.get() + 1);
                Ok(())
            }
            Err(parcel) => {
                self.forget_place(to.local, flags);
                self.count_send_error(flags, false);
                Err(SendError::new(SendReason::Overloaded, parcel.into_message()))
            }
        }
    }

    pub(super) fn hand_over(&self, record: &Record, parcel: Parcel) -> Result<(), Parcel> {
        match self.mesh.push(self, record.annex(), parcel) {
            None => Ok(()),
            Some(refused) => Err(refused),
        }
    }

    /// Hands on what came from another shard, from outside or from another node, and has its place.
    pub(super) fn pass_to_annex(&self, record: &Record, parcel: Parcel) {
        let (local, flags) = (LocalId(parcel.target), parcel.meta & Meta::FLAGS);
        if let Err(refused) = self.hand_over(record, parcel) {
            // LIMIT: the annex's inbox. What it cannot take is lost, and its caller told.
            self.forget_place(local, flags);
            self.count(|cells| &cells.dead_letters, 1);
            let reply = refused.reply;
            self.contain(|| drop(refused));
            if flags & Meta::CALL != 0 {
                self.refuse(reply, CallError::Send(SendReason::Overloaded));
            }
        }
    }

    /// Hands on a message of the runtime, which no bound refuses.
    pub(super) fn post_to_annex<M: Message>(&self, record: &Record, queue: u64, message: M) {
        let id = record.id.load(Relaxed);
        if record.flags() & Flags::BOUNDED != 0 {
            let local = LocalId(id);
            // The only process that has no place for it is one whose count is full: four billion messages.
            let _counted = self.table.bound(local.slot()).force(queue_index(queue), local.generation());
        }
        let meta = self.stamp.get() | queue;
        let parcel = Parcel::new(id, vtable::<M>(), LocalId::CORE.0, meta, 0, message);
        if let Some(refused) = self.mesh.push_reserved(self, record.annex(), parcel) {
            self.dead_letter(refused);
        }
    }

    /// Asks the thread for what its process reports about itself.
    pub(super) fn inspect_annex(&self, record: &Record, items: Vec<String>, answer: InspectAnswer) {
        let id = record.id.load(Relaxed);
        let refused = self.with_extension(record, |extension| {
            // LIMIT: requests that wait for a thread inside a callback. The new one goes: the thread answers in order.
            if extension.inspects.len() >= MAX_INSPECTS {
                return Some(answer);
            }
            extension.inspects.push(PendingInspect { items: Vec::new(), answer });
            None
        });
        if let Some(answer) = refused {
            let why = "too many requests wait for the process's callback";
            return self.contain(|| answer(vec![("error".to_owned(), why.to_owned())]));
        }
        self.tell(record.annex(), move |annex| annex.inspect_resident(id, items));
    }

    /// The thread has answered the oldest inspect request of its process.
    pub(super) fn answer_inspect(&self, id: u64, entries: Vec<(String, String)>) {
        let Some(record) = self.live_record(id) else { return };
        let oldest = self.with_existing_extension(record, |extension| {
            (!extension.inspects.is_empty()).then(|| extension.inspects.remove(0))
        });
        if let Some(request) = oldest {
            self.contain(|| (request.answer)(entries));
        }
    }

    /// Somebody waits for room in a mailbox that another thread empties.
    pub(super) fn await_room(&self, record: &Record) {
        if let Some(wish) = self.node.annexes().wants_room(record.annex()) {
            wish.store(true, Relaxed);
        }
        // ORDERING: pairs with the fence in `report_room`: of a release and a wish one sees the other.
        fence(SeqCst);
        let bound = self.table.bound(record.slot());
        if (0..QUEUES).any(|queue| bound.used(queue) < u64::from(bound.limit())) {
            self.room_came_up(record.id.load(Relaxed));
        }
    }

    /// A mailbox that another thread empties has room.
    pub(super) fn room_came_up(&self, id: u64) {
        let Some(record) = self.live_record(id) else { return };
        let bound = self.table.bound(record.slot());
        let waits_on = |queue: usize| {
            let room = u64::from(bound.limit()).saturating_sub(bound.used(queue));
            (0..room).all(|_| self.offer_room(record, queue))
                && self
                    .with_existing_extension(record, |extension| {
                        (!extension.room[queue].is_empty()).then_some(())
                    })
                    .is_some()
        };
        // All of them are looked at.
        let waiting = (0..QUEUES).filter(|&queue| waits_on(queue)).count();
        if waiting == 0 {
            return;
        }
        // More wait than there is room for: those who were told will fill it, and the next release tells the rest.
        if let Some(wish) = self.node.annexes().wants_room(record.annex()) {
            wish.store(true, Relaxed);
        }
    }
}

/// Other nodes.
impl Shard {
    /// Makes a call to another node for the process of an annex, whose waiters other nodes cannot name: the answer comes to a
    /// waiter of this shard, which hands it on.
    pub(super) fn relay_call<M: Message>(
        &self,
        caller: u64,
        left: u64,
        message: M,
        send: impl FnOnce(&Self, M, u64) -> Result<(), SendError<M>>,
    ) -> Result<(), SendError<M>> {
        let reference = self.wait_for_reply(left);
        let Some(waiter) = self.waiters.find(reference) else {
            return Err(SendError::new(SendReason::Overloaded, message));
        };
        let hand_on = Box::new(move |shard: &Self, outcome: Outcome| match outcome {
            Outcome::Reply(payload) => {
                shard.answer(caller, vtable::<M>(), Parcel::reply_of::<M>(payload));
            }
            Outcome::Failed(error) => shard.refuse(caller, error),
            Outcome::Due => shard.refuse(caller, CallError::Timeout),
        });
        waiter.set_extra(|extra| extra.sink = Some(Sink::Callback(hand_on)));
        send(self, message, reference).inspect_err(|_| self.drop_waiter(reference))
    }
}

/// End.
impl Shard {
    /// Tells the thread that its process is to end. By force: if it does not come out of its callback, it ends all the same.
    pub(super) fn order_end(&self, record: &Record, reason: ExitReason, by_force: bool) {
        let id = record.id.load(Relaxed);
        let told = reason.clone();
        self.tell(record.annex(), move |annex| annex.end_resident(id, told));
        let is_watched = self.proxies.with(id, |proxy| proxy.look.is_some()).unwrap_or(true);
        if by_force && !is_watched {
            self.look_later(id, reason, LOOKS);
        }
    }

    fn look_later(&self, id: u64, reason: ExitReason, looks: u32) {
        let fallback = reason.clone();
        let look = self.timer(LOOK, move |home| home.look_at(id, reason, looks - 1));
        if look.is_none() {
            // LIMIT: timers of the shard. The look is now.
            return self.look_at(id, fallback, 0);
        }
        self.proxies.with(id, |proxy| proxy.look = look);
    }

    /// The process was to end by force: is it inside a callback?
    fn look_at(&self, id: u64, reason: ExitReason, looks: u32) {
        let Some(record) = self.live_record(id) else { return };
        let port = self.node.port(record.annex());
        let is_inside = port.is_some_and(|port| port.cells.current.load(Relaxed) == id);
        if is_inside || looks == 0 {
            return self.leave_behind(record, id, &reason);
        }
        self.look_later(id, reason, looks);
    }

    /// The thread does not come out: the process ends without it (P1).
    fn leave_behind(&self, record: &Record, id: u64, reason: &ExitReason) {
        let behavior = record.behavior().unwrap_or("-");
        self.log_line(LogLevel::Warning, id, || {
            format!("{behavior} was ended ({reason}) inside a callback that does not return: it is a zombee, and keeps its thread, until it does")
        });
        let annex = record.annex();
        self.fire_end(record, id, reason, true);
        self.refuse_waiting(annex, id, refusal_for(reason));
    }

    /// Whether this is a process on a thread of its own that has ended for everybody else.
    pub(super) fn is_left_behind(&self, id: u64) -> bool {
        self.proxies.with(id, |proxy| proxy.has_ended).unwrap_or(false)
    }

    /// Everything by which the world learns of an end. A process that `stays` is still seen by readers.
    fn fire_end(&self, record: &Record, id: u64, reason: &ExitReason, stays: bool) {
        self.refusal.set(refusal_for(reason));
        self.proxies.with(id, |proxy| proxy.has_ended = true);
        self.cancel_for(id, |proxy| proxy.birth.take());
        record.set_flags(Flags::DEDICATED | Flags::TERMINATED);
        self.free_addresses(record, id);
        if !stays {
            self.strike_off(record, id);
        }
        let mut extension = self.take_extension(record);
        self.write_obituary(id, reason);
        if let Some(extension) = &mut extension {
            self.end_relations(id, &mut extension.relations, reason);
        }
        self.drop_queues(record, extension, reason);
        self.refusal.set(CallError::NoReply);
    }

    /// The process is no longer seen, and its counters become the shard's.
    fn strike_off(&self, record: &Record, id: u64) {
        let annex = self.node.port(record.annex());
        let table = annex.map_or_else(|| &*self.port.table, |port| &port.table);
        let there = table.published(id as u32);
        self.retire(there.record, there.identity);
        self.leave_application(self.identity(record).application.load(Relaxed));
        // ORDERING: pairs with the Acquire load of a reader's sweep.
        record.id.store(0, Release);
    }

    /// What waits for a zombee in its thread's inbox will not be handled: callers are told now.
    fn refuse_waiting(&self, annex: u16, id: u64, why: CallError) {
        let Some(port) = self.node.port(annex) else { return };
        let mut kept = Vec::new();
        port.inbox.drain(port.inbox.len(), |item| match item {
            Inbound::Parcel(parcel)
                if parcel.target == id && parcel.meta & (Meta::REPLY | Meta::REFUSE | Meta::TASK) == 0 =>
            {
                self.count(|cells| &cells.mailbox_lost, 1);
                let (meta, reply) = (parcel.meta, parcel.reply);
                self.contain(|| drop(parcel));
                if meta & Meta::CALL != 0 {
                    self.refuse(reply, why);
                }
            }
            other => kept.push(other),
        });
        for item in kept {
            if port.post_reserved(item).is_err() {
                self.count(|cells| &cells.dead_letters, 1);
            }
        }
    }

    /// The thread reports that its process has ended.
    pub(crate) fn annex_has_ended(&self, id: u64, reason: ExitReason) {
        let Some((annex, had_ended)) = self.proxies.with(id, |proxy| (proxy.annex, proxy.has_ended)) else {
            return;
        };
        self.cancel_for(id, |proxy| proxy.look.take());
        let record = self.table.record(id as u32);
        if had_ended {
            self.strike_off(record, id);
        } else {
            self.fire_end(record, id, &reason, false);
        }
        // A reason's `Drop` is the user's code.
        self.contain(|| drop(reason));
        self.tell(annex, move |annex| annex.release(id));
    }

    /// The thread is gone (P2).
    pub(crate) fn annex_is_gone(&self, id: u64) {
        let mut list = self.proxies.list.borrow_mut();
        let Some(index) = list.iter().position(|proxy| proxy.id == id) else { return };
        list.swap_remove(index);
        let is_last = list.is_empty();
        drop(list);
        let record = self.table.record(id as u32);
        record.set_flags(0);
        self.free_slot(self.table.table().identity(id as u32), id);
        if is_last && let Some(done) = self.proxies.done.take() {
            let _unheard = done.send(());
        }
    }

    /// The node stops: all processes that live elsewhere are told, and `done` when their threads are gone.
    pub(crate) fn end_annexes(&self, done: oneshot::Sender<()>) {
        let ids: Vec<u64> = self.proxies.list.borrow().iter().map(|proxy| proxy.id).collect();
        for id in &ids {
            if let Some(record) = self.live_record(*id) {
                self.order_end(record, ExitReason::Shutdown, false);
            }
        }
        if ids.is_empty() {
            let _unheard = done.send(());
        } else {
            self.proxies.done.replace(Some(done));
        }
    }

    /// The shard stops before the thread of a process has come out.
    pub(super) fn abandon(&self, record: &Record, id: u64, reason: ExitReason) {
        if record.flags() & Flags::TERMINATED == 0 {
            self.order_end(record, reason.clone(), false);
            self.fire_end(record, id, &reason, true);
        }
        self.contain(|| drop(reason));
    }
}
