//! What must hold at every step, from the view of each life of each node.

use std::collections::{BTreeMap, BTreeSet};

use shard_wire::placement::Slot;
use shard_wire::session::Command;
use shard_wire::{Incarnation, NodeName};

#[derive(Default)]
struct Watcher {
    /// Sessions that are up, and with whom.
    up: BTreeMap<NodeName, (u64, Incarnation)>,
    /// Last session that was up, by peer.
    last: BTreeMap<NodeName, u64>,
    /// Downs a shard has yet to process.
    due: BTreeSet<(u16, NodeName, u64)>,
    /// Epoch of the data links handed over, and whether one is open.
    epochs: BTreeMap<(NodeName, u64, Slot), (u32, bool)>,
}

pub(crate) struct Checker {
    pub(crate) log: Vec<String>,
    /// How often a session began or ended.
    pub(crate) transitions: usize,
    watchers: BTreeMap<usize, Watcher>,
    shards: BTreeMap<usize, u16>,
    print: bool,
}

impl Checker {
    pub(crate) fn new(print: bool) -> Self {
        Self { log: Vec::new(), transitions: 0, watchers: BTreeMap::new(), shards: BTreeMap::new(), print }
    }

    fn note(&mut self, line: String) {
        if self.print {
            use std::io::Write as _;
            std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        self.log.push(line);
    }

    pub(crate) fn start(&mut self, node: usize, now: u64, incarnation: Incarnation, shards: u16) {
        self.shards.insert(node, shards);
        self.note(format!("{now} n{node} starts as {incarnation}"));
        self.watchers.insert(node, Watcher::default());
    }

    pub(crate) fn stop(&mut self, node: usize, now: u64) {
        self.note(format!("{now} n{node} ends"));
        self.watchers.remove(&node);
    }

    pub(crate) fn command(&mut self, node: usize, now: u64, command: &Command) {
        match command {
            Command::SendControl { .. } => {}
            Command::PeerUp { peer, session, .. } => {
                self.note(format!("{now} n{node} PeerUp {} {} in {session}", peer.name, peer.incarnation));
            }
            command => self.note(format!("{now} n{node} {command:?}")),
        }
        let watcher = self.watchers.get_mut(&node).unwrap();
        match command {
            Command::PeerUp { peer, session, .. } => {
                let before = watcher.up.insert(peer.name.clone(), (*session, peer.incarnation));
                assert_eq!(before, None, "up({session}) while up");
                let last = watcher.last.insert(peer.name.clone(), *session).unwrap_or(0);
                assert!(*session > last, "up({session}) after session {last}");
                self.transitions += 1;
            }
            Command::PeerDown { peer, session, .. } => {
                let up = watcher.up.remove(peer).map(|(session, _)| session);
                assert_eq!(up, Some(*session), "down without up, or twice");
                for shard in 0..self.shards[&node] {
                    watcher.due.insert((shard, peer.clone(), *session));
                }
                self.transitions += 1;
            }
            Command::LinkUp { peer, session, slot, epoch, owner, .. } => {
                assert_eq!(watcher.up.get(peer).map(|up| up.0), Some(*session), "a link of another session");
                let due = watcher.due.iter().any(|(shard, name, _)| *shard == owner.index() && name == peer);
                assert!(!due, "handed over before the shard has processed the last down");
                let before = watcher.epochs.insert((peer.clone(), *session, *slot), (*epoch, true));
                let (last, open) = before.unwrap_or((0, false));
                assert!(*epoch > last, "epoch {epoch} after epoch {last}");
                assert!(!open, "epoch {epoch} while epoch {last} is read");
            }
            Command::LinkDown { peer, session, slot, epoch, .. } => {
                let before = watcher.epochs.insert((peer.clone(), *session, *slot), (*epoch, false));
                assert_eq!(before, Some((*epoch, true)), "link down without up");
            }
            Command::PeerSuspect { peer, session } | Command::PeerHealthy { peer, session } => {
                assert_eq!(watcher.up.get(peer).map(|up| up.0), Some(*session));
            }
            _ => {}
        }
    }

    pub(crate) fn processed(&mut self, node: usize, shard: u16, peer: &NodeName, session: u64) {
        let watcher = self.watchers.get_mut(&node).unwrap();
        // Downs are processed in the order they were signalled; an ack of a later one covers those before.
        watcher.due.retain(|(at, name, due)| !(*at == shard && name == peer && *due <= session));
    }

    pub(crate) fn delivered(
        &mut self,
        node: usize,
        peer: &NodeName,
        from: Incarnation,
        (link, sent_in): (u64, u64),
    ) {
        let watcher = self.watchers.get_mut(&node).unwrap();
        assert_eq!(
            watcher.up.get(peer),
            Some(&(sent_in, from)),
            "a frame of a session that is not the running one"
        );
        assert_eq!(link, sent_in, "a frame on a link of another session");
    }
}
