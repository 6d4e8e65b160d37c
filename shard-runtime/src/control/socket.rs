//! Options of the TCP sockets between nodes.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Time for one connect.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Unacknowledged data for this long breaks a connection.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(3);

/// Sets what every link between nodes needs. An option that the system refuses only makes losses be noticed later.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(2))
}

/// Connects with a time limit.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let attempt = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address));
    let stream = attempt.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // A dial of a free local port can be answered by itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    prepare(&stream)?;
    Ok(stream)
}
