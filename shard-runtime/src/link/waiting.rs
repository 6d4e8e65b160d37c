//! What one shard knows of the names of another node, and the messages to that node that wait: for a name, or behind one of
//! their sender that does.
//!
//! Invariants: A1 what one sender has waiting goes in the order in which it was sent, but what cannot go at all does not hold
//! it up. A2 an answer costs a look at what waits of those senders that wait for it, not at all that waits.
//! Bound: [`MAX_OF_SENDER`] messages of one sender, [`MAX_WAITING`] in all; who waits for room waits with a time limit.

use crate::error::SendReason;
use crate::shard::Shard;
use shard_wire::Pid;
use std::collections::{HashMap, VecDeque};

/// Messages of one shard to one node that may wait.
const MAX_WAITING: usize = 1 << 14;
/// Those of one sender among them.
const MAX_OF_SENDER: usize = 1 << 12;
/// Senders that wait for room here.
const MAX_ROOM_WAITS: usize = 1 << 14;

/// A message that waits.
pub(super) trait Waits {
    /// Sends it, or fails it. It is given back if there is no room for it yet.
    fn go(self: Box<Self>, shard: &Shard, to: Result<Pid, SendReason>) -> Option<Box<dyn Waits>>;
}

/// What a message waits for.
enum For {
    /// The holder of its name.
    Name(Box<str>),
    /// Those before it.
    Turn(Pid),
}

struct Waiting {
    what: For,
    message: Box<dyn Waits>,
}

/// What is known of a name.
#[derive(Debug)]
enum NameState {
    /// Being asked for; with those who wait for it.
    Resolving(Vec<u64>),
    /// Its holder.
    Known(Pid),
}

/// Names of a node, and what waits for them.
#[derive(Default)]
pub(crate) struct Names {
    known: HashMap<Box<str>, NameState>,
    /// By sender; none is empty.
    queues: HashMap<u64, VecDeque<Waiting>>,
    count: usize,
    /// Senders that were refused for want of room here.
    room_waits: Vec<u64>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names")
            .field("known", &self.known)
            .field("waiting", &self.count)
            .finish_non_exhaustive()
    }
}

impl Names {
    /// Who holds a name, if that is known.
    pub(super) fn holder(&self, name: &str) -> Option<Pid> {
        match self.known.get(name) {
            Some(NameState::Known(pid)) => Some(*pid),
            _ => None,
        }
    }

    /// Whether nobody has asked for a name yet.
    pub(super) fn is_new(&self, name: &str) -> bool {
        !self.known.contains_key(name)
    }

    /// A name is asked for.
    pub(super) fn ask(&mut self, name: &str) {
        self.known.insert(name.into(), NameState::Resolving(Vec::new()));
    }

    /// The name has another holder than was known.
    pub(super) fn forget(&mut self, name: &str) {
        if self.holder(name).is_some() {
            self.known.remove(name);
        }
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.count > 0
    }

    /// Whether messages of this sender wait.
    pub(super) fn waits(&self, sender: u64) -> bool {
        self.queues.contains_key(&sender)
    }

    /// Whether one more message of a sender may wait.
    pub(super) fn admits(&self, sender: u64) -> Result<(), SendReason> {
        // LIMIT: messages of all senders that wait for names.
        if self.count >= MAX_WAITING {
            return Err(SendReason::Overloaded);
        }
        // LIMIT: those of one sender, who can wait for room as for that of an outbox.
        if self.queues.get(&sender).is_some_and(|queue| queue.len() >= MAX_OF_SENDER) {
            return Err(SendReason::OutboxFull);
        }
        Ok(())
    }

    /// Has a message wait for a name, which is being asked for.
    pub(super) fn wait_for_name(&mut self, sender: u64, name: &str, message: Box<dyn Waits>) {
        if let Some(NameState::Resolving(senders)) = self.known.get_mut(name)
            && !senders.contains(&sender)
        {
            senders.push(sender);
        }
        self.push(sender, Waiting { what: For::Name(name.into()), message });
    }

    /// Has a message wait behind those of its sender.
    pub(super) fn wait_for_turn(&mut self, sender: u64, to: Pid, message: Box<dyn Waits>) {
        self.push(sender, Waiting { what: For::Turn(to), message });
    }

    fn push(&mut self, sender: u64, waiting: Waiting) {
        self.count += 1;
        self.queues.entry(sender).or_default().push_back(waiting);
    }

    /// It is known who holds a name, or that nobody does: whose messages waited for it, and those that cannot go.
    pub(super) fn answer(&mut self, name: &str, holder: Option<Pid>) -> (Vec<u64>, Vec<Box<dyn Waits>>) {
        let before = match holder {
            Some(pid) => self.known.insert(name.into(), NameState::Known(pid)),
            // Not remembered: the next message asks again.
            None => self.known.remove(name),
        };
        let senders = match before {
            Some(NameState::Resolving(senders)) => senders,
            _ => Vec::new(),
        };
        let mut failed = Vec::new();
        for sender in &senders {
            let Some(queue) = self.queues.get_mut(sender) else { continue };
            let wants = |waiting: &Waiting| matches!(&waiting.what, For::Name(wanted) if **wanted == *name);
            match holder {
                Some(pid) => {
                    for waiting in queue.iter_mut().filter(|waiting| wants(waiting)) {
                        waiting.what = For::Turn(pid);
                    }
                }
                None => {
                    let (lost, left) = std::mem::take(queue).into_iter().partition(wants);
                    let lost: VecDeque<Waiting> = lost;
                    *queue = left;
                    self.count -= lost.len();
                    failed.extend(lost.into_iter().map(|waiting| waiting.message));
                }
            }
            self.drop_empty(*sender);
        }
        (senders, failed)
    }

    /// The next message of a sender, if its turn has come.
    pub(super) fn next_of(&mut self, sender: u64) -> Option<(Pid, Box<dyn Waits>)> {
        let queue = self.queues.get_mut(&sender)?;
        let Some(&Waiting { what: For::Turn(to), .. }) = queue.front() else { return None };
        let waiting = queue.pop_front()?;
        self.count -= 1;
        Some((to, waiting.message))
    }

    /// There was no room for a message that was taken.
    pub(super) fn put_back(&mut self, sender: u64, to: Pid, message: Box<dyn Waits>) {
        self.count += 1;
        self.queues.entry(sender).or_default().push_front(Waiting { what: For::Turn(to), message });
    }

    /// Nothing of a sender waits, perhaps.
    pub(super) fn drop_empty(&mut self, sender: u64) {
        if self.queues.get(&sender).is_some_and(VecDeque::is_empty) {
            self.queues.remove(&sender);
        }
    }

    /// Senders of what waits.
    pub(super) fn senders(&self) -> Vec<u64> {
        self.queues.keys().copied().collect()
    }

    /// Notes somebody who waits for room here. `false`: there is nothing to wait for, or too many do.
    pub(super) fn wait_for_room(&mut self, waiter: u64) -> bool {
        // LIMIT: as many as there may be messages.
        let may = self.has_waiting() && self.room_waits.len() < MAX_ROOM_WAITS;
        if may {
            self.room_waits.push(waiter);
        }
        may
    }

    /// Those who wait for room here, once.
    pub(super) fn take_room_waits(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.room_waits)
    }

    /// All that waits, when the session has ended.
    pub(super) fn into_waiting(self) -> impl Iterator<Item = Box<dyn Waits>> {
        self.queues.into_values().flatten().map(|waiting| waiting.message)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_OF_SENDER, MAX_WAITING, Names, Waits};
    use crate::error::SendReason;
    use crate::shard::Shard;
    use shard_wire::{IncarnationKey, LocalId, Pid};

    struct Nothing;

    impl Waits for Nothing {
        fn go(self: Box<Self>, _: &Shard, _: Result<Pid, SendReason>) -> Option<Box<dyn Waits>> {
            None
        }
    }

    fn pid(local: u64) -> Pid {
        Pid { node: IncarnationKey(7), local: LocalId(local) }
    }

    fn wait_for(names: &mut Names, sender: u64, name: &str) {
        if names.is_new(name) {
            names.ask(name);
        }
        names.wait_for_name(sender, name, Box::new(Nothing));
    }

    /// Where what is ready of a sender goes.
    fn ready(names: &mut Names, sender: u64) -> Vec<Pid> {
        let all = std::iter::from_fn(|| names.next_of(sender).map(|(to, _)| to)).collect();
        names.drop_empty(sender);
        all
    }

    #[test]
    fn a_sender_waits_for_its_names_and_others_pass() {
        let mut names = Names::default();
        wait_for(&mut names, 1, "a");
        names.wait_for_turn(1, pid(10), Box::new(Nothing));
        wait_for(&mut names, 2, "b");
        wait_for(&mut names, 1, "b");
        names.wait_for_turn(2, pid(11), Box::new(Nothing));
        let (senders, failed) = names.answer("b", Some(pid(20)));
        assert_eq!((senders, failed.len()), (vec![2, 1], 0));
        assert_eq!(ready(&mut names, 1), []);
        assert_eq!(ready(&mut names, 2), [pid(20), pid(11)]);
        assert!(names.waits(1) && !names.waits(2));
        assert_eq!(names.answer("a", Some(pid(30))).0, [1]);
        assert_eq!(ready(&mut names, 1), [pid(30), pid(10), pid(20)]);
        assert!(!names.has_waiting() && !names.waits(1));
        assert_eq!(names.holder("a"), Some(pid(30)));
    }

    #[test]
    fn a_name_that_nobody_has_fails_its_messages_alone() {
        let mut names = Names::default();
        wait_for(&mut names, 1, "a");
        wait_for(&mut names, 1, "b");
        names.wait_for_turn(1, pid(10), Box::new(Nothing));
        assert_eq!(names.answer("b", None).1.len(), 1);
        assert_eq!(ready(&mut names, 1), []);
        assert_eq!(names.answer("a", None).1.len(), 1);
        assert_eq!(ready(&mut names, 1), [pid(10)]);
        assert!(!names.has_waiting() && names.is_new("a"));
    }

    #[test]
    fn what_finds_no_room_stays_first() {
        let mut names = Names::default();
        names.wait_for_turn(1, pid(1), Box::new(Nothing));
        names.wait_for_turn(1, pid(2), Box::new(Nothing));
        let (to, message) = names.next_of(1).unwrap();
        names.put_back(1, to, message);
        assert!(names.wait_for_room(77));
        assert_eq!(ready(&mut names, 1), [pid(1), pid(2)]);
        assert_eq!(names.take_room_waits(), [77]);
        assert!(!names.wait_for_room(78), "nothing waits, so there is room");
    }

    #[test]
    fn what_waits_is_bounded_for_each_sender_and_for_all() {
        let mut names = Names::default();
        for sender in 0..(MAX_WAITING / MAX_OF_SENDER) as u64 {
            for _ in 0..MAX_OF_SENDER {
                assert_eq!(names.admits(sender), Ok(()));
                names.wait_for_turn(sender, pid(1), Box::new(Nothing));
            }
            if sender == 0 {
                assert_eq!(names.admits(sender), Err(SendReason::OutboxFull));
                assert_eq!(names.admits(99), Ok(()));
            }
        }
        assert_eq!(names.admits(99), Err(SendReason::Overloaded));
        assert_eq!(names.into_waiting().count(), MAX_WAITING);
    }
}
