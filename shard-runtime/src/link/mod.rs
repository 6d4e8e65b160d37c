//! Links to other nodes, from the shards' side: data links, peers, names on other nodes; and what passes between the
//! shards and the control thread.

mod peer;
mod request;

pub(crate) use peer::{LinkCells, Peer, PeerTable};
pub(crate) use request::{ControlSink, LinkGrant, Request, Session};
