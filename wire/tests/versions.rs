//! Versions of a message: what an older node writes is read, and what it reads can be written.

use shard_wire::frame::{FrameBuf, FrameHead, Parsed, parse};
use shard_wire::header::FrameKind;
use shard_wire::{Erased, Message, MessageEntry, Registry, RegistryError, WireError, message, vtable};

const LIMIT: usize = 4096;

#[message(old, name = "shop::Order", reply = u64)]
#[derive(Debug, PartialEq)]
struct OrderV1 {
    id: u64,
}

#[message(old, name = "shop::Order", reply = u64)]
#[derive(Debug, PartialEq)]
struct OrderV2 {
    id: u64,
    note: String,
}

#[message(name = "shop::Order", reply = u64, replaces = (OrderV2, OrderV1))]
#[derive(Debug, PartialEq)]
struct Order {
    id: u64,
    note: String,
    urgent: bool,
}

impl From<OrderV1> for Order {
    fn from(old: OrderV1) -> Self {
        Self { id: old.id, note: String::new(), urgent: false }
    }
}
impl From<OrderV2> for Order {
    fn from(old: OrderV2) -> Self {
        Self { id: old.id, note: old.note, urgent: false }
    }
}
impl From<&Order> for OrderV1 {
    fn from(new: &Order) -> Self {
        Self { id: new.id }
    }
}
impl From<&Order> for OrderV2 {
    fn from(new: &Order) -> Self {
        Self { id: new.id, note: new.note.clone() }
    }
}

#[message(old, name = "shop::Other", reply = u64)]
struct Stranger {
    _id: u64,
}

#[message(name = "shop::Bill", reply = u64, replaces = Stranger)]
#[derive(Debug, PartialEq)]
struct Bill {
    id: u64,
}

impl From<Stranger> for Bill {
    fn from(_: Stranger) -> Self {
        Self { id: 0 }
    }
}
impl From<&Bill> for Stranger {
    fn from(_: &Bill) -> Self {
        Self { _id: 0 }
    }
}

fn entry<M: Message>() -> MessageEntry {
    let table = vtable::<M>();
    MessageEntry::new(table, table.wire_ops().unwrap(), file!(), line!())
}

/// The body of a frame that `write` fills, 16-byte aligned as in a receive buffer.
fn written(
    write: impl FnOnce(&mut shard_wire::frame::BodyWriter<'_>) -> Result<(), WireError>,
    check: impl FnOnce(&[u8]),
) {
    let mut frame = FrameBuf::with_max_frame(LIMIT).unwrap();
    frame.push_frame(&FrameHead::new(FrameKind::Send), write).unwrap();
    let Ok(Parsed::Frame(frame)) = parse(frame.as_slice(), LIMIT) else { panic!("no frame") };
    check(frame.body);
}

#[test]
fn earlier_versions_are_read_as_the_later_one() {
    let registry = Registry::from_entries([entry::<Order>()]).unwrap();
    assert_eq!(registry.len(), 3);
    let old = OrderV2 { id: 7, note: "soon".to_owned() };
    let ops = vtable::<OrderV2>().wire_ops().unwrap();
    written(
        |out| ops.encode(&old, out),
        |body| {
            let found = registry.get(ops.key()).unwrap();
            let read: Erased = found.ops().decode(body).unwrap();
            let expected = Order { id: 7, note: "soon".to_owned(), urgent: false };
            assert_eq!(read.downcast::<Order>().unwrap(), expected);
            // It is validated as what it is.
            assert!(found.ops().decode(&body[..body.len() - 16]).is_err());
        },
    );
    assert_eq!(registry.by_name("shop::Order").unwrap().ops().key(), entry::<Order>().ops().key());
}

#[test]
fn the_later_version_is_written_as_an_earlier_one() {
    let order = Order { id: 9, note: "late".to_owned(), urgent: true };
    let older = vtable::<Order>().wire_ops().unwrap().older();
    let keys: Vec<_> = older.iter().map(|older| older.key().unwrap()).collect();
    let wanted = [vtable::<OrderV2>(), vtable::<OrderV1>()].map(|table| table.wire_ops().unwrap().key());
    assert_eq!(keys, wanted, "the newest first");
    let node_of_then = Registry::from_entries([entry::<OrderV1>()]).unwrap();
    written(
        |out| older[1].encode(&order, out),
        |body| {
            let read = node_of_then.get(keys[1]).unwrap().ops().decode(body).unwrap();
            assert_eq!(read.downcast::<OrderV1>().unwrap(), OrderV1 { id: 9 });
        },
    );
    assert!(node_of_then.get(entry::<Order>().ops().key()).is_none());
}

#[test]
fn a_version_of_another_name_is_refused_with_the_place() {
    let refused = Registry::from_entries([entry::<Bill>()]).unwrap_err();
    assert!(matches!(refused, RegistryError::Version { name: "shop::Bill", .. }), "{refused}");
    let twice = Registry::from_entries([entry::<OrderV1>(), entry::<Order>()]).unwrap_err();
    assert!(matches!(twice, RegistryError::Name { .. }), "{twice}");
}
