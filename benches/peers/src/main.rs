//! The peers of `runs` between two nodes that are too heavy to build with the workspace: ractor_cluster, kameo with
//! libp2p, tonic.
//!
//! `peers --child WORKLOAD SIDE [--divide N [--partner TEXT]]` does the work of one side once and prints one line of JSON, a
//! sample, as a child of `runs` does; with `--partner` it is the other end of that side. `peers --list` prints the sides.
#![expect(clippy::print_stdout, reason = "the sample and the list are this program's output")]
#![expect(clippy::print_stderr, reason = "failures go beside the output")]

mod pair;
mod side;
mod table;

use std::process::ExitCode;

use shard_benches::error::RunError;
use shard_benches::round;
use shard_benches::workload::Scale;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[&str]) -> Result<(), RunError> {
    match args {
        ["--list"] => {
            for (workload, side) in table::SIDES {
                println!("{workload} {}", side.name);
            }
            Ok(())
        }
        ["--child", workload, side] => run(&["--child", workload, side, "--divide", "1"]),
        ["--child", workload, side, "--divide", divide, rest @ ..] => {
            let (workload, side) = table::find(workload, side)?;
            let scale = Scale::divided_by(divide.parse().map_err(RunError::work)?);
            match rest {
                [] => {
                    println!("{}", serde_json::to_string(&round::measure_here(workload, side, scale)?)?);
                    Ok(())
                }
                ["--partner", told] => round::partner_here(workload, side, scale, told),
                _ => Err(usage()),
            }
        }
        _ => Err(usage()),
    }
}

fn usage() -> RunError {
    RunError::work("usage: peers --list | peers --child WORKLOAD SIDE [--divide N [--partner TEXT]]")
}
