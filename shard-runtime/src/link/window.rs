//! Which important messages of other nodes were dealt with, and how: one that comes again is answered as the first was, and
//! not delivered a second time.
//!
//! Owns: the last [`IDS`] ids of each sender with their outcomes, for the [`MAX_SENDERS`] senders that were heard last; what
//! is older is forgotten. Invariants: Y1 a sender has a place exactly if the entry there is its own. Y2 the entries form one
//! list, from the sender that was heard last to the one that was not heard for longest.
//! Cost: a hash look-up and at most 64 compares per important message; at most 1 KiB per sender, 64 MiB per shard.

use shard_wire::Ack;
use std::collections::{HashMap, VecDeque};

/// Ids remembered of each sender.
pub(crate) const IDS: usize = 64;
/// Senders remembered by a shard.
pub(crate) const MAX_SENDERS: usize = 1 << 16;
/// No entry.
const NOBODY: u32 = u32::MAX;

/// A process of another node, in one life of that node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Sender {
    /// Key of the node's incarnation.
    pub(crate) key: u64,
    /// Local id of the process.
    pub(crate) process: u64,
}

#[derive(Debug)]
struct Entry {
    sender: Sender,
    /// Who was heard next after it.
    newer: u32,
    /// Who was heard last before it.
    older: u32,
    heard: VecDeque<(u64, Ack)>,
}

/// What a shard remembers of important messages.
#[derive(Debug)]
pub(crate) struct Window {
    places: HashMap<Sender, u32>,
    entries: Vec<Entry>,
    newest: u32,
    oldest: u32,
    max_senders: usize,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self::with_senders(MAX_SENDERS)
    }

    fn with_senders(max_senders: usize) -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), newest: NOBODY, oldest: NOBODY, max_senders }
    }

    /// What became of this message when it came for the first time.
    pub(crate) fn find(&self, sender: Sender, id: u64) -> Option<Ack> {
        let entry = self.entries.get(*self.places.get(&sender)? as usize)?;
        entry.heard.iter().rev().find(|(heard, _)| *heard == id).map(|(_, ack)| *ack)
    }

    /// Notes what became of a message that was not found.
    pub(crate) fn note(&mut self, sender: Sender, id: u64, ack: Ack) {
        let place = self.place_of(sender);
        let Some(entry) = self.entries.get_mut(place as usize) else { return };
        // LIMIT: ids of one sender.
        if entry.heard.len() >= IDS {
            entry.heard.pop_front();
        }
        entry.heard.push_back((id, ack));
        self.unlink(place);
        self.link_newest(place);
    }

    /// The entry of a sender, made on first use.
    fn place_of(&mut self, sender: Sender) -> u32 {
        if let Some(place) = self.places.get(&sender) {
            return *place;
        }
        // LIMIT: senders of one shard.
        let place = if self.entries.len() < self.max_senders {
            let place = self.entries.len() as u32;
            self.entries.push(Entry { sender, newer: NOBODY, older: NOBODY, heard: VecDeque::new() });
            self.link_newest(place);
            place
        } else {
            let place = self.oldest;
            if let Some(entry) = self.entries.get_mut(place as usize) {
                self.places.remove(&entry.sender);
                entry.sender = sender;
                entry.heard.clear();
            }
            place
        };
        self.places.insert(sender, place);
        place
    }

    fn unlink(&mut self, place: u32) {
        let Some(entry) = self.entries.get(place as usize) else { return };
        let (newer, older) = (entry.newer, entry.older);
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let before = std::mem::replace(&mut self.newest, place);
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.newer = place,
            None => self.oldest = place,
        }
        if let Some(entry) = self.entries.get_mut(place as usize) {
            (entry.newer, entry.older) = (NOBODY, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IDS, Sender, Window};
    use shard_wire::Ack;

    fn sender(process: u64) -> Sender {
        Sender { key: 7, process }
    }

    #[test]
    fn the_outcome_of_the_first_is_remembered_for_each_sender() {
        let mut window = Window::new();
        assert_eq!(window.find(sender(1), 5), None);
        window.note(sender(1), 5, Ack::Delivered);
        window.note(sender(2), 5, Ack::MailboxFull);
        assert_eq!(window.find(sender(1), 5), Some(Ack::Delivered));
        assert_eq!(window.find(sender(2), 5), Some(Ack::MailboxFull));
        assert_eq!(window.find(sender(1), 6), None);
        assert_eq!(window.find(Sender { key: 8, process: 1 }, 5), None, "another life of its node");
    }

    #[test]
    fn the_oldest_ids_of_a_sender_are_forgotten_first() {
        let mut window = Window::new();
        let last = IDS as u64 + 10;
        for id in 1..=last {
            window.note(sender(1), id, Ack::Delivered);
        }
        for id in 1..=last {
            let is_remembered = id > last - IDS as u64;
            assert_eq!(window.find(sender(1), id).is_some(), is_remembered, "{id}");
        }
    }

    #[test]
    fn the_sender_that_was_not_heard_for_longest_is_forgotten_first() {
        let mut window = Window::with_senders(3);
        for process in 1..=3 {
            window.note(sender(process), 1, Ack::Delivered);
        }
        window.note(sender(1), 2, Ack::Delivered);
        window.note(sender(4), 1, Ack::Expired);
        assert_eq!(window.find(sender(2), 1), None);
        assert_eq!(window.find(sender(1), 1), Some(Ack::Delivered));
        window.note(sender(3), 2, Ack::Delivered);
        window.note(sender(5), 1, Ack::Delivered);
        window.note(sender(6), 1, Ack::Delivered);
        let known: Vec<u64> = (1..=6).filter(|id| window.find(sender(*id), 1).is_some()).collect();
        assert_eq!(known, [3, 5, 6]);
        assert_eq!(window.entries.len(), 3);
        let mut alone = Window::with_senders(1);
        for process in 1..=5 {
            alone.note(sender(process), 1, Ack::Delivered);
            assert!(alone.find(sender(process), 1).is_some() && alone.find(sender(process - 1), 1).is_none());
        }
    }
}
