//! Every message is accounted for, to the unit: on real threads for 20 seconds, and on the simulation for many seeds.

use shard_scenarios::soak::{Settings, run_simulated};
use shard_tests::harness::binary;
use std::process::Command;
use std::time::Duration;

#[test]
fn on_real_threads_nothing_is_lost_or_leaked() {
    let program = binary("shard-scenarios", "soak").expect("it is built");
    let seed = (std::process::id() % 1000).to_string();
    let run = Command::new(program).args(["--seconds", "20", "--seed", &seed]).output().expect("it runs");
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && said.contains("soak: passed"), "{said}\n{complained}");
    assert!(said.starts_with(&format!("soak: --seed {seed} ")), "{said}");
}

fn simulated(seed: u64) -> Settings {
    Settings { seed, duration: Duration::from_millis(100), ..Settings::default() }
}

#[test]
fn on_the_simulation_fifty_seeds_add_up() {
    for seed in 0..50 {
        let account = run_simulated(&simulated(seed)).expect("it starts");
        assert!(account.holds(), "seed {seed}\n{account}");
        assert!(account.messages() > 1000, "seed {seed}\n{account}");
    }
}

#[test]
fn one_seed_gives_one_run() {
    let run = |seed| run_simulated(&simulated(seed)).expect("it starts").to_string();
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
