//! One HTTP connection: its requests one after the other, until it ends or becomes something else.
//!
//! Invariant: C1 once its server closes, a connection stays only for a request that is under way; what was asked before is
//! answered, and nothing is read after that.

use crate::io::stream::Stream;
use crate::io::tcp::Open;
use crate::io::web::answer::answer;
use crate::io::web::body::WebBody;
use crate::io::web::progress::{Progress, Served, Turn};
use crate::io::web::server::Site;
use crate::io::web::socket::{ShardTimer, WebSocketIo};
use crate::shard::{Pause, on_shard};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Write as _;
use hyper::server::conn::http1;
use hyper::service::Service;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// For how long, and for how many bytes, a connection is read after an answer that came before its request was read.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;
/// The first of the two while the server closes.
const LAST_LINGER: Duration = Duration::from_millis(250);

type Answering = Pin<Box<dyn Future<Output = Result<Response<WebBody>, Infallible>>>>;

struct Answerer {
    site: Rc<Site>,
    remote: SocketAddr,
    progress: Rc<Progress>,
}

impl Service<Request<Incoming>> for Answerer {
    type Response = Response<WebBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let (site, remote, progress) = (Rc::clone(&self.site), self.remote, Rc::clone(&self.progress));
        let mut turn = Turn::begin(&progress);
        Box::pin(async move {
            let mut response = answer(&site, remote, request, &progress).await;
            turn.answered();
            response.body_mut().keep(turn);
            site.requests.set(site.requests.get() + 1);
            on_shard(|shard| shard.count(|cells| &cells.io_requests, 1));
            Ok(response)
        })
    }
}

type Connection = http1::Connection<WebSocketIo, Answerer>;

/// Serves a connection until it ends.
pub(super) async fn serve(site: &Rc<Site>, stream: Stream, remote: SocketAddr, open: Open) {
    on_shard(|shard| shard.count(|cells| &cells.io_opened, 1));
    let progress = Rc::new(Progress::default());
    let answerer = Answerer { site: Rc::clone(site), remote, progress: Rc::clone(&progress) };
    let mut connection = http1::Builder::new()
        .timer(ShardTimer)
        .header_read_timeout(site.limits.header_timeout)
        .max_buf_size(site.limits.max_header)
        .serve_connection(WebSocketIo::new(stream, Rc::clone(&progress)), answerer);
    // After the connection, so that it is dropped before it and still sees what is under way.
    let counted = Served::new(&progress);
    let served = drive(site, &mut connection, &progress).await;
    let parts = connection.into_parts();
    let mut io = parts.io;
    let upgrade = progress.upgrade.take();
    if let (Ok(()), Some(upgrade)) = (&served, upgrade) {
        // It stays open, as a process of its own.
        counted.pass_on();
        upgrade.start(site, io.into_stream(), &parts.read_buf, open);
        return;
    }
    let is_refused = served.as_ref().is_err_and(hyper::Error::is_parse);
    let leaves_unread = progress.leaves_unread.get() || is_refused;
    if served.is_ok() || leaves_unread {
        let ended = poll_fn(|task| Pin::new(&mut io).poll_shutdown(task)).await;
        if leaves_unread && ended.is_ok() {
            linger(&mut io, if site.is_closing.get() { LAST_LINGER } else { LINGER }).await;
        }
    }
    // A connection that was not used for too long has done nothing wrong.
    let is_late = served.as_ref().is_err_and(hyper::Error::is_timeout);
    let was_unused = is_late && !progress.has_begun.get() && !io.is_handshaking();
    drop((io, open));
    counted.end(served.is_ok() || was_unused);
}

/// Drives a connection until it ends, or until it has nothing to answer and its server closes.
async fn drive(site: &Site, connection: &mut Connection, progress: &Progress) -> hyper::Result<()> {
    let mut is_told = false;
    poll_fn(|task| {
        // What has come before the server was told to close is looked at first.
        let polled = connection.poll_without_shutdown(task);
        if polled.is_ready() || !site.is_closing.get() {
            return polled;
        }
        if !std::mem::replace(&mut is_told, true) {
            Pin::new(&mut *connection).graceful_shutdown();
            let polled = connection.poll_without_shutdown(task);
            if polled.is_ready() {
                return polled;
            }
        }
        // Half a head is not yet a request.
        if progress.is_idle() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// Reads what still comes and throws it away: the system answers what is left unread with a reset, which may overtake the answer.
async fn linger(io: &mut WebSocketIo, limit: Duration) {
    let (mut over, mut left) = (Pause::new(limit), LINGER_BYTES);
    poll_fn(|task| {
        loop {
            match io.poll_discard(task) {
                Poll::Ready(Ok(read)) if read > 0 && read < left => left -= read,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Pin::new(&mut over).poll(task),
            }
        }
    })
    .await;
}
