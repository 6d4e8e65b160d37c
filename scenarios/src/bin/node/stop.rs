//! What ends the program: SIGTERM, SIGINT, or the end of standard input.
//!
//! Threads: one that waits for signals, one that reads standard input if asked to; both end with the program.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fmt;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

/// Why to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Signal(i32),
    StdinEnded,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(SIGINT) => f.write_str("SIGINT"),
            Self::Signal(SIGTERM) => f.write_str("SIGTERM"),
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::StdinEnded => {
                f.write_str("standard input ended: the program that started this one is gone")
            }
        }
    }
}

/// The wait for an end.
#[derive(Debug)]
pub(crate) struct Stop(Receiver<Why>);

impl Stop {
    /// Waits until there is a reason.
    pub(crate) fn wait(&self) -> Why {
        // The signal thread lives as long as the program, so there is a sender.
        self.0.recv().unwrap_or(Why::StdinEnded)
    }
}

/// Watches from now on, so that a signal during the start is not lost.
pub(crate) fn watch(stdin: bool) -> io::Result<Stop> {
    let (tell, stop) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let told = tell.clone();
    Builder::new().name("signals".into()).spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(128 + signal);
            }
            if told.send(Why::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    if stdin {
        Builder::new().name("stdin".into()).spawn(move || until_stdin_ends(&tell))?;
    }
    Ok(Stop(stop))
}

fn until_stdin_ends(tell: &Sender<Why>) {
    let mut ignored = [0; 512];
    let mut stdin = io::stdin().lock();
    loop {
        match stdin.read(&mut ignored) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    // Nobody waits any more when the program stops already.
    let _ = tell.send(Why::StdinEnded);
}
