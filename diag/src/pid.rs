//! Text forms of a process id: short `<CRC.hi.lo>`, full `node@host:ID.Creation`, the runtime's own `<key.hi.lo>` as
//! actors print it, or a registered name.
//!
//! Invariant: P1 a text that names another node or another incarnation is an error, never silently retargeted.

use shard_runtime::Pid;

use crate::source::Identity;

/// A process as an operator wrote it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A local id.
    Id(u64),
    /// A registered name.
    Name(&'a str),
}

/// Why a text names no process of this node.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PidError {
    #[error("the pid belongs to another node than {executing}; pass that node in `node`")]
    WrongNode { executing: String },
    #[error("the pid belongs to an earlier or later start of {executing}; look the process up again")]
    StaleIncarnation { executing: String },
    #[error("the pid belongs to another node or another start than {executing}; look the process up again")]
    OtherLife { executing: String },
    #[error("not a pid: want <CRC.hi.lo>, node@host:ID.Creation, <key.hi.lo>, or a registered name")]
    Malformed,
}

/// Short form: hash of the node name, then both halves of the id as signed numbers.
pub(crate) fn short(crc: u32, id: u64) -> String {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = id.to_be_bytes();
    let high = i32::from_be_bytes([b0, b1, b2, b3]);
    let low = i32::from_be_bytes([b4, b5, b6, b7]);
    format!("<{crc:08X}.{high}.{low}>")
}

/// Full form, which parses back and names the incarnation.
pub(crate) fn full(node: &str, creation: u64, id: u64) -> String {
    format!("{node}:{id}.{creation}")
}

/// Reads any form. A text in angle brackets is a pid; one with `@` and `:` is a full pid; anything else is a name.
pub(crate) fn parse<'a>(text: &'a str, identity: &Identity) -> Result<Target<'a>, PidError> {
    if let Ok(pid) = text.parse::<Pid>() {
        // A key tells nothing of its node's name: it may be another node, or an earlier start of this one.
        return if pid.node.0 == identity.creation {
            Ok(Target::Id(pid.local.0))
        } else {
            Err(PidError::OtherLife { executing: identity.name.clone() })
        };
    }
    if let Some(inner) = text.strip_prefix('<') {
        let inner = inner.strip_suffix('>').ok_or(PidError::Malformed)?;
        return parse_short(inner, identity);
    }
    if let Some((node, rest)) = text.rsplit_once(':')
        && node.contains('@')
    {
        let (id, creation) = rest.split_once('.').ok_or(PidError::Malformed)?;
        let id = id.parse().map_err(|_| PidError::Malformed)?;
        let creation: u64 = creation.parse().map_err(|_| PidError::Malformed)?;
        if node != identity.name {
            return Err(PidError::WrongNode { executing: identity.name.clone() });
        }
        if creation != identity.creation {
            return Err(PidError::StaleIncarnation { executing: identity.name.clone() });
        }
        return Ok(Target::Id(id));
    }
    if text.is_empty() { Err(PidError::Malformed) } else { Ok(Target::Name(text)) }
}

fn parse_short<'a>(inner: &str, identity: &Identity) -> Result<Target<'a>, PidError> {
    let mut parts = inner.split('.');
    let (Some(crc), Some(high), Some(low), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PidError::Malformed);
    };
    if crc.len() != 8 {
        return Err(PidError::Malformed);
    }
    let crc = u32::from_str_radix(crc, 16).map_err(|_| PidError::Malformed)?;
    let id = u64::from(half(high)?) << 32 | u64::from(half(low)?);
    if crc != identity.crc {
        return Err(PidError::WrongNode { executing: identity.name.clone() });
    }
    Ok(Target::Id(id))
}

/// Half of an id, printed signed by older writers and unsigned by careful ones.
fn half(text: &str) -> Result<u32, PidError> {
    text.parse::<u32>()
        .or_else(|_| text.parse::<i32>().map(i32::cast_unsigned))
        .map_err(|_| PidError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            name: String::from("demo@cluster-node1"),
            crc: 0x5748_01E2,
            creation: 77,
            ..Identity::default()
        }
    }

    #[test]
    fn every_id_survives_both_forms() {
        let me = identity();
        for id in [1, 1014, 1 << 31, u64::from(u32::MAX), 3 << 52 | 7 << 32 | 12, u64::MAX] {
            assert_eq!(parse(&short(me.crc, id), &me), Ok(Target::Id(id)));
            assert_eq!(parse(&full(&me.name, me.creation, id), &me), Ok(Target::Id(id)));
            let own = format!("<{:016x}.{}.{}>", me.creation, id >> 32, id & u64::from(u32::MAX));
            assert_eq!(parse(&own, &me), Ok(Target::Id(id)));
        }
        assert_eq!(short(me.crc, 1014), "<574801E2.0.1014>");
    }

    #[test]
    fn foreign_and_stale_pids_are_refused() {
        let me = identity();
        assert!(matches!(parse("<574801E3.0.1>", &me), Err(PidError::WrongNode { .. })));
        assert!(matches!(parse("other@host:5.77", &me), Err(PidError::WrongNode { .. })));
        assert!(matches!(parse("<000000000000004e.0.1>", &me), Err(PidError::OtherLife { .. })));
        assert!(matches!(parse("demo@cluster-node1:5.78", &me), Err(PidError::StaleIncarnation { .. })));
    }

    #[test]
    fn names_with_dots_are_names_and_broken_pids_are_not() {
        let me = identity();
        assert_eq!(parse("a.1.2", &me), Ok(Target::Name("a.1.2")));
        for bad in [
            "",
            "<",
            "<574801E2.0>",
            "<574801E2.0.1",
            "<574801E2.0.1.2>",
            "<zz.0.1>",
            "demo@cluster-node1:x.77",
        ] {
            assert_eq!(parse(bad, &me), Err(PidError::Malformed), "{bad}");
        }
    }
}
