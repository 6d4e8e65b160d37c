//! How the programs read their arguments, and what they end with: the codes of `sysexits.h`.

use clap::Parser;
use std::process::ExitCode;

/// Settings that cannot be: `EX_USAGE`.
pub const USAGE: u8 = 64;
/// An address or the registrar is not available: `EX_UNAVAILABLE`.
pub const UNAVAILABLE: u8 = 69;
/// Something that should not happen: `EX_SOFTWARE`.
pub const INTERNAL: u8 = 70;
/// The machine lacks something: `EX_CONFIG`.
pub const MACHINE: u8 = 78;

/// The program's arguments.
///
/// # Errors
/// What the program ends with: success where its help or version was asked for, else [`USAGE`]; the text is printed already.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        // Nothing can be done where even this cannot be written.
        drop(error.print());
        if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
    })
}
