//! The client: dials, and dials again if it is told to.

use crate::error::{IoEnd, IoError};
use crate::io::open::{Io, IoProcess, Opener};
use crate::io::stream::Stream;
use crate::io::tcp::connection::{Conn, TcpConnection, serve};
use crate::io::tcp::dial::dial;
use crate::io::tcp::options::{Options, connection_options};
use crate::io::tls::TlsClient;
use crate::io::{Chunk, IoBytes, IoTarget};
use crate::shard::{Pause, Shard, on_shard, with_current};
use crate::supervisor::Backoff;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// A TCP connection to be made, to be started with [`Context::spawn_io`](crate::Context::spawn_io).
///
/// Its receiver gets a [`TcpConnect`](crate::TcpConnect) when it is there, or a [`TcpDisconnect`](crate::TcpDisconnect) that says
/// why it cannot be made. With [`reconnect`](TcpClient::reconnect) it is made again whenever it ends, under the same alias.
#[derive(Clone, Debug)]
pub struct TcpClient {
    address: String,
    target: Option<IoTarget>,
    options: Options,
    connect_timeout: Duration,
    reconnect: Option<Backoff>,
    tls: Option<TlsClient>,
}

connection_options!(TcpClient);

impl TcpClient {
    /// A connection to `host:port`. A host name is looked up beside the shard, at each try.
    #[must_use]
    pub fn connect(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            target: None,
            options: Options::default(),
            connect_timeout: Duration::from_secs(5),
            reconnect: None,
            tls: None,
        }
    }

    /// Sets the receiver. Default: the process that starts it.
    #[must_use]
    pub fn to(mut self, target: impl Into<IoTarget>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Sets how long the look-up of the host and the connection may take together. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Makes the connection again when it ends or cannot be made, after these pauses. Default: the process ends with it.
    #[must_use]
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.reconnect = Some(backoff);
        self
    }

    /// Speaks TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsClient) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl IoProcess for TcpClient {
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError> {
        self.options.check()?;
        // A simulation is refused here, not by a message.
        opener.shard.poller()?;
        let target = self.target.unwrap_or_else(|| opener.owner().into());
        let dial = Dial {
            address: self.address,
            timeout: self.connect_timeout,
            reconnect: self.reconnect,
            tls: self.tls,
        };
        opener.spawn(
            |ident| TcpConnection::new(Conn::new(ident, target, self.options, None), Some(dial), None),
            None,
        )
    }
}

/// How a connection is made.
pub(crate) struct Dial {
    address: String,
    timeout: Duration,
    reconnect: Option<Backoff>,
    tls: Option<TlsClient>,
}

impl Dial {
    /// Connects and serves, over and over if that is wanted. Returns why it stops.
    pub(crate) async fn keep_connected(self, conn: &Conn) -> IoEnd {
        let mut failures = 0_u32;
        loop {
            let (end, was_connected) = match self.connect(conn).await {
                Ok(stream) => {
                    conn.renew(stream);
                    let end = serve(conn).await;
                    // One whose handshake failed was never there.
                    let was_there = conn.is_known();
                    if was_there {
                        failures = 0;
                    }
                    (end, was_there)
                }
                Err(end) => (end, false),
            };
            let Some(backoff) = self.reconnect.as_ref().filter(|_| !conn.is_closing()) else {
                if !was_connected {
                    on_shard(|shard| conn.tell_end(shard, end.clone()));
                }
                return end;
            };
            on_shard(|shard| {
                conn.retract(shard, &end);
                if !was_connected && failures == 0 {
                    // Once, not at each try.
                    conn.tell_end(shard, end.clone());
                }
            });
            let pause = with_current(|shard| backoff.delay(failures, shard.map_or(0, Shard::random)));
            failures = failures.saturating_add(1);
            let mut pause = Pause::new(pause);
            poll_fn(|task| {
                conn.wake_on_close(task.waker());
                if conn.is_closing() { Poll::Ready(()) } else { Pin::new(&mut pause).poll(task) }
            })
            .await;
            if conn.is_closing() {
                return IoEnd::Local;
            }
        }
    }

    async fn connect(&self, conn: &Conn) -> Result<Stream, IoEnd> {
        let mut limit = Pause::new(self.timeout);
        let keep_alive = conn.options.tcp_keep_alive;
        let mut connecting = pin!(dial(&self.address, self.tls.as_ref(), keep_alive));
        poll_fn(|task| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(task) {
                return Poll::Ready(connected);
            }
            conn.wake_on_close(task.waker());
            if conn.is_closing() {
                return Poll::Ready(Err(IoEnd::Local));
            }
            Pin::new(&mut limit).poll(task).map(|()| Err(IoEnd::TimedOut { what: "the connection attempt" }))
        })
        .await
    }
}
