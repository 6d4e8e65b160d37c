//! What a registrar knows of a node.

use crate::error::RegistrarError;
use shard_wire::{Incarnation, NodeName};

/// Most addresses of one node.
pub(crate) const MAX_ADDRESSES: usize = 8;
/// Longest address, in bytes.
pub(crate) const MAX_ADDRESS_BYTES: usize = 255;

/// A node as a registrar knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeRecord {
    /// Its name.
    pub name: NodeName,
    /// Its life since the last start.
    pub incarnation: Incarnation,
    /// The cluster it belongs to; nodes of other clusters are not dialled.
    pub cluster: String,
    /// Number of its shards.
    pub shards: u16,
    /// Where it listens, as `host:port`, best first; at most 8.
    pub addresses: Vec<String>,
}

impl NodeRecord {
    /// A record.
    ///
    /// # Errors
    /// There are no addresses, too many, or one is no `host:port` of at most 255 bytes.
    pub fn new(
        name: NodeName,
        incarnation: Incarnation,
        cluster: &str,
        shards: u16,
        addresses: Vec<String>,
    ) -> Result<Self, RegistrarError> {
        // LIMIT: addresses of a node.
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(RegistrarError::BadRecord("it needs 1 to 8 addresses"));
        }
        if !addresses.iter().all(|address| is_address(address)) {
            return Err(RegistrarError::BadRecord("each address must be `host:port` of at most 255 bytes"));
        }
        Ok(Self { name, incarnation, cluster: cluster.to_owned(), shards, addresses })
    }
}

/// Whether the text is `host:port`.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    text.len() <= MAX_ADDRESS_BYTES
        && !host.is_empty()
        && !text.contains(char::is_control)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}
