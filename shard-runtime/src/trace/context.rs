//! A place in a trace, as a handler sees it, and its text form: the `traceparent` of W3C Trace Context.
//!
//! Invariant: C1 neither id is zero, so that zero can mean "none" on the wire and in text.

use crate::error::TraceParentError;
use shard_wire::header::Trace;
use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// Length of the text form of version 00.
const TEXT_BYTES: usize = 55;

/// Where a handler stands in a trace: the id of the trace, its own span, and the span that caused it.
///
/// Each message that is handled in a trace is a span: its handler has a fresh span id, and the sender's as its parent. What
/// the handler sends carries the id of the trace and its span. So the spans of a trace form a tree across processes, shards
/// and nodes, as those of other programs that speak W3C Trace Context do.
///
/// ```
/// use shard_runtime::TraceContext;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context: TraceContext = text.parse()?;
/// assert_eq!(context.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
/// assert_eq!(context.span_id(), 0xb7ad_6b71_6920_3331);
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// # Ok::<(), shard_runtime::TraceParentError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: NonZeroU128,
    span: NonZeroU64,
    parent: Option<NonZeroU64>,
    flags: u8,
}

impl TraceContext {
    /// The flag of a trace that is recorded.
    const SAMPLED: u8 = 1;
    /// The flag of a trace whose id was drawn at random.
    const RANDOM: u8 = 1 << 1;
    /// The flags that have a meaning. Others are not passed on.
    const KNOWN: u8 = Self::SAMPLED | Self::RANDOM;

    /// A place in a trace that somebody else began; `None` if an id is zero.
    #[must_use]
    pub fn new(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<Self> {
        let flags = if is_sampled { Self::SAMPLED } else { 0 };
        Self::from_parts(trace_id, span_id, flags)
    }

    fn from_parts(trace: u128, span: u64, flags: u8) -> Option<Self> {
        let (trace, span) = (NonZeroU128::new(trace)?, NonZeroU64::new(span)?);
        Some(Self { trace, span, parent: None, flags: flags & Self::KNOWN })
    }

    /// The first span of a new trace.
    pub(crate) fn begin(trace: NonZeroU128, span: NonZeroU64) -> Self {
        Self { trace, span, parent: None, flags: Self::SAMPLED | Self::RANDOM }
    }

    /// The span that this one causes.
    pub(crate) fn child(self, span: NonZeroU64) -> Self {
        Self { span, parent: Some(self.span), ..self }
    }

    /// What a block of a frame says; `None` for ids that are zero.
    pub(crate) fn from_wire(block: Trace) -> Option<Self> {
        Self::from_parts(block.trace, block.span, block.flags as u8)
    }

    /// The block of a frame that is sent here.
    pub(crate) fn to_wire(self) -> Trace {
        Trace { trace: self.trace.get(), span: self.span.get(), flags: u64::from(self.flags) }
    }

    /// The id that all spans of the trace share. Not zero.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace.get()
    }

    /// The id of this span. Not zero.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        self.span.get()
    }

    /// The id of the span that caused this one; `None` for the first span of a trace, and for a context that was read from
    /// text, which does not say it.
    #[must_use]
    pub fn parent_span(&self) -> Option<u64> {
        self.parent.map(NonZeroU64::get)
    }

    /// Whether whoever began the trace has it recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// The flags of W3C Trace Context: 1 for sampled, 2 for a random trace id.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }
}

impl fmt::Display for TraceContext {
    /// The `traceparent` for what is caused here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self}")?;
        if let Some(parent) = self.parent {
            write!(f, " of {parent:016x}")?;
        }
        f.write_str(")")
    }
}

impl FromStr for TraceContext {
    type Err = TraceParentError;

    /// Reads a `traceparent`. Of a later version, what version 00 has is read, as W3C Trace Context asks.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let length = TraceParentError::Length { have: bytes.len() };
        let Some((head, rest)) = bytes.split_first_chunk::<TEXT_BYTES>() else { return Err(length) };
        if [2, 35, 52].into_iter().any(|at| head.get(at) != Some(&b'-')) {
            return Err(TraceParentError::Form);
        }
        let version = hex(head, 0, 2)? as u8;
        match version {
            0xff => return Err(TraceParentError::Version),
            0 if !rest.is_empty() => return Err(length),
            // What a later version has more is set off.
            1.. if rest.first().is_some_and(|next| *next != b'-') => return Err(TraceParentError::Form),
            _ => {}
        }
        let (trace, span) = (hex(head, 3, 35)?, hex(head, 36, 52)? as u64);
        let flags = hex(head, 53, TEXT_BYTES)? as u8;
        Self::from_parts(trace, span, flags).ok_or(TraceParentError::Zero)
    }
}

/// The number that lower-case hexadecimal digits from `at` up to `end` stand for.
fn hex(text: &[u8; TEXT_BYTES], at: usize, end: usize) -> Result<u128, TraceParentError> {
    let digits = text.get(at..end).unwrap_or_default();
    digits.iter().zip(at..).try_fold(0, |sum, (digit, offset)| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return Err(TraceParentError::Digit { offset }),
        };
        Ok(sum << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::TraceContext;
    use crate::error::TraceParentError;
    use proptest::prelude::*;
    use std::num::NonZeroU64;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Result<TraceContext, TraceParentError> {
        text.parse()
    }

    #[test]
    fn a_child_keeps_the_trace_and_names_its_parent() {
        let context = parse(TEXT).unwrap();
        assert_eq!((context.parent_span(), context.flags(), context.is_sampled()), (None, 1, true));
        let child = context.child(NonZeroU64::new(7).unwrap());
        assert_eq!(child.trace_id(), context.trace_id());
        assert_eq!((child.span_id(), child.parent_span()), (7, Some(context.span_id())));
        assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        assert_eq!(TraceContext::from_wire(child.to_wire()), parse(&child.to_string()).ok());
    }

    #[test]
    fn what_is_no_traceparent_is_refused_with_the_place() {
        let with = |from: &str, to: &str| parse(&TEXT.replacen(from, to, 1));
        assert_eq!(parse(""), Err(TraceParentError::Length { have: 0 }));
        assert_eq!(parse(&TEXT[..54]), Err(TraceParentError::Length { have: 54 }));
        assert_eq!(parse(&format!("{TEXT}-00")), Err(TraceParentError::Length { have: 58 }));
        assert_eq!(with("00-4", "ff-4"), Err(TraceParentError::Version));
        assert_eq!(with("4bf", "4Bf"), Err(TraceParentError::Digit { offset: 4 }));
        assert_eq!(with("-01", "_01"), Err(TraceParentError::Form));
        assert_eq!(with("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), Err(TraceParentError::Zero));
        assert_eq!(with("00f067aa0ba902b7", &"0".repeat(16)), Err(TraceParentError::Zero));
        assert_eq!(parse(&TEXT.replace("f0", "é")), Err(TraceParentError::Digit { offset: 38 }));
        assert_eq!(TraceContext::new(0, 1, true), None);
        assert_eq!(TraceContext::new(1, 0, true), None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = TEXT.replacen("00", "cc", 1);
        assert_eq!(parse(&later), parse(TEXT));
        assert_eq!(parse(&format!("{later}-what-comes")), parse(TEXT));
        assert_eq!(parse(&format!("{later}.")), Err(TraceParentError::Form));
        let flags = TEXT.replacen("-01", "-fd", 1);
        assert_eq!(parse(&flags), parse(TEXT), "flags that are not known are not passed on");
    }

    proptest! {
        #[test]
        fn every_context_is_read_back(trace in 1_u128.., span in 1_u64.., flags in 0_u8..4) {
            let context = TraceContext::from_parts(trace, span, flags).unwrap();
            let text = context.to_string();
            prop_assert_eq!(text.len(), 55);
            prop_assert_eq!(parse(&text), Ok(context));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            if let Ok(context) = parse(&text) {
                prop_assert_ne!(context.trace_id(), 0);
            }
        }

        #[test]
        fn a_text_with_one_byte_changed_is_another_context_or_none(at in 0_usize..55, to in 0_u8..128) {
            let mut bytes = TEXT.as_bytes().to_vec();
            bytes[at] = to;
            let changed = String::from_utf8(bytes).unwrap();
            match parse(&changed) {
                // Version and unknown flags are not part of what is read.
                Ok(context) if (3..53).contains(&at) => {
                    prop_assert_eq!(context == parse(TEXT).unwrap(), changed == TEXT);
                }
                Ok(_) => prop_assert!(!(3..53).contains(&at) && (at != 2 || changed == TEXT)),
                Err(_) => prop_assert_ne!(changed, TEXT),
            }
        }
    }
}
