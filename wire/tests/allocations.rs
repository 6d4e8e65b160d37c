//! The allocation budget of the hot paths: zero per frame while the buffers are warm.
#![expect(unsafe_code, reason = "a counting allocator; proven by a_warm_link_allocates_nothing_per_frame")]

use shard_wire::frame::{FrameBuf, FrameHead, RecvBuf};
use shard_wire::header::FrameKind;
use shard_wire::limits::DEFAULT_MAX_FRAME;
use shard_wire::{Body, LocalId, Registry, message};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    // Per thread, because the harness allocates on others.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is forwarded to the system allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: forwarded.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: forwarded; the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[message(name = "allocations::Flat")]
#[derive(Debug, PartialEq, Clone, Copy)]
struct Flat {
    a: u64,
    b: u32,
}

#[message(name = "allocations::Text")]
struct Text {
    lines: Vec<String>,
}

#[test]
fn a_warm_link_allocates_nothing_per_frame() {
    let registry = Registry::collect().unwrap();
    let key = registry.by_name("allocations::Flat").unwrap().ops().key();
    let head = FrameHead { key, to: LocalId(7), name: Some("counter"), ..FrameHead::new(FrameKind::Send) };
    let text = Text { lines: vec!["a line that is not inline".to_owned(); 3] };
    let (mut batch, mut received) = (FrameBuf::default(), RecvBuf::new(DEFAULT_MAX_FRAME).unwrap());
    let mut counts = [0; 3];
    for count in &mut counts {
        let before = COUNT.with(Cell::get);
        batch.clear();
        for a in 0..100 {
            batch.push_frame(&head, |body| Flat { a, b: 1 }.encode(body)).unwrap();
            batch.push_frame(&FrameHead::new(FrameKind::Reply), |body| text.encode(body)).unwrap();
        }
        let mut rest = batch.as_slice();
        let (mut sum, mut lines) = (0, 0);
        while !rest.is_empty() {
            let spare = received.spare_mut();
            let (now, later) = rest.split_at(rest.len().min(spare.len()).min(5000));
            spare[..now.len()].copy_from_slice(now);
            received.advance(now.len());
            rest = later;
            while let Some(frame) = received.next_frame().unwrap() {
                match frame.header.kind {
                    FrameKind::Send => {
                        let message =
                            registry.resolve(frame.header.key).unwrap().ops().decode(frame.body).unwrap();
                        sum += message.downcast::<Flat>().unwrap().a;
                    }
                    _ => lines += Text::view(frame.body).unwrap().lines.len(),
                }
            }
        }
        assert_eq!((sum, lines), (4950, 300));
        *count = COUNT.with(Cell::get) - before;
    }
    // The first round warms the buffers; decoding into a view or an inline value needs no memory.
    assert!(counts[0] > 0, "the allocator does not count");
    assert_eq!(counts[1..], [0, 0]);
}
