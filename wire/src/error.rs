//! What can be wrong with bytes from a peer, or with a value that should become bytes.
//!
//! Invariant: E1 a payload is a position, a length or a fixed text, so that building an error allocates nothing.

use crate::key::MessageKey;

/// Why bytes are no frame or body, or a value does not fit one.
///
/// None of these goes away by retrying with the same input. An error of a header means that the link is out of step
/// and has to be closed; an error of a body concerns that frame only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A fixed-layout body ends inside a field.
    #[error("{what}: {need} bytes needed at offset {offset}, {have} left: the peer sent a truncated body")]
    Short {
        /// The field.
        what: &'static str,
        /// Where it starts, in bytes.
        offset: usize,
        /// How many bytes it needs.
        need: usize,
        /// How many are left.
        have: usize,
    },
    /// A fixed-layout body goes on after its last field.
    #[error("{what}: {extra} bytes follow the last field: the peer speaks another version of it")]
    Trailing {
        /// The body.
        what: &'static str,
        /// How many bytes too many.
        extra: usize,
    },
    /// A length or a value is above its limit.
    #[error("{what}: {have} is above the limit of {max}")]
    Limit {
        /// The field.
        what: &'static str,
        /// Its value.
        have: u64,
        /// The largest accepted value.
        max: u64,
    },
    /// A field has a value that means nothing.
    #[error("{what}: {have:#x} at offset {offset} means nothing in this version of the protocol")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Where it is, in bytes.
        offset: usize,
        /// Its value.
        have: u64,
    },
    /// A text is not UTF-8.
    #[error("{what}: the text at offset {offset} is not utf-8")]
    Utf8 {
        /// The field.
        what: &'static str,
        /// Where the text starts, in bytes.
        offset: usize,
    },
    /// The frame's length is not one a frame can have.
    #[error("frame length {have}: it must be a multiple of 16 from {min} to {max} bytes")]
    FrameLength {
        /// The length in the header.
        have: u64,
        /// The smallest length with these flags and padding.
        min: u64,
        /// The largest length agreed for this link.
        max: u64,
    },
    /// The frame is of another version of the protocol.
    #[error("frame version {have}: this node speaks {want}")]
    Version {
        /// The version in the header.
        have: u8,
        /// The version this node reads.
        want: u8,
    },
    /// A body is not a valid archive of its message type.
    #[error(
        "the body of {message} ({len} bytes) is no valid value of it: the peer built it from another definition"
    )]
    Body {
        /// Name of the message or reply type.
        message: &'static str,
        /// Length of the body in bytes.
        len: usize,
    },
    /// A compressed body does not expand to what it claims.
    #[error(
        "a compressed body of {len} bytes does not expand to the {claim} bytes it claims: the peer sent garbage"
    )]
    Compressed {
        /// Length of the compressed bytes.
        len: usize,
        /// The length they should expand to.
        claim: usize,
    },
    /// A value could not be serialised.
    #[error("a value of {message} cannot be serialised")]
    Encode {
        /// Name of the message or reply type.
        message: &'static str,
    },
    /// The frame would be larger than the link's limit. Nothing was written.
    #[error("the frame of {message} is larger than {max} bytes: raise the frame limit or split the message")]
    FrameTooLarge {
        /// Name of the message or reply type.
        message: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// No message of this process has the key.
    #[error(
        "message key {key} is unknown: this node was built without that message, or with another definition of it"
    )]
    UnknownKey {
        /// The key in the header.
        key: MessageKey,
    },
}

/// Why a JSON text is no value of a message, or a message has no JSON form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The JSON does not fit the type's schema.
    #[error("the json is no value of {message}: {source}")]
    Decode {
        /// Name of the message or reply type.
        message: &'static str,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The value has no JSON form, for instance a map whose keys are no texts.
    #[error("a value of {message} has no json form: {source}")]
    Encode {
        /// Name of the message or reply type.
        message: &'static str,
        /// What has none.
        source: serde_json::Error,
    },
}
