//! The checks before a node starts: what glommio would answer with a panic or an exit is asked first and answered with a
//! typed error that names the remedy.

use crate::error::PreflightError;
use std::fmt;
use std::fs;
use std::io;

/// glommio refuses to start below this.
const MEMLOCK_BASE: u64 = 512 << 10;
/// What each executor registers.
const MEMLOCK_PER_SHARD: u64 = 64 << 10;
/// Descriptors of an executor, and of the threads around it.
const FILES_PER_SHARD: u64 = 8;
const FILES_BASE: u64 = 256;

/// Operations that glommio 0.9 probes for and would exit without.
const OPERATIONS: [(&str, u8); 9] = [
    ("read", io_uring::opcode::Read::CODE),
    ("write", io_uring::opcode::Write::CODE),
    ("poll_add", io_uring::opcode::PollAdd::CODE),
    ("timeout", io_uring::opcode::Timeout::CODE),
    ("accept", io_uring::opcode::Accept::CODE),
    ("connect", io_uring::opcode::Connect::CODE),
    ("send", io_uring::opcode::Send::CODE),
    ("recv", io_uring::opcode::Recv::CODE),
    ("async_cancel", io_uring::opcode::AsyncCancel::CODE),
];

/// One check of [`doctor`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// What was found.
    pub found: String,
    /// What is wrong and how to mend it; `None` if it holds.
    pub problem: Option<PreflightError>,
}

/// What [`doctor`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// All checks, in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether a node with that many shards can start here.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.problem.is_none())
    }

    /// The first problem.
    #[must_use]
    pub fn into_problem(self) -> Option<PreflightError> {
        self.checks.into_iter().find_map(|check| check.problem)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            match &check.problem {
                None => writeln!(f, "ok    {:<14} {}", check.name, check.found)?,
                Some(problem) => writeln!(f, "FAIL  {:<14} {}\n      {problem}", check.name, check.found)?,
            }
        }
        Ok(())
    }
}

/// Looks at everything a node with `shards` shards needs from this machine.
#[must_use]
pub fn doctor(shards: u16, pinned: bool) -> Report {
    Report {
        checks: vec![kernel(), io_uring_allowed(), memlock(shards), open_files(shards), cpus(shards, pinned)],
    }
}

fn kernel() -> Check {
    let found = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let mut parts = found.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let problem = (version < (5, 8)).then(|| PreflightError::Kernel { found: found.clone() });
    Check { name: "kernel", found, problem }
}

fn io_uring_allowed() -> Check {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    let disabled = disabled.and_then(|text| text.trim().parse::<u32>().ok());
    let (found, problem) = match io_uring::IoUring::new(4) {
        Ok(ring) => match missing_operation(&ring) {
            None => ("available".to_owned(), None),
            Some(operation) => {
                (format!("lacks {operation}"), Some(PreflightError::MissingOperation { operation }))
            }
        },
        Err(error) => (error.to_string(), Some(ring_problem(error, disabled))),
    };
    Check { name: "io_uring", found, problem }
}

fn ring_problem(error: io::Error, disabled: Option<u32>) -> PreflightError {
    match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some(value @ 1..)) => PreflightError::SysctlDisabled { value },
        (Some(libc::EPERM | libc::EACCES), _) => PreflightError::Seccomp,
        (Some(libc::ENOSYS), _) => PreflightError::NotSupported,
        _ => PreflightError::Ring(error),
    }
}

fn missing_operation(ring: &io_uring::IoUring) -> Option<&'static str> {
    let mut probe = io_uring::Probe::new();
    if ring.submitter().register_probe(&mut probe).is_err() {
        return Some("register_probe");
    }
    OPERATIONS.iter().find(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| *name)
}

fn memlock(shards: u16) -> Check {
    let found_bytes = limit(libc::RLIMIT_MEMLOCK);
    let need_bytes = MEMLOCK_BASE.max(u64::from(shards) * MEMLOCK_PER_SHARD);
    let need_kib = need_bytes >> 10;
    let problem = (found_bytes < need_bytes).then_some(PreflightError::Memlock {
        found_bytes,
        need_bytes,
        need_kib,
        shards,
    });
    Check { name: "memlock", found: limit_text(found_bytes), problem }
}

fn open_files(shards: u16) -> Check {
    let found = limit(libc::RLIMIT_NOFILE);
    let need = FILES_BASE + u64::from(shards) * FILES_PER_SHARD;
    let problem = (found < need).then_some(PreflightError::OpenFiles { found, need });
    Check { name: "open files", found: limit_text(found), problem }
}

fn cpus(shards: u16, pinned: bool) -> Check {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let problem = (pinned && usize::from(shards) > cpus).then_some(PreflightError::Cpus { shards, cpus });
    Check { name: "cpus", found: cpus.to_string(), problem }
}

fn limit(resource: libc::__rlimit_resource_t) -> u64 {
    crate::reactor::memory::soft_limit(resource).unwrap_or(u64::MAX)
}

fn limit_text(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{doctor, ring_problem};
    use crate::error::PreflightError;
    use std::io;

    #[test]
    fn a_denied_ring_names_its_cause() {
        let error = |code| io::Error::from_raw_os_error(code);
        assert!(matches!(ring_problem(error(libc::EPERM), Some(0)), PreflightError::Seccomp));
        assert!(matches!(ring_problem(error(libc::EPERM), None), PreflightError::Seccomp));
        assert!(matches!(
            ring_problem(error(libc::EPERM), Some(2)),
            PreflightError::SysctlDisabled { value: 2 }
        ));
        assert!(matches!(ring_problem(error(libc::ENOSYS), Some(0)), PreflightError::NotSupported));
        assert!(matches!(ring_problem(error(libc::ENOMEM), Some(0)), PreflightError::Ring(_)));
    }

    #[test]
    fn too_many_pinned_shards_are_refused_with_a_remedy() {
        let report = doctor(2047, true);
        assert!(!report.is_healthy());
        assert!(report.to_string().contains("pinned shards do not fit"), "{report}");
    }
}
