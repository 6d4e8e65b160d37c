//! The wheel against a sorted oracle: huge deadlines, a clock that stands still, stale keys, bounded steps.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{Advanced, DEFAULT_TIMER_LIMIT, HEADS, TICK_SHIFT, TimerKey, TimerLimitReached, Wheel};

const TICK: u64 = 1 << TICK_SHIFT;

#[derive(Clone, Debug)]
enum Step {
    /// Nanoseconds from now.
    Insert(u64),
    InsertAt(u64),
    Cancel(usize),
    /// Nanoseconds; may be 0.
    Advance(u64),
    AdvanceToNext,
    AdvanceSome(usize),
}

fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0..TICK,
        0..200 * TICK,
        0..5_000 * TICK,
        0..600_000 * TICK,
        (0u32..64).prop_flat_map(|bits| 0..=(u64::MAX >> bits)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => span().prop_map(Step::Insert),
        1 => any::<u64>().prop_map(Step::InsertAt),
        2 => any::<usize>().prop_map(Step::Cancel),
        3 => (0..3_000 * TICK).prop_map(Step::Advance),
        1 => span().prop_map(|ns| Step::Advance(ns >> 8)),
        2 => Just(Step::AdvanceToNext),
        1 => (0usize..3).prop_map(Step::AdvanceSome),
    ]
}

proptest! {
    #[test]
    fn wheel_fires_like_a_sorted_map(start in any::<u64>(), steps in prop::collection::vec(step(), 1..200)) {
        let mut now = start >> 1;
        let mut wheel = Wheel::new(now, DEFAULT_TIMER_LIMIT);
        // (tick at which it fires, token) -> (deadline, key); the token counts insertions.
        let mut oracle: BTreeMap<(u64, u64), (u64, TimerKey)> = BTreeMap::new();
        let mut stale: Vec<TimerKey> = Vec::new();
        let mut token = 0;
        for step in steps {
            let max = match step {
                Step::Insert(_) | Step::InsertAt(_) => {
                    let deadline = match step {
                        Step::Insert(ns) => now.saturating_add(ns),
                        Step::InsertAt(ns) => ns,
                        _ => 0,
                    };
                    let key = wheel.insert(deadline, token).unwrap();
                    oracle.insert((deadline.div_ceil(TICK).max(wheel.elapsed), token), (deadline, key));
                    token += 1;
                    continue;
                }
                Step::Cancel(pick) => {
                    if let Some(&at) = oracle.keys().nth(pick % oracle.len().max(1)) {
                        let (_, key) = oracle.remove(&at).unwrap();
                        prop_assert!(wheel.cancel(key));
                        stale.push(key);
                    }
                    continue;
                }
                Step::Advance(ns) => { now = now.saturating_add(ns); usize::MAX }
                Step::AdvanceToNext => { now = wheel.next_deadline().unwrap_or(now).max(now); usize::MAX }
                Step::AdvanceSome(max) => { now = now.saturating_add(TICK); max }
            };
            let mut fired = Vec::new();
            let Advanced { fired: count, more } = wheel.advance_up_to(now, max, |token| fired.push(token));
            prop_assert_eq!(count, fired.len());
            prop_assert!(!more || count == max);
            for token in fired {
                let (&at, &(deadline, key)) = oracle.first_key_value().unwrap();
                prop_assert_eq!(token, at.1, "order of ticks, then of insertion");
                prop_assert!(deadline <= now, "never early");
                oracle.remove(&at);
                stale.push(key);
            }
            prop_assert_eq!(wheel.len(), oracle.len());
            if !more {
                let overdue = oracle.keys().next().is_some_and(|&(tick, _)| tick <= now / TICK);
                prop_assert!(!overdue, "everything due has fired");
            }
            match (wheel.next_deadline(), oracle.keys().next()) {
                (None, None) => {}
                (Some(next), Some(&(tick, _))) => prop_assert!(next / TICK <= tick),
                (next, first) => prop_assert!(false, "next {:?} for {:?}", next, first),
            }
            for &key in &stale {
                prop_assert!(!wheel.cancel(key), "a stale key cancels nothing");
            }
        }
    }
}

#[test]
fn waking_at_next_deadline_ends_after_one_step_per_level() {
    for deadline in [1, TICK, 63 * TICK, 64 * TICK, 4097 * TICK + 1, 1 << 45, u64::MAX - 2 * TICK] {
        let mut wheel = Wheel::new(0, 8);
        wheel.insert(deadline, 7).unwrap();
        let (mut fired, mut wakes) = (0, 0);
        while let Some(next) = wheel.next_deadline() {
            assert!(wakes <= 8, "deadline {deadline}");
            wakes += 1;
            fired += wheel.advance(next, |token| assert_eq!(token, 7));
            assert!(fired == 0 || (next >= deadline && next - deadline < TICK), "deadline {deadline}");
        }
        assert_eq!(fired, 1);
    }
}

#[test]
fn the_last_tick_of_all_time_never_fires() {
    let mut wheel = Wheel::new(0, 8);
    wheel.insert(u64::MAX, 1).unwrap();
    assert_eq!(wheel.next_deadline(), Some(u64::MAX));
    assert_eq!(wheel.advance(u64::MAX, |_| ()), 0);
    assert_eq!((wheel.next_deadline(), wheel.len()), (Some(u64::MAX), 1));
}

#[test]
fn the_limit_is_a_typed_refusal_and_cancelling_makes_room() {
    let mut wheel = Wheel::new(5, 2);
    let key = wheel.insert(10, 1).unwrap();
    wheel.insert(10, 2).unwrap();
    assert_eq!(wheel.insert(10, 3), Err(TimerLimitReached { limit: 2 }));
    assert!(wheel.cancel(key));
    assert!(!wheel.cancel(key));
    wheel.insert(10, 3).unwrap();
    let mut fired = Vec::new();
    wheel.advance(10 + TICK, |token| fired.push(token));
    assert_eq!(fired, [2, 3]);
}

#[test]
fn a_forged_key_of_a_list_head_cancels_nothing() {
    let mut wheel = Wheel::new(0, 4);
    for index in [0, 63, HEADS as u32 - 1, HEADS as u32, u32::MAX] {
        assert!(!wheel.cancel(TimerKey { index, generation: 0 }));
    }
    wheel.insert(TICK, 9).unwrap();
    assert_eq!(wheel.advance(TICK, |_| ()), 1);
}

#[test]
fn a_panic_while_firing_leaves_the_others_armed() {
    let mut wheel = Wheel::new(0, 8);
    for token in 0..4 {
        wheel.insert(TICK, token).unwrap();
    }
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wheel.advance(TICK, |token| assert_ne!(token, 1, "this one breaks"));
    }));
    assert!(caught.is_err());
    let mut rest = Vec::new();
    wheel.advance(TICK, |token| rest.push(token));
    assert_eq!((rest, wheel.is_empty()), (vec![2, 3], true));
}

#[test]
fn a_steady_state_keeps_its_memory() {
    let mut wheel = Wheel::new(0, DEFAULT_TIMER_LIMIT);
    let mut now = 0;
    for token in 0..100 {
        wheel.insert(token * TICK, token).unwrap();
    }
    let capacity = wheel.entries.capacity();
    for round in 0..10_000 {
        now += TICK;
        let mut fired = 0;
        wheel.advance(now, |_| fired += 1);
        for token in 0..fired {
            wheel.insert(now + (round * 37 + token) % 100 * TICK, token).unwrap();
        }
        let key = wheel.insert(now + (1 << 40), round).unwrap();
        assert!(wheel.cancel(key));
    }
    assert_eq!(wheel.entries.capacity(), capacity);
}
