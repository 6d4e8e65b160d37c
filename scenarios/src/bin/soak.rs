//! Runs a soak and prints its account.
//!
//! Owns: the exit status, 0 if the account holds and memory stayed flat, 1 if not. The seed is printed first: on real threads it gives
//! the same mix again, not the same interleaving; with `--simulated` it gives the same run.

use clap::Parser;
use shard_runtime::NodeError;
use shard_scenarios::exit::{INTERNAL, MACHINE, arguments};
use shard_scenarios::soak::{Account, Settings, run, run_simulated};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIFFERS: u8 = 1;

/// Loads one node with every kind of message and of end, at random, and accounts for every message to the unit.
#[derive(Debug, Parser)]
#[command(name = "soak", version)]
struct Args {
    /// Seed of the mix; without it, a random one
    #[arg(long)]
    seed: Option<u64>,
    /// How long the sources run
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Shards of the node, 1 to 64
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Processes that live at a time
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u16).range(16..=4096))]
    population: u16,
    /// Run on the simulation: seconds are those of its clock, and a seed gives the same run to the bit
    #[arg(long)]
    simulated: bool,
}

fn say(text: impl std::fmt::Display) {
    // Nothing can be done where even this cannot be written.
    drop(writeln!(std::io::stdout(), "{text}"));
}

fn main() -> ExitCode {
    let args: Args = match arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    // The standard library seeds its hash states from the system's randomness.
    let seed = args.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000_000);
    let place =
        if args.simulated { "simulated, repeats to the bit" } else { "real threads, repeats the mix only" };
    say(format_args!("soak: --seed {seed} --seconds {} --shards {} ({place})", args.seconds, args.shards));
    let settings = Settings {
        seed,
        duration: Duration::from_secs(args.seconds),
        shards: args.shards,
        population: usize::from(args.population),
    };
    let outcome = if args.simulated { run_simulated(&settings) } else { run(&settings) };
    match outcome {
        Ok(account) => judge(&account, &settings),
        Err(error) => {
            drop(writeln!(std::io::stderr(), "soak: {error}"));
            if matches!(error, NodeError::Preflight(_)) { MACHINE.into() } else { INTERNAL.into() }
        }
    }
}

fn judge(account: &Account, settings: &Settings) -> ExitCode {
    let rate = account.messages() as f64 / settings.duration.as_secs_f64().max(1.0);
    say(format_args!("{account}\n{} messages, {rate:.0}/s", account.messages()));
    if account.holds() {
        say("soak: passed");
        ExitCode::SUCCESS
    } else {
        say(format_args!("soak: FAILED, the account differs; repeat with --seed {}", settings.seed));
        DIFFERS.into()
    }
}
