//! Fuzzes what frames carry, bodies of messages and those of the framework: `make fuzz` (or `cargo fuzz run body` in `wire`).
//!
//! Whatever is taken for valid can be said again, and then is the same.
#![no_main]
// The frame target uses the rest.
#![allow(dead_code)]

mod entry;

use libfuzzer_sys::fuzz_target;
use rkyv::util::AlignedVec;
use shard_wire::ask::{Answer, Ask, Claim};
use shard_wire::event::{Item, Subscribe, Unsubscribed};
use shard_wire::flow::Report;
use shard_wire::frame::{FrameBuf, FrameHead};
use shard_wire::header::FrameKind;
use shard_wire::relation::{Ended, Relation};
use shard_wire::session::ControlMsg;
use shard_wire::{Ack, NodeName, Registry};
use std::fmt::Debug;
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::collect().expect("the names of the messages differ"));

/// Bodies of messages.
fn messages(bytes: &[u8]) {
    let mut aligned = AlignedVec::<16>::new();
    aligned.extend_from_slice(bytes);
    for entry in REGISTRY.iter() {
        let ops = entry.ops();
        let decoded = ops.decode(&aligned);
        // It may be a message that holds another one, or has another check to pass; never the other way round.
        if let Ok(message) = decoded {
            assert_eq!(ops.body().check(&aligned), Ok(()));
            let mut out = FrameBuf::default();
            out.push_frame(&FrameHead::new(FrameKind::Send), |body| message.encode(body)).expect("it fits");
        }
        let _reply = ops.decode_reply(&aligned);
        if let Some(ops) = ops.view_ops()
            && let Some(lease) = shard_wire::Lease::copied(&aligned)
        {
            let _view = ops.open(lease);
        }
    }
}

/// Reads a body, says it again, and reads that.
fn again<'a, T: Debug>(
    bytes: &'a [u8],
    again: &'a mut Vec<u8>,
    read: impl Fn(&'a [u8]) -> Option<T>,
    write: impl Fn(&T) -> Option<Vec<u8>>,
) {
    let Some(first) = read(bytes) else { return };
    let Some(written) = write(&first) else { return };
    *again = written;
    let second = read(again).expect("what was said again is valid");
    // As texts: a number that is none differs from itself.
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

/// Bodies of the framework.
fn framework(bytes: &[u8]) {
    let mut out = [const { Vec::new() }; 10];
    let [a, b, c, d, e, f, g, h, i, j] = &mut out;
    again(bytes, a, |bytes| Ask::from_bytes(bytes).ok(), |ask| ask.to_bytes().ok());
    again(bytes, b, |bytes| Answer::from_bytes(bytes).ok(), |answer| Some(answer.to_bytes()));
    again(bytes, c, |bytes| Claim::from_bytes(bytes).ok(), |claim| Some(claim.to_bytes()));
    again(bytes, d, |bytes| Subscribe::from_bytes(bytes).ok(), |subscribe| Some(subscribe.to_bytes()));
    again(bytes, e, |bytes| Unsubscribed::from_bytes(bytes).ok(), |end| Some(end.to_bytes()));
    again(bytes, f, |bytes| Some(Item::from_bytes(bytes).ok()?.0), |item| Some(item.to_bytes().to_vec()));
    again(bytes, g, |bytes| Relation::from_bytes(bytes).ok(), |relation| Some(relation.to_bytes()));
    again(bytes, h, |bytes| Ended::from_bytes(bytes).ok(), |ended| Some(ended.to_bytes()));
    again(bytes, i, |bytes| Report::from_bytes(bytes).ok(), |report| Some(report.to_bytes().to_vec()));
    again(
        bytes,
        j,
        |bytes| ControlMsg::decode(bytes).ok(),
        |message| {
            let mut out = Vec::new();
            message.encode(&mut out).ok()?;
            // It is read behind its length.
            Some(out.split_off(4))
        },
    );
    let _ack = Ack::from_bytes(bytes);
    let _name = NodeName::from_bytes(bytes);
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte chooses, so that the fuzzer need not please both.
    match bytes.split_first() {
        Some((first, rest)) if first % 2 == 0 => messages(rest),
        Some((_, rest)) => framework(rest),
        None => {}
    }
});
