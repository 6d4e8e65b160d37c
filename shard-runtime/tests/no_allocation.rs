#![expect(
    unsafe_code,
    reason = "a counting allocator only counts and passes on; proven by the_counter_counts"
)]
//! In a steady state the ring, the outbox, the wheel, the clock and lookups of names allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use shard_runtime::bench_internals::{Clock, Names, Outbox, Symbols, Wheel, channel};
use shard_wire::LocalId;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` above, which is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(body: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    body();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_ring_and_its_outbox_allocate_nothing_per_message() {
    let (sender, mut receiver) = channel::<[u64; 8]>(1024);
    let mut outbox = Outbox::new(sender, 1000);
    let mut sum = 0;
    let allocations = allocations_of(|| {
        for turn in 0..1000 {
            for value in 0..100 {
                assert!(outbox.push([turn * value; 8]).is_ok());
            }
            assert_eq!(outbox.publish(), 100);
            receiver.drain(256, |message| sum += message[7]);
        }
    });
    assert_eq!((allocations, sum), (0, 499_500 * 4950));
}

#[test]
fn a_wheel_that_has_grown_allocates_nothing() {
    let (clock, hand) = Clock::new_virtual(0);
    let mut wheel = Wheel::new(0, 10_000);
    let keys: Vec<_> = (0..2000).map(|token| wheel.insert(token << 24, token).unwrap()).collect();
    assert!(keys.into_iter().all(|key| wheel.cancel(key)));
    let mut fired = 0;
    let allocations = allocations_of(|| {
        for turn in 0..1000 {
            let now = clock.now_ns();
            for token in 0..10 {
                wheel.insert(now + (token << 22), token).unwrap();
            }
            let key = wheel.insert(now + (turn << 30), turn).unwrap();
            assert!(wheel.cancel(key));
            hand.advance(1 << 21);
            fired += wheel.advance(clock.now_ns(), |_| ());
        }
    });
    assert_eq!(allocations, 0);
    assert!(fired > 9_900, "{fired}");
}

#[test]
fn known_names_and_symbols_are_found_without_allocation() {
    let (names, symbols) = (Names::new(), Symbols::default());
    names.register("counter", LocalId(7)).unwrap();
    let symbol = symbols.intern("counter").unwrap();
    // The first lookup of a thread makes its entry for memory reclamation.
    assert_eq!(names.lookup("counter"), Some(LocalId(7)));
    let allocations = allocations_of(|| {
        for _ in 0..1000 {
            assert_eq!((names.lookup("counter"), names.lookup("other")), (Some(LocalId(7)), None));
            assert_eq!(symbols.intern("counter"), Ok(symbol));
            assert_eq!(symbols.text(symbol), Some("counter"));
        }
    });
    assert_eq!(allocations, 0);
}
