//! Why a text is no place in a trace.

/// Why a text is no `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceParentError {
    /// It is too short, or, for version 00, too long.
    #[error("a traceparent has 55 bytes, not {have}: write `00-<32 digits>-<16 digits>-<2 digits>`")]
    Length {
        /// Bytes that there are.
        have: usize,
    },
    /// Its parts do not end where they have to.
    #[error("the parts of a traceparent are set off by `-`: write `00-<32 digits>-<16 digits>-<2 digits>`")]
    Form,
    /// Something is no digit.
    #[error("byte {offset} of the traceparent is no lower-case hexadecimal digit")]
    Digit {
        /// Where, from 0.
        offset: usize,
    },
    /// Version ff, which is none.
    #[error("version ff of the traceparent is none: write version 00")]
    Version,
    /// An id is zero.
    #[error("the trace id or the span id of the traceparent is zero, which names nothing: begin a new trace")]
    Zero,
}
