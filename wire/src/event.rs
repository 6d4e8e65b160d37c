//! Events between nodes: the bodies of their frames, in fixed, versioned layouts.
//!
//! ```text
//! subscribe     version u8 · has position u8 · padding 6 · message key u64 · node u64 · event u64 · sequence u64
//! unsubscribe   empty
//! unsubscribed  version u8 · refusal u8 · has begun u8 · padding 5 · sent u64 · last u64 · reason, as of a relation
//! event         version u8 · item u8 · queue u8 · padding 5 · first u64 · second u64 · third u64 · message
//! ```
//! The header tells the rest: the relay of the subscribing node is `from` in what it asks for and `to` in what it is told,
//! `reference` is the number of the subscription, of the publication in an event; the name block is the event's name, and
//! the key of an event the type of its message.
//!
//! Invariants: B1 a newer version may append to a body, except before the message of an event, which is 16-aligned since what is
//! before it has [`ITEM_BYTES`]. B2 an id of a relay is no id of a process: its highest bit is set.

use crate::cursor::Reader;
use crate::limits::FRAME_ALIGN;
use crate::relation::Reason;
use crate::{MessageKey, WireError, data};

/// Bit of [`Introduction::flags`](crate::handshake::Introduction::flags) of a node that understands these frames.
pub const EVENTS: u64 = 1 << 3;

/// Bytes before the message in the body of an event.
pub const ITEM_BYTES: usize = 32;
const VERSION: u8 = 1;
const RELAY: u64 = 1 << 63;
const SHARD_SHIFT: u32 = 52;
const SEQUENCE: u64 = (1 << SHARD_SHIFT) - 1;

const _: () = assert!(ITEM_BYTES.is_multiple_of(FRAME_ALIGN), "B1");

/// Where publications of an event of a node arrive on another node: `1 | shard:11 | number:52`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RelayId(u64);

impl RelayId {
    /// The relay with this number on a shard. Higher bits of the number are cut.
    #[must_use]
    pub const fn new(shard: u16, number: u64) -> Self {
        Self(RELAY | (shard as u64) << SHARD_SHIFT | number & SEQUENCE)
    }

    /// The relay that these bits name; `None` for the id of a process.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & RELAY == 0 { None } else { Some(Self(bits)) }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Its shard; from a peer it may name one that does not exist.
    #[must_use]
    pub const fn shard(self) -> u16 {
        ((self.0 & !RELAY) >> SHARD_SHIFT) as u16
    }
}

/// One life of an event: from its registration to its end.
#[data]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct EventOrigin {
    /// Key of the incarnation of the node where it is registered.
    pub node: u64,
    /// Number of the registration within that incarnation.
    pub event: u64,
}

/// A publication of an event: what a subscriber has seen last.
#[data]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventPosition {
    /// Of which life of the event.
    pub origin: EventOrigin,
    /// Its number.
    pub sequence: u64,
}

fn version(reader: &mut Reader<'_>) -> Result<(), WireError> {
    match reader.u8("version of a body about an event")? {
        0 => Err(WireError::Invalid { what: "version of a body about an event", offset: 0, have: 0 }),
        _ => Ok(()),
    }
}

/// Body of a frame that subscribes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subscribe {
    /// The type of messages that is wanted; the event's, or an earlier version of it.
    pub key: MessageKey,
    /// The last publication that arrived, if the subscription goes on from there.
    pub since: Option<EventPosition>,
}

impl Subscribe {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.since.is_some()), 0, 0, 0, 0, 0, 0];
        let position =
            self.since.map_or([0; 3], |since| [since.origin.node, since.origin.event, since.sequence]);
        let MessageKey(key) = self.key;
        out.extend_from_slice(&key.to_le_bytes());
        out.extend(position.iter().flat_map(|word| word.to_le_bytes()));
        out
    }

    /// Reads a body, also one of a newer version.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Invalid`].
    pub fn from_bytes(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        version(&mut reader)?;
        let has_position = reader.bool("position of a subscription")?;
        reader.array::<6>("padding of a subscription")?;
        let key = MessageKey(reader.u64("message key of a subscription")?);
        let origin = EventOrigin {
            node: reader.u64("node of a position")?,
            event: reader.u64("event of a position")?,
        };
        let sequence = reader.u64("sequence of a position")?;
        Ok(Self { key, since: has_position.then_some(EventPosition { origin, sequence }) })
    }
}

/// Why there is no subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The event has ended.
    Ended,
    /// There is no event of this name.
    Unknown,
    /// Its messages are of another type, or of another version of the type, and do not become what is wanted.
    OtherType,
    /// Its messages never leave their node.
    LocalOnly,
    /// There are too many subscriptions.
    Limit,
}

impl Refusal {
    const fn code(self) -> u8 {
        match self {
            Self::Ended => 1,
            Self::Unknown => 2,
            Self::OtherType => 3,
            Self::LocalOnly => 4,
            Self::Limit => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            2 => Self::Unknown,
            3 => Self::OtherType,
            4 => Self::LocalOnly,
            5 => Self::Limit,
            0 => return None,
            // 1, and what a newer version has to say: the reason says why.
            _ => Self::Ended,
        })
    }
}

/// Body of a frame that ends a subscription, or refuses it. It may overtake publications.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsubscribed {
    /// What happened.
    pub refusal: Refusal,
    /// Whether an [`Item::Begin`] was sent, and comes if it has not come.
    pub has_begun: bool,
    /// Number of the last publication, or gap, that was sent.
    pub sent: u64,
    /// Number of the last publication.
    pub last: u64,
    /// Why the event has ended.
    pub reason: Reason,
}

impl Unsubscribed {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.refusal.code(), u8::from(self.has_begun), 0, 0, 0, 0, 0];
        out.extend_from_slice(&self.sent.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        self.reason.to_bytes(&mut out);
        out
    }

    /// Reads a body, also one of a newer version.
    ///
    /// # Errors
    /// [`WireError::Short`], [`WireError::Invalid`], [`WireError::Limit`] or [`WireError::Utf8`].
    pub fn from_bytes(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        version(&mut reader)?;
        let code = reader.u8("end of a subscription")?;
        let invalid =
            || WireError::Invalid { what: "end of a subscription", offset: 1, have: u64::from(code) };
        let refusal = Refusal::from_code(code).ok_or_else(invalid)?;
        let has_begun = reader.bool("begin of a subscription")?;
        reader.array::<5>("padding of the end of a subscription")?;
        let sent = reader.u64("last publication sent")?;
        let last = reader.u64("last publication")?;
        Ok(Self { refusal, has_begun, sent, last, reason: Reason::from_reader(&mut reader)? })
    }
}

/// What an event frame carries. All of one subscription arrive in the order of their sending.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// The subscription stands. `reference` is the number of the next publication.
    Begin {
        /// Number of the event's registration.
        event: u64,
        /// Publications that the event keeps.
        buffer: u64,
        /// Number of the subscription that was asked for.
        subscription: u32,
    },
    /// A publication; the message follows. `reference` is its number.
    Publication {
        /// Queue: 0 main, 1 system, 2 urgent.
        queue: u8,
        /// Who published it: local id on the sending node.
        publisher: u64,
        /// When, in nanoseconds since the Unix epoch.
        at_ns: u64,
    },
    /// Publications that will not come, from `reference` on.
    Gap {
        /// The last one of them.
        to: u64,
    },
}

impl Item {
    /// The bytes, before the message if there is one.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ITEM_BYTES] {
        let (code, queue, words) = match self {
            Self::Begin { event, buffer, subscription } => (1, 0, [event, buffer, u64::from(subscription)]),
            Self::Publication { queue, publisher, at_ns } => (2, queue, [publisher, at_ns, 0]),
            Self::Gap { to } => (3, 0, [to, 0, 0]),
        };
        let mut bytes = [0; ITEM_BYTES];
        let (head, rest) = bytes.split_at_mut(8);
        head.copy_from_slice(&[VERSION, code, queue, 0, 0, 0, 0, 0]);
        for (place, word) in rest.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads the body of an event; gives what follows, too.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Invalid`].
    pub fn from_bytes(body: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let mut reader = Reader::new(body);
        version(&mut reader)?;
        let code = reader.u8("kind of an event")?;
        let queue = reader.u8("queue of an event")?;
        reader.array::<5>("padding of an event")?;
        let first = reader.u64("first number of an event")?;
        let second = reader.u64("second number of an event")?;
        let third = reader.u64("third number of an event")?;
        let invalid = |what, offset, have| WireError::Invalid { what, offset, have };
        let item = match code {
            1 => Self::Begin {
                event: first,
                buffer: second,
                subscription: u32::try_from(third)
                    .map_err(|_| invalid("number of a subscription", 24, third))?,
            },
            2 if queue > 2 => return Err(invalid("queue of an event", 2, u64::from(queue))),
            2 => Self::Publication { queue, publisher: first, at_ns: second },
            3 => Self::Gap { to: first },
            _ => return Err(invalid("kind of an event", 1, u64::from(code))),
        };
        Ok((item, reader.rest()))
    }
}

#[cfg(test)]
mod tests {
    use super::{EventOrigin, EventPosition, ITEM_BYTES, Item, Refusal, RelayId, Subscribe, Unsubscribed};
    use crate::relation::Reason;
    use crate::{MessageKey, WireError};
    use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};

    #[test]
    fn a_relay_is_no_process() {
        let relay = RelayId::new(2047, u64::MAX);
        assert_eq!((relay.shard(), RelayId::from_bits(relay.bits())), (2047, Some(relay)));
        assert_eq!(RelayId::new(3, 1 << 52 | 5), RelayId::new(3, 5));
        assert_eq!(RelayId::from_bits(u64::MAX >> 1), None);
    }

    #[test]
    fn subscriptions_round_trip_and_every_prefix_is_refused() {
        let position = EventPosition { origin: EventOrigin { node: u64::MAX, event: 2 }, sequence: 3 };
        for since in [None, Some(position)] {
            let subscribe = Subscribe { key: MessageKey(9), since };
            let mut bytes = subscribe.to_bytes();
            for end in 0..bytes.len() {
                assert!(
                    matches!(Subscribe::from_bytes(&bytes[..end]), Err(WireError::Short { .. })),
                    "{end}"
                );
            }
            bytes.push(1);
            assert_eq!(Subscribe::from_bytes(&bytes), Ok(subscribe), "a newer version is longer");
            bytes[1] = 2;
            assert!(matches!(Subscribe::from_bytes(&bytes), Err(WireError::Invalid { .. })));
        }
    }

    #[test]
    fn ends_round_trip_and_every_prefix_is_refused() {
        for refusal in
            [Refusal::Ended, Refusal::Unknown, Refusal::OtherType, Refusal::LocalOnly, Refusal::Limit]
        {
            let end = Unsubscribed {
                refusal,
                has_begun: true,
                sent: 4,
                last: u64::MAX,
                reason: Reason::Error("worn out".to_owned()),
            };
            let mut bytes = end.to_bytes();
            for end in 0..bytes.len() {
                let read = Unsubscribed::from_bytes(&bytes[..end]);
                assert!(matches!(read, Err(WireError::Short { .. })), "{end}: {read:?}");
            }
            bytes.push(1);
            assert_eq!(Unsubscribed::from_bytes(&bytes), Ok(end));
            bytes[1] = 99;
            assert_eq!(Unsubscribed::from_bytes(&bytes).map(|end| end.refusal), Ok(Refusal::Ended));
            bytes[1] = 0;
            assert!(matches!(Unsubscribed::from_bytes(&bytes), Err(WireError::Invalid { .. })));
        }
    }

    fn items() -> impl Strategy<Value = Item> {
        prop_oneof![
            (any::<u64>(), any::<u64>(), any::<u32>())
                .prop_map(|(event, buffer, subscription)| Item::Begin { event, buffer, subscription }),
            (0..3_u8, any::<u64>(), any::<u64>()).prop_map(|(queue, publisher, at_ns)| Item::Publication {
                queue,
                publisher,
                at_ns
            }),
            any::<u64>().prop_map(|to| Item::Gap { to }),
        ]
    }

    proptest! {
        #[test]
        fn items_round_trip_with_what_follows(item in items(), rest in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = item.to_bytes().to_vec();
            bytes.extend_from_slice(&rest);
            prop_assert_eq!(Item::from_bytes(&bytes), Ok((item, rest.as_slice())));
            for end in 0..ITEM_BYTES {
                let is_short = matches!(Item::from_bytes(&bytes[..end]), Err(WireError::Short { .. }));
                prop_assert_eq!(is_short, true);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            // What is read is written as it was read: nothing is made up.
            if let Ok((item, rest)) = Item::from_bytes(&bytes) {
                prop_assert_eq!(Item::from_bytes(&item.to_bytes()).map(|(item, _)| item), Ok(item));
                prop_assert_eq!(rest.len(), bytes.len() - ITEM_BYTES);
            }
            if let Ok(subscribe) = Subscribe::from_bytes(&bytes) {
                prop_assert_eq!(Subscribe::from_bytes(&subscribe.to_bytes()), Ok(subscribe));
            }
            if let Ok(end) = Unsubscribed::from_bytes(&bytes) {
                prop_assert_eq!(Unsubscribed::from_bytes(&end.to_bytes()), Ok(end));
            }
        }
    }
}
