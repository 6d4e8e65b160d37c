//! Five nodes on this machine in one command.
//!
//! Owns: the child processes, their logs below `.demo/`, the table of addresses and the status line.
//! Invariants: D1 nothing starts unless every port is free and the machine passes the node's checks. D2 no child outlives
//! this program: each stops when its standard input ends, which also happens when this program is killed. D3 a child that
//! dies is named with the end of its log, and the others go on. D4 status 0 means: all came up, none died, all stopped.

mod child;
mod layout;
mod port;
mod screen;
mod watch;

use child::Children;
use clap::Parser;
use layout::Layout;
use screen::Screen;
use shard_runtime::doctor;
use shard_scenarios::exit::{INTERNAL, MACHINE, UNAVAILABLE, USAGE, arguments};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use watch::Watch;

/// How long the nodes may take to find each other.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Time between two looks at nodes that are not ready.
const LOOK: Duration = Duration::from_millis(100);
/// How long the nodes may take to stop before they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Starts nodes `demo@cluster-node1`, `demo@cluster-node2`, ... on loopback, with traffic between them.
#[derive(Debug, Parser)]
#[command(name = "demo", version, after_help = "Ctrl-C stops all nodes. Logs are in .demo/logs.")]
struct Args {
    /// Number of nodes, 1 to 32
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,
    /// Stop after this long: 90, 60s, 5m or 1h; without it at Ctrl-C
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Seed of the scenarios' random choices
    #[arg(long)]
    seed: Option<u64>,
    /// Scenarios to run on each node
    #[arg(long, default_value = "messaging")]
    scenarios: String,
    /// Log level of the nodes
    #[arg(long, default_value = "info")]
    log_level: String,
    /// Use consecutive ports from this one instead of the usual ones
    #[arg(long)]
    ports_from: Option<u16>,
    /// Folder of logs and run.json
    #[arg(long, default_value = ".demo")]
    folder: PathBuf,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, factor) = match text.trim() {
        text if text.ends_with("ms") => return Err("use seconds, minutes or hours".to_owned()),
        text => match text.strip_suffix(['s', 'm', 'h']) {
            None => (text, 1),
            Some(number) if text.ends_with('m') => (number, 60),
            Some(number) if text.ends_with('h') => (number, 3600),
            Some(number) => (number, 1),
        },
    };
    let number: u32 = number.parse().map_err(|_| "want a number with s, m or h behind it".to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * factor))
}

/// What the program ends with, unless all went well.
struct Failure {
    status: u8,
    text: String,
}

fn failure(status: u8, text: impl Display) -> Failure {
    Failure { status, text: text.to_string() }
}

fn main() -> ExitCode {
    let args: Args = match arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            drop(writeln!(io::stderr(), "demo: {text}"));
            status.into()
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let layout = Layout::new(args.nodes, args.ports_from).map_err(|error| failure(USAGE, error))?;
    let node = node_program()?;
    let problem = doctor(1, false).into_problem();
    problem.map_or(Ok(()), |problem| Err(failure(MACHINE, problem)))?;
    port::all_free(&layout).map_err(|error| failure(UNAVAILABLE, error))?;
    let signals =
        signals().map_err(|error| failure(INTERNAL, format_args!("cannot wait for signals: {error}")))?;
    let mut children = Children::start(&node, &layout, args)
        .map_err(|error| failure(INTERNAL, format_args!("cannot start the nodes: {error}")))?;
    let mut screen = Screen::new(args.nodes);
    let ended = attend(args, &layout, &signals, &mut children, &mut screen);
    screen.end();
    screen.line("stopping all nodes");
    let stubborn = children.stop(STOP_LIMIT, || signals.try_recv().is_ok());
    for name in &stubborn {
        screen.line(&format!("{name} did not stop within {STOP_LIMIT:?} and was killed"));
    }
    ended?;
    if !stubborn.is_empty() || children.deaths() > 0 {
        return Err(failure(1, "not all went well; see above"));
    }
    screen.line("all nodes stopped");
    Ok(())
}

/// Everything between start and stop.
fn attend(
    args: &Args,
    layout: &Layout,
    signals: &Receiver<i32>,
    children: &mut Children,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut watch = Watch::new(layout);
    let started = now();
    screen.line(&format!("starting {} nodes, logs in {}", args.nodes, args.folder.join("logs").display()));
    while !watch.is_complete() {
        children.bury(|obituary| screen.line(obituary));
        if children.deaths() > 0 {
            return Err(failure(1, "a node died before all were up"));
        }
        if started.elapsed() > READY_LIMIT {
            return Err(failure(1, format_args!("not ready after {READY_LIMIT:?}: {}", watch.missing())));
        }
        if is_told_to_stop(signals, LOOK) {
            return Ok(());
        }
        watch.look();
    }
    screen.line(&format!("all {} nodes are up and connected after {:.1?}\n", args.nodes, started.elapsed()));
    screen.line(&layout.table());
    // The first rate counts from here.
    watch.status(now());
    let end = args.duration.map(|duration| now() + duration);
    loop {
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(now()));
        if left.is_zero() || is_told_to_stop(signals, screen.interval().min(left)) {
            return Ok(());
        }
        children.bury(|obituary| screen.line(obituary));
        watch.look();
        screen.status(&watch.status(now()));
    }
}

#[expect(clippy::disallowed_methods, reason = "this program runs no shard")]
fn now() -> Instant {
    Instant::now()
}

fn is_told_to_stop(signals: &Receiver<i32>, within: Duration) -> bool {
    // The signal thread lives as long as the program; were it gone, nobody could stop us but a kill.
    !matches!(signals.recv_timeout(within), Err(RecvTimeoutError::Timeout))
}

fn signals() -> io::Result<Receiver<i32>> {
    let (tell, told) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if tell.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(told)
}

/// The program `node` beside this one.
fn node_program() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().map_err(|error| failure(INTERNAL, error))?;
    let node = here.with_file_name("node");
    if node.is_file() {
        return Ok(node);
    }
    let text =
        format!("there is no {}; build it with `cargo build -p shard-scenarios --bins`", node.display());
    Err(failure(INTERNAL, text))
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, seconds) in [("90", 90), ("60s", 60), ("5m", 300), ("1h", 3600), (" 2m ", 120)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "100ms", "1.5m"] {
            duration(text).unwrap_err();
        }
    }
}
