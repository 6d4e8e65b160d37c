//! Seeded simulation of whole clusters of session cores: cuts, half-open links, partitions, delays, stalls, crashes,
//! planned restarts and simultaneous dials, with the promises of the core checked at every step.
//!
//! A failure prints its seed; `SESSION_SIM_SEED=n` runs that seed alone and prints its log. `SESSION_SIM_SEEDS=n` runs
//! as many seeds instead of the default.

mod sim;

use sim::{Options, World};

const SEEDS: u64 = 200;

fn run(seed: u64) -> Vec<String> {
    let options = Options { nodes: 2 + usize::try_from(seed % 3).unwrap(), chaos_ns: 25_000_000_000 };
    let mut world = World::new(seed, options);
    world.run();
    world.into_log()
}

#[test]
fn sessions_keep_their_promises_under_chaos() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SESSION_SIM_SEED") {
        run(seed);
        return;
    }
    let seeds = number("SESSION_SIM_SEEDS").unwrap_or(SEEDS);
    let mut events = 0;
    for seed in 1..=seeds {
        let log = std::panic::catch_unwind(|| run(seed))
            .unwrap_or_else(|_| panic!("failed with seed {seed}: replay with SESSION_SIM_SEED={seed}"));
        events += log.len();
    }
    // The chaos must have done something: sessions went up and down many times in each run.
    assert!(events > 50 * usize::try_from(seeds).unwrap(), "only {events} events");
}

#[test]
fn one_seed_gives_one_log() {
    for seed in [1, 77, 4242] {
        assert_eq!(run(seed), run(seed));
    }
}
