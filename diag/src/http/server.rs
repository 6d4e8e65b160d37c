//! Accepts connections and serves them within limits.
//!
//! Invariants: R1 at most `max_connections` per listener; one more is told 503 and closed. R2 a client that does not
//! send a whole head in time is closed. R3 no connection outlives [`CONNECTION_LIFE`] by more than one answer. R4 a stop
//! lets answers in progress finish.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::listen::Serves;
use super::site::{Site, TOOL_LIMIT};
use crate::tally::Event;

/// Longest life of a connection; clients reconnect.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// Pause after a failed accept: the cause is usually a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Serves one listener until `stop` is true.
pub(crate) async fn serve(
    listener: TcpListener,
    serves: Serves,
    site: Rc<Site>,
    max_connections: usize,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(max_connections));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            site.tally.add(Event::Refused, "accept", "");
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            site.tally.add(Event::Refused, "connections", "");
            // Best effort: the point is to close.
            drop(stream.try_write(FULL));
            continue;
        };
        let (site, stop) = (Rc::clone(&site), stop.clone());
        tokio::task::spawn_local(async move {
            let _permit = permit;
            connection(stream, serves, &site, stop).await;
        });
    }
}

async fn connection(stream: TcpStream, serves: Serves, site: &Rc<Site>, mut stop: watch::Receiver<bool>) {
    let Ok(local) = stream.local_addr() else { return };
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| {
        let site = Rc::clone(site);
        async move { Ok::<_, Infallible>(site.answer(request, serves, local.ip()).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(site.request_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
        () = sleep(CONNECTION_LIFE) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = timeout(TOOL_LIMIT, connection).await.ok();
    }
    match ended.unwrap_or(Ok(())) {
        Err(error) if error.is_timeout() => site.tally.add(Event::Refused, "slow_head", ""),
        Err(error) if error.is_parse() => site.tally.add(Event::Refused, "malformed", ""),
        _ => {}
    }
}
