//! What a workload is: a name, a unit, a direction, and the sides that do the same work.

use serde::{Deserialize, Serialize};

use crate::error::RunError;

/// Whether a higher or a lower figure is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// A rate.
    Higher,
    /// A latency, a duration, or memory.
    Lower,
}

impl Better {
    /// How many times better `ours` is than `theirs`: above 1 always means ours is better.
    #[must_use]
    pub fn ratio(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Self::Higher => ours / theirs,
            Self::Lower => theirs / ours,
        }
    }
}

/// How much work a side does in one run.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    divide: u64,
}

impl Scale {
    /// Full work divided by `divide` (0 counts as 1).
    #[must_use]
    pub fn divided_by(divide: u64) -> Self {
        Self { divide: divide.max(1) }
    }

    /// The divisor, to hand on to another process.
    #[must_use]
    pub fn divisor(self) -> u64 {
        self.divide
    }

    /// The count to use where full work is `full`; at least 1000, or `full` if that is less.
    #[must_use]
    pub fn of(self, full: u64) -> u64 {
        (full / self.divide).max(full.min(1000))
    }
}

/// What a side is told about its run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Workload it belongs to; a side may serve several.
    pub workload: &'static str,
    /// The name of the side.
    pub side: &'static str,
    /// How much to do.
    pub scale: Scale,
    /// The other end of the side, if it has two.
    pub partner: Option<Partner>,
}

/// How the name of a workload ends whose two ends are threads of one OS process.
pub const ONE_PROCESS: &str = "_one_process";

impl Run {
    /// Whether both ends are in this OS process.
    #[must_use]
    pub fn is_one_process(self) -> bool {
        self.workload.ends_with(ONE_PROCESS)
    }

    /// Which quantile of its samples the workload asks for by the end of its name; the median unless it says.
    #[must_use]
    pub fn quantile(self) -> f64 {
        if self.workload.ends_with("_p99") {
            0.99
        } else if self.workload.ends_with("_p999") {
            0.999
        } else {
            0.5
        }
    }

    /// How many calls are in progress at once: the number at the end of the workload's name, 1 if it has none.
    #[must_use]
    pub fn depth(self) -> u64 {
        self.workload.rsplit_once('_').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
    }
}

/// One figure, measured once, in the unit of the workload.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sample {
    /// The figure.
    pub value: f64,
    /// CPU seconds of the child process, user and system, set-up included.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// Highest resident set of the child process, in KiB.
    #[serde(default)]
    pub peak_rss_kib: u64,
}

impl Sample {
    /// A sample before the child's own totals are known.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { value, cpu_seconds: 0.0, peak_rss_kib: 0 }
    }
}

/// Does the work once and returns the figure.
pub type Measure = fn(Run) -> Result<f64, RunError>;

/// The other end of a side that needs two: told the side's name and a text (usually a port) by the first.
pub type Partner = fn(Run, &str) -> Result<(), RunError>;

/// Which program does the work of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `runs` itself.
    Runs,
    /// `runs` from a build without instruments.
    Bare,
    /// The program in `benches/peers`.
    Peers,
}

impl Program {
    /// What a report says where the program is missing.
    #[must_use]
    pub fn missing(self) -> &'static str {
        match self {
            Self::Runs => "this program cannot be found",
            Self::Bare => "not built: make bare",
            Self::Peers => "peer not built: make peers",
        }
    }
}

/// Someone who does the work.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// `ours`, or the name of a peer.
    pub name: &'static str,
    /// Where its threads run, in words.
    pub pinning: &'static str,
    /// The program that has it.
    pub program: Program,
    /// Does the work.
    pub measure: Measure,
    /// The other end, if it needs one.
    pub partner: Option<Partner>,
}

/// The name of our own side.
pub const OURS: &str = "ours";

/// The name of our own side in a build without instruments, which is another program: see `make bare`.
pub const BARE: &str = "no_instruments";

/// What a [`Reference`] holds our side to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Our ratio to a peer: above 1 means ours is better.
    Ratio,
    /// Our figure itself, in the unit of the workload.
    Figure,
}

/// A figure to hold.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// Peer, the label of a derived ratio, or that of an absolute limit.
    pub against: &'static str,
    /// What the three figures are.
    pub basis: Basis,
    /// Below this a change is a regression.
    pub floor: f64,
    /// What the finished crates should hold.
    pub target: f64,
    /// Worth an article.
    pub stretch: f64,
}

/// A ratio to a system that cannot run here.
#[derive(Debug, Clone, Copy)]
pub enum Derived {
    /// Our ratio to `peer` in this run, times the recorded ratio of that peer to the absent one.
    Chain {
        /// Key of the derived ratio.
        label: &'static str,
        /// The peer measured in this run.
        peer: &'static str,
        /// Recorded figure of that peer.
        recorded_peer: f64,
        /// Recorded figure of the absent system, same unit, same machine class, same rounds.
        recorded_absent: f64,
    },
    /// Our figure against a recorded one in the unit of the workload.
    Recorded {
        /// Key of the derived ratio.
        label: &'static str,
        /// The recorded figure.
        figure: f64,
    },
}

impl Derived {
    /// The key under which the ratio is reported.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Chain { label, .. } | Self::Recorded { label, .. } => label,
        }
    }

    /// How the ratio came about, for the report.
    #[must_use]
    pub fn explanation(&self) -> String {
        match self {
            Self::Chain { peer, recorded_peer, recorded_absent, .. } => format!(
                "derived, not measured: our ratio to {peer} in this run x recorded {recorded_peer} / {recorded_absent}"
            ),
            Self::Recorded { figure, .. } => {
                format!("derived, not measured here: our figure against the recorded {figure}")
            }
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The name used by `--only` and in reports.
    pub name: &'static str,
    /// What is done, in one line.
    pub about: &'static str,
    /// Unit of every figure.
    pub unit: &'static str,
    /// Direction.
    pub better: Better,
    /// Ours (if it exists by now) and the peers.
    pub sides: &'static [Side],
    /// Ratios to systems that cannot run here.
    pub derived: &'static [Derived],
    /// Figures to hold.
    pub references: &'static [Reference],
}

impl Workload {
    /// The side called `name`.
    #[must_use]
    pub fn side(&self, name: &str) -> Option<&'static Side> {
        self.sides.iter().find(|side| side.name == name)
    }

    /// Whether no side has another end: such a workload concerns one node.
    #[must_use]
    pub fn is_one_node(&self) -> bool {
        self.sides.iter().all(|side| side.partner.is_none())
    }

    /// Whether a side of it is the program without instruments.
    #[must_use]
    pub fn needs_bare(&self) -> bool {
        self.sides.iter().any(|side| side.program == Program::Bare)
    }

    /// Whether our side exists.
    #[must_use]
    pub fn has_ours(&self) -> bool {
        self.side(OURS).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_means_ours_is_better_in_both_directions() {
        assert!((Better::Higher.ratio(200.0, 100.0) - 2.0).abs() < 1e-9);
        assert!((Better::Lower.ratio(100.0, 200.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_end_of_a_name_says_how_a_workload_is_run() {
        let run = |workload| Run { workload, side: OURS, scale: Scale::divided_by(1), partner: None };
        assert!(run("network_1_1_one_process").is_one_process() && !run("network_1_1").is_one_process());
        let quantiles = [run("rtt").quantile(), run("rtt_p99").quantile(), run("rtt_p999").quantile()];
        assert_eq!(quantiles.map(|quantile| (quantile * 1000.0).round()), [500.0, 990.0, 999.0]);
        assert_eq!((run("remote_call").depth(), run("remote_calls_64").depth()), (1, 64));
    }

    #[test]
    fn scale_keeps_a_least_amount_of_work() {
        assert_eq!(Scale::divided_by(0).of(3_000_000), 3_000_000);
        assert_eq!(Scale::divided_by(1_000_000).of(3_000_000), 1000);
        assert_eq!(Scale::divided_by(10).of(500), 500);
    }
}
