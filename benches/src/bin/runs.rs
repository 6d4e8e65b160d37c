//! `runs`: every workload that exists, ours beside its peers, interleaved, with ratios.
//!
//! `runs [--only NAME]... [--one-node] [--bare PROGRAM] [--peers PROGRAM] [--rounds N] [--json FILE] [--markdown FILE] [--list] [--gate]`. The same binary, started with `--child`, is the
//! process in which one side does its work once.
//!
//! Exit status: 0; 1 with `--gate` when a ratio is below its floor; 2 when a workload could not be measured.
#![expect(clippy::print_stdout, reason = "the table and the list are this program's output")]
#![expect(clippy::print_stderr, reason = "progress and failures go beside the output")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use shard_benches::error::RunError;
use shard_benches::machine::Machine;
use shard_benches::registry::{workload, workloads};
use shard_benches::report::{Row, markdown, placed, table};
use shard_benches::round::{self, Programs};
use shard_benches::workload::{Scale, Workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the workloads of shard-runtime beside their peers and prints medians and ratios.
///
/// Each side of each round is a fresh process; the order rotates from round to round; one round warms up.
/// A ratio above 1 always means that ours is better.
#[derive(Debug, Parser)]
#[command(name = "runs")]
struct Args {
    /// Run only this workload (may be given several times); also runs workloads that so far have peers only
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave out the workloads that need a second node
    #[arg(long)]
    one_node: bool,
    /// The same program from a build without instruments (`make bare`); without it, `instruments` is left out
    #[arg(long, value_name = "PROGRAM")]
    bare: Option<PathBuf>,
    /// The peers that `make peers` builds; without it the program `peers` beside this one, or those peers are left out
    #[arg(long, value_name = "PROGRAM")]
    peers: Option<PathBuf>,
    /// Rounds that count, after one to warm up
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Write an array of one object per workload to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table in Markdown to this file, between its marks `<!-- runs: begin -->` and `<!-- runs: end -->` if it has them
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Print the workloads and their sides, and end
    #[arg(long)]
    list: bool,
    /// End with status 1 if a ratio or a figure is below its floor
    #[arg(long)]
    gate: bool,
    /// Divide the work of each run by this, to try the program out; allows fewer than 5 rounds
    #[arg(long, default_value_t = 1, value_name = "N")]
    divide: u64,
    /// Be the process in which SIDE does the work of WORKLOAD once, and print one line of JSON
    #[arg(long, num_args = 2, value_names = ["WORKLOAD", "SIDE"], hide = true)]
    child: Vec<String>,
    /// Be the second process of that side
    #[arg(long, value_name = "TEXT", requires = "child", hide = true)]
    partner: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("runs: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, RunError> {
    if let [name, side] = args.child.as_slice() {
        return child(name, side, args);
    }
    if args.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    if args.rounds < 5 && args.divide == 1 {
        eprintln!("runs: a report needs at least 5 rounds (fewer only with --divide)");
        return Ok(ExitCode::from(2));
    }
    let mut chosen: Vec<&'static Workload> = if args.only.is_empty() {
        workloads().filter(|w| w.has_ours()).collect()
    } else {
        args.only.iter().map(|name| workload(name)).collect::<Result<_, _>>()?
    };
    chosen.retain(|workload| !args.one_node || workload.is_one_node());
    if args.bare.is_none() && chosen.iter().any(|workload| workload.needs_bare()) {
        eprintln!("runs: instruments is left out: it needs --bare PROGRAM, which `make bare` builds");
        chosen.retain(|workload| !workload.needs_bare());
        if chosen.is_empty() {
            return Ok(ExitCode::from(2));
        }
    }
    let machine = Machine::read();
    if machine.profile != "release" {
        eprintln!("runs: built without optimisation, the figures mean nothing: use `cargo run --release`");
    }
    let scale = Scale::divided_by(args.divide);
    let programs = programs(args);
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for workload in chosen {
        let rounds = round::run(workload, usize::from(args.rounds), scale, &programs, |round, side| {
            eprintln!("{} round {round}/{} {}", workload.name, args.rounds, side.name);
        });
        match rounds {
            Ok(rounds) => rows.push(Row::of(workload, &rounds, &machine)),
            Err(error) => failures.push(error),
        }
    }
    report(args, &rows, &machine)?;
    for failure in &failures {
        eprintln!("runs: {failure}");
    }
    Ok(if !failures.is_empty() {
        ExitCode::from(2)
    } else if args.gate && !rows.iter().all(Row::floors_held) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The other programs, as far as they are there.
fn programs(args: &Args) -> Programs {
    let beside = || {
        let path = std::env::current_exe().ok()?.with_file_name("peers");
        path.is_file().then_some(path)
    };
    Programs { bare: args.bare.clone(), peers: args.peers.clone().or_else(beside) }
}

/// Prints the table and writes the files that were asked for.
fn report(args: &Args, rows: &[Row], machine: &Machine) -> Result<(), RunError> {
    let conditions = format!(
        "{}: {} x {}{}, {} GiB, Linux {}, {}, {} profile, commit {}, load {} at the start; median (min, max) of {} rounds",
        machine.date,
        machine.cpus,
        machine.cpu,
        if machine.hypervisor { " (virtual machine)" } else { "" },
        machine.mem_kib >> 20,
        machine.kernel,
        machine.rustc,
        machine.profile,
        machine.commit,
        machine.load_1m,
        args.rounds
    );
    println!("{}\n{conditions}", table(rows));
    for row in rows {
        for (label, why) in &row.derived {
            println!("{}, {label}: {why}", row.workload);
        }
    }
    if let Some(path) = &args.markdown {
        // A file that is not there yet has no marks.
        let before = fs::read_to_string(path).unwrap_or_default();
        fs::write(path, placed(&before, &markdown(rows, &conditions)))
            .map_err(RunError::io("writing the Markdown report"))?;
    }
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_vec_pretty(rows)?).map_err(RunError::io("writing the JSON report"))?;
    }
    Ok(())
}

fn child(name: &str, side: &str, args: &Args) -> Result<ExitCode, RunError> {
    let workload = workload(name)?;
    let name = workload.name;
    let side = workload
        .side(side)
        .ok_or_else(|| RunError::UnknownSide { workload: name.into(), side: side.into() })?;
    let scale = Scale::divided_by(args.divide);
    match &args.partner {
        Some(told) => round::partner_here(name, side, scale, told)?,
        None => println!("{}", serde_json::to_string(&round::measure_here(name, side, scale)?)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn list() {
    for workload in workloads() {
        let sides = workload.sides.iter().map(|side| side.name).collect::<Vec<_>>().join(", ");
        let note = if workload.has_ours() { "" } else { "  (peers only, so far)" };
        println!("{:<24} {:<16} {}: {sides}{note}", workload.name, workload.unit, workload.about);
    }
}
