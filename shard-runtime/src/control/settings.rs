//! What a node's network is configured with, checked before anything starts.
//!
//! Invariant: S1 a node whose cookie does not suffice for where it listens does not start; where it does not suffice for
//! off-loopback links, such links are not dialled either.

use crate::error::NodeError;
use crate::link::LinkOptions;
use crate::registrar::{NodeRecord, RegistrarSpec};
use shard_wire::ask::SERVES;
use shard_wire::compress::COMPRESSES;
use shard_wire::flow::NUMBERED;
use shard_wire::handshake::{ClusterName, CookiePolicyError, Introduction, Keyring, cookie_policy};
use shard_wire::relation::RELATIONS;
use shard_wire::session::Timing;
use shard_wire::{Incarnation, NodeName};
use std::collections::{BTreeSet, HashMap};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
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
    pub(crate) routes: Vec<(String, String)>,
    /// Names of the only nodes that may be peers.
    pub(crate) allow_peers: Option<Vec<String>>,
    pub(crate) allow_plaintext: bool,
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
    pub(crate) keys: Keyring,
    pub(crate) record: NodeRecord,
    pub(crate) registrar: Option<RegistrarSpec>,
    pub(crate) routes: HashMap<NodeName, Vec<String>>,
    pub(crate) allow_peers: Option<BTreeSet<NodeName>>,
    /// Whether links may leave the loopback interface; `Err` says what is missing.
    pub(crate) off_loopback: Result<(), CookiePolicyError>,
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
        cookie_policy(&self.cookie, address.ip().is_loopback(), self.allow_plaintext)?;
        if let Some(spec) = &self.registrar {
            let at = lookup("registrar", spec.address())?;
            cookie_policy(&self.cookie, at.ip().is_loopback(), self.allow_plaintext)?;
        }
        let cluster = ClusterName::new(&self.cluster)
            .ok_or_else(|| bad("cluster", &self.cluster, "at most 64 bytes without control characters"))?;
        let routes = self.parse_routes()?;
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
            // Ends that are told once need links that lose nothing.
            flags: COMPRESSES | if self.links.is_numbered { NUMBERED | RELATIONS | SERVES } else { 0 },
            max_frame_bytes: self.links.max_message as u32,
            heartbeat_ms: (timing.heartbeat_ns / 1_000_000) as u32,
            shards,
            max_links: self.links.max_links,
        };
        let mut keys = Keyring::new(&self.cookie);
        if let Some(previous) = &self.previous_cookie {
            keys = keys.with_previous(previous);
        }
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(NodeError::Randomness)?;
        Ok(Some(Network {
            listener,
            address,
            own,
            keys,
            record,
            registrar: self.registrar,
            routes,
            allow_peers,
            off_loopback: cookie_policy(&self.cookie, false, self.allow_plaintext),
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

    fn parse_routes(&self) -> Result<HashMap<NodeName, Vec<String>>, NodeError> {
        let mut routes: HashMap<NodeName, Vec<String>> = HashMap::new();
        for (name, address) in &self.routes {
            let name = NodeName::new(name).map_err(|_| NodeError::BadName(name.clone()))?;
            if !crate::registrar::is_address(address) {
                let (setting, value) = ("route", address.clone());
                return Err(NodeError::BadSetting { setting, value, must_be: "`host:port`" });
            }
            routes.entry(name).or_default().push(address.clone());
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
