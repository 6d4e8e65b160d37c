//! Senders that wait until a data link has room.
//!
//! A link whose outbox has refused a message counts as full until half of it is free again. Then all who wait for it
//! go on. Invariants: T1 a wait is answered once: by room, by the end of the session, or by its time-out. T2 waits are bounded.

use crate::actor::{Call, Route};
use crate::error::{CallError, SendReason};
use crate::link::alias::alias_address;
use crate::process::bump;
use crate::shard::Shard;
use shard_wire::{LocalId, Pid};
use std::sync::atomic::Ordering::Relaxed;

use super::send::Way;

/// Senders that wait on one shard. What exceeds it is refused with `Overloaded`.
const MAX_WAITS: usize = 1 << 16;

/// Says to a sender that it may try again.
#[derive(Debug)]
pub(crate) struct LinkRoom;

impl Shard {
    /// Waits until the link to a process of another node has room, or its session has ended. `None` if the target is none
    /// that a link leads to.
    pub(crate) fn wait_for_link(&self, to: Route<'_>, timeout: u64) -> Option<Call<'_, LinkRoom>> {
        let to = self.far_target(to)?;
        let waiter = self.own_waiter(timeout)?;
        let home = self.home_index();
        if home == self.index() && !self.is_annex() {
            self.want_link_room(to, waiter);
        } else {
            self.tell(home, move |shard| shard.want_link_room(to, waiter));
        }
        Some(Call::new(self, waiter))
    }

    /// The process of another node that a route leads to, as far as that is known.
    fn far_target(&self, to: Route<'_>) -> Option<Pid> {
        match to {
            Route::Pid(pid) => Some(pid),
            Route::Remote { name, node } if self.is_annex() => {
                let (name, node) = (name.to_owned(), node.to_owned());
                self.at_home(move |home| home.holder_or_node(&name, &node)).flatten()
            }
            Route::Remote { name, node } => self.holder_or_node(name, node),
            Route::Alias(alias) => Some(alias_address(alias)),
            Route::Name(_) => None,
        }
    }

    /// The holder of a name; if that is not known, what stands for its node.
    fn holder_or_node(&self, name: &str, node: &str) -> Option<Pid> {
        let session = self.net.find_node(node)?;
        let of_node = || {
            let sessions = self.net.sessions.borrow();
            Some(self.pid_of(sessions.get(session as usize)?.session.key, LocalId::CORE.0))
        };
        self.known_holder(session, name).or_else(of_node)
    }

    fn want_link_room(&self, to: Pid, waiter: u64) {
        if self.net.some_waiting.get() && self.wait_for_waiting(to, waiter) {
            return;
        }
        match self.route(to) {
            Ok(Way::Link(link)) => self.join_link_waits(link, waiter),
            Ok(Way::Owner(owner)) => self.tell(owner, move |owner| owner.want_link_room(to, waiter)),
            // The sender tries again, and learns why.
            Err(_) => self.answer_own(waiter, LinkRoom),
        }
    }

    /// Has a sender wait until something that waits to be sent to the same node has gone.
    #[cold]
    fn wait_for_waiting(&self, to: Pid, waiter: u64) -> bool {
        let Some(session) = self.net.find(to.node.0) else { return false };
        let mut sessions = self.net.sessions.borrow_mut();
        sessions.get_mut(session as usize).is_some_and(|peer| peer.names.wait_for_room(waiter))
    }

    fn join_link_waits(&self, link: u32, waiter: u64) {
        let is_full = {
            let links = self.net.links.borrow();
            links.get(link as usize).and_then(Option::as_ref).is_some_and(|owned| owned.data.is_full)
        };
        if !is_full {
            return self.answer_own(waiter, LinkRoom);
        }
        let is_one_more = {
            let mut waits = self.net.room_waits.borrow_mut();
            // LIMIT: T2.
            let has_place = waits.len() < MAX_WAITS;
            if has_place {
                waits.push((link, waiter));
            }
            has_place
        };
        if is_one_more {
            self.with_link_cells(link, |cells| bump(&cells.outbox_waits, 1));
        } else {
            self.refuse(waiter, CallError::Send(SendReason::Overloaded));
        }
    }

    /// After a turn's writes: links that were full and have room again are known to have it.
    #[cold]
    pub(super) fn look_for_room(&self) {
        let (mut some_full, mut freed) = (false, Vec::new());
        {
            let mut links = self.net.links.borrow_mut();
            for (index, owned) in links.iter_mut().enumerate() {
                let Some(owned) = owned.as_mut().filter(|owned| owned.data.is_full) else { continue };
                if owned.data.is_short() {
                    some_full = true;
                    continue;
                }
                owned.data.is_full = false;
                freed.push(index as u32);
                let outboxes_full = &owned.cells.outboxes_full;
                outboxes_full.store(outboxes_full.load(Relaxed).saturating_sub(1), Relaxed);
            }
        }
        self.net.some_full.set(some_full);
        for link in freed {
            // What has crossed came first. It may fill the link again.
            self.send_late(link);
            if self.net.some_waiting.get() {
                self.send_all_waiting();
            }
            self.end_link_waits(link);
        }
    }

    /// Those who wait for this link go on.
    pub(super) fn end_link_waits(&self, link: u32) {
        let waiters: Vec<_> =
            self.net.room_waits.borrow_mut().extract_if(.., |wait| wait.0 == link).collect();
        for (_, waiter) in waiters {
            self.answer_own(waiter, LinkRoom);
        }
    }

    /// Whether an outbox to this process's node was full when its owner, another shard, last looked.
    #[cold]
    pub(super) fn is_outbox_full_at(&self, owner: u16, to: Pid) -> bool {
        let Some(session) = self.net.find(to.node.0) else { return false };
        let sessions = self.net.sessions.borrow();
        let cells = sessions.get(session as usize).and_then(|peer| peer.cells(owner));
        cells.is_some_and(|cells| cells.outboxes_full.load(Relaxed) > 0)
    }
}
