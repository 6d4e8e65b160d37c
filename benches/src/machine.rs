//! The machine a figure was measured on, and where its threads run.
//!
//! Reads `/proc` and `/sys`; pins threads. Called from the parent once per report and from children at their start.

use std::fs;
use std::process::Command;
use std::thread;

use rustix::thread::CpuSet;
use serde::Serialize;

use crate::error::RunError;

/// Facts without which a figure means little.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// When the facts were read, in UTC.
    pub date: String,
    /// Model name of the first processor.
    pub cpu: String,
    /// Logical processors this process may use.
    pub cpus: usize,
    /// Kernel release.
    pub kernel: String,
    /// Total memory in KiB.
    pub mem_kib: u64,
    /// Compiler, as `rustc --version` says.
    pub rustc: String,
    /// Frequency governor of the first processor, or `none` where the machine has none (most virtual machines).
    pub governor: String,
    /// Whether the processor says it is virtual.
    pub hypervisor: bool,
    /// Load of the machine over the last minute when the run began.
    pub load_1m: f64,
    /// Where the sides of this workload run.
    pub pinning: String,
    /// Commit of the source, with `+changes` if the tree was not clean.
    pub commit: String,
    /// Cargo profile the sides were built with.
    pub profile: &'static str,
}

impl Machine {
    /// Reads the facts. What cannot be read is reported as `unknown`.
    #[must_use]
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            date: output_of("date", &["-u", "+%Y-%m-%d %H:%M"]).unwrap_or_else(unknown),
            cpu: field(&cpuinfo, "model name").unwrap_or_else(unknown),
            cpus: cpu_count(),
            kernel: line_of("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            mem_kib: kib_of("/proc/meminfo", "MemTotal").unwrap_or(0),
            rustc: output_of("rustc", &["--version"]).unwrap_or_else(unknown),
            governor: line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .unwrap_or_else(|| "none".into()),
            hypervisor: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
            load_1m: line_of("/proc/loadavg")
                .and_then(|line| line.split(' ').next().and_then(|first| first.parse().ok()))
                .unwrap_or(0.0),
            pinning: String::new(),
            commit: commit(),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        }
    }
}

/// Logical processors this process may use.
#[must_use]
pub fn cpu_count() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Pins the calling thread to one processor; `cpu` wraps at the number of processors.
///
/// # Errors
/// [`RunError::Io`] when the system refuses, for example inside a container with a smaller set.
pub fn pin(cpu: usize) -> Result<(), RunError> {
    let mut set = CpuSet::new();
    set.set(cpu % cpu_count());
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|errno| RunError::Io { what: "pinning a thread to one processor", source: errno.into() })
}

/// Starts a named thread pinned to `cpu`.
///
/// # Errors
/// [`RunError::Io`] when no thread can be started.
pub fn pinned_thread<T: Send + 'static>(
    name: &'static str,
    cpu: usize,
    body: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<thread::JoinHandle<Result<T, RunError>>, RunError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            pin(cpu)?;
            body()
        })
        .map_err(RunError::io("starting a thread"))
}

/// Waits for a thread started with [`pinned_thread`].
///
/// # Errors
/// What the thread returned, or [`RunError::Work`] when it panicked.
pub fn join<T>(handle: thread::JoinHandle<Result<T, RunError>>) -> Result<T, RunError> {
    handle.join().map_err(|_| RunError::work("a bench thread panicked"))?
}

/// Resident set of this process in bytes, counted page by page: the cheap counters lag by some hundred KiB.
#[must_use]
pub fn resident_bytes() -> u64 {
    kib_of("/proc/self/smaps_rollup", "Rss").unwrap_or(0) * 1024
}

/// Highest resident set of this process so far, in KiB.
#[must_use]
pub fn peak_resident_kib() -> u64 {
    kib_of("/proc/self/status", "VmHWM").unwrap_or(0)
}

/// CPU seconds this process has used, user and system.
#[must_use]
pub fn cpu_seconds() -> f64 {
    // Fields 14 and 15 of stat, after the name in parentheses, in ticks of 10 ms (USER_HZ is 100 on every Linux ABI).
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}

/// Nanoseconds that the living threads of this process have run, the scheduler's own count.
///
/// # Errors
/// [`RunError::Io`] when the kernel keeps no such count.
pub fn thread_nanos() -> Result<u64, RunError> {
    let tasks =
        fs::read_dir("/proc/self/task").map_err(RunError::io("listing the threads of this process"))?;
    let mut total = 0;
    for task in tasks {
        let path =
            task.map_err(RunError::io("listing the threads of this process"))?.path().join("schedstat");
        let text = fs::read_to_string(path).map_err(RunError::io("reading a thread's schedstat"))?;
        let nanos: Option<u64> = text.split(' ').next().and_then(|first| first.parse().ok());
        total += nanos.ok_or_else(|| RunError::work("a thread's schedstat holds no number"))?;
    }
    Ok(total)
}

fn unknown() -> String {
    "unknown".into()
}

fn line_of(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn kib_of(path: &str, name: &str) -> Option<u64> {
    let value = field(&fs::read_to_string(path).ok()?, name)?;
    value.split(' ').next()?.parse().ok()
}

fn output_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn commit() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let Some(commit) = output_of("git", &["-C", root, "rev-parse", "--short=12", "HEAD"]) else {
        return unknown();
    };
    let clean = output_of("git", &["-C", root, "status", "--porcelain", "--untracked-files=no"]);
    if clean.is_some_and(|changes| changes.is_empty()) { commit } else { format!("{commit}+changes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_where_it_was_told() {
        let handle = pinned_thread("pin-test", 0, || {
            let set = rustix::thread::sched_getaffinity(None).map_err(RunError::work)?;
            Ok((set.count(), set.is_set(0)))
        });
        let (count, first) = join(handle.expect("a thread starts")).expect("affinity is readable");
        assert_eq!((count, first), (1, true));
    }

    #[test]
    fn the_process_figures_are_read() {
        assert!(resident_bytes() > 100_000);
        assert!(peak_resident_kib() > 100);
        let before = resident_bytes();
        let touched = std::hint::black_box(vec![1u8; 1 << 20]);
        assert!(resident_bytes() >= before + touched.len() as u64 * 9 / 10, "a touched megabyte is not seen");
        assert!(thread_nanos().expect("schedstat is readable") > 0);
        assert!(kib_of("/proc/meminfo", "MemTotal").is_some_and(|kib| kib > 0));
    }
}
