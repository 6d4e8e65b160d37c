//! What `#[message]` and `#[data]` accept, and that each accepted shape round-trips.

use shard_wire::frame::{FrameBuf, FrameHead, Parsed, parse};
use shard_wire::header::FrameKind;
use shard_wire::{Erased, MessageEntry, MessageKey, Registry, WireError, data, message};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

#[message]
#[derive(Debug, PartialEq)]
struct Unit;

#[message(reply = i64)]
#[derive(Debug, PartialEq)]
struct Tuple(u8, String);

/// Documented.
#[derive(Debug, PartialEq)]
#[message(reply = Result<Vec<Point>, String>)]
pub struct Named {
    /// A field.
    pub id: u64,
    /// Another.
    pub points: Vec<Point>,
    /// Another.
    pub by_name: BTreeMap<String, Option<Point>>,
    /// Another.
    pub set: HashMap<u32, [u16; 3]>,
    /// Another.
    pub after: Duration,
}

/// A place.
#[data]
#[derive(Debug, PartialEq, Clone, Copy)]
pub struct Point {
    /// Across.
    pub x: i32,
    /// Down.
    pub y: i32,
}

#[data]
#[derive(Debug, PartialEq)]
struct Pair<A, B> {
    a: A,
    b: B,
}

#[message(reply = Pair<u8, String>)]
#[derive(Debug, PartialEq)]
enum Choice {
    None,
    One(Pair<u64, Point>),
    Two { r#type: bool, rest: Box<[u8]> },
}

#[message(local, reply = std::thread::ThreadId)]
struct Run(Box<dyn FnOnce() -> u8 + Send>);

#[message(local)]
struct Holder<T>(T);

/// Two types that contain each other.
#[data(schema = 1)]
#[derive(Debug, PartialEq)]
enum Tree {
    Leaf(u64, String),
    Branch { children: Vec<Self>, by_name: BTreeMap<String, Forest>, next: Option<Box<Self>> },
}

#[message(schema = 1, reply = Tree)]
#[derive(Debug, PartialEq)]
struct Forest(Vec<Tree>);

#[message(name = "elsewhere::Renamed")]
struct Renamed(u128);

fn samples() -> Vec<Erased> {
    let point = Point { x: -1, y: 2 };
    vec![
        Erased::new(Unit),
        Erased::new(Tuple(7, "text".into())),
        Erased::new(Named {
            id: u64::MAX,
            points: vec![point, point],
            by_name: BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(point))]),
            set: HashMap::from([(1, [2, 3, 4])]),
            after: Duration::from_millis(5),
        }),
        Erased::new(Choice::None),
        Erased::new(Choice::One(Pair { a: 1, b: point })),
        Erased::new(Choice::Two { r#type: true, rest: [1, 2, 3].into() }),
        Erased::new(Forest(vec![Tree::Branch {
            children: vec![Tree::Leaf(1, "a".into())],
            by_name: BTreeMap::from([("b".to_owned(), Forest(Vec::new()))]),
            next: Some(Box::new(Tree::Leaf(2, String::new()))),
        }])),
        Erased::new(Renamed(1 << 60)),
    ]
}

#[test]
fn local_messages_have_no_wire_form() {
    let run = Erased::new(Run(Box::new(|| 7)));
    assert!(run.vtable().wire_ops().is_none());
    assert!(run.to_json().unwrap().is_none());
    let Ok(run) = run.downcast::<Run>() else { panic!("it is a Run") };
    assert_eq!((run.0)(), 7);
    let holder = Erased::new(Holder(vec![1_usize]));
    assert!(!holder.is::<Holder<u8>>());
    let Ok(holder) = holder.downcast::<Holder<Vec<usize>>>() else { panic!("it is a Holder") };
    assert_eq!(holder.0, [1]);
}

#[test]
fn the_registry_knows_each_message_by_key_and_by_name() {
    let registry = Registry::collect().unwrap();
    assert_eq!(registry.len(), 6);
    for name in ["Unit", "Tuple", "Named", "Choice", "Forest"] {
        let name = format!("messages::{name}");
        let entry = registry.by_name(&name).unwrap();
        assert_eq!(entry.ops().name(), name);
        assert!(std::ptr::eq(registry.resolve(entry.ops().key()).unwrap().vtable(), entry.vtable()));
        assert!(std::ptr::eq(entry.ops().vtable(), entry.vtable()));
        assert!(entry.place().file.ends_with("messages.rs"));
    }
    assert!(registry.by_name("elsewhere::Renamed").is_some());
    assert!(registry.by_name("messages::Run").is_none());
    assert_eq!(registry.resolve(MessageKey(1)).unwrap_err(), WireError::UnknownKey { key: MessageKey(1) });
}

#[test]
fn two_types_with_one_name_or_key_are_refused_with_both_places() {
    let entry = *Registry::collect().unwrap().by_name("messages::Unit").unwrap();
    let here = MessageEntry::new(entry.vtable(), entry.ops(), "here.rs", 1);
    let there = MessageEntry::new(entry.vtable(), entry.ops(), "there.rs", 2);
    let text = Registry::from_entries([here, there]).unwrap_err().to_string();
    assert!(
        text.contains("messages::Unit") && text.contains("here.rs:1") && text.contains("there.rs:2"),
        "{text}"
    );
}

#[test]
fn every_shape_round_trips() {
    let mut batch = FrameBuf::default();
    for sample in samples() {
        let ops = sample.vtable().wire_ops().unwrap();
        batch.clear();
        batch.push_frame(&FrameHead::new(FrameKind::Send), |body| sample.encode(body)).unwrap();
        let Ok(Parsed::Frame(frame)) = parse(batch.as_slice(), batch.max_frame()) else {
            panic!("one frame")
        };
        assert_eq!(ops.body().check(frame.body), Ok(()));
        let back = ops.decode(frame.body).unwrap();
        assert!(std::ptr::eq(back.vtable(), sample.vtable()));
        assert_eq!(back.to_json().unwrap(), sample.to_json().unwrap());
    }
}

#[test]
fn json_round_trips() {
    for sample in samples() {
        let ops = sample.vtable().wire_ops().unwrap();
        let json = sample.to_json().unwrap().unwrap();
        let back = ops.from_json(&json).unwrap();
        assert!(std::ptr::eq(back.vtable(), sample.vtable()));
        assert_eq!(back.to_json().unwrap().unwrap(), json);
        assert!(ops.body().json_schema().is_object() || ops.body().json_schema().is_boolean());
    }
    let unit = Erased::new(Unit).vtable().wire_ops().unwrap();
    assert!(unit.from_json(&serde_json::json!({})).unwrap().is::<Unit>());
    let text = unit.from_json(&serde_json::json!({"a": 1})).unwrap_err().to_string();
    assert!(text.contains("Unit"), "{text}");
}
