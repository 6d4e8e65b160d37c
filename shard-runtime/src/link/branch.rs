//! Events of other nodes, as one shard has them: its subscribers, and what they get.
//!
//! Owns: a branch for each event of another node with subscribers on this shard. The subscribers are an audience like that of
//! an event of this node. Invariants: B1 a branch lives from its first subscription to its last, or to the end of the event,
//! and counts them. B2 what goes to all is told in the order of the numbers; a number that is left out is told as a gap before
//! what follows. B3 one subscription fires once: with the event's end or, if it is for one session only, with the session's.
//! Cost: a subscription to an event that this shard has a branch of tells nobody; one publication comes once.

use crate::actor::Context;
use crate::error::{EventError, ExitReason, LinkError};
use crate::event::{EventCell, EventGap, EventPosition, EventRestart, decode};
use crate::link::Session;
use crate::link::relay::{Feed, FeedKey, FeedOps};
use crate::process::{Bond, Subject, Tie};
use crate::shard::{EventKey, Kept, Shard, deliver_kept, spread_kept};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;
use shard_wire::{Message, WireOps, vtable};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

/// Events of other nodes that processes of one shard subscribe to.
const MAX_BRANCHES: usize = 1 << 16;

/// What a branch begins with.
#[derive(Clone)]
pub(super) struct Begun {
    pub(super) cell: Arc<EventCell>,
    /// The last publication before those that come.
    pub(super) last: u64,
    /// Those that are kept of what came before.
    pub(super) kept: VecDeque<(u64, Kept)>,
    /// How many are kept.
    pub(super) buffer: usize,
}

/// How a process subscribes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) bond: Bond,
    /// It ends with the session.
    pub(crate) once: bool,
    /// It goes on from there.
    pub(crate) since: Option<EventPosition>,
}

/// A subscriber that has some of what comes already.
#[derive(Clone, Copy)]
struct Resuming {
    consumer: u64,
    bond: Bond,
    since: EventPosition,
}

struct Branch {
    feed: Feed,
    subscriptions: u32,
    begun: Option<Begun>,
    resuming: Vec<Resuming>,
    once: IndexSet<(u64, Bond), FxBuildHasher>,
}

impl Branch {
    fn gap(&self, from: u64, to: u64) -> Option<EventGap> {
        let Feed { name, node, .. } = &self.feed;
        let origin = self.begun.as_ref()?.cell.origin;
        Some(EventGap { name: Arc::clone(name), node: Arc::clone(node), origin, from, to })
    }

    fn restart(&self, before: EventPosition, now: &EventCell) -> EventRestart {
        let Feed { name, node, .. } = &self.feed;
        EventRestart {
            name: Arc::clone(name),
            node: Arc::clone(node),
            before: before.origin,
            last: before.sequence,
            now: now.origin,
        }
    }
}

/// The branches of a shard.
#[derive(Default)]
pub(super) struct Branches {
    by_key: RefCell<IndexMap<FeedKey, u64, FxBuildHasher>>,
    branches: RefCell<IndexMap<u64, Branch, FxBuildHasher>>,
    last: Cell<u64>,
}

impl std::fmt::Debug for Branches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Branches").field("count", &self.branches.borrow().len()).finish_non_exhaustive()
    }
}

impl Branches {
    fn with<R>(&self, branch: u64, f: impl FnOnce(&mut Branch) -> R) -> Option<R> {
        self.branches.borrow_mut().get_mut(&branch).map(f)
    }
}

/// Subscribing.
impl Shard {
    /// Subscribes the current process to an event of a node.
    pub(crate) fn subscribe_at<M: Message + Sync>(
        &self,
        name: &str,
        node: &str,
        terms: Terms,
    ) -> Result<(), EventError> {
        let consumer = self.current_id();
        let record = self.live_record(consumer).ok_or(LinkError::Terminated)?;
        if node == self.node().name() {
            return match terms.since {
                None => self.subscribe::<M>(terms.bond, name),
                Some(_) => Err(LinkError::NotAllowed.into()),
            };
        }
        let wire = vtable::<M>().wire_ops().ok_or(EventError::LocalOnly)?;
        let (session, subject) = self.far_name(name, node)?;
        let Subject::FarName { node: node_symbol, name: name_symbol } = subject else {
            return Err(EventError::Unknown);
        };
        if !session.has_events {
            return Err(LinkError::Remote.into());
        }
        let key = FeedKey { node: node_symbol, name: name_symbol, key: wire.key() };
        let branches = &self.net.branches;
        let known = branches.by_key.borrow().get(&key).copied();
        // LIMIT: events of other nodes that a shard has.
        if known.is_none() && branches.branches.borrow().len() >= MAX_BRANCHES {
            return Err(EventError::Limit);
        }
        let branch = known.unwrap_or_else(|| branches.last.get() + 1);
        let tie = Tie { subject: Subject::FarFeed { node: key.node, name: key.name }, bond: terms.bond };
        self.with_extension(record, |extension| extension.relations.begin(tie, branch))
            .ok_or(LinkError::Exists)?;
        if known.is_none() {
            self.new_branch::<M>(key, name, node, wire);
        }
        self.join_branch(branch, consumer, terms);
        Ok(())
    }

    fn new_branch<M: Message + Sync>(&self, key: FeedKey, name: &str, node: &str, wire: &'static WireOps) {
        let branches = &self.net.branches;
        let number = branches.last.get() + 1;
        branches.last.set(number);
        let ops = FeedOps {
            wire,
            cell: EventCell::of_node::<M>,
            decode: decode::<M>,
            spread: spread_kept::<M>,
            deliver: deliver_kept::<M>,
        };
        let feed = Feed { key, name: name.into(), node: node.into(), ops };
        let branch = Branch {
            feed: feed.clone(),
            subscriptions: 0,
            begun: None,
            resuming: Vec::new(),
            once: IndexSet::default(),
        };
        branches.by_key.borrow_mut().insert(key, number);
        branches.branches.borrow_mut().insert(number, branch);
        let shard = self.index();
        self.tell(self.relay_shard(key), move |relay| relay.attach(&feed, shard, number));
    }

    fn join_branch(&self, branch: u64, consumer: u64, terms: Terms) {
        let Terms { bond, once, since } = terms;
        let waits = self.net.branches.with(branch, |branch| {
            branch.subscriptions += 1;
            if once {
                branch.once.insert((consumer, bond));
            }
            match (since, branch.begun.is_some()) {
                (Some(since), false) => {
                    branch.resuming.push(Resuming { consumer, bond, since });
                    true
                }
                _ => false,
            }
        });
        if waits == Some(false) {
            self.enter_branch(branch, consumer, bond, since);
        }
    }

    /// A process gets what is kept, and then what is published.
    fn enter_branch(&self, branch: u64, consumer: u64, bond: Bond, since: Option<EventPosition>) {
        let key = EventKey::Far(branch);
        let (kept, gap, restart) = {
            let mut branches = self.net.branches.branches.borrow_mut();
            let Some(branch) = branches.get_mut(&branch) else { return };
            let Some(begun) = &branch.begun else {
                drop(branches);
                self.enter_audience(key, consumer, bond);
                return;
            };
            let anew = since.filter(|since| since.origin != begun.cell.origin);
            let since = since.filter(|since| since.origin == begun.cell.origin);
            if let Some(since) = since.filter(|since| since.sequence > begun.last) {
                branch.resuming.push(Resuming { consumer, bond, since });
                return;
            }
            let restart = anew.map(|before| branch.restart(before, &begun.cell));
            let after = begun.last.saturating_add(1);
            let first = begun.kept.front().map_or(after, |(first, _)| *first);
            let next = since.map_or(first, |since| since.sequence.saturating_add(1));
            let gap = if next < first { branch.gap(next, first - 1) } else { None };
            let kept: Vec<_> = begun
                .kept
                .iter()
                .filter(|(number, _)| *number >= next)
                .map(|(_, kept)| kept.clone())
                .collect();
            (kept, gap, restart)
        };
        let deliver = self.net.branches.with(branch, |branch| branch.feed.ops.deliver);
        if !self.enter_audience(key, consumer, bond) {
            return;
        }
        if let Some(restart) = restart {
            self.tell_subscriber(consumer, restart);
        }
        if let Some(gap) = gap {
            self.tell_subscriber(consumer, gap);
        }
        for publication in &kept {
            if let Some(deliver) = deliver {
                deliver(self, consumer, publication);
            }
        }
        self.contain(|| drop(kept));
    }

    /// A subscription of a process of this shard is over.
    pub(crate) fn leave_branch(&self, branch: u64, consumer: u64, bond: Bond) {
        let is_idle = self.net.branches.with(branch, |branch| {
            branch.subscriptions = branch.subscriptions.saturating_sub(1);
            branch.resuming.retain(|waiting| (waiting.consumer, waiting.bond) != (consumer, bond));
            branch.once.swap_remove(&(consumer, bond));
            branch.subscriptions == 0
        });
        self.leave_audience(EventKey::Far(branch), consumer, bond);
        if is_idle == Some(true)
            && let Some(feed) = self.forget_branch(branch)
        {
            let (key, shard) = (feed.key, self.index());
            self.tell(self.relay_shard(key), move |relay| relay.detach(key, shard, branch));
        }
    }

    fn forget_branch(&self, number: u64) -> Option<Feed> {
        let branch = self.net.branches.branches.borrow_mut().swap_remove(&number)?;
        self.net.branches.by_key.borrow_mut().swap_remove(&branch.feed.key);
        let Branch { feed, begun, .. } = branch;
        self.contain(|| drop(begun));
        Some(feed)
    }
}

/// What the relay tells.
impl Shard {
    /// The subscription stands, or stands anew with another life of the event.
    pub(super) fn branch_begins(&self, number: u64, mut begun: Begun) {
        let kept = std::mem::take(&mut begun.kept);
        let last = begun.last;
        // What is kept follows one by one; until then there is what came before it.
        begun.last = kept.front().map_or(last, |(first, _)| first.saturating_sub(1));
        let replaced = self.net.branches.with(number, |branch| {
            let restart = branch.begun.as_ref().map(|before| {
                let position = EventPosition { origin: before.cell.origin, sequence: before.last };
                branch.restart(position, &begun.cell)
            });
            let before = branch.begun.replace(begun);
            (restart, before, std::mem::take(&mut branch.resuming))
        });
        let Some((restart, before, resuming)) = replaced else { return };
        self.contain(|| drop(before));
        if let Some(restart) = restart {
            self.tell_branch(number, restart, 1);
        }
        for Resuming { consumer, bond, since } in resuming {
            self.enter_branch(number, consumer, bond, Some(since));
        }
        for (sequence, kept) in kept {
            self.branch_gets(number, sequence, kept);
        }
        self.branch_misses(number, last);
    }

    /// A publication has come.
    pub(super) fn branch_gets(&self, number: u64, sequence: u64, kept: Kept) {
        let last = self.net.branches.with(number, |branch| branch.begun.as_ref().map(|begun| begun.last));
        let Some(last) = last.flatten().filter(|last| sequence > *last) else {
            return self.contain(|| drop(kept));
        };
        self.branch_misses(number, sequence.saturating_sub(1).max(last));
        let noted = self.net.branches.with(number, |branch| {
            let begun = branch.begun.as_mut()?;
            begun.last = sequence;
            let mut outdated = None;
            if begun.buffer > 0 {
                if begun.kept.len() >= begun.buffer {
                    outdated = begun.kept.pop_front();
                }
                begun.kept.push_back((sequence, kept.clone()));
            }
            Some((branch.feed.ops.spread, outdated))
        });
        let Some((spread, outdated)) = noted.flatten() else { return };
        // LIMIT: publications under way on a shard. Those who miss it are counted, and see it by the numbers.
        let _is_under_way = spread(self, EventKey::Far(number), &kept);
        self.contain(|| drop((kept, outdated)));
        self.resume_at(number);
    }

    /// Everything up to `to` that has not come will not come.
    pub(super) fn branch_misses(&self, number: u64, to: u64) {
        let gap = self.net.branches.with(number, |branch| {
            let last = branch.begun.as_ref()?.last;
            if to <= last {
                return None;
            }
            let gap = branch.gap(last.saturating_add(1), to);
            if let Some(begun) = &mut branch.begun {
                begun.last = to;
            }
            gap
        });
        let Some(gap) = gap.flatten() else { return };
        let missed = gap.to - gap.from + 1;
        self.tell_branch(number, gap, missed);
        self.resume_at(number);
    }

    /// Subscribers that had everything up to here get what follows.
    fn resume_at(&self, number: u64) {
        let due = self.net.branches.with(number, |branch| {
            let last = branch.begun.as_ref().map_or(0, |begun| begun.last);
            let is_due = |waiting: &Resuming| waiting.since.sequence <= last;
            let due: Vec<_> = branch.resuming.iter().copied().filter(is_due).collect();
            branch.resuming.retain(|waiting| !is_due(waiting));
            due
        });
        for Resuming { consumer, bond, since } in due.into_iter().flatten() {
            self.enter_branch(number, consumer, bond, Some(since));
        }
    }

    /// Tells all subscribers something, in order with what is published.
    fn tell_branch<N: Message + Clone>(&self, number: u64, news: N, missed: u64) {
        let told = self.spread_by(EventKey::Far(number), move |shard, members| {
            for member in members {
                shard.tell_subscriber(*member, news.clone());
            }
        });
        if let Err(members) = told {
            // LIMIT: publications under way on a shard.
            let lost = members.saturating_mul(missed).min(u64::from(u32::MAX));
            self.count(|cells| &cells.events_lost, lost);
        }
    }

    /// The event has ended.
    pub(super) fn branch_ends(&self, number: u64, reason: &ExitReason) {
        let resuming = self.net.branches.with(number, |branch| std::mem::take(&mut branch.resuming));
        let Some(resuming) = resuming else { return };
        let members = self.take_audience(EventKey::Far(number));
        let Some(feed) = self.forget_branch(number) else { return };
        let waiting = resuming.into_iter().map(|waiting| (waiting.consumer, waiting.bond));
        for (consumer, bond) in
            members.into_iter().map(|member| (member.consumer, member.bond)).chain(waiting)
        {
            self.fire_feed(&feed, number, (consumer, bond), reason);
        }
    }

    /// Those who subscribed for one session, or until the event ends, are told that it is over.
    pub(super) fn end_once(&self, number: u64, reason: &ExitReason) {
        let taken =
            self.net.branches.with(number, |branch| (branch.feed.clone(), std::mem::take(&mut branch.once)));
        let Some((feed, once)) = taken.filter(|(_, once)| !once.is_empty()) else { return };
        // What came before comes before.
        self.finish_spreads(EventKey::Far(number));
        for (consumer, bond) in once {
            self.leave_branch(number, consumer, bond);
            self.fire_feed(&feed, number, (consumer, bond), reason);
        }
    }

    fn fire_feed(&self, feed: &Feed, branch: u64, (consumer, bond): (u64, Bond), reason: &ExitReason) {
        let Some(record) = self.live_record(consumer) else { return };
        let tie = Tie { subject: Subject::FarFeed { node: feed.key.node, name: feed.key.name }, bond };
        let undone = self.with_existing_extension(record, |extension| {
            extension.relations.undo_with(tie, branch).then_some(())
        });
        if undone.is_some() {
            self.tell_end(record, tie, reason.clone());
        }
    }

    /// A session has ended.
    pub(super) fn branches_down(&self, session: &Session, reason: &ExitReason) {
        let node = session.peer.name.as_str();
        let is_of_node = |(number, branch): (&u64, &Branch)| {
            (&*branch.feed.node == node && !branch.once.is_empty()).then_some(*number)
        };
        let found: Vec<_> = self.net.branches.branches.borrow().iter().filter_map(is_of_node).collect();
        for number in found {
            self.end_once(number, reason);
        }
    }
}

/// Events of other nodes.
impl Context<'_> {
    /// Subscribes to an event of a node, for as long as there is the event, and monitors it.
    ///
    /// What the event has kept arrives first, oldest first, then what is published, each as an [`Event`](crate::Event). When
    /// the session with the node ends, the subscription waits for the next one and goes on from the last publication that
    /// arrived. Publications that the event does not keep any more by then are told by an [`EventGap`](crate::EventGap); if the node
    /// was started anew and registers the event again within 30 seconds, that is told by an
    /// [`EventRestart`](crate::EventRestart). When the event ends, a [`Down`](crate::Down) arrives, with the target
    /// [`Target::EventAt`](crate::Target::EventAt).
    ///
    /// The subscription is made without waiting: that there is no such event, or that it has another type, is told by the
    /// `Down`. If there are versions of the type with conversions between them, the node need not publish the one that is
    /// named here. All subscribers of this node share one subscription of the node. On the own node it is
    /// [`subscribe`](Context::subscribe).
    ///
    /// ```
    /// use shard_runtime::prelude::*;
    /// use shard_runtime::EventGap;
    ///
    /// #[message]
    /// struct Price { cents: u64 }
    ///
    /// struct Viewer;
    /// #[actor]
    /// impl Viewer {
    ///     fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
    ///         cx.subscribe_at::<Price>("prices", "feed@host")?;
    ///         Ok(())
    ///     }
    ///     #[handle]
    ///     fn price(&mut self, price: Event<Price>, cx: &mut Context<'_>) -> ActorResult {
    ///         cx.log().info(&format!("#{}: {}", price.sequence(), price.cents));
    ///         Ok(())
    ///     }
    ///     #[handle]
    ///     fn gap(&mut self, gap: EventGap, cx: &mut Context<'_>) -> ActorResult {
    ///         cx.log().warning(&format!("missed {} to {}", gap.from, gap.to));
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// There is no session with the node (one is asked for), its version has no events for other nodes, the messages never
    /// leave their node, there is a subscription of this process already, or the shard subscribes to too many events.
    pub fn subscribe_at<M: Message + Sync>(&self, name: &str, node: &str) -> Result<(), EventError> {
        self.subscribe_on::<M>(name, node, Terms { bond: Bond::Monitor, once: false, since: None })
    }

    /// The same, going on from a publication that this process, or the one before it, has seen
    /// ([`Event::position`](crate::Event::position)): what follows on it and is kept arrives, what is not kept any more is told by an
    /// [`EventGap`](crate::EventGap), and that the event was registered anew by an [`EventRestart`](crate::EventRestart).
    ///
    /// # Errors
    /// As for [`Context::subscribe_at`]; for the own node [`LinkError::NotAllowed`](crate::LinkError::NotAllowed).
    pub fn resume_at<M: Message + Sync>(
        &self,
        name: &str,
        node: &str,
        since: EventPosition,
    ) -> Result<(), EventError> {
        self.subscribe_on::<M>(name, node, Terms { bond: Bond::Monitor, once: false, since: Some(since) })
    }

    /// Subscribes to an event of a node for the length of the session: the [`Down`](crate::Down) comes once, when the event
    /// ends or the session does, whichever is first. Otherwise as [`subscribe_at`](Context::subscribe_at).
    ///
    /// # Errors
    /// As for [`Context::subscribe_at`].
    pub fn monitor_event_at<M: Message + Sync>(&self, name: &str, node: &str) -> Result<(), EventError> {
        self.subscribe_on::<M>(name, node, Terms { bond: Bond::Monitor, once: true, since: None })
    }

    /// The same with a link: this process gets an exit signal.
    ///
    /// # Errors
    /// As for [`Context::subscribe_at`].
    pub fn link_event_at<M: Message + Sync>(&self, name: &str, node: &str) -> Result<(), EventError> {
        self.subscribe_on::<M>(name, node, Terms { bond: Bond::Link, once: true, since: None })
    }

    /// Ends the subscriptions of this process to an event of a node, by monitor and link. What is in the mailbox stays there.
    ///
    /// # Errors
    /// There is none.
    pub fn unsubscribe_at(&self, name: &str, node: &str) -> Result<(), EventError> {
        let (name, node) = (name.to_owned(), node.to_owned());
        let answer = self.shard().at_home(move |shard| shard.unsubscribe_at(&name, &node));
        Ok(answer.unwrap_or(Err(LinkError::NoAnswer))?)
    }

    fn subscribe_on<M: Message + Sync>(
        &self,
        name: &str,
        node: &str,
        terms: Terms,
    ) -> Result<(), EventError> {
        let (name, node) = (name.to_owned(), node.to_owned());
        self.shard()
            .at_home(move |shard| shard.subscribe_at::<M>(&name, &node, terms))
            .unwrap_or(Err(EventError::Link(LinkError::NoAnswer)))
    }
}

impl Shard {
    fn unsubscribe_at(&self, name: &str, node: &str) -> Result<(), LinkError> {
        let consumer = self.current_id();
        let record = self.live_record(consumer).ok_or(LinkError::Terminated)?;
        let symbol = |text: &str| self.node().symbols().find(text).map(|symbol| symbol.0);
        let name = symbol(name).ok_or(LinkError::Missing)?;
        let subject = if node == self.node().name() {
            Subject::Event(name)
        } else {
            Subject::FarFeed { node: symbol(node).ok_or(LinkError::Missing)?, name }
        };
        let mut is_any = false;
        for bond in [Bond::Monitor, Bond::Link] {
            is_any |= self.undo_relation(record, Tie { subject, bond });
        }
        if is_any { Ok(()) } else { Err(LinkError::Missing) }
    }
}
