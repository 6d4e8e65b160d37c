//! Who is registered: the server's directory, and a node's own view of it. No I/O.
//!
//! Invariants: D1 a name has one holder. D2 a view reports a node once per record, and its departure once. D3 what was
//! known before a registrar was lost stays known until it is confirmed or swept.

use crate::registrar::{NodeRecord, RegistrarEvent};
use shard_wire::{Incarnation, NodeName};
use std::collections::BTreeMap;

/// Most nodes of one registrar.
const MAX_NODES: usize = 4096;

/// A connection of the server; 0 is the serving node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) u64);

impl ClientId {
    /// The serving node.
    pub(crate) const OWN: Self = Self(0);
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The node is registered; all others are to hear of it.
    Joined,
    /// Another live connection holds the name.
    Held(ClientId),
    /// There are too many nodes.
    Full,
}

/// The server's directory.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    holders: BTreeMap<NodeName, (ClientId, NodeRecord)>,
}

impl Directory {
    /// Registers a record, or says who holds its name. The same incarnation may come again on another connection.
    pub(crate) fn register(&mut self, client: ClientId, record: NodeRecord) -> Change {
        match self.holders.get(&record.name) {
            Some((holder, held)) if *holder != client && held.incarnation != record.incarnation => {
                return Change::Held(*holder);
            }
            // LIMIT: nodes of one registrar.
            None if self.holders.len() >= MAX_NODES => return Change::Full,
            _ => {}
        }
        self.holders.insert(record.name.clone(), (client, record));
        Change::Joined
    }

    /// Forgets what a connection registered.
    pub(crate) fn remove(&mut self, client: ClientId) -> Option<(NodeName, Incarnation)> {
        let found = self.holders.iter().find(|(_, (holder, _))| *holder == client);
        let (name, incarnation) = found.map(|(name, (_, record))| (name.clone(), record.incarnation))?;
        self.holders.remove(&name);
        Some((name, incarnation))
    }

    /// All records but those of one connection.
    pub(crate) fn others(&self, client: ClientId) -> impl Iterator<Item = &NodeRecord> {
        self.holders.values().filter(move |(holder, _)| *holder != client).map(|(_, record)| record)
    }

    /// Connections that hold a name.
    pub(crate) fn holder_of(&self, name: &NodeName) -> Option<ClientId> {
        self.holders.get(name).map(|(holder, _)| *holder)
    }
}

/// What one node knows of the others.
#[derive(Debug, Default)]
pub(crate) struct View {
    known: BTreeMap<NodeName, (NodeRecord, bool)>,
}

impl View {
    /// A node is there; the event, if that is news.
    pub(crate) fn joined(&mut self, record: NodeRecord) -> Option<RegistrarEvent> {
        // LIMIT: nodes of one registrar.
        if self.known.len() >= MAX_NODES && !self.known.contains_key(&record.name) {
            return None;
        }
        let before = self.known.insert(record.name.clone(), (record.clone(), true));
        before.is_none_or(|(known, _)| known != record).then_some(RegistrarEvent::Joined(record))
    }

    /// A node has gone; the event, if it was known.
    pub(crate) fn left(&mut self, name: &NodeName, incarnation: Incarnation) -> Option<RegistrarEvent> {
        if self.known.get(name).is_none_or(|(record, _)| record.incarnation != incarnation) {
            return None;
        }
        self.known.remove(name);
        Some(RegistrarEvent::Left { name: name.clone(), incarnation })
    }

    /// The registrar was lost: what is known must be confirmed.
    pub(crate) fn doubt(&mut self) {
        for (_, confirmed) in self.known.values_mut() {
            *confirmed = false;
        }
    }

    /// Gives up what was not confirmed.
    pub(crate) fn sweep(&mut self) -> Vec<RegistrarEvent> {
        let gone = self.known.values().filter(|(_, confirmed)| !confirmed);
        let gone: Vec<_> = gone.map(|(record, _)| (record.name.clone(), record.incarnation)).collect();
        gone.iter().filter_map(|(name, incarnation)| self.left(name, *incarnation)).collect()
    }
}
