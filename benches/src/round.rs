//! Rounds of interleaved child processes.
//!
//! Owns: the children of a round, one at a time. Each side of each round runs in a fresh process, so that no memory, no
//! warm pool and no thread of one side is there for the next. The order of the sides rotates from round to round; the
//! first round warms the machine up and is thrown away.
//! Shutdown: a child that is not done after [`CHILD_LIMIT`] is ended by its own watchdog, which cannot tell slow from stuck.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::error::RunError;
use crate::machine::{cpu_seconds, join, peak_resident_kib};
use crate::workload::{Partner, Program, Run, Sample, Scale, Side, Workload};

/// LIMIT: how long one side may take for one run before its process ends itself.
pub const CHILD_LIMIT: Duration = Duration::from_secs(120);

/// Exit status of a child that was ended by its watchdog (`EX_SOFTWARE` of sysexits).
pub const WATCHDOG_STATUS: i32 = 70;

/// The programs beside this one that do the work of some sides, as far as they are built.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// This program without instruments (`make bare`).
    pub bare: Option<PathBuf>,
    /// The peers with a workspace of their own (`make peers`).
    pub peers: Option<PathBuf>,
}

impl Programs {
    /// Where the program of `side` is.
    ///
    /// # Errors
    /// [`RunError::Missing`] when it is not built.
    fn of(&self, side: &Side) -> Result<PathBuf, RunError> {
        let program = match side.program {
            Program::Runs => Some(env::current_exe().map_err(RunError::io("finding this program"))?),
            Program::Bare => self.bare.clone(),
            Program::Peers => self.peers.clone(),
        };
        program.ok_or_else(|| RunError::Missing { side: side.name, why: side.program.missing() })
    }
}

/// All samples of a workload: one list per side, in the order of the workload's sides, one sample per round.
#[derive(Debug, Clone)]
pub struct Rounds {
    /// Side by side.
    pub sides: Vec<(&'static Side, Vec<Sample>)>,
    /// The sides whose program is not built.
    pub left_out: Vec<&'static Side>,
}

/// Runs one round to warm up and then `rounds` rounds of all sides of `workload` whose programs there are.
///
/// `progress` is told the round (0 is the warm-up) and the side before each run.
///
/// # Errors
/// The first failure of a child ends the workload.
pub fn run(
    workload: &'static Workload,
    rounds: usize,
    scale: Scale,
    programs: &Programs,
    mut progress: impl FnMut(usize, &'static Side),
) -> Result<Rounds, RunError> {
    let (present, left_out): (Vec<_>, Vec<_>) =
        workload.sides.iter().partition(|side| programs.of(side).is_ok());
    let mut sides: Vec<(&'static Side, Vec<Sample>)> =
        present.into_iter().map(|side| (side, Vec::new())).collect();
    for round in 0..=rounds {
        for turn in 0..sides.len() {
            let position = (turn + round) % sides.len();
            let Some((side, samples)) = sides.get_mut(position) else { continue };
            progress(round, side);
            let sample = child(workload, side, scale, &programs.of(side)?)?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(Rounds { sides, left_out })
}

fn command(program: &Path, workload: &str, side: &str, scale: Scale) -> Command {
    let mut command = Command::new(program);
    command.args(["--child", workload, side, "--divide", &scale.divisor().to_string()]);
    command
}

fn child(workload: &Workload, side: &Side, scale: Scale, program: &Path) -> Result<Sample, RunError> {
    let output = command(program, workload.name, side.name, scale)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(RunError::io("starting a child process"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last() {
        Some(line) if output.status.success() => Ok(serde_json::from_str(line)?),
        _ => Err(failed(workload.name, side.name, output.status)),
    }
}

fn failed(workload: &str, side: &str, status: ExitStatus) -> RunError {
    let status = if status.code() == Some(WATCHDOG_STATUS) {
        format!(
            "its work not done after {} s (stuck, or starved by other load on the machine)",
            CHILD_LIMIT.as_secs()
        )
    } else {
        status.to_string()
    };
    RunError::Child { workload: workload.to_owned(), side: side.to_owned(), status }
}

/// What a child does: the side's work once, with a watchdog, and its sample.
///
/// # Errors
/// What the side returned.
pub fn measure_here(workload: &'static str, side: &'static Side, scale: Scale) -> Result<Sample, RunError> {
    let _watchdog = Watchdog::start()?;
    let value = (side.measure)(Run { workload, side: side.name, scale, partner: side.partner })?;
    if !value.is_finite() || value <= 0.0 {
        return Err(RunError::work(format_args!("its figure is {value}")));
    }
    Ok(Sample { value, cpu_seconds: cpu_seconds(), peak_rss_kib: peak_resident_kib() })
}

/// What the second process of a side does.
///
/// # Errors
/// What the side returned, or [`RunError::UnknownSide`] when it has no partner.
pub fn partner_here(
    workload: &'static str,
    side: &'static Side,
    scale: Scale,
    told: &str,
) -> Result<(), RunError> {
    let _watchdog = Watchdog::start()?;
    let run = Run { workload, side: side.name, scale, partner: side.partner };
    partner_of(run)?(run, told)
}

fn partner_of(run: Run) -> Result<Partner, RunError> {
    run.partner.ok_or_else(|| RunError::UnknownSide {
        workload: run.workload.to_owned(),
        side: format!("{} (partner)", run.side),
    })
}

/// The other end of a side, seen from the first: a process, or a thread where the workload is one of one process.
#[derive(Debug)]
pub struct Partnership(Other);

#[derive(Debug)]
enum Other {
    Process(Child),
    Thread(thread::JoinHandle<Result<(), RunError>>),
}

impl Partnership {
    /// Starts the other end of this side and tells it `text`.
    ///
    /// # Errors
    /// [`RunError::Io`] when it cannot be started, [`RunError::UnknownSide`] when there is none.
    pub fn start(run: Run, text: &str) -> Result<Self, RunError> {
        if run.is_one_process() {
            let (partner, text) = (partner_of(run)?, text.to_owned());
            let thread = thread::Builder::new()
                .name("partner".into())
                .spawn(move || partner(run, &text))
                .map_err(RunError::io("starting the second thread of a side"))?;
            return Ok(Self(Other::Thread(thread)));
        }
        let program = env::current_exe().map_err(RunError::io("finding this program"))?;
        let child = command(&program, run.workload, run.side, run.scale)
            .args(["--partner", text])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(RunError::io("starting the second process of a side"))?;
        Ok(Self(Other::Process(child)))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`RunError::Work`] when it did not end well.
    pub fn end(self) -> Result<(), RunError> {
        match self.0 {
            Other::Thread(thread) => join(thread),
            Other::Process(mut child) => {
                let status = child.wait().map_err(RunError::io("waiting for the second process"))?;
                if status.success() {
                    Ok(())
                } else {
                    Err(RunError::work(format_args!("its second process ended with {status}")))
                }
            }
        }
    }
}

/// Ends the process if it is still there after [`CHILD_LIMIT`]. Sleeps all the time, so it costs the run nothing.
struct Watchdog {
    _ends_when_dropped: mpsc::Sender<()>,
}

impl Watchdog {
    fn start() -> Result<Self, RunError> {
        let (sender, end) = mpsc::channel::<()>();
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                if end.recv_timeout(CHILD_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                    // Nobody is left to tell if standard error is closed.
                    let _ =
                        writeln!(std::io::stderr(), "not done after {} s, giving up", CHILD_LIMIT.as_secs());
                    std::process::exit(WATCHDOG_STATUS);
                }
            })
            .map_err(RunError::io("starting the watchdog"))?;
        Ok(Self { _ends_when_dropped: sender })
    }
}
