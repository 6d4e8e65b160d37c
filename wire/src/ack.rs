//! What became of an important message: the body of ack frames, in a fixed, versioned layout.
//!
//! ```text
//! version u32 · outcome u32 · reserved u64
//! ```

use crate::WireError;
use crate::cursor::Reader;

/// Length of the body of an ack in bytes. A newer version may be longer.
pub const ACK_BYTES: usize = 16;
const VERSION: u32 = 1;

/// What became of an important message. The numbers are part of the protocol and never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
#[non_exhaustive]
pub enum Ack {
    /// It is in the mailbox.
    Delivered = 0,
    /// There is no such process.
    NoProcess = 1,
    /// The process is ending.
    Terminated = 2,
    /// The mailbox is full.
    MailboxFull = 3,
    /// Its time was up before it arrived.
    Expired = 4,
    /// The node does not know messages of its type.
    UnknownType = 5,
    /// It is no message of its type.
    Undecodable = 6,
    /// The shard holds as much as it may.
    Overloaded = 7,
    /// The node is stopping and takes nothing new.
    Stopping = 8,
    /// The alias leads to no process. Only told to nodes that send to aliases.
    AliasUnknown = 9,
}

impl Ack {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Delivered,
        Self::NoProcess,
        Self::Terminated,
        Self::MailboxFull,
        Self::Expired,
        Self::UnknownType,
        Self::Undecodable,
        Self::Overloaded,
        Self::Stopping,
        Self::AliasUnknown,
    ];

    /// The body.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ACK_BYTES] {
        let mut bytes = [0; ACK_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip([VERSION, self as u32]) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// Reads a body, also one of a newer version. `None` is an outcome of a newer version: it does not say whether the
    /// message was delivered.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Invalid`].
    pub fn from_bytes(body: &[u8]) -> Result<Option<Self>, WireError> {
        let mut reader = Reader::new(body);
        let version = reader.u32("version of an ack")?;
        if version < VERSION {
            return Err(WireError::Invalid {
                what: "version of an ack",
                offset: 0,
                have: u64::from(version),
            });
        }
        let outcome = reader.u32("outcome of an ack")?;
        Ok(Self::ALL.into_iter().find(|ack| *ack as u32 == outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::Ack;

    #[test]
    fn outcomes_round_trip_and_later_ones_are_told_apart() {
        for (number, ack) in Ack::ALL.into_iter().enumerate() {
            assert_eq!(ack as usize, number);
            assert_eq!(Ack::from_bytes(&ack.to_bytes()), Ok(Some(ack)));
        }
        let mut later = Ack::Expired.to_bytes();
        later[4] = 200;
        assert_eq!(Ack::from_bytes(&later), Ok(None));
        later[0] = 2;
        assert_eq!(Ack::from_bytes(&later), Ok(None));
        later[0] = 0;
        assert!(Ack::from_bytes(&later).is_err());
        assert!(Ack::from_bytes(&Ack::Expired.to_bytes()[..7]).is_err());
    }
}
