//! Which registrar a node uses.

/// Where the embedded registrar of a host is found unless told otherwise.
pub(crate) const DEFAULT_REGISTRAR: &str = "127.0.0.1:4499";

/// Which registrar a node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarSpec {
    address: String,
}

impl RegistrarSpec {
    /// The embedded registrar: the first node on the host serves at this address, the others connect to it, and when the
    /// serving node goes another takes over. All nodes of a host must name the same address.
    #[must_use]
    pub fn embedded(address: impl Into<String>) -> Self {
        Self { address: address.into() }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Default for RegistrarSpec {
    fn default() -> Self {
        Self::embedded(DEFAULT_REGISTRAR)
    }
}
