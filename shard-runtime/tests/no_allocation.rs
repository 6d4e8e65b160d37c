#![expect(
    unsafe_code,
    reason = "a counting allocator only counts and passes on; proven by the_counter_counts"
)]
//! In a steady state the ring, the outbox, the wheel, the clock and lookups of names allocate nothing, and neither do sends,
//! calls and replies of small messages, on one shard and across two.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use shard_runtime::prelude::*;
use shard_runtime::{Priority, Simulation};

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

/// The largest message that an envelope holds itself.
#[message(local)]
struct Small([u64; 3]);
#[message(local)]
struct Large([u64; 4]);
#[message(local, reply = [u64; 3])]
struct Ask([u64; 3]);
#[message(local, reply = u64)]
struct Sum;

/// What a driver is to do, a number of times.
#[derive(Clone, Copy)]
enum Work {
    Send,
    SendByName,
    SendUrgently,
    SendLarge,
    Call,
    CallByName,
}
#[message(local)]
struct Drive(Work, u32);

#[derive(Default)]
struct Sink(u64);

#[actor]
impl Sink {
    #[handle]
    fn small(&mut self, m: Small, _cx: &mut Context<'_>) -> ActorResult {
        self.0 += m.0[2];
        Ok(())
    }
    #[handle]
    fn large(&mut self, m: Large, _cx: &mut Context<'_>) -> ActorResult {
        self.0 += m.0[3];
        Ok(())
    }
    #[handle]
    fn ask(&mut self, m: Ask, _cx: &mut Context<'_>) -> Result<[u64; 3], ActorError> {
        self.0 += m.0[0];
        Ok(m.0)
    }
    #[handle]
    fn sum(&mut self, _: Sum, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(std::mem::take(&mut self.0))
    }
}

struct Driver(Pid);

#[actor]
impl Driver {
    #[handle]
    async fn drive(&mut self, m: Drive, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..m.1 {
            match m.0 {
                Work::Send => cx.send(self.0, Small([1; 3]))?,
                Work::SendByName => cx.send("sink", Small([1; 3]))?,
                Work::SendUrgently => cx.send_with(self.0, Small([1; 3]), Priority::Max)?,
                Work::SendLarge => cx.send(self.0, Large([1; 4]))?,
                Work::Call => assert_eq!(cx.call(self.0, Ask([1; 3])).await?, [1; 3]),
                Work::CallByName => assert_eq!(cx.call("sink", Ask([1; 3])).await?, [1; 3]),
            }
        }
        Ok(())
    }
}

/// Allocations of a warm round of work, from a driver on shard 0 to a sink on this shard.
fn allocations_per_round(shard: u16, work: Work, count: u32) -> u64 {
    let mut sim = Simulation::new("alloc@localhost", 2, 5).unwrap();
    let sink = sim.spawn(shard, Sink::default, &SpawnOptions::named("sink")).unwrap();
    let driver = sim.spawn(0, move || Driver(sink), &SpawnOptions::new()).unwrap();
    let mut allocations = u64::MAX;
    // The first rounds make the ring, and let pools and tables grow.
    for _ in 0..4 {
        allocations = allocations_of(|| {
            sim.send(driver, Drive(work, count)).unwrap();
            sim.run();
        });
        assert_eq!(sim.call(sink, Sum).unwrap(), u64::from(count), "everything has arrived");
    }
    allocations
}

#[test]
fn small_messages_allocate_nothing_on_a_shard_and_across_shards() {
    for shard in [0, 1] {
        for work in [Work::Send, Work::SendByName, Work::SendUrgently] {
            assert_eq!(allocations_per_round(shard, work, 500), 0, "shard {shard}, {}", work as u8);
        }
    }
}

#[test]
fn calls_and_their_replies_allocate_nothing_on_a_shard_and_across_shards() {
    for shard in [0, 1] {
        for work in [Work::Call, Work::CallByName] {
            assert_eq!(allocations_per_round(shard, work, 500), 0, "shard {shard}, {}", work as u8);
        }
    }
}

#[test]
fn a_large_message_is_one_box() {
    for shard in [0, 1] {
        assert_eq!(allocations_per_round(shard, Work::SendLarge, 500), 500, "shard {shard}");
    }
}
