//! A node as a child process: started, watched through its logs, signalled, reaped.
//!
//! Owns: the child and its two log files. Invariant: N1 a child does not outlive its [`NodeProcess`].
//! Threads: none; the child writes into files, so nothing needs to drain a pipe.

use super::binary::node_binary;
use super::eventually::poll;
use super::sys::{self, Restriction, Signal};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What to start and where its logs go.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    program: PathBuf,
    label: String,
    logs: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    restrictions: Vec<Restriction>,
}

impl NodeSpec {
    /// The program `node`, with logs `<label>.out` and `<label>.err` in the folder `logs`.
    ///
    /// # Errors
    /// If the program cannot be built.
    pub fn node(label: &str, logs: &Path) -> io::Result<Self> {
        Ok(Self::program(node_binary()?, label, logs))
    }

    /// Any program.
    #[must_use]
    pub fn program(program: impl Into<PathBuf>, label: &str, logs: &Path) -> Self {
        Self {
            program: program.into(),
            label: label.to_owned(),
            logs: logs.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            restrictions: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn with_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn with_arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the child's environment.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Takes something away from the child before it starts.
    #[must_use]
    pub fn with_restriction(mut self, restriction: Restriction) -> Self {
        self.restrictions.push(restriction);
        self
    }

    /// Starts it. Logs of an earlier run with the same label are continued, not replaced.
    ///
    /// # Errors
    /// If a log cannot be opened, the program not be started, or a restriction not be set.
    pub fn start(&self) -> io::Result<NodeProcess> {
        let log = |ending: &str| self.logs.join(format!("{}.{ending}", self.label));
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        let (out, err) = (log("out"), log("err"));
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(open(&out)?)
            .stderr(open(&err)?);
        for restriction in &self.restrictions {
            sys::restrict(&mut command, *restriction);
        }
        Ok(NodeProcess { child: command.spawn()?, label: self.label.clone(), out, err })
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    label: String,
    out: PathBuf,
    err: PathBuf,
}

impl NodeProcess {
    /// Process id in the operating system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far, by all runs with this label.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.out)
    }

    /// What it wrote to standard error so far, by all runs with this label.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.err)
    }

    /// Whether it has not exited. A stopped process runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it has exited already.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::other(format!("{} has exited: {status}", self.label)));
        }
        sys::signal(self.child.id(), signal)
    }

    /// Waits for its end; `None` if it still runs after `within`.
    ///
    /// # Errors
    /// If the operating system cannot tell.
    pub fn wait(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        poll(within, || self.child.try_wait().transpose()).transpose()
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // N1. It may have exited by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::NodeSpec;
    use crate::harness::{Restriction, Signal, TempDir, eventually};
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(30);

    fn shell(script: &str, logs: &TempDir) -> NodeSpec {
        NodeSpec::program("/bin/sh", "child", logs.path()).with_arguments(["-c", script])
    }

    fn python(script: &str, logs: &TempDir) -> NodeSpec {
        NodeSpec::program("/usr/bin/env", "child", logs.path()).with_arguments(["python3", "-c", script])
    }

    #[test]
    fn logs_and_exit_status_are_captured() {
        let logs = TempDir::new("node").unwrap();
        let mut child = shell("echo up; echo \"$WHO is down\" >&2; exit 78", &logs)
            .with_variable("WHO", "n1")
            .start()
            .unwrap();
        assert_eq!(child.wait(SOON).unwrap().unwrap().code(), Some(78));
        assert_eq!((child.stdout().as_str(), child.stderr().as_str()), ("up\n", "n1 is down\n"));
        assert!(!child.is_running());
        child.signal(Signal::Terminate).unwrap_err();
    }

    #[test]
    fn signals_arrive_and_a_stopped_child_stands_still() {
        let logs = TempDir::new("node").unwrap();
        let mut child =
            shell("trap 'echo bye; exit 3' TERM; echo up; while :; do :; done", &logs).start().unwrap();
        eventually(SOON, "the trap is set", || child.stdout() == "up\n");
        let state = |id: u32| std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap().contains(") T ");
        child.signal(Signal::Stop).unwrap();
        eventually(SOON, "it stands still", || state(child.id()));
        child.signal(Signal::Continue).unwrap();
        eventually(SOON, "it runs again", || !state(child.id()));
        assert_eq!(child.wait(Duration::ZERO).unwrap(), None);
        child.signal(Signal::Terminate).unwrap();
        assert_eq!(child.wait(SOON).unwrap().unwrap().code(), Some(3));
        assert_eq!(child.stdout(), "up\nbye\n");
    }

    #[test]
    fn a_child_is_killed_by_hand_and_by_drop() {
        let logs = TempDir::new("node").unwrap();
        let mut child = shell("while :; do :; done", &logs).start().unwrap();
        assert_eq!(child.kill().unwrap().signal(), Some(9));
        let child = shell("while :; do :; done", &logs).start().unwrap();
        let proc = format!("/proc/{}", child.id());
        assert!(Path::new(&proc).exists());
        drop(child);
        assert!(!Path::new(&proc).exists());
    }

    #[test]
    fn io_uring_is_denied_to_a_restricted_child() {
        let logs = TempDir::new("node").unwrap();
        let script = "import ctypes, os; c = ctypes.CDLL(None, use_errno=True)\n\
                      for n in (425, 426, 427): r = c.syscall(n, -1, 0, 0, 0, 0, 0); print(n, r, ctypes.get_errno())\n\
                      print('alive', os.getpid() > 0)";
        let mut free = python(script, &logs).start().unwrap();
        assert!(free.wait(SOON).unwrap().unwrap().success(), "{}", free.stderr());
        assert!(
            !free.stdout().contains("425 -1 1\n"),
            "the machine itself denies io_uring: {}",
            free.stdout()
        );
        let logs = TempDir::new("node").unwrap();
        let mut denied = python(script, &logs).with_restriction(Restriction::DenyIoUring).start().unwrap();
        assert!(denied.wait(SOON).unwrap().unwrap().success(), "{}", denied.stderr());
        assert_eq!(denied.stdout(), "425 -1 1\n426 -1 1\n427 -1 1\nalive True\n");
    }

    #[test]
    fn locked_memory_is_limited_for_a_restricted_child() {
        let logs = TempDir::new("node").unwrap();
        let script = "import resource; print(resource.getrlimit(resource.RLIMIT_MEMLOCK))";
        let mut child = python(script, &logs)
            .with_restriction(Restriction::LockedMemory { bytes: 65_536 })
            .start()
            .unwrap();
        assert!(child.wait(SOON).unwrap().unwrap().success(), "{}", child.stderr());
        assert_eq!(child.stdout(), "(65536, 65536)\n");
    }
}
