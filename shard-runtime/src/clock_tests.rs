//! The conversion with made-up pairs, and the real clock against the kernel's.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    Clock, ClockKind, ClockParams, Pair, SLEW_NS, flags_promise_a_steady_counter, kernel_ns, tsc_is_reliable,
};

/// Three ticks per nanosecond, first compared at tick 3000 and nanosecond 1000.
fn three_per_ns() -> ClockParams {
    let first = Pair { ticks: 3_000, mono_ns: 1_000 };
    let later = Pair { ticks: 30_003_000, mono_ns: 10_001_000 };
    ClockParams::new(first, later, later.rate_since(first))
}

#[test]
fn conversion_works_on_both_sides_of_its_base() {
    let params = three_per_ns();
    for (ticks, ns) in [(30_003_000, 10_001_000), (3_000, 1_000), (60_003_000, 20_001_000), (0, 0)] {
        assert!(params.read().ns_at(ticks).abs_diff(ns) <= 1, "{ticks} ticks");
    }
}

#[test]
fn a_resync_is_continuous_and_right_a_second_later() {
    for error in [900_000i64, -900_000, -50_000_000] {
        let params = three_per_ns();
        let second = SLEW_NS as u64;
        let now = Pair {
            ticks: 3_000 + 3 * 10 * second,
            mono_ns: (1_000 + 10 * second).wrapping_add_signed(error),
        };
        let before = params.read().ns_at(now.ticks);
        assert!(params.resync(now).abs_diff(error) < 100);
        assert!(params.read().ns_at(now.ticks).abs_diff(before) <= 1, "continuous");
        let mut last = before;
        for step in 1..=1000 {
            let ns = params.read().ns_at(now.ticks + step * 3 * second / 1000);
            assert!(ns > last, "time goes on");
            last = ns;
        }
        // The rate itself was taken from the pair, so it carries the error over ten seconds.
        assert!(
            last.abs_diff(now.mono_ns + second) < error.unsigned_abs() / 5,
            "off by {}",
            last.abs_diff(now.mono_ns + second)
        );
    }
}

#[test]
fn far_behind_it_jumps_and_far_ahead_it_waits_at_half_speed() {
    let params = three_per_ns();
    let second = SLEW_NS as u64;
    let now = Pair { ticks: 3_000 + 30 * second, mono_ns: 1_000 + 13 * second };
    assert!(params.resync(now) > 2_900_000_000);
    assert_eq!(params.read().ns_at(now.ticks), now.mono_ns);

    let params = three_per_ns();
    let now = Pair { ticks: 3_000 + 30 * second, mono_ns: 1_000 + 7 * second };
    let before = params.read().ns_at(now.ticks);
    assert!(params.resync(now) < -2_900_000_000);
    let gained = params.read().ns_at(now.ticks + 3 * second) - before;
    assert!(gained > second / 4 && gained < second, "gained {gained}");
}

#[test]
fn flags_decide() {
    assert!(flags_promise_a_steady_counter("flags\t\t: fpu tsc constant_tsc nonstop_tsc\n"));
    assert!(!flags_promise_a_steady_counter("flags\t\t: fpu tsc constant_tsc\n"));
    assert!(!flags_promise_a_steady_counter("flags : constant_tsc nonstop_tsc\nflags : constant_tsc\n"));
    assert!(!flags_promise_a_steady_counter("bogus"));
}

#[test]
fn the_system_clock_follows_the_kernel() {
    let clock = Clock::system();
    assert_eq!(clock.kind(), if tsc_is_reliable() { ClockKind::Tsc } else { ClockKind::Coarse });
    // A coarse clock may be a kernel tick behind.
    let slack = if clock.kind() == ClockKind::Tsc { 1_000_000 } else { 11_000_000 };
    let mut last = 0;
    for _ in 0..1000 {
        let before = kernel_ns(libc::CLOCK_MONOTONIC);
        let ns = clock.now_ns();
        let after = kernel_ns(libc::CLOCK_MONOTONIC);
        assert!(ns + slack >= before && ns <= after + slack, "{before} {ns} {after}");
        assert!(ns >= last, "never back");
        last = ns;
        clock.resync();
    }
    let span = clock.span_ns(clock.ticks_in(5_000_000_000));
    assert!(span.abs_diff(5_000_000_000) < 10, "{span}");
}

#[test]
fn the_virtual_clock_moves_when_told() {
    let (clock, hand) = Clock::new_virtual(500);
    assert_eq!((clock.ticks(), clock.now_ns(), clock.kind()), (500, 500, ClockKind::Virtual));
    hand.advance(1_000);
    hand.set(10);
    assert_eq!((clock.now_ns(), clock.ns_at(7), clock.span_ns(9), clock.ticks_in(9)), (1_500, 7, 9, 9));
    assert_eq!(clock.resync(), 0);
}

#[test]
fn readers_never_see_half_a_conversion() {
    let params = three_per_ns();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 1..200_000u64 {
                // Every state has its base on one line: a mixture of two would be off it.
                params
                    .resync(Pair { ticks: 3_000 + 3 * step * 1_000_000, mono_ns: 1_000 + step * 1_000_000 });
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            let seen = params.read();
            let on_line = (seen.base_ticks - 3_000) / 3 + 1_000;
            assert!(seen.base_ns.abs_diff(on_line) < 1_000, "{seen:?}");
        }
    });
}
