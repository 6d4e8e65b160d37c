//! Links to other nodes, from the shards' side: data links, peers, names on other nodes; and what passes between the
//! shards and the control thread.

mod branch;
mod caller;
mod compressed;
mod data;
#[cfg(test)]
mod event_tests;
mod far;
mod forward;
mod history;
mod hop;
mod important;
mod letter;
mod name;
mod net;
mod options;
mod outlet;
mod peer;
mod reason;
mod receive;
mod relation;
#[cfg(test)]
mod relation_tests;
mod relay;
mod request;
mod room;
#[cfg(feature = "tls")]
mod secure;
mod send;
mod session;
mod signal;
mod transport;
mod window;

pub use history::{PeerChange, PeerRecord};
pub use options::LinkOptions;
pub use peer::LinkCounters;

pub(crate) use net::Net;
pub(crate) use peer::{LinkCells, Peer, PeerTable};
pub(crate) use request::{ControlSink, LinkGrant, Request, Session};
