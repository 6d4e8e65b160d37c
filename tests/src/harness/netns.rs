//! Two network namespaces with a wire between them, and what can go wrong on it.
//!
//! Owns: the namespaces and the virtual wire, removed when dropped. Needs root, `ip`, `tc`, `ss` and `nft`.
//! Invariant: W1 names are those of this process and a running number, so tests do not meet.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::node::NodeSpec;

/// One end of a [`Wire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The first.
    A,
    /// The second.
    B,
}

impl End {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Two namespaces that are joined by a virtual wire.
#[derive(Debug)]
pub struct Wire {
    names: [String; 2],
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Wire {
    /// Makes both ends.
    ///
    /// # Errors
    /// If this process may not make namespaces, or a tool is missing; the text says which command failed and how.
    pub fn new() -> io::Result<Self> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}x{number}", std::process::id());
        let wire = Self { names: [format!("sw{id}a"), format!("sw{id}b")] };
        for end in [End::A, End::B] {
            run("ip", &["netns", "add", wire.name(end)])?;
        }
        let (a, b) = (wire.name(End::A), wire.name(End::B));
        let made = ["link", "add", "wire", "netns", a, "type", "veth", "peer", "name", "wire", "netns", b];
        run("ip", &made)?;
        for end in [End::A, End::B] {
            let address = format!("{}/24", Self::address(end));
            wire.run_at(end, "ip", &["addr", "add", &address, "dev", "wire"])?;
            wire.run_at(end, "ip", &["link", "set", "wire", "up"])?;
            wire.run_at(end, "ip", &["link", "set", "lo", "up"])?;
            wire.run_at(end, "nft", &["add table inet wire"])?;
            wire.run_at(end, "nft", &["add chain inet wire come { type filter hook input priority 0; }"])?;
            wire.run_at(end, "nft", &["add chain inet wire go { type filter hook output priority 0; }"])?;
        }
        Ok(wire)
    }

    /// Name of the namespace of an end.
    #[must_use]
    pub fn name(&self, end: End) -> &str {
        &self.names[usize::from(end == End::B)]
    }

    /// Address of an end.
    #[must_use]
    pub const fn address(end: End) -> &'static str {
        match end {
            End::A => "10.77.0.1",
            End::B => "10.77.0.2",
        }
    }

    /// A program that runs at this end.
    #[must_use]
    pub fn program(&self, end: End, program: &Path, label: &str, logs: &Path) -> NodeSpec {
        NodeSpec::program("ip", label, logs)
            .with_arguments(["netns", "exec", self.name(end)])
            .with_argument(program)
    }

    /// Runs a command at this end.
    ///
    /// # Errors
    /// If it fails.
    pub fn run_at(&self, end: End, program: &str, arguments: &[&str]) -> io::Result<()> {
        let mut all = vec!["netns", "exec", self.name(end), program];
        all.extend(arguments);
        run("ip", &all)
    }

    /// Nothing that the other end sends arrives here, and nobody is told.
    ///
    /// # Errors
    /// If the rule cannot be set.
    pub fn deafen(&self, end: End) -> io::Result<()> {
        let rule = format!("add rule inet wire come ip saddr {} drop", Self::address(end.other()));
        self.run_at(end, "nft", &[&rule])
    }

    /// Nothing leaves this end: a machine that has lost its power.
    ///
    /// # Errors
    /// If the rule cannot be set.
    pub fn mute(&self, end: End) -> io::Result<()> {
        let rule = format!("add rule inet wire go ip daddr {} drop", Self::address(end.other()));
        self.run_at(end, "nft", &[&rule])
    }

    /// So many percent of all packets, at most 99, are lost, in both directions.
    ///
    /// # Errors
    /// If the rule cannot be set.
    pub fn lose(&self, percent: u32) -> io::Result<()> {
        for end in [End::A, End::B] {
            let other = Self::address(end.other());
            let rule =
                format!("add rule inet wire come ip saddr {other} numgen random mod 100 < {percent} drop");
            self.run_at(end, "nft", &[&rule])?;
        }
        Ok(())
    }

    /// What leaves this end leaves at this rate, such as `2mbit`.
    ///
    /// # Errors
    /// If it cannot be set.
    pub fn slow_down(&self, end: End, rate: &str) -> io::Result<()> {
        let shape =
            ["qdisc", "replace", "dev", "wire", "root", "tbf", "rate", rate, "burst", "32kbit", "latency"];
        self.run_at(end, "tc", &[&shape[..], &["200ms"]].concat())
    }

    /// Ends all that was set by the above.
    ///
    /// # Errors
    /// If it cannot be undone.
    pub fn heal(&self) -> io::Result<()> {
        for end in [End::A, End::B] {
            self.run_at(end, "nft", &["flush chain inet wire come"])?;
            self.run_at(end, "nft", &["flush chain inet wire go"])?;
            // Without one it fails.
            drop(self.run_at(end, "tc", &["qdisc", "del", "dev", "wire", "root"]));
        }
        Ok(())
    }

    /// Resets all connections between the two ends, as the kernel of this end sees them: what was in its buffers is gone,
    /// and the peer gets a reset.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn reset(&self, end: End) -> io::Result<()> {
        self.run_at(end, "ss", &["-K", "dst", Self::address(end.other())])
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for end in [End::A, End::B] {
            // If that fails, it was never made.
            drop(run("ip", &["netns", "del", self.name(end)]));
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let what = || format!("{program} {}", arguments.join(" "));
    let out = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", what())))?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    Err(io::Error::other(format!("{}: {said} (network namespaces need root)", what())))
}

#[cfg(test)]
mod tests {
    use super::{End, Wire};

    #[test]
    fn what_is_set_on_a_wire_can_be_undone() {
        let wire = Wire::new().unwrap();
        let ping = |wire: &Wire| {
            wire.run_at(End::A, "python3", &["-c", "import socket; s = socket.socket(); s.settimeout(0.3); s.connect_ex(('10.77.0.2', 9)) == 111 or exit(1)"])
        };
        ping(&wire).unwrap();
        for set in [Wire::mute, Wire::deafen] {
            set(&wire, End::A).unwrap();
            ping(&wire).unwrap_err();
            wire.heal().unwrap();
            ping(&wire).unwrap();
        }
        wire.lose(99).unwrap();
        ping(&wire).unwrap_err();
        wire.heal().unwrap();
        wire.slow_down(End::B, "1mbit").unwrap();
        wire.reset(End::A).unwrap();
        ping(&wire).unwrap();
    }
}
