//! Seeded simulation of whole clusters of session cores and data links: cuts, half-open links, partitions, delays, stalls,
//! crashes, planned restarts, twins of one name and simultaneous dials, with the promises of the core checked at every step:
//! no message twice, none out of order, none that was not sent, every call ends, and the account of each link closes.
//!
//! A failure prints its seed; `SESSION_SIM_SEED=n` runs that seed alone and prints its log. `SESSION_SIM_SEEDS=n` runs
//! as many seeds instead of the default.

mod sim;

use sim::{Options, World};

/// Of each of the four runs that go side by side.
const SEEDS: u64 = 500;

/// The log, and the messages that were sent, calls that were answered, and calls that failed with their session.
fn run(seed: u64) -> (Vec<String>, [u64; 3]) {
    let options = Options { nodes: 2 + usize::try_from(seed % 2).unwrap(), chaos_ns: 25_000_000_000 };
    let mut world = World::new(seed, options);
    world.run();
    let traffic = world.traffic();
    (world.into_log(), traffic)
}

/// Every fourth seed, from `first` on.
fn run_many(first: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SESSION_SIM_SEED") {
        run(seed);
        return;
    }
    let seeds = number("SESSION_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut events, mut all) = (0, [0; 3]);
    for seed in (0..seeds).map(|index| first + 4 * index) {
        let (log, traffic) = std::panic::catch_unwind(|| run(seed))
            .unwrap_or_else(|_| panic!("failed with seed {seed}: replay with SESSION_SIM_SEED={seed}"));
        events += log.len();
        for (sum, one) in all.iter_mut().zip(traffic) {
            *sum += one;
        }
    }
    // The chaos must have done something: sessions went up and down many times in each run.
    assert!(events > 50 * usize::try_from(seeds).unwrap(), "only {events} events");
    let [messages, answered, failed] = all;
    assert!(messages > 300 * seeds && answered > 100 * seeds && failed > seeds / 10, "{all:?}");
}

#[test]
fn sessions_and_links_keep_their_promises_under_chaos_1() {
    run_many(1);
}

#[test]
fn sessions_and_links_keep_their_promises_under_chaos_2() {
    run_many(2);
}

#[test]
fn sessions_and_links_keep_their_promises_under_chaos_3() {
    run_many(3);
}

#[test]
fn sessions_and_links_keep_their_promises_under_chaos_4() {
    run_many(4);
}

#[test]
fn one_seed_gives_one_log() {
    for seed in [1, 77, 4242] {
        assert_eq!(run(seed), run(seed));
    }
}
