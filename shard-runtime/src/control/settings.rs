//! What a node's network is configured with, checked before anything starts.
//!
//! Invariant: S1 a node whose cookie does not suffice for where it listens, or that would listen there in plain text, does not
//! start; where it does not suffice for off-loopback links, such links are not dialled either.

use crate::control::routes::{RouteOptions, Routes, off_loopback};
use crate::error::NodeError;
use crate::io::LinkTls;
use crate::link::LinkOptions;
use crate::registrar::{NodeRecord, RegistrarSpec};
use shard_wire::ask::SERVES;
use shard_wire::compress::COMPRESSES;
use shard_wire::event::EVENTS;
use shard_wire::flow::NUMBERED;
use shard_wire::handshake::{ClusterName, Introduction, cookie_policy};
use shard_wire::header::{ALIASES, TRACES};
use shard_wire::relation::RELATIONS;
use shard_wire::session::Timing;
use shard_wire::{Incarnation, NodeName, TYPES};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Where a node with a network listens unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:0";
/// Time for a whole handshake unless configured otherwise.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// The network settings of a node builder.
#[derive(Clone)]
pub(crate) struct NetworkSettings {
    pub(crate) listen: Option<String>,
    pub(crate) advertise: Option<String>,
    pub(crate) cookie: Vec<u8>,
    pub(crate) previous_cookie: Option<Vec<u8>>,
    pub(crate) cluster: String,
    pub(crate) registrar: Option<RegistrarSpec>,
    pub(crate) routes: Vec<(String, RouteOptions)>,
    /// Names of the only nodes that may be peers.
    pub(crate) allow_peers: Option<Vec<String>>,
    pub(crate) allow_plaintext: bool,
    pub(crate) link_tls: Option<LinkTls>,
    pub(crate) handshake_deadline: Duration,
    pub(crate) links: LinkOptions,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            listen: None,
            advertise: None,
            cookie: Vec::new(),
            previous_cookie: None,
            cluster: String::new(),
            registrar: None,
            routes: Vec::new(),
            allow_peers: None,
            allow_plaintext: false,
            link_tls: None,
            handshake_deadline: HANDSHAKE_DEADLINE,
            links: LinkOptions::new(),
        }
    }
}

/// A node's network, ready to run: the listener is bound.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) own: Introduction,
    pub(crate) record: NodeRecord,
    pub(crate) registrar: Option<RegistrarSpec>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) allow_peers: Option<BTreeSet<NodeName>>,
    pub(crate) handshake_deadline: Duration,
    pub(crate) links: LinkOptions,
    pub(crate) timing: Timing,
    /// Random bits that spread this node's dials in time.
    pub(crate) seed: u64,
}

impl NetworkSettings {
    /// A node without a listener, a registrar or a route has no network.
    fn is_networked(&self) -> bool {
        self.listen.is_some() || self.registrar.is_some() || !self.routes.is_empty()
    }

    /// Checks the settings and binds the listener; `None` for a node without a network.
    ///
    /// # Errors
    /// A setting is wrong, the cookie does not suffice, or the address cannot be bound.
    pub(crate) fn bind(
        self,
        name: &NodeName,
        incarnation: Incarnation,
        shards: u16,
    ) -> Result<Option<Network>, NodeError> {
        if !self.is_networked() {
            return Ok(None);
        }
        let bad = |setting, value: &str, must_be| NodeError::BadSetting {
            setting,
            value: value.to_owned(),
            must_be,
        };
        if let Some((setting, value, must_be)) = self.links.fault() {
            return Err(bad(setting, &value, must_be));
        }
        let text = self.listen.as_deref().unwrap_or(DEFAULT_LISTEN);
        let address = lookup("listen", text)?;
        self.judge_exposure(address)?;
        if let Some(spec) = &self.registrar {
            self.judge_exposure(lookup("registrar", spec.address())?)?;
        }
        let cluster = ClusterName::new(&self.cluster)
            .ok_or_else(|| bad("cluster", &self.cluster, "at most 64 bytes without control characters"))?;
        let routes = Arc::new(self.parse_routes()?);
        let allow_peers = self.parse_peers()?;
        let listen_error = |source| NodeError::Listen { address: text.to_owned(), source };
        let listener = TcpListener::bind(address).map_err(listen_error)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let advertise = self.advertise.clone().unwrap_or_else(|| reachable(address, name));
        let record =
            NodeRecord::new(name.clone(), incarnation, &self.cluster, shards, vec![advertise.clone()])
                .map_err(|_| bad("advertise", &advertise, "`host:port`"))?;
        let timing = Timing::default();
        let own = Introduction {
            name: name.clone(),
            incarnation,
            cluster,
            // Ends that are told once need links that lose nothing; the first version of the protocol has none of the others.
            flags: COMPRESSES
                | TYPES
                | if self.links.is_numbered {
                    NUMBERED | RELATIONS | EVENTS | SERVES | TRACES | ALIASES
                } else {
                    0
                },
            max_frame_bytes: self.links.max_message as u32,
            heartbeat_ms: (timing.heartbeat_ns / 1_000_000) as u32,
            shards,
            max_links: self.links.max_links,
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(NodeError::Randomness)?;
        Ok(Some(Network {
            listener,
            address,
            own,
            record,
            registrar: self.registrar,
            routes,
            allow_peers,
            handshake_deadline: self.handshake_deadline,
            links: self.links,
            timing,
            seed: u64::from_le_bytes(seed),
        }))
    }

    fn parse_peers(&self) -> Result<Option<BTreeSet<NodeName>>, NodeError> {
        let Some(names) = &self.allow_peers else { return Ok(None) };
        let parse = |name: &String| NodeName::new(name).map_err(|_| NodeError::BadName(name.clone()));
        names.iter().map(parse).collect::<Result<_, _>>().map(Some)
    }

    /// Whether cookie and channel suffice for an address (S1).
    fn judge_exposure(&self, address: SocketAddr) -> Result<(), NodeError> {
        if address.ip().is_loopback() {
            cookie_policy(&self.cookie, true, true)?;
        } else {
            let is_fit = self.allow_plaintext || self.link_tls.is_some();
            off_loopback(&self.cookie, self.previous_cookie.as_deref(), is_fit)?;
        }
        Ok(())
    }

    fn parse_routes(&self) -> Result<Routes, NodeError> {
        let (cookie, previous) = (self.cookie.clone(), self.previous_cookie.clone());
        let routes = Routes::new(cookie, previous, self.link_tls.clone(), self.allow_plaintext);
        for (pattern, options) in &self.routes {
            routes.add(pattern, options)?;
        }
        Ok(routes)
    }
}

fn lookup(setting: &'static str, text: &str) -> Result<SocketAddr, NodeError> {
    let must_be = "`address:port` of this host";
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| NodeError::BadSetting { setting, value: text.to_owned(), must_be })
}

/// The address others dial: a wildcard stands for the host of the node's name.
fn reachable(address: SocketAddr, name: &NodeName) -> String {
    match name.as_str().split_once('@') {
        Some((_, host)) if address.ip().is_unspecified() => format!("{host}:{}", address.port()),
        _ => address.to_string(),
    }
}
