//! Why a route to other nodes cannot be used.

use shard_wire::handshake::CookiePolicyError;

/// Why a route to other nodes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeRouteError {
    /// What it is for is no node name and no pattern of one.
    #[error(
        "`{pattern}` is neither a node name nor a pattern: write `name@host`, with `*` for any characters, such as `worker-*@*`"
    )]
    BadPattern {
        /// What was given.
        pattern: String,
    },
    /// Where it leads is no address.
    #[error("the route `{pattern}` leads to `{address}`, which is not `host:port` of at most 255 bytes")]
    BadAddress {
        /// What it is for.
        pattern: String,
        /// Where it leads.
        address: String,
    },
    /// There is a route for this pattern to this address.
    #[error("there is a route `{pattern}` to {address}: remove it first")]
    Taken {
        /// What it is for.
        pattern: String,
        /// Where it leads.
        address: String,
    },
    /// There is no such route.
    #[error("there is no route `{pattern}`: `routes` lists those that there are")]
    Unknown {
        /// What was given.
        pattern: String,
    },
    /// It is to be in plain text, and this node does not allow that.
    #[error("the route `{pattern}` is in plain text: say `allow_plaintext` if the network is trusted")]
    Plaintext {
        /// What it is for.
        pattern: String,
    },
    /// Its cookie does not suffice, or TLS is missing, for where it leads.
    #[error("the route `{pattern}` to {address}: {source}")]
    Policy {
        /// What it is for.
        pattern: String,
        /// Where it leads.
        address: String,
        /// What is missing.
        source: CookiePolicyError,
    },
    /// There are as many routes as a node has.
    #[error("there are {0} routes, which is the limit: use patterns, or a registrar")]
    TooMany(usize),
}
