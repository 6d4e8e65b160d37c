//! Text forms of identities.
//!
//! Owns two forms of each. The **full** form (`Display`, `FromStr`, JSON) has the incarnation's key in 16 lower-case
//! hexadecimal digits and unsigned numbers: `<00c0ffee00c0ffee.1.7>`, `Alias#<00c0ffee00c0ffee.7.0.0>`. The **short**
//! form, for logs and tables, has the node name's hash in 8 upper-case digits and signed halves: `<4FF6A515.0.1014>`.
//! Invariants: S1 the full form parses back to the same value, and nothing else parses, so one value has one text.
//! S2 a short form never parses as a full one.

use crate::ids::{Alias, IncarnationKey, LocalId, Pid, Ref};
use crate::key::hash_text;
use crate::node_name::{NodeCrc, NodeName};
use crate::schema::Schema;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is no identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "this is no {what}: expected {form}, as printed in full; the short form with a node's hash does not name one"
)]
pub struct ParseIdError {
    /// What was expected.
    pub what: &'static str,
    /// An example of it.
    pub form: &'static str,
}

const PID: ParseIdError = ParseIdError { what: "pid", form: "`<00c0ffee00c0ffee.1.7>`" };
const ALIAS: ParseIdError = ParseIdError { what: "alias", form: "`Alias#<00c0ffee00c0ffee.7.0.0>`" };
const REF: ParseIdError = ParseIdError { what: "reference", form: "`Ref#<00c0ffee00c0ffee.7.0.0>`" };

/// The inside of `prefix<inside>`.
fn inside<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.strip_prefix(prefix)?.strip_prefix('<')?.strip_suffix('>')
}

fn key(text: &str) -> Option<IncarnationKey> {
    let canonical = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u64::from_str_radix(text, 16).ok().map(IncarnationKey) } else { None }
}

/// A decimal number without sign and leading zeros.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn pid(text: &str) -> Option<Pid> {
    let mut parts = inside(text, "")?.split('.');
    let node = key(parts.next()?)?;
    let (high, low): (u32, u32) = (number(parts.next()?)?, number(parts.next()?)?);
    let local = LocalId(u64::from(high) << 32 | u64::from(low));
    parts.next().is_none().then_some(Pid { node, local })
}

/// Key, sequence and shard of a numbered identity. The third number is always 0.
fn numbered(text: &str, prefix: &str) -> Option<(IncarnationKey, u64)> {
    let mut parts = inside(text, prefix)?.split('.');
    let node = key(parts.next()?)?;
    let (sequence, shard): (u64, u64) = (number(parts.next()?)?, number(parts.next()?)?);
    let fits = sequence < 1 << 52 && shard < 1 << 12 && parts.next()? == "0" && parts.next().is_none();
    fits.then_some((node, shard << 52 | sequence))
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}.{}.{}>", self.node, self.local.0 >> 32, self.local.slot())
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        pid(text).ok_or(PID)
    }
}

/// A pid in its short form: `<4FF6A515.0.1014>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortPid(pub NodeCrc, pub LocalId);

impl fmt::Display for ShortPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let high = ((self.1.0 >> 32) as u32).cast_signed();
        write!(f, "<{}.{high}.{}>", self.0, self.1.slot().cast_signed())
    }
}

impl Pid {
    /// The short form, with the hash of the name of the pid's node.
    #[must_use]
    pub const fn short(self, node: NodeCrc) -> ShortPid {
        ShortPid(node, self.local)
    }
}

macro_rules! numbered_text {
    ($name:ident, $short:ident, $prefix:literal, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "<{}.{}.{}.0>"), self.node, self.sequence(), self.shard())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                numbered(text, $prefix).map(|(node, id)| Self { node, id }).ok_or($error)
            }
        }

        #[doc = concat!("A short form: `", $prefix, "<4FF6A515.7.0.0>`.")]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $short(pub NodeCrc, pub $name);

        impl fmt::Display for $short {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "<{}.{}.{}.0>"), self.0, self.1.sequence(), self.1.shard())
            }
        }

        impl $name {
            /// The short form, with the hash of the name of its node.
            #[must_use]
            pub const fn short(self, node: NodeCrc) -> $short {
                $short(node, self)
            }
        }
    };
}

numbered_text!(Alias, ShortAlias, "Alias#", ALIAS);
numbered_text!(Ref, ShortRef, "Ref#", REF);

macro_rules! as_text {
    ($($name:ident = $schema:literal, $pattern:literal;)*) => { $(
        impl Schema for $name {
            const HASH: u64 = hash_text($schema);
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    )* };
}

as_text! {
    Pid = "pid", "^<[0-9a-f]{16}\\.[0-9]+\\.[0-9]+>$";
    Alias = "alias", "^Alias#<[0-9a-f]{16}\\.[0-9]+\\.[0-9]+\\.0>$";
    Ref = "ref", "^Ref#<[0-9a-f]{16}\\.[0-9]+\\.[0-9]+\\.0>$";
}

/// Why a text is no registered name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a registered name has 1 to 255 bytes, this one has {have}")]
pub struct AddressError {
    /// Its length in bytes.
    pub have: usize,
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name {
            name: Arc<str>,
            node: NodeName,
        }

        impl $name {
            /// That name on that node.
            ///
            /// # Errors
            /// [`AddressError`] if the name is empty or longer than 255 bytes.
            pub fn new(name: &str, node: NodeName) -> Result<Self, AddressError> {
                match name.len() {
                    1..=crate::limits::MAX_NAME_BYTES => Ok(Self { name: name.into(), node }),
                    have => Err(AddressError { have }),
                }
            }

            /// The name.
            #[must_use]
            pub fn name(&self) -> &str {
                &self.name
            }

            /// The node.
            #[must_use]
            pub fn node(&self) -> &NodeName {
                &self.node
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.node.crc(), self.name)
            }
        }
    };
}

named! {
    /// A process by its registered name on a node: survives restarts of the process and of the node.
    ProcessId, "<{}.{}>"
}

named! {
    /// An event by its name on a node.
    EventId, "Event#<{}:{}>"
}

#[cfg(test)]
mod tests {
    use super::{EventId, ProcessId};
    use crate::ids::{Alias, IncarnationKey, LocalId, Pid, Ref, ShardId};
    use crate::node_name::NodeName;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn short_forms_are_those_of_the_logs() {
        let node = NodeName::new("node@localhost").unwrap();
        let pid =
            |local| Pid { node: IncarnationKey(1), local: LocalId(local) }.short(node.crc()).to_string();
        assert_eq!(pid(1014), "<2C323E75.0.1014>");
        assert_eq!(pid(u64::MAX), "<2C323E75.-1.-1>");
        let alias = Alias::new(IncarnationKey(1), ShardId::new(3).unwrap(), 7);
        assert_eq!(alias.short(node.crc()).to_string(), "Alias#<2C323E75.7.3.0>");
        let reference = Ref::new(IncarnationKey(1), ShardId::new(3).unwrap(), 7);
        assert_eq!(reference.short(node.crc()).to_string(), "Ref#<2C323E75.7.3.0>");
        assert_eq!(ProcessId::new("counter", node.clone()).unwrap().to_string(), "<2C323E75.counter>");
        assert_eq!(EventId::new("tick", node.clone()).unwrap().to_string(), "Event#<2C323E75:tick>");
        assert!(ProcessId::new("", node).is_err());
    }

    #[test]
    fn only_the_full_form_parses() {
        for text in [
            "",
            "<>",
            "<2C323E75.0.1014>",
            "<00c0ffee00c0ffee.1>",
            "<00c0ffee00c0ffee.1.7.0>",
            "<00C0ffee00c0ffee.1.7>",
            "<00c0ffee00c0ffee.+1.7>",
            "<00c0ffee00c0ffee.01.7>",
            "<00c0ffee00c0ffee.1.4294967296>",
            "<00c0ffee00c0ffee.1.7> ",
            "00c0ffee00c0ffee.1.7",
            "<00c0ffee00c0ffee.-1.7>",
            "<00c0ffee00c0ffee..7>",
        ] {
            assert!(text.parse::<Pid>().is_err(), "{text:?}");
        }
        assert!("Ref#<00c0ffee00c0ffee.7.0.0>".parse::<Alias>().is_err());
        assert!("Ref#<00c0ffee00c0ffee.7.4096.0>".parse::<Ref>().is_err());
        assert!("Ref#<00c0ffee00c0ffee.7.0.1>".parse::<Ref>().is_err());
    }

    fn pids() -> impl Strategy<Value = Pid> {
        (any::<u64>(), any::<u64>())
            .prop_map(|(node, local)| Pid { node: IncarnationKey(node), local: LocalId(local) })
    }

    proptest! {
        #[test]
        fn full_forms_parse_back(pid in pids()) {
            prop_assert_eq!(pid.to_string().parse::<Pid>(), Ok(pid));
            let alias = Alias { node: pid.node, id: pid.local.0 };
            prop_assert_eq!(alias.to_string().parse::<Alias>(), Ok(alias));
            let reference = Ref { node: pid.node, id: pid.local.0 };
            prop_assert_eq!(reference.to_string().parse::<Ref>(), Ok(reference));
            let json = serde_json::to_value(pid).unwrap();
            prop_assert_eq!(serde_json::from_value::<Pid>(json).unwrap(), pid);
        }

        #[test]
        fn what_parses_prints_as_it_was(text in "(Ref#)?<[0-9a-f]{15,17}(\\.[0-9+-]{1,11}){1,4}>") {
            if let Ok(pid) = text.parse::<Pid>() {
                prop_assert_eq!(pid.to_string(), text.clone());
            }
            if let Ok(reference) = text.parse::<Ref>() {
                prop_assert_eq!(reference.to_string(), text.clone());
            }
            prop_assert!(text.parse::<Alias>().is_err());
        }
    }
}
