//! Links to other nodes, from the shards' side: data links, peers, names on other nodes; and what passes between the
//! shards and the control thread.

mod alias;
mod app_ask;
mod ask;
mod branch;
mod caller;
mod compressed;
mod data;
mod errand;
#[cfg(test)]
mod event_tests;
mod far;
mod forward;
mod guest;
mod history;
mod hop;
mod host;
mod idle;
mod important;
mod leaving;
mod letter;
mod name;
mod net;
mod offer;
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
mod split;
mod traced;
mod transport;
mod version;
mod waiting;
mod window;

pub use history::{PeerChange, PeerRecord};
pub use offer::Peers;
pub use options::LinkOptions;
pub use peer::LinkCounters;

pub(crate) use ask::Told;
pub(crate) use errand::{app_answer, started};
pub(crate) use net::Net;
pub(crate) use offer::{Offer, Offers, Started};
pub(crate) use peer::{LinkCells, Peer, PeerTable};
pub(crate) use request::{ControlSink, LinkGrant, Request, Session};
