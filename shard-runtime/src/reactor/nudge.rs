//! A signal that ends the system call a shard's thread waits in.
//!
//! The executor of a shard has been seen to wait for ever although its timers were due and its wake-up descriptor was
//! written: then waking a task does not help, for it is the wait that does not end. A signal ends every wait.
//! Invariants: K1 the handler does nothing, and is installed once, and only where nobody else handles the signal. K2 a
//! thread is named by process and thread id: a signal for a thread that has ended is refused by the kernel.
#![expect(unsafe_code, reason = "three system calls; proven by a_thread_that_waits_is_woken")]

use std::io;
use std::sync::OnceLock;

/// Ignored by default, so a program that never needs it never notices.
const SIGNAL: libc::c_int = libc::SIGURG;

extern "C" fn nothing(_: libc::c_int) {}

/// Id of the calling thread in the operating system.
pub(crate) fn thread_id() -> u64 {
    // SAFETY: no memory is involved.
    let id = unsafe { libc::gettid() };
    u64::try_from(id).unwrap_or(0)
}

/// Ends the wait of a thread of this process.
///
/// # Errors
/// The thread has ended, or the program handles the signal itself.
pub(crate) fn nudge(thread: u64) -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    INSTALLED.get_or_init(|| install().map_err(|error| error.kind())).map_err(io::Error::from)?;
    let thread =
        libc::pid_t::try_from(thread).ok().filter(|id| *id > 0).ok_or(io::ErrorKind::InvalidInput)?;
    let process = std::process::id();
    // SAFETY: K2: no memory is involved.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, SIGNAL) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn install() -> io::Result<()> {
    let mut before = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only, and writes to a place of its type.
    let asked = unsafe { libc::sigaction(SIGNAL, std::ptr::null(), before.as_mut_ptr()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, which is a valid value, and then written by the kernel.
    let before = unsafe { before.assume_init() };
    if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // Without `SA_RESTART`: the call is to end.
    let mut action = before;
    action.sa_sigaction = nothing as *const () as libc::sighandler_t;
    action.sa_flags = 0;
    // SAFETY: K1: the handler does nothing; the action is a whole one.
    let set = unsafe { libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::{nudge, thread_id};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;

    #[test]
    fn a_thread_that_waits_is_woken() {
        let (tell, told) = channel();
        let (silent, _other) = UnixStream::pair().unwrap();
        let waiting = crate::reactor::spawn_thread("waits", move || {
            tell.send(thread_id()).unwrap();
            let mut fds = [rustix::event::PollFd::new(&silent, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None)
        })
        .unwrap();
        let id = told.recv().unwrap();
        // The first may come before it waits.
        while !waiting.is_finished() {
            nudge(id).ok();
            std::thread::yield_now();
        }
        assert_eq!(waiting.join().unwrap(), Err(rustix::io::Errno::INTR));
        nudge(id).unwrap_err();
        nudge(0).unwrap_err();
    }
}
