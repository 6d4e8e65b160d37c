//! The guard of a program: a thread that starts it, waits for its end, and sees to it that it ends.
//!
//! Starting a program and waiting for it block, which a shard must not. Invariants: G1 a program that was started is waited for, so
//! it leaves no zombie, and its group gets SIGKILL before its number can be used again. G2 once the port has let go of its end of
//! the order pipe, the program has its graces and no more. G3 the news of its end is told once: by the port, or by whoever drops
//! its [`Exit`].
//! Cost: a thread per running program.

use crate::io::IoTarget;
use crate::io::port::{Port, PortStatus, PortTerminate};
use crate::oneshot::Sender;
use crate::shard::Home;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use shard_wire::Alias;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::AcqRel;
use std::time::Duration;

/// Whom the end of a program is told, should the port not be there to do it.
pub(super) struct News {
    pub(super) home: Home,
    pub(super) target: IoTarget,
    pub(super) id: Alias,
    pub(super) tag: Arc<str>,
    /// The receiver knows of the program, and not yet of its end.
    pub(super) is_known: Arc<AtomicBool>,
}

/// The end of a program. Dropped before the port has told it, it tells it (G3).
pub(super) struct Exit {
    pub(super) status: PortStatus,
    news: News,
}

impl Drop for Exit {
    fn drop(&mut self) {
        // ORDERING: whoever takes the flag tells; it follows the message about the start, sent before the flag was set.
        if !self.news.is_known.swap(false, AcqRel) {
            return;
        }
        let (id, tag) = (self.news.id, Arc::clone(&self.news.tag));
        let (target, status) = (self.news.target.clone(), self.status.clone());
        self.news.home.post(move |shard| target.tell(shard, PortTerminate { id, tag, status }));
    }
}

/// A program that runs.
pub(super) struct Launched {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Dropped, the program is to end.
    pub(super) order: PipeWriter,
}

/// Starts the program and guards it to its end. Blocks.
pub(super) fn guard(port: &Port, launched: Sender<io::Result<Launched>>, ended: Sender<Exit>, news: News) {
    let (mut child, pidfd, orders) = match launch(port) {
        Ok((parts, child, pidfd, orders)) => {
            // A port that is gone has dropped the parts, and with them the order pipe (G2).
            let _gone = launched.send(Ok(parts));
            (child, pidfd, orders)
        }
        Err(error) => {
            let _gone = launched.send(Err(error));
            return;
        }
    };
    let group = Pid::from_child(&child);
    wait(&pidfd, orders, port.graces, group);
    // It is not waited for yet, so its number still names its group.
    let _empty = kill_process_group(group, Signal::KILL);
    let status = match child.wait() {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => PortStatus::Exited(code),
            (None, Some(signal)) => PortStatus::Signaled(signal),
            (None, None) => PortStatus::Unknown { reason: status.to_string() },
        },
        Err(error) => PortStatus::Unknown { reason: error.to_string() },
    };
    // If the port is gone, the exit comes back, and tells as it is dropped.
    let _gone = ended.send(Exit { status, news });
}

fn launch(port: &Port) -> io::Result<(Launched, Child, OwnedFd, PipeReader)> {
    let (orders, order) = io::pipe()?;
    let mut child = port.command().spawn()?;
    let parts = (|| {
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let launched = Launched {
            pid: child.id(),
            pidfd: pidfd.try_clone()?,
            stdin: child.stdin.take().ok_or_else(missing)?.into(),
            stdout: child.stdout.take().ok_or_else(missing)?.into(),
            stderr: child.stderr.take().ok_or_else(missing)?.into(),
            order,
        };
        for pipe in [&launched.stdin, &launched.stdout, &launched.stderr] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok((launched, pidfd))
    })();
    match parts {
        Ok((launched, pidfd)) => Ok((launched, child, pidfd, orders)),
        Err(error) => {
            // It runs, and nobody could talk to it.
            let _gone = child.kill();
            let _unknown = child.wait();
            Err(error)
        }
    }
}

/// Waits for the end of the program, and brings it about when it is ordered to.
fn wait(pidfd: &OwnedFd, orders: PipeReader, graces: [Duration; 2], group: Pid) {
    let mut orders = Some(orders);
    let mut steps = graces.into_iter().zip([Signal::TERM, Signal::KILL]);
    let mut step = None;
    loop {
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        fds.extend(orders.iter().map(|orders| PollFd::new(orders, PollFlags::IN)));
        let limit = step.map(|(grace, _): (Duration, Signal)| Timespec {
            tv_sec: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: grace.subsec_nanos().into(),
        });
        let found = match poll(&mut fds, limit.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            // Nothing can be waited for: then at least it ends.
            Err(_) => return,
            Ok(found) => found,
        };
        if fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            return;
        }
        let is_ordered = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if is_ordered {
            orders = None;
            step = steps.next();
        } else if found == 0 {
            if let Some((_, signal)) = step {
                let _empty = kill_process_group(group, signal);
            }
            step = steps.next();
        }
    }
}
