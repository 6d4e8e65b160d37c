//! Binds the listeners of the options, before the thread starts, so that a refusal reaches the caller.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::error::DiagError;
use crate::options::{DiagOptions, Endpoint};

/// What a listener serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Serves {
    /// Metrics and health.
    pub(crate) radar: bool,
    /// MCP.
    pub(crate) mcp: bool,
}

impl Serves {
    const fn name(self) -> &'static str {
        if self.radar { "radar" } else { "mcp" }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) serves: Serves,
}

/// Binds what the options ask for.
pub(crate) fn bind_all(options: &DiagOptions) -> Result<Vec<Listener>, DiagError> {
    let mut listeners = Vec::new();
    let wanted = match (&options.radar, &options.mcp) {
        (Some(radar), Some(mcp)) if radar == mcp => vec![(radar, Serves { radar: true, mcp: true })],
        (radar, mcp) => {
            let radar = radar.iter().map(|endpoint| (endpoint, Serves { radar: true, mcp: false }));
            let mcp = mcp.iter().map(|endpoint| (endpoint, Serves { radar: false, mcp: true }));
            radar.chain(mcp).collect()
        }
    };
    for (endpoint, serves) in wanted {
        bind(endpoint, serves, options.token.is_some(), &mut listeners)?;
    }
    Ok(listeners)
}

fn bind(
    endpoint: &Endpoint,
    serves: Serves,
    has_token: bool,
    listeners: &mut Vec<Listener>,
) -> Result<(), DiagError> {
    let listener = serves.name();
    let required = addresses(endpoint, listener)?;
    for address in &required {
        if !address.ip().is_loopback() && !has_token {
            return Err(DiagError::TokenRequired { listener, address: address.to_string() });
        }
    }
    let mut port = endpoint.port;
    for address in required {
        let bound = open(SocketAddr::new(address.ip(), port), serves).map_err(|source| DiagError::Bind {
            listener,
            address: format!("{}:{port}", address.ip()),
            source,
        })?;
        port = bound.address.port();
        listeners.push(bound);
    }
    if endpoint.host == "localhost"
        && let Ok(bound) = open(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port), serves)
    {
        // Best effort: a machine may have no IPv6, and clients that resolve localhost to it fall back to IPv4.
        listeners.push(bound);
    }
    Ok(())
}

fn addresses(endpoint: &Endpoint, listener: &'static str) -> Result<Vec<SocketAddr>, DiagError> {
    if endpoint.host == "localhost" {
        return Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), endpoint.port)]);
    }
    if let Ok(ip) = endpoint.host.parse() {
        return Ok(vec![SocketAddr::new(ip, endpoint.port)]);
    }
    let failed = |source| DiagError::Resolve { listener, host: endpoint.host.clone(), source };
    let found: Vec<_> = (endpoint.host.as_str(), endpoint.port).to_socket_addrs().map_err(failed)?.collect();
    if found.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(found)
}

fn open(address: SocketAddr, serves: Serves) -> io::Result<Listener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address, serves })
}
