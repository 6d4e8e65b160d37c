//! The scenarios by name, and how a node starts them.

use crate::{Settings, hog, messaging};
use shard_runtime::{Node, NodeError};
use std::fmt;
use std::str::FromStr;

/// A scenario of this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Scenario {
    /// See [`messaging`].
    Messaging,
    /// See [`hog`].
    Hog,
}

/// There is no scenario of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario {name:?}; known are {}", known())]
pub struct UnknownScenario {
    /// The name.
    pub name: String,
}

fn known() -> String {
    Scenario::ALL.map(Scenario::name).join(", ")
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Messaging, Self::Hog];

    /// Its name, as in `SCENARIOS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messaging => "messaging",
            Self::Hog => "hog",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(name: &str) -> Result<Self, UnknownScenario> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.name() == name);
        found.ok_or_else(|| UnknownScenario { name: name.to_owned() })
    }
}

/// Starts a scenario's processes on a node.
///
/// # Errors
/// A process could not be started; its name is taken, for example, because the scenario runs already.
pub fn start(scenario: Scenario, node: &Node, settings: &Settings) -> Result<(), NodeError> {
    match scenario {
        Scenario::Messaging => Ok(messaging::start(node, settings)?),
        Scenario::Hog => Ok(hog::start(node)?),
    }
}

#[cfg(test)]
mod tests {
    use super::Scenario;

    #[test]
    fn names_read_back_and_unknown_ones_list_the_known() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
        let error = "latencyy".parse::<Scenario>().unwrap_err().to_string();
        assert_eq!(error, "there is no scenario \"latencyy\"; known are messaging, hog");
    }
}
