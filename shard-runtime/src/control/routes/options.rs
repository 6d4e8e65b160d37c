//! What a program says of a route.

#[cfg(feature = "tls")]
use crate::io::LinkTls;
use std::fmt;

/// Where a route leads, and how links are dialled there.
///
/// ```
/// use shard_runtime::{Node, RouteOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = [7_u8, 21, 99, 3, 5, 8, 13, 42, 200].repeat(4);
/// let partner = RouteOptions::new("127.0.0.1:4700").cookie(&secret).weight(10).fall_back_to_registrar(false);
/// let builder = Node::builder("demo@localhost").cookie("secret").route("partner-*@*", partner);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RouteOptions {
    pub(crate) address: String,
    pub(crate) weight: u32,
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) previous_cookie: Option<Vec<u8>>,
    pub(crate) tls: RouteTls,
    pub(crate) falls_back: bool,
}

/// How a route is encrypted.
#[derive(Clone, Debug)]
pub(crate) enum RouteTls {
    /// As the node's other links.
    Node,
    /// With an identity, authorities and names of its own.
    #[cfg(feature = "tls")]
    Own(LinkTls),
    /// Not at all.
    Off,
}

impl fmt::Debug for RouteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never a cookie.
        f.debug_struct("RouteOptions")
            .field("address", &self.address)
            .field("weight", &self.weight)
            .field("has_cookie", &self.cookie.is_some())
            .field("tls", &self.tls)
            .field("falls_back", &self.falls_back)
            .finish_non_exhaustive()
    }
}

impl RouteOptions {
    /// A route to this address, `host:port`, with everything else as for the node's other links.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            weight: 1,
            cookie: None,
            previous_cookie: None,
            tls: RouteTls::Node,
            falls_back: true,
        }
    }

    /// Sets the weight. Of several routes that match a node the heaviest is tried first, then the others in the order in which
    /// they were added. Default 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets a cookie for the nodes that this route is for. They are dialled with it, and accepted with it alone: not with the
    /// node's, and nobody else is accepted with it. If several routes with cookies match a node, the first of them holds.
    #[must_use]
    pub fn cookie(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.cookie = Some(secret.as_ref().to_vec());
        self
    }

    /// Also accepts the cookie used until now, while the route changes from one to the next. Counts only beside
    /// [`cookie`](RouteOptions::cookie).
    #[must_use]
    pub fn previous_cookie(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.previous_cookie = Some(secret.as_ref().to_vec());
        self
    }

    /// Dials with an identity, authorities and names of its own. What is accepted is met with the node's, since nobody has
    /// said his name by then.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: LinkTls) -> Self {
        self.tls = RouteTls::Own(tls);
        self
    }

    /// Dials in plain text although the node's links use TLS. Refused unless the node allows plain text
    /// ([`allow_plaintext`](crate::NodeBuilder::allow_plaintext)).
    #[must_use]
    pub fn plaintext(mut self) -> Self {
        self.tls = RouteTls::Off;
        self
    }

    /// Sets whether addresses that the registrar knows are tried after the routes of a node. It says only where: cookie and TLS
    /// stay those of the first route that matches. If several routes match, all must agree. Default: yes.
    #[must_use]
    pub fn fall_back_to_registrar(mut self, falls_back: bool) -> Self {
        self.falls_back = falls_back;
        self
    }
}

impl From<String> for RouteOptions {
    fn from(address: String) -> Self {
        Self::new(address)
    }
}

impl From<&String> for RouteOptions {
    fn from(address: &String) -> Self {
        Self::new(address)
    }
}

impl From<&str> for RouteOptions {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

/// A route as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeRoute {
    /// Whom it is for: a node name, or a pattern of names.
    pub pattern: String,
    /// Where it leads.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// Whether links are dialled through TLS.
    pub tls: bool,
    /// Whether it has a cookie of its own.
    pub has_cookie: bool,
    /// Whether the registrar's addresses are tried after it.
    pub falls_back_to_registrar: bool,
}
