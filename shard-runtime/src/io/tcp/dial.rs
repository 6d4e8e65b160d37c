//! How a connection is made: the addresses of a host, a socket, and the begin of TLS if it is wanted.
//!
//! Nothing here has a limit of time: whoever dials has one for all of it.

use crate::error::IoEnd;
use crate::io::stream::Stream;
use crate::io::tls::TlsClient;
use crate::oneshot;
use crate::reactor::poller::Watched;
use crate::shard::with_current;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Connects to `host:port`, to its addresses one after the other. The TLS handshake is still to come.
pub(crate) async fn dial(
    address: &str,
    tls: Option<&TlsClient>,
    keep_alive: Option<Duration>,
) -> Result<Stream, IoEnd> {
    let failed = |reason: String| IoEnd::Connect { address: address.to_owned(), reason };
    let mut last = failed("the name has no address".to_owned());
    for found in look_up(address).await.map_err(|error| failed(error.to_string()))? {
        match connect_to(found, keep_alive).await {
            Ok(socket) => {
                return match tls {
                    None => Ok(Stream::Plain(socket)),
                    Some(tls) => match tls.stream(address, socket) {
                        Ok(tls) => Ok(Stream::Tls(Box::new(tls))),
                        Err(error) => Err(failed(error.to_string())),
                    },
                };
            }
            Err(error) => last = failed(error.to_string()),
        }
    }
    Err(last)
}

/// The addresses of the host: at once if it is one, else looked up on a thread that may block.
async fn look_up(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let (answer, found) = oneshot::channel();
    let address = address.to_owned();
    crate::reactor::spawn_thread("lookup", move || {
        // Whoever asked may have given up.
        let _unheard = answer.send(address.to_socket_addrs().map(|found| found.collect::<Vec<_>>()));
    })?;
    found.await.unwrap_or_else(|_| Err(io::ErrorKind::NotFound.into()))
}

async fn connect_to(address: SocketAddr, keep_alive: Option<Duration>) -> io::Result<Watched<TcpStream>> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(after) = keep_alive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after))?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let poller = with_current(|shard| match shard {
        Some(shard) => shard.poller().cloned(),
        None => Err(io::ErrorKind::Unsupported.into()),
    })?;
    let socket = Watched::new(&poller, TcpStream::from(socket))?;
    poll_fn(|task| socket.poll_writable(task)).await;
    match socket.get().take_error()? {
        None => Ok(socket),
        Some(error) => Err(error),
    }
}
