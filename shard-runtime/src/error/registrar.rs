//! Why a registrar did not take a node, or cannot be used.

use shard_wire::NodeName;
use shard_wire::handshake::Reason;

/// Why a registrar did not take a node, or cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrarError {
    /// Another live node is registered under this name. Retrying does not help while it lives.
    #[error("another live node is registered as `{name}`: stop it, or choose another name")]
    NameTaken {
        /// The name.
        name: NodeName,
    },
    /// The record cannot be registered as it is.
    #[error("the node's record was refused: {0}")]
    BadRecord(&'static str),
    /// The registrar has as many nodes as it takes.
    #[error("the registrar is full: stop nodes that are not needed, or use another one")]
    Full,
    /// The registrar and this node do not belong together.
    #[error("the registrar at {address} refused this node: {reason}")]
    Handshake {
        /// Where it is.
        address: String,
        /// Why.
        reason: Reason,
    },
    /// It did not answer. It is tried again.
    #[error(
        "the registrar at {address} cannot be reached: check the address, and that the port is not used by another program"
    )]
    Unreachable {
        /// Where it should be.
        address: String,
    },
    /// It speaks, but not this protocol.
    #[error("what listens at {address} is not a registrar of this version: choose another address")]
    Protocol {
        /// Where it should be.
        address: String,
    },
    /// It closed the connection. It is tried again.
    #[error("the registrar at {address} closed the connection: the node it ran in may have stopped")]
    Closed {
        /// Where it was.
        address: String,
    },
}
