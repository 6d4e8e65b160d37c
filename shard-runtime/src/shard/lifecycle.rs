//! The birth of a process on its shard.
//!
//! Invariant: G1 of [`ending`](super::ending): a slot's next generation is kept in `Identity::born` while it is free.
#![expect(unsafe_code, reason = "owns actor bodies; proven by an_actor_is_dropped_exactly_once")]

use crate::actor::{
    Actor, ActorTable, Call, DEFAULT_INIT_TIMEOUT, Placement, Rare, SpawnOptions, TableOf, Target,
};
use crate::error::{CallError, ExitReason, SpawnError};
use crate::mailbox::EnvelopePtr;
use crate::names::NameError;
use crate::oneshot;
use crate::process::{
    Bond, Env, Extension, FIRST_SLOT, Flags, Identity, Record, StartedAnswer, Subject, Tie,
};
use crate::process::{Trap, Watch, bump};
use crate::shard::core::DEFAULT_BUDGET;
use crate::shard::pump::panic_message;
use crate::shard::waiter::{Sink, State};
use crate::shard::watch::SPAWN_LINK;
use crate::shard::{Outcome, Shard};
use shard_wire::{LocalId, Pid, ShardId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Relaxed, Release};

/// From whom a process comes.
pub(crate) struct Origin {
    /// The parent's local id.
    pub(crate) parent: u64,
    /// The environment it inherits, if its parent is not of this shard.
    pub(crate) env: Option<Env>,
    /// Whether the parent is linked to it at once; else that is done when `init` is done.
    pub(crate) links_child: bool,
    /// Symbol of the application it belongs to; 0: its parent's.
    pub(crate) application: u32,
}

impl Origin {
    /// Spawned by the node.
    pub(crate) const CORE: Self =
        Self { parent: LocalId::CORE.0, env: None, links_child: false, application: 0 };

    /// A member of an application.
    pub(crate) fn member(application: u32, env: Env) -> Self {
        Self { parent: LocalId::CORE.0, env: Some(env), links_child: false, application }
    }
}

/// Stands for the question that a spawn answers.
struct Spawning;
crate::actor::local_message!(Spawning => Result<Pid, SpawnError>);

impl Shard {
    /// Starts a process on this shard.
    #[inline]
    pub(crate) fn spawn<A: Actor>(
        &self,
        factory: impl FnOnce() -> A,
        options: &SpawnOptions,
        mut origin: Origin,
    ) -> Result<Pid, SpawnError> {
        if options.is_dedicated() {
            return Err(SpawnError::Dedicated);
        }
        let body = Box::new(factory());
        self.ascribe(&mut origin, options);
        let claimed = self.claim(options, origin.application);
        let (record, id) = claimed.inspect_err(|_| self.count(|cells| &cells.spawn_failed, 1))?;
        record.body.set(Box::into_raw(body).cast());
        self.start(record, id, TableOf::<A>::TABLE, A::HAS_INIT, options, origin);
        Ok(self.pid(id))
    }

    /// Starts a process and tells when its `init` is done. A panic of the factory is an answer too.
    pub(crate) fn spawn_and_tell<A: Actor>(
        &self,
        factory: impl FnOnce() -> A,
        options: &SpawnOptions,
        origin: Origin,
        told: impl FnOnce(&Self, Result<Pid, SpawnError>) + 'static,
    ) {
        let spawned = match catch_unwind(AssertUnwindSafe(factory)) {
            Ok(actor) => self.spawn(move || actor, options, origin),
            Err(panic) => {
                self.count(|cells| &cells.panics, 1);
                self.count(|cells| &cells.spawn_failed, 1);
                Err(SpawnError::FactoryPanicked { message: panic_message(panic.as_ref()).into() })
            }
        };
        match spawned {
            Err(error) => told(self, Err(error)),
            Ok(pid) if !A::HAS_INIT => told(self, Ok(pid)),
            Ok(pid) => {
                let answer: StartedAnswer = Box::new(move |shard, started| {
                    told(shard, started.map(|()| pid).map_err(|reason| SpawnError::Init { reason }));
                });
                let record = self.table.record(pid.local.slot());
                self.with_extension(record, |extension| extension.started = Some(answer));
            }
        }
    }

    /// The same for a factory that can go to another thread, if the options want that.
    pub(crate) fn spawn_as_told<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: &SpawnOptions,
        origin: Origin,
        told: impl FnOnce(&Self, Result<Pid, SpawnError>) + 'static,
    ) {
        if options.is_dedicated() && A::KIND != "actor" {
            self.count(|cells| &cells.spawn_failed, 1);
            told(self, Err(SpawnError::NotAlone { kind: A::KIND }));
        } else if options.is_dedicated() {
            self.spawn_dedicated(factory, options, origin, told);
        } else {
            self.spawn_and_tell(factory, options, origin, told);
        }
    }

    /// The same for a caller outside.
    pub(crate) fn spawn_and_tell_outside<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: &SpawnOptions,
        answer: oneshot::Sender<Result<Pid, SpawnError>>,
    ) {
        self.spawn_as_told(factory, options, Origin::CORE, move |_, outcome| {
            // The spawner may have stopped waiting; the process stays, as its name and the tables show.
            let _unheard = answer.send(outcome);
        });
    }

    /// Starts a process on any shard on behalf of the current one, and answers a waiter of this shard when it is up.
    pub(crate) fn spawn_anywhere<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
        waiter: u64,
    ) {
        let (parent, home) = (self.current_id.get(), self.index);
        let target = match self.place(options.placement()) {
            Ok(target) => target,
            Err(error) => return self.spawned(waiter, parent, Err(error), false),
        };
        let (env, application) = (self.env_of(parent), self.application_of(parent));
        let links = options.rare().is_some_and(|rare| rare.link_child) && parent != LocalId::CORE.0;
        self.tell(target, move |shard| {
            let origin = Origin { parent, env: Some(env), links_child: false, application };
            shard.spawn_as_told(factory, &options, origin, move |shard, outcome| {
                if links && let Ok(pid) = &outcome {
                    let tie = Tie { subject: Subject::Pid(pid.local.0), bond: Bond::Link };
                    shard.add_watch(pid.local.0, Watch::near(parent, tie), SPAWN_LINK, false);
                }
                shard.tell(home, move |shard| shard.spawned(waiter, parent, outcome, links));
            });
        });
    }

    /// The same with its waiter.
    pub(crate) fn spawn_call<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
    ) -> Call<'_, Result<Pid, SpawnError>> {
        // The process's own limit ends first; this one is for a shard that does not answer.
        let limit = self.ticks(options.init_timeout()).saturating_add(self.default_timeout);
        let waiter = self.own_wait(limit);
        if waiter != 0 {
            self.spawn_anywhere(factory, options, waiter);
        }
        Call::new(self, waiter)
    }

    /// A waiter for a spawn that tells a function. `None`: there are no waiters left.
    pub(crate) fn spawn_callback(
        &self,
        init_timeout: std::time::Duration,
        done: impl FnOnce(&Self, Result<Pid, SpawnError>) + 'static,
    ) -> Option<u64> {
        let limit = self.ticks(init_timeout).saturating_add(self.default_timeout);
        let reference = self.wait_for_reply(limit);
        let waiter = self.waiters.find(reference)?;
        let callback = Box::new(move |shard: &Self, outcome: Outcome| {
            let outcome = match outcome {
                Outcome::Reply(payload) => crate::shard::Parcel::reply_of::<Spawning>(payload),
                Outcome::Failed(CallError::Timeout) | Outcome::Due => {
                    Err(SpawnError::Timeout { limit: init_timeout })
                }
                Outcome::Failed(_) => Err(SpawnError::Stopping),
            };
            done(shard, outcome);
        });
        waiter.set_extra(|extra| extra.sink = Some(Sink::Callback(callback)));
        Some(reference)
    }

    /// Fails the waiter of a spawn: the process is killed when it comes up.
    pub(crate) fn give_up_spawn(&self, waiter: u64) {
        self.fail(waiter, CallError::Canceled);
    }

    /// Takes over the answer to whoever waits for the current process's start, to give it later.
    pub(crate) fn defer_start(&self) -> Option<StartedAnswer> {
        let record = self.live_record(self.current_id.get())?;
        self.with_existing_extension(record, |extension| extension.started.take())
    }

    /// A process that a process of this shard asked for is up, or will not be. If nobody waits for it any more, it is killed:
    /// nobody would know of it.
    fn spawned(&self, waiter: u64, parent: u64, outcome: Result<Pid, SpawnError>, links: bool) {
        if self.waiters.find(waiter).is_none_or(|waiter| waiter.state.get() != State::Waiting) {
            if let Ok(pid) = outcome {
                self.abandon_start(pid);
            }
            return;
        }
        if links && let Ok(pid) = &outcome {
            let holder = pid.local.0;
            self.tell(self.home_index(), move |home| home.adopt_link(parent, holder));
        }
        self.answer_own(waiter, outcome);
    }

    /// Notes a link that a spawn has made on the holder's side.
    pub(crate) fn adopt_link(&self, consumer: u64, holder: u64) {
        if let Some(record) = self.live_record(consumer) {
            let tie = Tie { subject: Subject::Pid(holder), bond: Bond::Link };
            self.with_extension(record, |extension| extension.relations.adopt(tie, holder, SPAWN_LINK));
        }
    }

    /// The shard a placement leads to now.
    pub(crate) fn place(&self, placement: Placement) -> Result<u16, SpawnError> {
        let shards = self.node.shards();
        match placement {
            Placement::Caller => Ok(self.home_index()),
            Placement::Shard(shard) if shard < shards => Ok(shard),
            Placement::Shard(shard) => Err(SpawnError::NoShard { shard, shards }),
            Placement::Key(hash) => Ok((hash % u64::from(shards)) as u16),
            Placement::LeastLoaded => Ok(self.node.least_loaded()),
        }
    }

    /// The node stops: no more spawns, and the pump ends after its turn.
    pub(crate) fn begin_stop(&self) {
        self.stopping.set(true);
    }

    /// A free slot and its new id, with the name claimed.
    #[inline]
    pub(super) fn claim(
        &self,
        options: &SpawnOptions,
        application: u32,
    ) -> Result<(&Record, u64), SpawnError> {
        if application == 0 {
            return self.claim_place(options);
        }
        self.enter_application(application)?;
        self.claim_place(options).inspect_err(|_| self.leave_application(application))
    }

    #[inline]
    fn claim_place(&self, options: &SpawnOptions) -> Result<(&Record, u64), SpawnError> {
        if self.stopping.get() {
            return Err(SpawnError::Stopping);
        }
        let free = self.free_slots.borrow_mut().pop();
        let Some(slot) = free.or_else(|| self.table.table().take_fresh()) else {
            return Err(SpawnError::ProcessLimit { limit: self.table.table().slots() - FIRST_SLOT });
        };
        let record = self.table.record(slot);
        let generation = self.table.table().identity(slot).born.load(Relaxed) as u32;
        let Some(shard) = ShardId::new(self.index) else {
            return Err(SpawnError::NoShard { shard: self.index, shards: self.node.shards() });
        };
        let id = LocalId::new(shard, generation, slot).0;
        let symbol = match options.name_text() {
            None => 0,
            Some(name) => match self.claim_name(name, id) {
                Ok(symbol) => symbol,
                Err(error) => {
                    self.free_slots.borrow_mut().push(slot);
                    return Err(error);
                }
            },
        };
        self.table.table().identity(slot).name.store(symbol, Relaxed);
        Ok((record, id))
    }

    /// Gives a slot back that was claimed and not used.
    pub(super) fn unclaim(&self, id: u64, application: u32) {
        self.leave_application(application);
        self.free_name(self.table.table().identity(id as u32), id);
        self.free_slots.borrow_mut().push(id as u32);
    }

    #[cold]
    fn claim_name(&self, name: &str, id: u64) -> Result<u32, SpawnError> {
        let symbol = self.node.symbols().intern(name).map_err(|_| {
            SpawnError::BadName("the node knows too many names; reuse names instead of numbering them")
        })?;
        self.node.names().register(name, LocalId(id)).map_err(|error| match error {
            NameError::NameTaken { holder } => {
                SpawnError::NameTaken { name: name.into(), holder: self.pid(holder.0) }
            }
            _ => SpawnError::BadName("it is empty or longer than 255 bytes"),
        })?;
        Ok(symbol.0)
    }

    /// Claims a name for the current process.
    pub(crate) fn register_current(&self, name: &str) -> Result<(), SpawnError> {
        let id = self.current_id.get();
        if self.is_left_behind(id) {
            return Err(SpawnError::BadName("the process that wants it has been ended"));
        }
        let identity = self.table.table().identity(id as u32);
        if identity.name.load(Relaxed) != 0 {
            return Err(SpawnError::NameTaken { name: name.into(), holder: self.current_pid() });
        }
        let symbol = self.claim_name(name, id)?;
        identity.name.store(symbol, Relaxed);
        Ok(())
    }

    #[inline]
    pub(super) fn start(
        &self,
        record: &Record,
        id: u64,
        table: &'static ActorTable,
        has_init: bool,
        options: &SpawnOptions,
        origin: Origin,
    ) {
        let family = (origin.parent, self.leader_of(origin.parent));
        self.fill(record, id, table, options.budget_or(DEFAULT_BUDGET), family);
        if origin.application != 0 {
            self.table.table().identity(id as u32).application.store(origin.application, Relaxed);
        }
        // Its name is known already: a sender elsewhere that sees the id must see the bound, too.
        let traits = options.rare().map_or(0, |rare| self.traits(id, rare));
        record.set_flags(traits | if has_init { Flags::START } else { 0 });
        // ORDERING: pairs with the Acquire load of a reader's sweep and of `traits_of`: who sees the id sees the rest.
        record.id.store(id, Release);
        let cells = self.cells();
        bump(&cells.spawned, 1);
        bump(&cells.processes, 1);
        self.inherit(record, origin.parent, origin.env);
        if let Some(rare) = options.rare() {
            self.dress(record, id, rare, origin.parent, origin.links_child);
        }
        if has_init {
            self.make_ready(record);
        }
        self.watch_spawn(record);
    }

    /// Starts a process of the runtime itself in a place below those of processes: it is in no list and no count, traps all
    /// exits, and lives as long as the shard.
    pub(super) fn raise<A: Actor>(&self, id: u64, actor: A) {
        let record = self.table.record(id as u32);
        record.body.set(Box::into_raw(Box::new(actor)).cast());
        self.fill(record, id, TableOf::<A>::TABLE, DEFAULT_BUDGET, (LocalId::CORE.0, LocalId::CORE.0));
        record.set_flags(0);
        // ORDERING: as in `start`.
        record.id.store(id, Release);
        self.with_extension(record, |extension| extension.trap = Trap::All);
    }

    /// Writes a new process's record and identity, but not its id and flags. `family` is its parent and its leader.
    #[inline]
    pub(super) fn fill(
        &self,
        record: &Record,
        id: u64,
        table: &'static ActorTable,
        budget: u32,
        family: (u64, u64),
    ) {
        let identity = self.table.table().identity(id as u32);
        let now = self.now.get();
        record.actor.store(std::ptr::from_ref(table).cast_mut(), Relaxed);
        record.tail.set(EnvelopePtr::head_of(&record.head));
        record.budget.set(budget);
        for counter in
            [&record.pushed, &record.taken, &record.out, &record.wakeups, &record.run, &record.latency]
        {
            counter.store(0, Relaxed);
        }
        record.last.store(now, Relaxed);
        identity.parent.store(family.0, Relaxed);
        identity.leader.store(family.1, Relaxed);
        identity.born.store(now, Relaxed);
        for counter in [&identity.init, &identity.other_in, &identity.other_taken] {
            counter.store(0, Relaxed);
        }
        identity.signal.clear();
        identity.application.store(0, Relaxed);
    }

    /// The leader of a process that this parent spawns.
    #[inline]
    fn leader_of(&self, parent: u64) -> u64 {
        if parent == LocalId::CORE.0 {
            return parent;
        }
        let home = LocalId(parent).shard();
        if home == self.index {
            return self.table.table().identity(parent as u32).leader.load(Relaxed);
        }
        self.node
            .port(home)
            .map_or(LocalId::CORE.0, |port| port.table.identity(parent as u32).leader.load(Relaxed))
    }

    #[inline]
    fn inherit(&self, record: &Record, parent: u64, given: Option<Env>) {
        let env = match given {
            Some(env) => env,
            None if parent == LocalId::CORE.0 => self.node.env().clone(),
            None => self.env_of(parent),
        };
        if !env.is_empty() {
            self.with_extension(record, |extension| extension.env = env);
        }
    }

    /// The environment of a process of this shard.
    #[inline]
    pub(crate) fn env_of(&self, local: u64) -> Env {
        let record = self.table.record(local as u32);
        if record.id.load(Relaxed) != local {
            return Env::default();
        }
        self.with_existing_extension(record, |extension| Some(extension.env.clone())).unwrap_or_default()
    }

    /// Changes the environment of the current process. What was in it comes back: its `Drop` is the user's code, which may
    /// reach this very process.
    pub(crate) fn change_env<R>(&self, change: impl FnOnce(&mut Env) -> R) -> R {
        let record = self.table.record(self.current_id.get() as u32);
        self.with_extension(record, |extension| change(&mut extension.env))
    }

    /// What senders look at before they send, for few processes.
    #[cold]
    fn traits(&self, id: u64, rare: &Rare) -> u32 {
        let mut traits = 0;
        if let Some(limit) = rare.mailbox {
            let symbol = |text: &str| self.node.symbols().intern(text).map_or(0, |symbol| symbol.0);
            let (name, tag) =
                rare.fallback.as_ref().map_or((0, 0), |(name, tag)| (symbol(name), symbol(tag)));
            let bound = self.table.bound(id as u32);
            bound.open(LocalId(id).generation(), limit, rare.on_full, name, tag);
            traits |= Flags::BOUNDED;
        }
        if rare.split {
            traits |= Flags::SPLIT;
        }
        if rare.priority.queue() != 0 {
            traits |= Flags::SENDER;
        }
        if rare.compress_at != 0 {
            traits |= Flags::COMPRESSES;
        }
        traits |= Flags::of_level(rare.log_level);
        traits
    }

    /// What few processes have.
    #[cold]
    fn dress(&self, record: &Record, id: u64, rare: &Rare, parent: u64, links_child: bool) {
        let identity = self.identity(record);
        if let Some(leader) = rare.leader {
            identity.leader.store(leader.local.0, Relaxed);
        }
        let trap = if rare.trap_exit { Trap::On } else { Trap::Off };
        let init_limit = (rare.init_timeout != DEFAULT_INIT_TIMEOUT).then_some(rare.init_timeout);
        // What is overlaid is dropped here: it may be the user's.
        let _inherited = self.with_extension(record, |extension| {
            extension.trap = trap;
            extension.preserve = rare.preserve;
            extension.far = rare.far;
            extension.send_queue = rare.priority.queue();
            extension.compress_at = rare.compress_at;
            extension.init_limit = init_limit;
            if rare.env.is_empty() {
                return Env::default();
            }
            let env = extension.env.overlaid_by(&rare.env);
            std::mem::replace(&mut extension.env, env)
        });
        if let Some(before) = rare.adopt {
            if before.local.shard() == self.index && !rare.dedicated {
                self.adopt_mailbox(record, before);
            } else {
                self.drop_kept_mailbox(before);
            }
        }
        if let Some(far) = rare.far.filter(|far| far.links) {
            self.link_to_far_parent(record, id, far.parent);
        }
        if parent == LocalId::CORE.0 {
            return;
        }
        if rare.link_parent {
            self.bind_at_birth(id, parent);
        }
        if rare.link_child && links_child {
            self.bind_at_birth(parent, id);
        }
    }

    /// Links a process that is being spawned to its parent on another node.
    fn link_to_far_parent(&self, record: &Record, id: u64, parent: Pid) {
        let bound = self.speaking_as(id, || self.bind_far(record, Bond::Link, &Target::Pid(parent)));
        if !matches!(bound, Some(Ok(()))) {
            // It must not outlive its parent unseen.
            self.end_by_signal(record, ExitReason::NoProcess);
        }
    }

    /// Links a process of this shard to another one: one of the two is being spawned.
    fn bind_at_birth(&self, consumer: u64, holder: u64) {
        let tie = Tie { subject: Subject::Pid(holder), bond: Bond::Link };
        let Some(record) = self.live_record(consumer) else { return };
        let number = self.with_extension(record, |extension| extension.relations.begin(tie, holder));
        if let Some(number) = number {
            let watch = Watch::near(consumer, tie);
            self.tell(LocalId(holder).shard(), move |shard| {
                shard.add_watch(holder, watch, number, false);
            });
        }
    }

    /// `init` waits for something: its time is limited from here on.
    #[cold]
    pub(super) fn limit_init(&self, record: &Record) {
        if self.is_annex() {
            // Its home shard does, also for an `init` that blocks.
            return;
        }
        let id = record.id.load(Relaxed);
        let born = self.identity(record).born.load(Relaxed);
        let limit = self.with_existing_extension(record, |extension| extension.init_limit);
        let limit = limit.unwrap_or(DEFAULT_INIT_TIMEOUT);
        let left = born.saturating_add(self.ticks(limit)).saturating_sub(self.now.get());
        let timer = self.wait_for_reply(left);
        let Some(waiter) = self.waiters.find(timer) else { return };
        waiter.is_timer.set(true);
        let expired = Box::new(move |shard: &Self, _: Outcome| {
            if let Some(record) = shard.live_record(id)
                && record.flags() & Flags::START != 0
            {
                shard.with_extension(record, |extension| extension.init_timer = 0);
                shard.end_by_signal(record, ExitReason::InitTimeout { limit });
            }
        });
        waiter.set_extra(|extra| extra.sink = Some(Sink::Callback(expired)));
        self.with_extension(record, |extension| extension.init_timer = timer);
    }

    /// `init` is done: whoever waits for that is told.
    pub(super) fn init_done(&self, record: &Record) {
        record.clear_flags(Flags::START);
        let identity: &Identity = self.identity(record);
        let took = self.clock.ticks().saturating_sub(identity.born.load(Relaxed));
        identity.init.store(took, Relaxed);
        let done = |extension: &mut Extension| {
            Some((std::mem::take(&mut extension.init_timer), extension.started.take()))
        };
        let Some((timer, started)) = self.with_existing_extension(record, done) else { return };
        self.free_waiter::<()>(timer);
        if let Some(started) = started {
            started(self, Ok(()));
        }
    }

    /// The cold part of a record.
    #[inline]
    pub(super) fn identity(&self, record: &Record) -> &Identity {
        self.table.table().identity(record.slot())
    }

    /// Works on the lazy part of a process, which is made on first use.
    pub(crate) fn with_extension<R>(&self, record: &Record, f: impl FnOnce(&mut Extension) -> R) -> R {
        if record.extension.get().is_null() {
            record.extension.set(Box::into_raw(Box::default()));
        }
        // SAFETY: made from a box above, owned by the record; one thread, and `f` cannot reach it another way.
        f(unsafe { &mut *record.extension.get() })
    }

    /// The same, if there is one.
    #[inline]
    pub(crate) fn with_existing_extension<R>(
        &self,
        record: &Record,
        f: impl FnOnce(&mut Extension) -> Option<R>,
    ) -> Option<R> {
        if record.extension.get().is_null() { None } else { self.with_extension(record, f) }
    }
}
