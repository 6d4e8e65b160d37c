//! Messages of the embedded registrar: a fixed layout inside the `Service` messages of the control protocol.
//!
//! ```text
//! version u8 · kind u8 · fields, little-endian; text = u16 length + utf-8
//! record: name · start u64 · random u64 · cluster · shards u16 · count u8 · addresses
//! ```
//!
//! Invariants: M1 a message is at most [`MAX_BYTES`]. M2 what does not decode to the last byte is refused.

use crate::registrar::NodeRecord;
use crate::registrar::record::{MAX_ADDRESS_BYTES, MAX_ADDRESSES};
use shard_wire::cursor::{Reader, Writer};
use shard_wire::handshake::MAX_CLUSTER_BYTES;
use shard_wire::{Incarnation, NodeName, WireError};

/// The service channel of the registrar.
pub(crate) const CHANNEL: u16 = 1;
/// Largest message, in bytes.
pub(crate) const MAX_BYTES: usize = 4096;
const VERSION: u8 = 1;

const NAME: u16 = NodeName::MAX_BYTES as u16;
const CLUSTER: u16 = MAX_CLUSTER_BYTES as u16;
const ADDRESS: u16 = MAX_ADDRESS_BYTES as u16;

// LIMIT: the largest record fits one message.
const _: () = assert!(
    2 + (2 + NodeName::MAX_BYTES)
        + 16
        + (2 + MAX_CLUSTER_BYTES)
        + 3
        + MAX_ADDRESSES * (2 + MAX_ADDRESS_BYTES)
        <= MAX_BYTES
);

/// Between a node and the registrar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegistrarMsg {
    /// Client: this is me, from now on.
    Register(NodeRecord),
    /// Server: you are registered.
    Registered,
    /// Server: you are not. The number says why.
    Refused(u8),
    /// Server: this node is there.
    Joined(NodeRecord),
    /// Server: this one has gone.
    Left { name: NodeName, incarnation: Incarnation },
    /// Server: do you live?
    Probe,
    /// Client: yes.
    Alive,
}

/// Numbers of refusals.
pub(crate) const TAKEN: u8 = 1;
pub(crate) const BAD_RECORD: u8 = 2;
pub(crate) const FULL: u8 = 3;

impl RegistrarMsg {
    /// The bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Writer::new(MAX_BYTES);
        out.u8("version", VERSION)?;
        match self {
            Self::Register(record) => put_record(out.u8("kind", 1)?, record)?,
            Self::Registered => drop(out.u8("kind", 2)?),
            Self::Refused(why) => drop(out.u8("kind", 3)?.u8("why", *why)?),
            Self::Joined(record) => put_record(out.u8("kind", 4)?, record)?,
            Self::Left { name, incarnation } => {
                out.u8("kind", 5)?.text("name", name.as_str(), NAME)?;
                put_incarnation(&mut out, *incarnation)?;
            }
            Self::Probe => drop(out.u8("kind", 6)?),
            Self::Alive => drop(out.u8("kind", 7)?),
        }
        Ok(out.into_bytes())
    }

    /// Decodes one message.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let invalid = |what, have| WireError::Invalid { what, offset: 0, have };
        // LIMIT: one message.
        if bytes.len() > MAX_BYTES {
            return Err(WireError::Limit {
                what: "message",
                have: bytes.len() as u64,
                max: MAX_BYTES as u64,
            });
        }
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(invalid("version", u64::from(version)));
        }
        let message = match reader.u8("kind")? {
            1 => Self::Register(read_record(&mut reader)?),
            2 => Self::Registered,
            3 => Self::Refused(reader.u8("why")?),
            4 => Self::Joined(read_record(&mut reader)?),
            5 => Self::Left { name: read_name(&mut reader)?, incarnation: read_incarnation(&mut reader)? },
            6 => Self::Probe,
            7 => Self::Alive,
            kind => return Err(invalid("kind", u64::from(kind))),
        };
        reader.finish("message")?;
        Ok(message)
    }
}

fn put_incarnation(out: &mut Writer, incarnation: Incarnation) -> Result<(), WireError> {
    out.u64("start", incarnation.start_nanos)?.u64("random", incarnation.random)?;
    Ok(())
}

fn put_record(out: &mut Writer, record: &NodeRecord) -> Result<(), WireError> {
    out.text("name", record.name.as_str(), NAME)?;
    put_incarnation(out, record.incarnation)?;
    out.text("cluster", &record.cluster, CLUSTER)?.u16("shards", record.shards)?;
    let count = record.addresses.len();
    let too_many = WireError::Limit { what: "addresses", have: count as u64, max: MAX_ADDRESSES as u64 };
    out.u8("addresses", u8::try_from(count).ok().filter(|_| count <= MAX_ADDRESSES).ok_or(too_many)?)?;
    for address in &record.addresses {
        out.text("address", address, ADDRESS)?;
    }
    Ok(())
}

fn read_name(reader: &mut Reader<'_>) -> Result<NodeName, WireError> {
    let offset = reader.offset();
    let text = reader.text("name", NAME)?;
    NodeName::new(text).map_err(|_| WireError::Invalid { what: "name", offset, have: text.len() as u64 })
}

fn read_incarnation(reader: &mut Reader<'_>) -> Result<Incarnation, WireError> {
    Ok(Incarnation { start_nanos: reader.u64("start")?, random: reader.u64("random")? })
}

fn read_record(reader: &mut Reader<'_>) -> Result<NodeRecord, WireError> {
    let name = read_name(reader)?;
    let incarnation = read_incarnation(reader)?;
    let cluster = reader.text("cluster", CLUSTER)?.to_owned();
    let shards = reader.u16("shards")?;
    let offset = reader.offset();
    let count = reader.u8("addresses")?;
    let mut addresses = Vec::new();
    for _ in 0..count {
        addresses.push(reader.text("address", ADDRESS)?.to_owned());
    }
    let invalid = |_| WireError::Invalid { what: "addresses", offset, have: u64::from(count) };
    NodeRecord::new(name, incarnation, &cluster, shards, addresses).map_err(invalid)
}
