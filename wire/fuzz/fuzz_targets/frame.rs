//! Fuzzes frames and bodies: `cargo fuzz run frame` in `wire`, with a nightly compiler or `RUSTC_BOOTSTRAP=1`.
#![no_main]

mod entry;

use libfuzzer_sys::fuzz_target;
use shard_wire::Registry;
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::collect().expect("the names of the messages differ"));

fuzz_target!(|bytes: &[u8]| {
    entry::read(&REGISTRY, bytes);
});
