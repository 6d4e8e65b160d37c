//! Links and monitors: making, undoing and firing them, across shards. Between two nodes `link/relation.rs` takes over where
//! the halves meet.
//!
//! A relation has two halves: the consumer's, on its shard, and the holder's, on the shard of the process that is watched.
//! The liveness check and the insert are one step on the holder's shard, so a target that dies meanwhile fires. What is told
//! from shard to shard goes the way of messages, so a firing never overtakes what the dead process sent before.
//! Invariants: L1 and L2 of [`Relations`](crate::process::Relations): a relation fires exactly once, or never if undone.

use crate::actor::{Down, ExitSignal, Target};
use crate::error::{ExitReason, LinkError};
use crate::mailbox::Meta;
use crate::process::{Bond, Flags, Record, Relations, Subject, Tie, Trap, Watch};
use crate::shard::{EventKey, Inbound, Parcel, Shard};
use crate::symbol::Symbol;
use shard_wire::{Alias, IncarnationKey, LocalId, Message, Pid, vtable};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Ended processes whose reasons a shard remembers.
const OBITUARIES: usize = 1024;

/// Number of a relation that a spawn makes: its tie is to a new pid, so it has no predecessor.
pub(crate) const SPAWN_LINK: u32 = 0;

impl Shard {
    /// Runs something on a shard of this node: at once on this one, else in order behind what was sent there.
    pub(crate) fn tell(&self, shard: u16, run: impl FnOnce(&Self) + Send + 'static) {
        if shard == self.index {
            return run(self);
        }
        if self.mesh.push_reserved(self, shard, Parcel::task(Box::new(run))).is_some() {
            self.count(|cells| &cells.dead_letters, 1);
        }
    }

    /// The record of a live process of this shard.
    pub(crate) fn live_record(&self, local: u64) -> Option<&Record> {
        let record = self.table.record(local as u32);
        let lives = record.id.load(Relaxed) == local && record.flags() & Flags::TERMINATED == 0;
        lives.then_some(record)
    }

    /// Makes a link or monitor of the current process.
    pub(crate) fn bind(&self, bond: Bond, target: &Target) -> Result<(), LinkError> {
        let consumer = self.current_id.get();
        let record = self.live_record(consumer).ok_or(LinkError::Terminated)?;
        if let Some(bound) = self.bind_far(record, bond, target) {
            return bound;
        }
        let (subject, holder) = self.find_subject(target)?;
        if holder == consumer {
            return Err(LinkError::NotAllowed);
        }
        let tie = Tie { subject, bond };
        let number = self
            .with_extension(record, |extension| extension.relations.begin(tie, holder))
            .ok_or(LinkError::Exists)?;
        let watch = Watch::near(consumer, tie);
        if holder == 0 {
            self.node_watchers.borrow_mut().push((watch, number));
        } else {
            self.tell(LocalId(holder).shard(), move |shard| {
                shard.add_watch(holder, watch, number, false);
            });
        }
        Ok(())
    }

    /// Undoes a link or monitor of the current process.
    pub(crate) fn unbind(&self, bond: Bond, target: &Target) -> Result<(), LinkError> {
        let consumer = self.current_id.get();
        let record = self.live_record(consumer).ok_or(LinkError::Terminated)?;
        let subject = self.known_subject(target).ok_or(LinkError::Missing)?;
        if self.undo_relation(record, Tie { subject, bond }) {
            return Ok(());
        }
        // A subscription is undone as a plain monitor or link is, as on one node.
        let Subject::FarEvent { node, name } = subject else { return Err(LinkError::Missing) };
        let feed = Tie { subject: Subject::FarFeed { node, name }, bond };
        if self.undo_relation(record, feed) { Ok(()) } else { Err(LinkError::Missing) }
    }

    /// Undoes a relation of the current process, if there is one.
    pub(crate) fn undo_relation(&self, record: &Record, tie: Tie) -> bool {
        let consumer = self.current_id.get();
        let undone = self.with_existing_extension(record, |extension| extension.relations.undo(tie));
        let Some(holder) = undone else { return false };
        self.stop_listening(consumer, tie, holder);
        self.drop_watch(holder, Watch::near(consumer, tie));
        true
    }

    /// Forgets a relation on the holder's side.
    fn drop_watch(&self, holder: u64, watch: Watch) {
        if watch.tie.subject.is_far() {
            return self.drop_far(holder as u32, watch.consumer, watch.tie);
        }
        if matches!(watch.tie.subject, Subject::FarFeed { .. }) {
            // Nobody else knows of it: see `stop_listening`.
            return;
        }
        if holder == 0 {
            return self.node_watchers.borrow_mut().retain(|(other, _)| *other != watch);
        }
        self.tell(LocalId(holder).shard(), move |shard| {
            let record = shard.table.record(holder as u32);
            if record.id.load(Relaxed) == holder {
                shard.unwatch(record, holder, watch);
            }
        });
    }

    /// A relation of a process of this shard is over: if it was to an event, no more of it is delivered.
    fn stop_listening(&self, consumer: u64, tie: Tie, holder: u64) {
        match tie.subject {
            Subject::Event(symbol) => {
                let key = EventKey::Near { symbol, producer: holder };
                self.leave_audience(key, consumer, tie.bond);
            }
            Subject::FarFeed { .. } => self.leave_branch(holder, consumer, tie.bond),
            _ => {}
        }
    }

    /// Notes on the holder's side that it is watched, or fires at once if there is nothing to watch any more. Whether there is.
    pub(crate) fn add_watch(&self, holder: u64, watch: Watch, number: u32, subscribes: bool) -> bool {
        let Some(record) = self.live_record(holder) else {
            self.fire(watch, number, &self.obituary(holder));
            return false;
        };
        let identity = self.identity(record);
        let is_there = self.with_extension(record, |extension| {
            let is_there = match watch.tie.subject {
                Subject::Pid(_) => true,
                Subject::Name(symbol) => identity.name.load(Relaxed) == symbol,
                Subject::Alias(alias) => extension.aliases.contains(&alias),
                Subject::Event(symbol) => extension.events.contains(&symbol),
                // Not of this node, so nobody here holds it.
                Subject::Node(_)
                | Subject::FarPid { .. }
                | Subject::FarAlias { .. }
                | Subject::FarName { .. }
                | Subject::FarEvent { .. }
                | Subject::FarFeed { .. } => false,
            };
            if is_there {
                extension.relations.watched_by(watch, number, subscribes);
            }
            is_there
        });
        if !is_there {
            self.fire(watch, number, &ExitReason::Unregistered);
        }
        is_there
    }

    /// Why a process ended, if that is still known.
    fn obituary(&self, local: u64) -> ExitReason {
        let known = self.obituaries.borrow();
        let found = known.iter().rev().find(|(ended, _)| *ended == local);
        found.map_or(ExitReason::NoProcess, |(_, reason)| reason.clone())
    }

    /// Keeps why a process ended for a while.
    pub(super) fn write_obituary(&self, local: u64, reason: &ExitReason) {
        if self.stopping.get() || self.is_annex() {
            // Whoever could ask ends too.
            return;
        }
        let mut known = self.obituaries.borrow_mut();
        // LIMIT: ends that are remembered.
        let oldest = if known.len() >= OBITUARIES { known.pop_front() } else { None };
        known.push_back((local, reason.clone()));
        drop(known);
        if let Some((_, ExitReason::Error(_) | ExitReason::Exceeded { .. })) = &oldest {
            // An error's `Drop` is the user's code.
            self.contain(|| drop(oldest));
        }
    }

    /// Fires one relation, on the consumer's shard.
    pub(super) fn fire(&self, watch: Watch, number: u32, reason: &ExitReason) {
        if watch.peer != 0 {
            return self.fire_far(watch, number, reason);
        }
        let reason = reason.clone();
        self.tell(LocalId(watch.consumer).shard(), move |shard| shard.fired(watch, number, reason));
    }

    /// A relation of a process of this shard fires, if it is there with this number.
    pub(crate) fn fired(&self, watch: Watch, number: u32, reason: ExitReason) {
        let Some(record) = self.live_record(watch.consumer) else { return };
        let fires =
            self.with_existing_extension(record, |extension| extension.relations.fire(watch.tie, number));
        let Some(holder) = fires else { return };
        if let Subject::Event(symbol) = watch.tie.subject {
            // What was published before the event ended comes before its end.
            self.finish_spreads(EventKey::Near { symbol, producer: holder });
        }
        self.stop_listening(watch.consumer, watch.tie, holder);
        if watch.tie.subject.is_far() {
            self.forget_far(holder as u32, watch.consumer, watch.tie);
        }
        self.tell_end(record, watch.tie, reason);
    }

    /// Tells a process that what it was tied to has ended.
    pub(crate) fn tell_end(&self, record: &Record, tie: Tie, reason: ExitReason) {
        let target = self.target_of(tie.subject);
        match tie.bond {
            Bond::Link => self.exit_signal(record, target, reason),
            Bond::Monitor => self.post_system(record, Meta::SYSTEM, Down { target, reason }),
        }
    }

    /// Fires everything that watches one subject of a live process: a name, alias or event that is given up.
    pub(super) fn fire_subject(&self, record: &Record, subject: Subject) {
        let fired = self
            .with_existing_extension(record, |extension| Some(extension.relations.take_watchers_of(subject)));
        for (watch, number) in fired.into_iter().flatten() {
            self.fire(watch, number, &ExitReason::Unregistered);
        }
    }

    /// Ends all relations of a process that has ended: what it watched is told, who watched it fires.
    pub(super) fn end_relations(&self, consumer: u64, relations: &mut Relations, reason: &ExitReason) {
        for (tie, holder) in relations.take_own() {
            self.stop_listening(consumer, tie, holder);
            self.drop_watch(holder, Watch::near(consumer, tie));
        }
        for (watch, number) in relations.take_watchers() {
            self.fire(watch, number, reason);
        }
    }

    /// The session with a node has ended: who watched it fires.
    pub(crate) fn node_down(&self, name: &str, reason: &ExitReason) {
        let Some(symbol) = self.node.symbols().find(name) else { return };
        let subject = Subject::Node(symbol.0);
        let mut fired = Vec::new();
        self.node_watchers.borrow_mut().retain(|(watch, number)| {
            let stays = watch.tie.subject != subject;
            if !stays {
                fired.push((*watch, *number));
            }
            stays
        });
        for (watch, number) in fired {
            self.fired(watch, number, reason.clone());
        }
    }

    /// An exit signal reaches a process of this shard.
    pub(crate) fn exit_signal(&self, record: &Record, source: Target, reason: ExitReason) {
        let trap = self.with_existing_extension(record, |extension| Some(extension.trap)).unwrap_or_default();
        let parent = self.identity(record).parent.load(Relaxed);
        let parent = self.far_of(record).map_or_else(|| self.pid(parent), |far| far.parent);
        let is_parent = matches!(source, Target::Pid(pid) if pid == parent);
        match trap {
            Trap::All => self.post_system(record, Meta::URGENT, ExitSignal { source, reason }),
            Trap::On if !is_parent => {
                self.post_system(record, Meta::URGENT, ExitSignal { source, reason });
            }
            Trap::On | Trap::Off => self.end_by_signal(record, reason),
        }
    }

    /// Sends an exit signal to a process.
    pub(crate) fn send_exit(&self, to: Pid, reason: ExitReason) -> Result<(), LinkError> {
        let from = self.current_id.get();
        if to.node.0 != self.key {
            return self.exit_far(to, reason);
        }
        let family = self.table.table().identity(from as u32);
        let is_process = from != LocalId::CORE.0;
        let is_family = [family.parent.load(Relaxed), family.leader.load(Relaxed)].contains(&to.local.0);
        if to.local.0 == from || is_process && is_family {
            return Err(LinkError::NotAllowed);
        }
        let port = self.node.port(to.local.shard()).ok_or(LinkError::NoProcess)?;
        match port.table.traits_of(to.local.0) {
            None => return Err(LinkError::NoProcess),
            Some(traits) if traits & Flags::TERMINATED != 0 => return Err(LinkError::Terminated),
            Some(_) => {}
        }
        let source = Target::Pid(self.pid(from));
        self.watch_exit(to, &reason);
        self.tell(to.local.shard(), move |shard| {
            if let Some(record) = shard.live_record(to.local.0) {
                shard.exit_signal(record, source, reason);
            }
        });
        Ok(())
    }

    /// Queues a message of the runtime, which no bound refuses.
    pub(crate) fn post_system<M: Message>(&self, record: &Record, queue: u64, message: M) {
        if record.flags() & Flags::DEDICATED != 0 {
            return self.post_to_annex(record, queue, message);
        }
        let envelope = self.pool.take();
        let flags = queue | Meta::RUNTIME;
        envelope.fill(vtable::<M>(), LocalId::CORE.0, self.stamp.get() | flags, message);
        self.count(|cells| &cells.posted, 1);
        self.enqueue_by_force(record, envelope, flags);
    }

    /// What a target is to this node, and which process holds the other half of a relation to it (0 for nodes).
    fn find_subject(&self, target: &Target) -> Result<(Subject, u64), LinkError> {
        match target {
            Target::Pid(pid) if pid.node.0 != self.key => Err(LinkError::NotConnected),
            Target::Pid(pid) => {
                let traits =
                    self.node.port(pid.local.shard()).and_then(|port| port.table.traits_of(pid.local.0));
                match traits {
                    None => Err(LinkError::NoProcess),
                    Some(traits) if traits & Flags::TERMINATED != 0 => Err(LinkError::Terminated),
                    Some(_) => Ok((Subject::Pid(pid.local.0), pid.local.0)),
                }
            }
            Target::Name(name) | Target::NameAt { name, .. } => {
                let holder = self.node.lookup(name).ok_or(LinkError::NameUnknown)?;
                let symbol = self.node.symbols().intern(name).map_err(|_| LinkError::Limit)?;
                Ok((Subject::Name(symbol.0), holder.local.0))
            }
            Target::Alias(alias) if alias.node.0 != self.key => Err(LinkError::NotConnected),
            Target::Alias(alias) => {
                let owner = self.alias_owner(*alias).ok_or(LinkError::AliasUnknown)?;
                Ok((Subject::Alias(alias.id), owner))
            }
            Target::Event(name) | Target::EventAt { name, .. } => {
                let holder = self.node.events().lookup(name).ok_or(LinkError::EventUnknown)?;
                let symbol = self.node.symbols().intern(name).map_err(|_| LinkError::Limit)?;
                Ok((Subject::Event(symbol.0), holder.0))
            }
            Target::Node(name) if **name == *self.node.name() => Err(LinkError::NotAllowed),
            Target::Node(name) => {
                if !self.is_in_session(name) {
                    return Err(LinkError::NotConnected);
                }
                let symbol = self.node.symbols().intern(name).map_err(|_| LinkError::Limit)?;
                Ok((Subject::Node(symbol.0), 0))
            }
        }
    }

    /// The same for undoing, where the target need not live.
    fn known_subject(&self, target: &Target) -> Option<Subject> {
        let symbol = |name: &str| self.node.symbols().find(name).map(|symbol| symbol.0);
        Some(match target {
            Target::Pid(pid) if pid.node.0 == self.key => Subject::Pid(pid.local.0),
            Target::Alias(alias) if alias.node.0 == self.key => Subject::Alias(alias.id),
            Target::NameAt { name, node } if **node == *self.node.name() => Subject::Name(symbol(name)?),
            Target::EventAt { name, node } if **node == *self.node.name() => Subject::Event(symbol(name)?),
            Target::Pid(_) | Target::Alias(_) | Target::NameAt { .. } | Target::EventAt { .. } => {
                self.known_far(target)?
            }
            Target::Name(name) => Subject::Name(symbol(name)?),
            Target::Event(name) => Subject::Event(symbol(name)?),
            Target::Node(name) => Subject::Node(symbol(name)?),
        })
    }

    /// A subject as users name it.
    pub(super) fn target_of(&self, subject: Subject) -> Target {
        let text = |symbol: u32| Arc::from(self.node.symbols().text(Symbol(symbol)).unwrap_or(""));
        match subject {
            Subject::Pid(local) => Target::Pid(self.pid(local)),
            Subject::Alias(id) => Target::Alias(Alias { node: self.node.key(), id }),
            Subject::Name(symbol) => Target::Name(text(symbol)),
            Subject::Event(symbol) => Target::Event(text(symbol)),
            Subject::Node(symbol) => Target::Node(text(symbol)),
            Subject::FarPid { key, local } => {
                Target::Pid(Pid { node: IncarnationKey(key), local: LocalId(local) })
            }
            Subject::FarAlias { key, id } => Target::Alias(Alias { node: IncarnationKey(key), id }),
            Subject::FarName { node, name } => Target::NameAt { name: text(name), node: text(node) },
            Subject::FarEvent { node, name } | Subject::FarFeed { node, name } => {
                Target::EventAt { name: text(name), node: text(node) }
            }
        }
    }

    /// The local id of the process an alias of this node leads to.
    pub(crate) fn alias_owner(&self, alias: Alias) -> Option<u64> {
        if alias.node.0 != self.key {
            return None;
        }
        if alias.shard() == self.index {
            return self.aliases.owner(alias.id);
        }
        self.node.port(alias.shard()).and_then(|port| port.aliases.owner(alias.id))
    }
}

/// Names and aliases of the current process.
impl Shard {
    /// Gives the current process's name up.
    pub(crate) fn unregister_current(&self) -> Result<(), LinkError> {
        let id = self.current_id.get();
        let record = self.live_record(id).ok_or(LinkError::Terminated)?;
        let symbol = self.identity(record).name.load(Relaxed);
        if symbol == 0 {
            return Err(LinkError::NameUnknown);
        }
        self.free_name(self.identity(record), id);
        self.fire_subject(record, Subject::Name(symbol));
        Ok(())
    }

    /// A new alias of the current process.
    pub(crate) fn create_alias(&self) -> Result<Alias, LinkError> {
        self.give_alias(self.current_id.get())
    }

    /// Gives a process of this shard an alias.
    pub(crate) fn give_alias(&self, id: u64) -> Result<Alias, LinkError> {
        let record = self.live_record(id).ok_or(LinkError::Terminated)?;
        let alias = self.aliases.give(id).ok_or(LinkError::Limit)?;
        self.with_extension(record, |extension| extension.aliases.push(alias));
        Ok(Alias { node: self.node.key(), id: alias })
    }

    /// Gives an alias of the current process up.
    pub(crate) fn delete_alias(&self, alias: Alias) -> Result<(), LinkError> {
        let id = self.current_id.get();
        let record = self.live_record(id).ok_or(LinkError::Terminated)?;
        match self.alias_owner(alias) {
            None => return Err(LinkError::AliasUnknown),
            Some(owner) if owner != id => return Err(LinkError::NotOwner),
            Some(_) => {}
        }
        self.aliases.take_back(alias.id);
        self.with_extension(record, |extension| extension.aliases.retain(|own| *own != alias.id));
        self.fire_subject(record, Subject::Alias(alias.id));
        Ok(())
    }

    /// Gives up everything a process that ends is known by.
    pub(super) fn free_addresses(&self, record: &Record, id: u64) {
        self.free_name(self.identity(record), id);
        let known = self.with_existing_extension(record, |extension| {
            Some((std::mem::take(&mut extension.aliases), std::mem::take(&mut extension.events)))
        });
        let Some((aliases, events)) = known else { return };
        for alias in aliases {
            self.aliases.take_back(alias);
        }
        self.free_events(events, id);
    }

    /// Asks another shard, or this one, to end a process out of band.
    pub(crate) fn kill(&self, pid: Pid) {
        if pid.node.0 != self.key {
            return;
        }
        let (local, home) = (pid.local.0, pid.local.shard());
        if home == self.index {
            return self.kill_here(local);
        }
        if let Some(port) = self.node.port(home) {
            // Seen by readers at once, also while that shard is stuck in this very process.
            if port.table.exists(local) {
                port.table.identity(local as u32).signal.set(local);
            }
            let task = Box::new(move |shard: &Self| shard.kill_here(local));
            // By the inbox, so that no backlog of messages delays it.
            if port.post_reserved(Inbound::Task(task)).is_err() {
                self.node.count_inbox_refused();
            }
        }
    }
}
