//! What one node asks another to do, and what comes of it: to start a process, to start, stop or describe an application.
//!
//! ```text
//! ask:    version u8 · what u8 · fields · zeros up to a multiple of 16 · the arguments of a spawn
//! answer: version u8 · what u8 · fields
//! claim:  version u8 · whether u8
//! ```
//! Texts have a length of two bytes. The key of the arguments, the deadline and the request's id are in the header.
//! Invariants: A1 a body that is not whole, or has a value that it cannot have, is refused; one of a newer version may have
//! more behind the known fields of an answer or a claim. A2 everything but the arguments is bounded by the limits below.

use crate::limits::MAX_NAME_BYTES;

mod answer;
mod request;
#[cfg(test)]
mod tests;

pub use answer::{Answer, AppFacts, Refusal};
pub use request::{Ask, Claim, EnvText, Place, SpawnAsk};

/// Bit of [`Introduction::flags`](crate::handshake::Introduction::flags) of a node that understands these frames, and that
/// says that it is going before it goes.
pub const SERVES: u64 = 1 << 4;

/// Most bytes in front of the arguments of a spawn.
pub const MAX_ASK_BYTES: usize = 32 << 10;
/// Most values of an environment that go with a spawn.
pub const MAX_ENV: usize = 64;
/// Longest text in an environment.
pub const MAX_ENV_TEXT: u16 = 4096;
pub(crate) const MAX_NAME: u16 = 255;
const _: () = assert!(MAX_NAME as usize == MAX_NAME_BYTES, "names are as long as in headers");
pub(crate) const VERSION: u8 = 1;
