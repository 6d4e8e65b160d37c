//! What views are made of, what they become, and what is refused.

use super::{Lease, View, ViewPool};
use crate::error::WireError;
use crate::frame::{Batch, FrameBuf, FrameHead, Parsed, parse};
use crate::header::FrameKind;
use crate::message::vtable;
use crate::{Erased, message};
use std::sync::Arc;

#[message(name = "view::Order", reply = u64)]
#[derive(Debug, Clone, PartialEq)]
struct Order {
    id: u64,
    lines: Vec<(String, u32)>,
}

#[message(old, name = "view::Dated")]
#[derive(Debug, PartialEq)]
struct DatedV1 {
    day: u32,
}

#[message(name = "view::Dated", replaces = DatedV1)]
#[derive(Debug, PartialEq)]
struct Dated {
    day: u32,
    note: String,
}

impl From<DatedV1> for Dated {
    fn from(old: DatedV1) -> Self {
        Self { day: old.day, note: "of old".into() }
    }
}
impl From<&Dated> for DatedV1 {
    fn from(new: &Dated) -> Self {
        Self { day: new.day }
    }
}

#[message(name = "view::Nothing")]
struct Nothing;

struct Local;
impl crate::Message for Local {
    type Reply = ();
    const TABLE: &'static crate::Table<Self> = {
        static TABLE: crate::Table<Local> = crate::Table::local();
        &TABLE
    };
}

fn order(id: u64) -> Order {
    Order { id, lines: (0..5).map(|n| (format!("line {n} of {id}"), n)).collect() }
}

fn frame_of(message: &Erased) -> FrameBuf {
    let mut frames = FrameBuf::default();
    frames.push_frame(&FrameHead::new(FrameKind::Send), |out| message.encode(out)).unwrap();
    frames
}

fn body(frames: &FrameBuf) -> &[u8] {
    match parse(frames.as_slice(), frames.max_frame()).unwrap() {
        Parsed::Frame(frame) => frame.body,
        Parsed::Need(_) => panic!("the frame is whole"),
    }
}

#[test]
fn a_view_holds_its_bytes() {
    let mut chunk = Arc::new(Batch::new());
    let bytes = Arc::get_mut(&mut chunk).unwrap();
    bytes.extend_from_slice(body(&frame_of(&Erased::new(order(7)))));
    let view = View::<Order>::open(Lease::whole(&chunk).unwrap()).unwrap();
    let at = std::ptr::from_ref(&*view);
    assert!(chunk.as_slice().as_ptr_range().contains(&at.cast()), "it is read where it lies");
    let again = view.clone();
    drop(view);
    assert!(Arc::get_mut(&mut chunk).is_none(), "the clone holds it");
    let weak = Arc::downgrade(&chunk);
    drop(chunk);
    assert_eq!((again.id.to_native(), again.lines.len()), (7, 5));
    assert_eq!(again.lines[3].0.as_str(), "line 3 of 7");
    assert_eq!(again.decode().unwrap(), order(7));
    drop(again);
    assert!(weak.upgrade().is_none());
}

#[test]
fn garbage_is_no_view() {
    let frames = frame_of(&Erased::new(order(1)));
    let good = body(&frames);
    for (at, byte) in [(good.len() - 1, 0xff), (good.len() - 5, 0x7f), (0, 0xff)] {
        let mut bad = good.to_vec();
        bad[at] = byte;
        let opened = View::<Order>::open(Lease::copied(&bad).unwrap());
        assert!(matches!(opened, Err(WireError::Body { .. })), "{at}");
        let opened =
            vtable::<Order>().wire_ops().unwrap().view_ops().unwrap().open(Lease::copied(&bad).unwrap());
        assert!(opened.is_err());
    }
    assert!(View::<Order>::open(Lease::copied(&[]).unwrap()).is_err());
    assert!(View::<Nothing>::open(Lease::copied(&[]).unwrap()).is_ok());
    let opened = View::<Order>::open(Lease::copied(good).unwrap());
    assert_eq!(opened.unwrap().bytes(), good);
}

#[test]
fn views_and_messages_become_each_other() {
    let mut pool = ViewPool::default();
    let message = Erased::new(order(3));
    assert!(std::ptr::eq(message.vtable().other_form().unwrap(), vtable::<View<Order>>()));
    let view = message.to_other_form(&mut pool).unwrap();
    assert!(view.is::<View<Order>>() && !view.is::<Order>() && message.is::<Order>());
    assert!(std::ptr::eq(view.vtable().other_form().unwrap(), vtable::<Order>()));
    let back = view.to_other_form(&mut pool).unwrap();
    drop(view);
    assert_eq!(back.downcast::<Order>().unwrap(), order(3));
    let local = Erased::new(Local);
    assert!(local.vtable().other_form().is_none());
    assert!(matches!(local.to_other_form(&mut pool), Err(WireError::Encode { .. })));
}

#[test]
fn to_another_node_a_view_is_its_message() {
    let message = Erased::new(order(9));
    let view = Erased::new(View::new(&order(9)).unwrap());
    let (of_view, of_message) = (frame_of(&view), frame_of(&message));
    assert_eq!(of_view.as_slice(), of_message.as_slice());
    let (ours, theirs) = (view.vtable().wire_ops().unwrap(), message.vtable().wire_ops().unwrap());
    assert_eq!((ours.key(), ours.name()), (theirs.key(), theirs.name()));
    assert_eq!(ours.reply().type_id(), theirs.reply().type_id());
    assert_eq!(View::new(&order(9)).unwrap().key(), theirs.key());
    let decoded = ours.decode(body(&of_message)).unwrap();
    assert_eq!(decoded.downcast::<View<Order>>().unwrap().decode().unwrap(), order(9));
    assert!(ours.body().check(&[1, 2, 3]).is_err() && ours.decode(&[1, 2, 3]).is_err());
}

#[test]
fn a_view_has_the_json_of_its_message() {
    let view = Erased::new(View::new(&order(4)).unwrap());
    let json = view.to_json().unwrap().unwrap();
    assert_eq!(json, Erased::new(order(4)).to_json().unwrap().unwrap());
    let ops = view.vtable().wire_ops().unwrap();
    let back = ops.from_json(&json).unwrap().downcast::<View<Order>>().unwrap();
    assert_eq!(back.decode().unwrap(), order(4));
    assert!(ops.from_json(&serde_json::json!({ "id": "x" })).is_err());
    assert_eq!(ops.body().json_schema(), vtable::<Order>().wire_ops().unwrap().body().json_schema());
}

#[test]
fn a_view_is_written_in_earlier_versions_too() {
    let view = View::new(&Dated { day: 5, note: "of now".into() }).unwrap();
    let ops = vtable::<View<Dated>>().wire_ops().unwrap();
    let [older] = ops.older() else { panic!("it has one earlier version") };
    assert_eq!(older.key(), vtable::<DatedV1>().wire_ops().map(|ops| ops.key()));
    let mut frames = FrameBuf::default();
    frames.push_frame(&FrameHead::new(FrameKind::Send), |out| older.encode(&view, out)).unwrap();
    let old = vtable::<DatedV1>().wire_ops().unwrap().decode(body(&frames)).unwrap();
    assert_eq!(old.downcast::<DatedV1>().unwrap(), DatedV1 { day: 5 });
    // What is read of an earlier version is the later one, which then becomes a view.
    let read = older.upgrading().decode(body(&frames)).unwrap();
    assert!(older.upgrading().view_ops().is_none() && read.is::<Dated>());
    let view = read.to_other_form(&mut ViewPool::default()).unwrap().downcast::<View<Dated>>().unwrap();
    assert_eq!((view.day.to_native(), view.note.as_str()), (5, "of old"));
}

#[test]
fn an_erased_view_gives_its_bytes_back_when_it_is_dropped() {
    let mut chunk = Arc::new(Batch::new());
    Arc::get_mut(&mut chunk).unwrap().extend_from_slice(body(&frame_of(&Erased::new(order(2)))));
    let ops = vtable::<Order>().wire_ops().unwrap().view_ops().unwrap();
    let view = ops.open(Lease::whole(&chunk).unwrap()).unwrap();
    assert!(crate::Payload::is_inline::<View<Order>>());
    assert!(Arc::get_mut(&mut chunk).is_none());
    drop(view);
    assert!(Arc::get_mut(&mut chunk).is_some());
}
