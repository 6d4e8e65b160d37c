//! The table of routes, and the credentials that each of them means.
//!
//! Invariants: R1 routes are tried by weight, then in the order in which they were added. R2 with what a node is met (keys, TLS)
//! is said by its routes or by the node itself, never by a registrar. R3 no route is in plain text, or leads off loopback
//! with a weak cookie, unless the operator allowed it: literal addresses are judged here, all others when they are dialled.
//! Threads: read by the control thread, changed by any.

use crate::control::routes::options::{NodeRoute, RouteOptions, RouteTls};
use crate::control::routes::pattern::Pattern;
use crate::error::NodeRouteError;
use crate::io::LinkTls;
use shard_wire::NodeName;
use shard_wire::handshake::{CookiePolicyError, Keyring, MIN_OPEN_BYTES, Reason, cookie_policy};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

/// Most routes of a node.
const MAX_ROUTES: usize = 4096;

/// With what a peer is met.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) keys: Keyring,
    pub(crate) tls: Option<LinkTls>,
    /// Whether that suffices off loopback; `Err` says what is missing.
    pub(crate) off_loopback: Result<(), CookiePolicyError>,
}

impl Credentials {
    /// Derives the keys and judges them.
    pub(crate) fn new(
        cookie: &[u8],
        previous: Option<&[u8]>,
        tls: Option<LinkTls>,
        allow_plaintext: bool,
    ) -> Self {
        let off_loopback = off_loopback(cookie, previous, tls.is_some() || allow_plaintext);
        let mut keys = Keyring::new(cookie);
        if let Some(previous) = previous {
            keys = keys.with_previous(previous);
        }
        Self { keys, tls, off_loopback }
    }

    /// Whether a link may be dialled there.
    pub(crate) fn may_leave(&self, address: SocketAddr) -> Result<(), Reason> {
        match self.off_loopback {
            Err(missing) if !address.ip().is_loopback() => Err(reason_of(missing)),
            _ => Ok(()),
        }
    }
}

/// Why a link is not dialled whose credentials do not suffice.
fn reason_of(missing: CookiePolicyError) -> Reason {
    if missing == CookiePolicyError::Plaintext { Reason::Plaintext } else { Reason::WeakKey }
}

/// Judges cookies for links off loopback.
pub(crate) fn off_loopback(
    cookie: &[u8],
    previous: Option<&[u8]>,
    is_fit: bool,
) -> Result<(), CookiePolicyError> {
    cookie_policy(cookie, false, is_fit)?;
    match previous {
        Some(previous) if previous.len() < MIN_OPEN_BYTES => {
            Err(CookiePolicyError::PreviousTooShort { have: previous.len() })
        }
        _ => Ok(()),
    }
}

/// Where to dial, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) address: String,
    pub(crate) how: Arc<Credentials>,
}

#[derive(Debug)]
struct Route {
    text: String,
    pattern: Pattern,
    address: String,
    weight: u32,
    how: Arc<Credentials>,
    has_cookie: bool,
    falls_back: bool,
}

/// What the node's own links are met with, and what its operator allows.
#[derive(Debug)]
struct Policy {
    cookie: Vec<u8>,
    previous: Option<Vec<u8>>,
    allow_plaintext: bool,
    how: Arc<Credentials>,
}

/// The routes of a node.
#[derive(Debug)]
pub(crate) struct Routes {
    policy: Policy,
    routes: RwLock<Vec<Arc<Route>>>,
}

impl Routes {
    /// No routes yet; with what peers without one are met.
    pub(crate) fn new(
        cookie: Vec<u8>,
        previous: Option<Vec<u8>>,
        tls: Option<LinkTls>,
        allow_plaintext: bool,
    ) -> Self {
        let how = Arc::new(Credentials::new(&cookie, previous.as_deref(), tls, allow_plaintext));
        let policy = Policy { cookie, previous, allow_plaintext, how };
        Self { policy, routes: RwLock::default() }
    }

    /// With what peers without a route are met.
    pub(crate) fn own(&self) -> &Arc<Credentials> {
        &self.policy.how
    }

    fn all(&self) -> Vec<Arc<Route>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn matching(&self, peer: &NodeName) -> Vec<Arc<Route>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.iter().filter(|route| route.pattern.matches(peer)).map(Arc::clone).collect()
    }

    /// Adds a route; returns the node it is for, unless it is for several.
    ///
    /// # Errors
    /// It cannot be used, or is there already.
    pub(crate) fn add(
        &self,
        pattern: &str,
        options: &RouteOptions,
    ) -> Result<Option<NodeName>, NodeRouteError> {
        let text = pattern.to_owned();
        let Some(pattern) = Pattern::new(&text) else {
            return Err(NodeRouteError::BadPattern { pattern: text });
        };
        let address = options.address.clone();
        if !crate::registrar::is_address(&address) {
            return Err(NodeRouteError::BadAddress { pattern: text, address });
        }
        let how = self.credentials(&text, options)?;
        let node = match &pattern {
            Pattern::Exact(node) => Some(node.clone()),
            Pattern::Glob { .. } => None,
        };
        let (weight, falls_back) = (options.weight, options.falls_back);
        let has_cookie = options.cookie.is_some();
        let route = Route { text, pattern, address, weight, how, has_cookie, falls_back };
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if routes.iter().any(|known| known.text == route.text && known.address == route.address) {
            return Err(NodeRouteError::Taken { pattern: route.text, address: route.address });
        }
        // LIMIT: routes of a node.
        if routes.len() >= MAX_ROUTES {
            return Err(NodeRouteError::TooMany(MAX_ROUTES));
        }
        let place = routes.partition_point(|known| known.weight >= route.weight);
        routes.insert(place, Arc::new(route));
        Ok(node)
    }

    /// With what a route's nodes are met (R3).
    fn credentials(&self, pattern: &str, options: &RouteOptions) -> Result<Arc<Credentials>, NodeRouteError> {
        let policy = &self.policy;
        let (tls, is_off) = match &options.tls {
            RouteTls::Node => (policy.how.tls.clone(), false),
            #[cfg(feature = "tls")]
            RouteTls::Own(tls) => (Some(tls.clone()), false),
            RouteTls::Off => (None, true),
        };
        if is_off && !policy.allow_plaintext {
            return Err(NodeRouteError::Plaintext { pattern: pattern.to_owned() });
        }
        let (cookie, previous) = match &options.cookie {
            Some(cookie) => (cookie, &options.previous_cookie),
            None => (&policy.cookie, &policy.previous),
        };
        let how = Credentials::new(cookie, previous.as_deref(), tls, policy.allow_plaintext);
        let judged = if is_off_loopback(&options.address) {
            how.off_loopback
        } else {
            cookie_policy(cookie, true, true)
        };
        judged.map_err(|source| {
            let (pattern, address) = (pattern.to_owned(), options.address.clone());
            NodeRouteError::Policy { pattern, address, source }
        })?;
        Ok(Arc::new(how))
    }

    /// Removes all routes of a pattern, which is given as it was added.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn remove(&self, pattern: &str) -> Result<(), NodeRouteError> {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let before = routes.len();
        routes.retain(|route| route.text != pattern);
        if routes.len() < before {
            Ok(())
        } else {
            Err(NodeRouteError::Unknown { pattern: pattern.to_owned() })
        }
    }

    /// All routes, in the order in which they are tried.
    pub(crate) fn list(&self) -> Vec<NodeRoute> {
        let listed = |route: &Arc<Route>| NodeRoute {
            pattern: route.text.clone(),
            address: route.address.clone(),
            weight: route.weight,
            tls: route.how.tls.is_some(),
            has_cookie: route.has_cookie,
            falls_back_to_registrar: route.falls_back,
        };
        self.all().iter().map(listed).collect()
    }

    /// The nodes that routes name, and with which a session is kept.
    pub(crate) fn kept(&self) -> Vec<NodeName> {
        let mut kept: Vec<NodeName> = Vec::new();
        for route in self.all() {
            if let Pattern::Exact(node) = &route.pattern
                && !kept.contains(node)
            {
                kept.push(node.clone());
            }
        }
        kept
    }

    /// Whether a route names this node.
    pub(crate) fn is_kept(&self, peer: &NodeName) -> bool {
        self.matching(peer).iter().any(|route| matches!(route.pattern, Pattern::Exact(_)))
    }

    /// The keys that this peer alone has.
    pub(crate) fn keys_of(&self, peer: &NodeName) -> Option<Keyring> {
        let matching = self.matching(peer);
        matching.iter().find(|route| route.has_cookie).map(|route| route.how.keys.clone())
    }

    /// Where a node is dialled, and with what, given what the registrar knows (R2).
    pub(crate) fn ways(&self, peer: &NodeName, found: &[String]) -> Vec<Way> {
        let matching = self.matching(peer);
        let way = |address: &String, how| Way { address: address.clone(), how };
        let mut ways: Vec<Way> =
            matching.iter().map(|route| way(&route.address, Arc::clone(&route.how))).collect();
        if matching.iter().all(|route| route.falls_back) {
            let how = matching.first().map_or_else(|| self.own(), |route| &route.how);
            ways.extend(found.iter().map(|address| way(address, Arc::clone(how))));
        }
        ways
    }
}

/// Whether an address is known to be off loopback without asking anybody.
fn is_off_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{RouteOptions, Routes, is_off_loopback};
    use crate::error::NodeRouteError;
    use shard_wire::NodeName;
    use shard_wire::handshake::{CookiePolicyError, Keyring, Reason};

    const STRONG: &[u8] = b"0123456789abcdef0123456789abcdef";
    const PARTNER: &[u8] = b"fedcba9876543210fedcba9876543210";

    fn routes(allow_plaintext: bool) -> Routes {
        Routes::new(STRONG.to_vec(), None, None, allow_plaintext)
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn addresses(routes: &Routes, name: &str, found: &[&str]) -> Vec<String> {
        let found: Vec<String> = found.iter().map(|address| (*address).to_owned()).collect();
        routes.ways(&node(name), &found).into_iter().map(|way| way.address).collect()
    }

    #[test]
    fn the_heaviest_route_is_tried_first_and_the_registrar_last() {
        let routes = routes(false);
        let to = |address: &str, weight| RouteOptions::new(address).weight(weight);
        assert_eq!(routes.add("a@h", &to("h:1", 1)), Ok(Some(node("a@h"))));
        assert_eq!(routes.add("*@h", &to("h:2", 5)), Ok(None));
        assert_eq!(routes.add("a@h", &to("h:3", 1)), Ok(Some(node("a@h"))));
        assert_eq!(addresses(&routes, "a@h", &["h:9"]), ["h:2", "h:1", "h:3", "h:9"]);
        assert_eq!(addresses(&routes, "b@h", &[]), ["h:2"]);
        assert_eq!(addresses(&routes, "b@other", &["h:9"]), ["h:9"]);
        assert_eq!((routes.kept(), routes.is_kept(&node("b@h"))), (vec![node("a@h")], false));
        routes.add("c@h", &to("h:4", 1).fall_back_to_registrar(false)).unwrap();
        assert_eq!(addresses(&routes, "c@h", &["h:9"]), ["h:2", "h:4"], "one of them says no");
        let taken = routes.add("a@h", &to("h:3", 7)).unwrap_err();
        assert!(matches!(taken, NodeRouteError::Taken { .. }));
        assert_eq!(routes.remove("a@h"), Ok(()));
        assert_eq!(addresses(&routes, "a@h", &[]), ["h:2"]);
        assert!(matches!(routes.remove("a@h"), Err(NodeRouteError::Unknown { .. })));
        assert_eq!(routes.list().len(), 2);
    }

    #[test]
    fn how_a_node_is_met_is_never_said_by_a_registrar() {
        let routes = routes(true);
        routes.add("p@*", &RouteOptions::new("h:1").cookie(PARTNER)).unwrap();
        let ids = |name: &str| {
            let ways = routes.ways(&node(name), &["h:9".to_owned()]);
            ways.iter().map(|way| way.how.keys.current.id()).collect::<Vec<_>>()
        };
        let (own, partner) = (Keyring::new(STRONG).current.id(), Keyring::new(PARTNER).current.id());
        assert_eq!((ids("p@h"), ids("q@h")), (vec![partner, partner], vec![own]));
        assert_eq!(routes.keys_of(&node("p@h")).map(|keys| keys.current.id()), Some(partner));
        assert!(routes.keys_of(&node("q@h")).is_none());
    }

    #[test]
    fn what_is_weak_or_plain_is_refused_where_it_leads_off_loopback() {
        let routes = routes(false);
        let error = |pattern: &str, options: RouteOptions| routes.add(pattern, &options).unwrap_err();
        let source = |error| match error {
            NodeRouteError::Policy { source, .. } => source,
            other => panic!("{other:?}"),
        };
        let off = || RouteOptions::new("10.0.0.1:1");
        assert_eq!(source(error("a@h", off())), CookiePolicyError::Plaintext);
        assert_eq!(source(error("a@h", off().cookie("weak"))), CookiePolicyError::TooShort { have: 4 });
        let rotating = off().cookie(PARTNER).previous_cookie("old");
        let loose = Routes::new(STRONG.to_vec(), None, None, true);
        let refused = loose.add("a@h", &rotating).unwrap_err();
        assert_eq!(source(refused), CookiePolicyError::PreviousTooShort { have: 3 });
        let local = RouteOptions::new("127.0.0.1:1");
        assert!(matches!(error("a@h", local.clone().plaintext()), NodeRouteError::Plaintext { .. }));
        assert!(routes.add("a@h", &local.cookie("weak")).is_ok());
        // A host is judged when it is dialled.
        routes.add("b@h", &RouteOptions::new("db.example.com:1")).unwrap();
        let way = routes.ways(&node("b@h"), &[]).pop().unwrap();
        assert_eq!(way.how.may_leave("10.0.0.1:1".parse().unwrap()), Err(Reason::Plaintext));
        assert_eq!(way.how.may_leave("127.0.0.1:1".parse().unwrap()), Ok(()));
        let weak = routes.ways(&node("a@h"), &[]).pop().unwrap();
        assert_eq!(weak.how.may_leave("[fe80::1]:1".parse().unwrap()), Err(Reason::WeakKey));
        assert!(matches!(error("nobody", off()), NodeRouteError::BadPattern { .. }));
        assert!(matches!(error("a@h", RouteOptions::new("nowhere")), NodeRouteError::BadAddress { .. }));
    }

    #[test]
    fn literal_addresses_are_known() {
        assert!(is_off_loopback("10.0.0.1:1") && is_off_loopback("[fe80::1]:1"));
        assert!(!is_off_loopback("127.0.0.2:1") && !is_off_loopback("[::1]:1") && !is_off_loopback("h:1"));
    }
}
