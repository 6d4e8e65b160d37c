//! One request of a web client: a connection, the request, the head of its response, and then its body or the bare connection.
//!
//! hyper speaks the protocol. Invariants: X1 all of it together has one limit of time, and ends at once when its process is to
//! close. X2 the head of a response has a limit of bytes; what comes faster than it is taken waits in the socket.

use crate::error::IoEnd;
use crate::io::stream::Stream;
use crate::io::tcp::{dial, tls_end};
use crate::io::tls::TlsClient;
use crate::io::web::body::WebBody;
use crate::io::web::socket::WebSocketIo;
use crate::io::web::url::Url;
use crate::shard::Pause;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::rt::Write as _;
use std::cell::Cell;
use std::error::Error as _;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Least buffer that hyper reads into.
const LEAST_BUFFER: usize = 8 << 10;
/// Has the system probe a silent peer after this long: one that vanished is found out also if nothing is sent to it.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Whom a client asks, and how.
pub(super) struct Peer {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) tls: Option<TlsClient>,
    pub(super) timeout: Duration,
    pub(super) max_header: usize,
}

/// How far an attempt has come: what took too long, if it does.
pub(super) type Stage = Cell<&'static str>;

/// A response whose head has come, and its connection.
pub(super) struct Exchange {
    connection: Connection<WebSocketIo, WebBody>,
    /// Kept: without it hyper takes the connection for one that is to end.
    _sender: SendRequest<WebBody>,
    is_over: bool,
    pub(super) remote: SocketAddr,
}

impl Peer {
    /// Does this within the time that an attempt may take, unless its process is to close first.
    pub(super) async fn in_time<T>(
        &self,
        stage: &Stage,
        is_closing: impl Fn(&Waker) -> bool,
        attempt: impl Future<Output = Result<T, IoEnd>>,
    ) -> Result<T, IoEnd> {
        stage.set("the connection attempt");
        let mut limit = Pause::new(self.timeout);
        let mut attempt = pin!(attempt);
        poll_fn(|task| {
            if let Poll::Ready(done) = attempt.as_mut().poll(task) {
                return Poll::Ready(done);
            }
            if is_closing(task.waker()) {
                return Poll::Ready(Err(IoEnd::Local));
            }
            Pin::new(&mut limit).poll(task).map(|()| Err(IoEnd::TimedOut { what: stage.get() }))
        })
        .await
    }

    /// Connects and asks, with these headers besides. `opened` is called when there is a connection.
    pub(super) async fn ask(
        &self,
        stage: &Stage,
        headers: HeaderMap,
        opened: impl FnOnce(),
    ) -> Result<(Exchange, Response<Incoming>), IoEnd> {
        let mut stream = dial(&self.url.address, self.tls.as_ref(), Some(KEEP_ALIVE)).await?;
        opened();
        stage.set("the TLS handshake");
        poll_fn(|task| stream.poll_handshake(task)).await.map_err(tls_end)?;
        let (remote, _) = stream.addresses()?;
        stage.set("the response");
        let (mut sender, connection) = Builder::new()
            .max_buf_size(self.max_header.max(LEAST_BUFFER))
            .max_header_size(self.max_header)
            .handshake(WebSocketIo::new(stream, Rc::default()))
            .await
            .map_err(|error| http_end(&error))?;
        let mut request = Request::new(WebBody::from(Bytes::new()));
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.url.path.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(headers);
        let mut responding = pin!(sender.send_request(request));
        let mut exchange = Exchange { connection, _sender: sender, is_over: false, remote };
        let response = poll_fn(|task| {
            let driven = exchange.drive(task);
            match responding.as_mut().poll(task) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                // hyper tells the cause to one of the two.
                Poll::Ready(Err(error)) => Poll::Ready(Err(driven.err().unwrap_or_else(|| http_end(&error)))),
                Poll::Pending if exchange.is_over => Poll::Ready(Err(driven.err().unwrap_or_else(cut_off))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await?;
        Ok((exchange, response))
    }
}

impl Exchange {
    /// Brings the connection on: to be polled with the body.
    pub(super) fn drive(&mut self, task: &mut Context<'_>) -> Result<(), IoEnd> {
        if self.is_over {
            return Ok(());
        }
        match self.connection.poll_without_shutdown(task) {
            Poll::Pending => Ok(()),
            Poll::Ready(done) => {
                self.is_over = true;
                done.map_err(|error| http_end(&error))
            }
        }
    }

    /// The bare connection after a response that says so, and what was read of it.
    pub(super) async fn upgrade(mut self) -> Result<(Stream, Bytes), IoEnd> {
        poll_fn(|task| match self.drive(task) {
            Err(end) => Poll::Ready(Err(end)),
            Ok(()) if self.is_over => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
        })
        .await?;
        let parts = self.connection.into_parts();
        Ok((parts.io.into_stream(), parts.read_buf))
    }

    /// Ends the connection, in order if that needs no waiting.
    pub(super) async fn close(self) {
        let mut io = self.connection.into_parts().io;
        poll_fn(|task| {
            let _unheard = Pin::new(&mut io).poll_shutdown(task);
            Poll::Ready(())
        })
        .await;
    }
}

fn cut_off() -> IoEnd {
    IoEnd::Protocol { reason: "the connection ended before the response was whole".to_owned() }
}

/// Why an exchange failed.
pub(super) fn http_end(error: &hyper::Error) -> IoEnd {
    if error.is_parse_too_large() {
        return IoEnd::Protocol { reason: "the head of the response is longer than allowed".to_owned() };
    }
    if error.is_incomplete_message() {
        return cut_off();
    }
    let Some(source) = error.source() else { return IoEnd::Protocol { reason: error.to_string() } };
    match source.downcast_ref::<io::Error>() {
        // hyper's decoders of bodies speak of what they find by these kinds, too.
        Some(source) if source.kind() == ErrorKind::UnexpectedEof => cut_off(),
        Some(source) if is_of_tls(source) => IoEnd::Tls { reason: source.to_string() },
        Some(source) if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput) => {
            IoEnd::Protocol { reason: source.to_string() }
        }
        Some(source) => io::Error::new(source.kind(), source.to_string()).into(),
        None => IoEnd::Protocol { reason: format!("{error}: {source}") },
    }
}

#[cfg(feature = "tls")]
fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

#[cfg(not(feature = "tls"))]
fn is_of_tls(_: &io::Error) -> bool {
    false
}
