//! Replays the corpus of the fuzz target. The seeds in it are what the encoder writes, byte for byte; with
//! `UPDATE_CORPUS=1` they are written anew.

#[path = "../fuzz/fuzz_targets/entry.rs"]
mod entry;

use entry::{Everything, Flat, Item, Nested};
use shard_wire::frame::{BodyWriter, FrameBuf, FrameHead};
use shard_wire::header::{Deadline, Fragment, FrameFlags, FrameKind, Priority, Trace};
use shard_wire::{Body, IncarnationKey, LocalId, MessageKey, Pid, Registry, WireError};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;
use std::path::PathBuf;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frame")
}

fn everything() -> Everything {
    Everything {
        id: 7,
        text: "some text that is not inline".into(),
        from: Pid { node: IncarnationKey(1), local: LocalId(2) },
        items: vec![
            Item::Empty,
            Item::Number(-1),
            Item::Pair { left: "left side of the pair".into(), right: NonZeroU16::new(3) },
        ],
        by_id: BTreeMap::from([(1, "one".into()), (2, "two".into())]),
        by_name: HashMap::from([("key".into(), (1, true))]),
        character: 'é',
    }
}

type Write = Box<dyn Fn(&mut BodyWriter<'_>) -> Result<(), WireError>>;

fn seeds(registry: &Registry) -> Vec<(&'static str, FrameHead<'static>, Write)> {
    let key = |name| registry.by_name(name).map_or(MessageKey::NONE, |entry| entry.ops().key());
    let head =
        |name, kind| FrameHead { key: key(name), to: LocalId(5), from: LocalId(6), ..FrameHead::new(kind) };
    let nested = || {
        (0..20).fold(Nested { inner: Vec::new(), next: None }, |inner, _| Nested {
            inner: vec![inner],
            next: None,
        })
    };
    let all = FrameHead {
        flags: FrameFlags::IMPORTANT.with_priority(Priority::Max),
        reference: 9,
        deadline: Deadline(10),
        trace: Some(Trace { trace: 1, span: 2, flags: 3 }),
        fragment: Some(Fragment { message: 1, index: 2, count: 3, total_bytes: 4 }),
        name: Some("counter"),
        ..head("fuzz::Everything", FrameKind::Call)
    };
    vec![
        ("flat", head("fuzz::Flat", FrameKind::Send), Box::new(|body| Flat { a: 1, b: true }.encode(body))),
        ("everything", head("fuzz::Everything", FrameKind::Call), Box::new(|body| everything().encode(body))),
        ("all-blocks", all, Box::new(|body| everything().encode(body))),
        ("nested", head("fuzz::Nested", FrameKind::Send), Box::new(move |body| nested().encode(body))),
        (
            "reply",
            head("fuzz::Everything", FrameKind::Reply),
            Box::new(|body| Ok::<_, String>(Some(everything().from)).encode(body)),
        ),
        (
            "reply-error",
            head("fuzz::Everything", FrameKind::Reply),
            Box::new(|body| Err::<Option<Pid>, _>("no".to_owned()).encode(body)),
        ),
        (
            "name-of-15",
            FrameHead { name: Some("exactly15 bytes"), ..FrameHead::new(FrameKind::Exit) },
            Box::new(|body| body.put(b"x")),
        ),
        ("no-body", FrameHead::new(FrameKind::Heartbeat), Box::new(|_| Ok(()))),
    ]
}

#[test]
fn the_seeds_are_what_the_encoder_writes() {
    let registry = Registry::collect().unwrap();
    let mut batch = FrameBuf::default();
    let mut files = Vec::new();
    for (name, head, write) in seeds(&registry) {
        let mut one = FrameBuf::default();
        one.push_frame(&head, &write).unwrap();
        batch.push_frame(&head, &write).unwrap();
        assert!(
            matches!(head.kind, FrameKind::Heartbeat | FrameKind::Exit)
                || entry::read(&registry, one.as_slice()) > 0,
            "{name}"
        );
        files.push((name, one.as_slice().to_vec()));
    }
    files.push(("batch", batch.as_slice().to_vec()));
    for (name, bytes) in files {
        let path = corpus().join(name);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(
            std::fs::read(&path).is_ok_and(|stored| stored == bytes),
            "{name} differs: the protocol changed"
        );
    }
}

#[test]
fn the_corpus_is_read_without_a_panic_whole_and_damaged() {
    let registry = Registry::collect().unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(corpus()).unwrap() {
        let mut bytes = std::fs::read(file.unwrap().path()).unwrap();
        entry::read(&registry, &bytes);
        for end in (0..bytes.len()).step_by(7) {
            entry::read(&registry, &bytes[..end]);
        }
        for offset in 0..bytes.len().min(2048) {
            bytes[offset] ^= 0x81;
            entry::read(&registry, &bytes);
            bytes[offset] ^= 0x81;
        }
        files += 1;
    }
    assert!(files >= 9, "only {files} files in the corpus");
}
