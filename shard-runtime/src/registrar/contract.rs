//! What a node expects of any registrar.
//!
//! Contract: R1 [`Registrar::register`] is called once; the registrar keeps the record registered from then on, through
//! losses of its own connection. R2 the first outcome is [`RegistrarEvent::Registered`] or
//! [`RegistrarEvent::Refused`]; a refusal is final. R3 for every other node that is registered there is a `Joined` after
//! `Registered`, and one more when its record changes; a `Left` when it goes, with the incarnation that went. R4 a name
//! has one live holder; a second one is refused as [`RegistrarError::NameTaken`] while the first answers. R5 while the
//! registrar is away ([`RegistrarEvent::Lost`]) what it said stays valid; it is confirmed or taken back with `Left`
//! afterwards. R6 dropping it deregisters the node, at once if the registrar can be reached.
//! Threads: the control thread polls it, on a tokio current-thread runtime with local tasks.

use crate::error::RegistrarError;
use crate::registrar::NodeRecord;
use shard_wire::{Incarnation, NodeName};
use std::task::{Context, Poll};

/// Something a registrar says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrarEvent {
    /// The own record is registered.
    Registered {
        /// Whether this node serves the others, or is a client.
        role: RegistrarRole,
    },
    /// The own record was refused, for good.
    Refused(RegistrarError),
    /// A node is there, or its record has changed.
    Joined(NodeRecord),
    /// A node has gone.
    Left {
        /// Its name.
        name: NodeName,
        /// Which life of it.
        incarnation: Incarnation,
    },
    /// The registrar cannot be reached; it is being tried again.
    Lost(RegistrarError),
}

/// What a node is to its registrar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrarRole {
    /// Not registered now.
    #[default]
    None,
    /// It serves the others.
    Server,
    /// It is registered with another node or program.
    Client,
}

/// How a node stands with its registrar, for tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrarState {
    /// Whether the node has a registrar at all.
    pub is_configured: bool,
    /// Its address; empty without one.
    pub address: String,
    /// What the node is to it.
    pub role: RegistrarRole,
    /// Why it cannot be used now; `None` while it works, or where there is none.
    pub down: Option<String>,
    /// The other nodes it knows.
    pub nodes: Vec<NodeRecord>,
}

/// Tells a node who else is there. See the contract at the top of this file.
pub trait Registrar {
    /// Keeps this record registered from now on. Called once.
    fn register(&mut self, own: NodeRecord);

    /// The next event. Drives all the registrar's work that does not run by itself.
    fn poll_event(&mut self, task: &mut Context<'_>) -> Poll<RegistrarEvent>;

    /// The other nodes that are registered, as far as the events so far say.
    fn nodes(&self) -> Vec<NodeRecord>;

    /// The record of one node, from memory.
    fn resolve(&self, name: &NodeName) -> Option<NodeRecord> {
        self.nodes().into_iter().find(|record| record.name == *name)
    }

    /// Where it is found, for people.
    fn address(&self) -> String;
}
