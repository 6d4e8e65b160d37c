//! How an external program is described.

use crate::error::IoError;
use crate::io::open::{Io, IoProcess, Opener};
use crate::io::port::process::PortProcess;
use crate::io::{Chunk, IoBytes, IoTarget};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// An external program, to be started with [`Context::spawn_io`](crate::Context::spawn_io).
///
/// Its receiver gets a [`PortStart`](crate::PortStart), then what the program writes: [`PortText`](crate::PortText) per line of its standard output, or [`PortData`](crate::PortData)
/// if it is [`binary`](Port::binary), and [`PortError`](crate::PortError) per line of its standard error; at last one [`PortTerminate`](crate::PortTerminate) with its exit
/// status. If it cannot be started, there is only a [`PortTerminate`](crate::PortTerminate) that says why. A [`PortData`](crate::PortData) sent to the port is written to
/// the program's standard input.
///
/// The program gets an **empty environment**, unless it is told otherwise, a process group of its own, and none of this process's
/// descriptors. While too much of what it wrote is unhandled, it is not read, and waits.
///
/// It never outlives its port. A port that is closed, or ends in any way, closes the program's standard input; if it still runs
/// after [`close_grace`](Port::close_grace), its group gets SIGTERM, and SIGKILL after [`term_grace`](Port::term_grace). When the
/// node stops, it is killed at once. What it has started in its group ends with it. There is one exception: if this OS process
/// itself is killed, nobody is left to do that; the program sees the end of its standard input.
///
/// ```no_run
/// use shard_runtime::Port;
/// let sorter = Port::program("sort").args(["-n"]).env("LC_ALL", "C").tag("sorter");
/// ```
#[derive(Clone)]
pub struct Port {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) inherits_env: bool,
    pub(super) dir: Option<PathBuf>,
    pub(super) tag: Arc<str>,
    pub(super) target: Option<IoTarget>,
    pub(super) is_binary: bool,
    pub(super) chunk: Option<Chunk>,
    pub(super) max_line: usize,
    pub(super) window: usize,
    pub(super) max_pending: usize,
    pub(super) keep_alive: Option<(IoBytes, Duration)>,
    pub(super) graces: [Duration; 2],
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of the environment may be secrets.
        f.debug_struct("Port").field("program", &self.program).field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl Port {
    /// A program: a path, or a name that is searched in the `PATH` of its environment, or of the system if that has none.
    #[must_use]
    pub fn program(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            inherits_env: false,
            dir: None,
            tag: "".into(),
            target: None,
            is_binary: false,
            chunk: None,
            max_line: 64 << 10,
            window: 256 << 10,
            max_pending: 1 << 20,
            keep_alive: None,
            graces: [Duration::from_secs(5), Duration::from_secs(2)],
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Gives it the environment of this OS process, below what [`env`](Port::env) sets. Default: it is empty.
    #[must_use]
    pub fn inherit_env(mut self) -> Self {
        self.inherits_env = true;
        self
    }

    /// Sets its working directory. Default: that of this OS process.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets a text that all messages about it carry. Default: none.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tag = tag.into();
        self
    }

    /// Sets the receiver. Default: the process that starts it.
    #[must_use]
    pub fn to(mut self, target: impl Into<IoTarget>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Hands out its standard output line by line. This is the default.
    #[must_use]
    pub fn text(mut self) -> Self {
        self.is_binary = false;
        self
    }

    /// Hands out its standard output as bytes: each read, or each frame of a [`chunk`](Port::chunk).
    #[must_use]
    pub fn binary(mut self) -> Self {
        self.is_binary = true;
        self
    }

    /// Hands out its standard output as bytes, cut into frames. One that is too long ends the port.
    #[must_use]
    pub fn chunk(mut self, chunk: Chunk) -> Self {
        self.chunk = Some(chunk);
        self.binary()
    }

    /// Sets the longest line. Of a longer one the begin is handed out, marked as cut, and the rest is thrown away. Default 64 KiB.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes;
        self
    }

    /// Sets how many bytes that were read may be unhandled before the program is not read on. Default 256 KiB; one read, of 64 KiB
    /// at most, may exceed it.
    #[must_use]
    pub fn max_unhandled(mut self, bytes: usize) -> Self {
        self.window = bytes;
        self
    }

    /// Sets how many bytes may wait for the program to read them before the port ends. Default 1 MiB.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = bytes;
        self
    }

    /// Writes these bytes to the program's standard input when nothing was written to it for `every`. Default: nothing is written.
    ///
    /// While something waits for the program to read it, no more of them is added, so a program that does not read costs no more
    /// than one of them.
    ///
    /// ```no_run
    /// use shard_runtime::Port;
    /// use std::time::Duration;
    /// let watched = Port::program("worker").keep_alive("ping\n", Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn keep_alive(mut self, bytes: impl Into<IoBytes>, every: Duration) -> Self {
        self.keep_alive = Some((bytes.into(), every));
        self
    }

    /// Sets how long the program has to end by itself once its standard input is closed. Default 5 s.
    #[must_use]
    pub fn close_grace(mut self, grace: Duration) -> Self {
        self.graces[0] = grace;
        self
    }

    /// Sets how long it has to end after SIGTERM. Default 2 s.
    #[must_use]
    pub fn term_grace(mut self, grace: Duration) -> Self {
        self.graces[1] = grace;
        self
    }

    fn check(&self) -> Result<(), IoError> {
        for (option, value) in
            [("max_line", self.max_line), ("max_unhandled", self.window), ("max_pending", self.max_pending)]
        {
            if value == 0 {
                return Err(IoError::BadOption { option, value: "0".to_owned(), must_be: "at least 1 byte" });
            }
        }
        if let Some((bytes, every)) = &self.keep_alive
            && (bytes.is_empty() || every.is_zero())
        {
            let value = format!("{} bytes every {every:?}", bytes.len());
            let must_be = "some bytes and a period longer than nothing";
            return Err(IoError::BadOption { option: "keep_alive", value, must_be });
        }
        if let Some((key, _)) = self.env.iter().find(|(key, _)| key.is_empty() || key.contains(['=', '\0'])) {
            let must_be = "a name that is not empty and has no `=`";
            return Err(IoError::BadOption { option: "env", value: key.clone(), must_be });
        }
        self.chunk.as_ref().map_or(Ok(()), Chunk::check)
    }

    /// What the system is told to start.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !self.inherits_env {
            command.env_clear();
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }
}

impl IoProcess for Port {
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError> {
        self.check()?;
        // A simulation is refused here, not by a message.
        opener.shard.poller()?;
        let target = self.target.clone().unwrap_or_else(|| opener.owner().into());
        opener.spawn(|ident| PortProcess::new(ident, target, self), None)
    }
}
