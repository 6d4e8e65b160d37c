//! Recorded figures and the ratios to hold, from the project's performance document.
//!
//! Ergo (Go) cannot run here. Its figures were recorded beside actix on the same machine class in the same rounds, so a
//! ratio to it is our ratio to actix in this run times the recorded ratio of actix to Ergo.

use crate::workload::{Basis, Better, Derived, Reference};

/// Label of a ratio to Ergo that was derived through a peer.
pub const ERGO: &str = "ergo (derived)";

/// Ergo local 1-1 (4.38 M msg/s) through actix on one arbiter, yielding every 1000 (33.5 M msg/s).
pub const ERGO_LOCAL_ONE: Derived =
    Derived::Chain { label: ERGO, peer: "actix", recorded_peer: 33.5, recorded_absent: 4.38 };

/// The same for a workload in which the peer `actix` does something else than the recorded work.
pub const ERGO_LOCAL_ONE_BY_YIELDING: Derived =
    Derived::Chain { label: ERGO, peer: "actix_yield_1000", recorded_peer: 33.5, recorded_absent: 4.38 };

/// Ergo local N-N (4.41 M msg/s) through actix across arbiters (9.71 M msg/s).
pub const ERGO_LOCAL_MANY: Derived =
    Derived::Chain { label: ERGO, peer: "actix", recorded_peer: 9.71, recorded_absent: 4.41 };

/// Ergo network 1-1 (1.61 M msg/s) through blocking sockets with 64-byte frames in 64 KiB batches (40.4 M frames/s).
pub const ERGO_NETWORK: Derived =
    Derived::Chain { label: ERGO, peer: "raw_socket", recorded_peer: 40.4, recorded_absent: 1.61 };

/// Ergo spawns 1 M processes in 14.5 s.
pub const ERGO_SPAWN_SECONDS: Derived = Derived::Recorded { label: ERGO, figure: 14.5 };

/// Ergo: 1 M processes of 10 nodes subscribe to one event in 31.8 s.
pub const ERGO_SUBSCRIBE_SECONDS: Derived = Derived::Recorded { label: ERGO, figure: 31.8 };

/// Ergo: one publication reaches 1 M subscribers on 10 nodes in 2.68 s.
pub const ERGO_DELIVER_SECONDS: Derived = Derived::Recorded { label: ERGO, figure: 2.68 };

/// Ergo holds 2.64 KB per process.
pub const ERGO_PROCESS_BYTES: Derived = Derived::Recorded { label: ERGO, figure: 2640.0 };

/// A rate: how many times the peer's.
#[must_use]
pub const fn at_least(against: &'static str, floor: f64, target: f64, stretch: f64) -> Reference {
    Reference { against, basis: Basis::Ratio, floor, target, stretch }
}

/// A latency or a size: at most so many times the peer's, kept as a ratio of which more is better.
#[must_use]
pub const fn at_most(against: &'static str, floor: f64, target: f64, stretch: f64) -> Reference {
    Reference {
        against,
        basis: Basis::Ratio,
        floor: 1.0 / floor,
        target: 1.0 / target,
        stretch: 1.0 / stretch,
    }
}

/// Label of a limit that our own figure is held to.
pub const LIMIT: &str = "limit";

/// Figures of our own, in the unit of the workload.
#[must_use]
pub const fn absolute(floor: f64, target: f64, stretch: f64) -> Reference {
    Reference { against: LIMIT, basis: Basis::Figure, floor, target, stretch }
}

/// Where a figure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A regression.
    BelowFloor,
    /// At or above the floor.
    Floor,
    /// At or above the target.
    Target,
    /// At or above the stretch.
    Stretch,
}

impl Verdict {
    /// Judges a ratio, or our own figure of a workload with the direction `better`.
    #[must_use]
    pub fn of(reference: &Reference, better: Better, value: f64) -> Self {
        // A ratio grows with our advantage, whatever the direction of the figures.
        let holds = |limit: f64| match (reference.basis, better) {
            (Basis::Figure, Better::Lower) => value <= limit,
            (Basis::Figure, Better::Higher) | (Basis::Ratio, _) => value >= limit,
        };
        if holds(reference.stretch) {
            Self::Stretch
        } else if holds(reference.target) {
            Self::Target
        } else if holds(reference.floor) {
            Self::Floor
        } else {
            Self::BelowFloor
        }
    }

    /// The word in the table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BelowFloor => "BELOW FLOOR",
            Self::Floor => "floor held",
            Self::Target => "target held",
            Self::Stretch => "stretch held",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_latencies_read_like_rates() {
        let wake = at_most("futex", 3.0, 2.0, 1.6);
        assert_eq!(Verdict::of(&wake, Better::Lower, 1.0 / 3.5), Verdict::BelowFloor);
        assert_eq!(Verdict::of(&wake, Better::Lower, 1.0 / 2.5), Verdict::Floor);
        assert_eq!(Verdict::of(&wake, Better::Lower, 1.0 / 1.9), Verdict::Target);
        assert_eq!(Verdict::of(&wake, Better::Lower, 1.0), Verdict::Stretch);
    }

    #[test]
    fn absolute_limits_follow_the_direction_of_the_figure() {
        let latency = absolute(1000.0, 200.0, 50.0);
        assert_eq!(Verdict::of(&latency, Better::Lower, 1000.1), Verdict::BelowFloor);
        assert_eq!(Verdict::of(&latency, Better::Lower, 900.0), Verdict::Floor);
        assert_eq!(Verdict::of(&latency, Better::Lower, 200.0), Verdict::Target);
        assert_eq!(Verdict::of(&latency, Better::Lower, 7.0), Verdict::Stretch);
        let rate = absolute(1.0, 2.0, 3.0);
        assert_eq!(Verdict::of(&rate, Better::Higher, 0.9), Verdict::BelowFloor);
        assert_eq!(Verdict::of(&rate, Better::Higher, 2.5), Verdict::Target);
    }
}
