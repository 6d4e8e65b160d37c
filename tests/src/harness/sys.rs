//! The few system calls that std does not offer: signals, and what is taken from a child before it starts.
//!
//! Owns: the seccomp filter that denies io_uring (the same three calls as `deploy/seccomp/deny-io-uring.json`) and the
//! limit on locked memory.
//! Invariants: Y1 between fork and exec only `prctl` and `setrlimit` run, which are async-signal-safe, on data that was
//! built before the fork. Y2 a signal goes only to a child that is not reaped yet, so its id is not another's.
#![expect(
    unsafe_code,
    reason = "kill, and calls between fork and exec; proven by node::tests::io_uring_is_denied_to_a_restricted_child, \
              node::tests::locked_memory_is_limited_for_a_restricted_child and \
              node::tests::signals_arrive_and_a_stopped_child_stands_still"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// io_uring_setup, io_uring_enter, io_uring_register: the same numbers on x86-64 and on arm64.
const IO_URING: [libc::c_long; 3] =
    [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// What a child has to do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restriction {
    /// The three io_uring calls fail with `EPERM`, as under the default profile of container engines.
    DenyIoUring,
    /// Soft and hard limit on locked memory (`ulimit -l`).
    LockedMemory {
        /// The limit, in bytes.
        bytes: u64,
    },
}

/// A signal to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGTERM`: shut down in order.
    Terminate,
    /// `SIGINT`: what Ctrl-C sends.
    Interrupt,
    /// `SIGSTOP`: stand still; cannot be caught.
    Stop,
    /// `SIGCONT`: run again.
    Continue,
    /// `SIGKILL`: gone at once.
    Kill,
    /// `SIGUSR1`: what it means is the program's to say.
    User1,
    /// `SIGUSR2`: likewise.
    User2,
}

/// Sends `signal` to a child that the caller has not reaped (Y2).
pub(super) fn signal(id: u32, signal: Signal) -> io::Result<()> {
    let number = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Interrupt => libc::SIGINT,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
        Signal::Kill => libc::SIGKILL,
        Signal::User1 => libc::SIGUSR1,
        Signal::User2 => libc::SIGUSR2,
    };
    // Zero would mean our own group, and a negative number somebody else's.
    let id = libc::pid_t::try_from(id).ok().filter(|id| *id > 0).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: no memory is involved; Y2 makes the id our child's.
    check(unsafe { libc::kill(id, number) })
}

/// Makes `command` start its child under `restriction`. Starting fails if it cannot be set.
pub(super) fn restrict(command: &mut Command, restriction: Restriction) {
    match restriction {
        Restriction::DenyIoUring => {
            let filter = deny(&IO_URING);
            // SAFETY: Y1: `install` only calls prctl, on the filter built above.
            unsafe { command.pre_exec(move || install(&filter)) };
        }
        Restriction::LockedMemory { bytes } => {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            let set = move || {
                // SAFETY: Y1: the limit lives in the closure, built before the fork.
                check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })
            };
            // SAFETY: Y1: the closure only calls setrlimit.
            unsafe { command.pre_exec(set) };
        }
    }
}

/// A classic BPF program over `seccomp_data`: its first word is the number of the call.
fn deny(calls: &[libc::c_long]) -> Vec<libc::sock_filter> {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let load_number = step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let errno = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let mut program = vec![load_number];
    for call in calls {
        let number = u32::try_from(*call).unwrap_or(u32::MAX);
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number));
        program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, errno));
    }
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    program
}

fn install(filter: &[libc::sock_filter]) -> io::Result<()> {
    let length = libc::c_ushort::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel only reads the program; its declaration has no const pointer.
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    let (one, zero): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: Y1: takes numbers only. Without privileges the kernel demands it before a filter.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) })?;
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: Y1: `program` points at `filter` with its true length, both alive during the call.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::{IO_URING, deny, signal};
    use crate::harness::Signal;

    #[test]
    fn the_profile_for_containers_denies_the_same_calls() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/seccomp/deny-io-uring.json");
        let profile: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ALLOW");
        let rules = profile["syscalls"].as_array().unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(
            (&rules[0]["action"], &rules[0]["errnoRet"]),
            (&"SCMP_ACT_ERRNO".into(), &libc::EPERM.into())
        );
        assert_eq!(
            rules[0]["names"],
            serde_json::json!(["io_uring_setup", "io_uring_enter", "io_uring_register"])
        );
        assert_eq!(IO_URING, [425, 426, 427]);
    }

    #[test]
    fn every_jump_of_the_filter_stays_inside() {
        let program = deny(&IO_URING);
        assert_eq!(program.len(), 8);
        for (at, step) in program.iter().enumerate() {
            assert!(at + 1 + usize::from(step.jt.max(step.jf)) <= program.len());
        }
    }

    #[test]
    fn a_signal_never_goes_to_a_group() {
        signal(0, Signal::Terminate).unwrap_err();
        signal(u32::MAX, Signal::Terminate).unwrap_err();
    }
}
