//! Fuzzes compressed bodies: `cargo fuzz run compress` in `wire`, with a nightly compiler or `RUSTC_BOOTSTRAP=1`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shard_wire::compress::{Packed, Packer, expand};
use shard_wire::frame::FrameHead;
use shard_wire::header::FrameKind;

const MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    // As a peer would send it.
    if let Ok(expanded) = expand(bytes, MAX) {
        assert!(expanded.len() <= MAX && expanded.len() > bytes.len() && expanded.capacity() <= MAX + 16);
    }
    // The same bytes behind an honest prefix.
    let claim = bytes.first().map_or(0, |first| u32::from(*first) * 64).to_le_bytes();
    let framed = [&claim, &1_u32.to_le_bytes(), bytes].concat();
    if let Ok(expanded) = expand(&framed, MAX) {
        assert_eq!(expanded.len(), u32::from_le_bytes(claim) as usize);
    }
    // As a body of our own, long enough to be worth it.
    let body = bytes.repeat(2048 / bytes.len().max(1) + 1);
    let mut packer = Packer::default();
    let head = FrameHead::new(FrameKind::Send);
    match packer.pack(&head, MAX, 0, |out| out.put(&body)) {
        Ok(Packed::Whole(whole)) => assert_eq!(whole, body),
        Ok(Packed::Smaller { body: packed, before }) => {
            assert!(before == body.len() && packed.len() < before);
            match expand(packed, before) {
                Ok(back) => assert_eq!(back.as_slice(), body),
                Err(error) => panic!("{error}"),
            }
        }
        Err(error) => assert!(body.len() > MAX - 1024, "{error}"),
    }
});
