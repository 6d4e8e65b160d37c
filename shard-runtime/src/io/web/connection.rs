//! One HTTP connection: its requests one after the other, until it ends or becomes something else.

use crate::error::{CallError, SendReason};
use crate::io::stream::Stream;
use crate::io::tcp::Open;
use crate::io::web::body::{BadBody, WebBody, collect};
use crate::io::web::call::call;
use crate::io::web::message::{WebRequest, WebResponse};
use crate::io::web::route::{WebHandler, WebRoute};
use crate::io::web::server::Site;
use crate::io::web::socket::{ShardTimer, WebSocketIo};
use crate::io::web::{sse, websocket};
use crate::shard::{Pause, on_shard, with_current};
use http::header::{ALLOW, CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::rt::Write as _;
use hyper::server::conn::http1;
use hyper::service::Service;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

type Answering = Pin<Box<dyn Future<Output = Result<Response<WebBody>, Infallible>>>>;

/// What a connection becomes after its response.
pub(super) type Upgrade = Rc<RefCell<Option<websocket::Upgrade>>>;

struct Answerer {
    site: Rc<Site>,
    remote: SocketAddr,
    upgrade: Upgrade,
}

impl Service<Request<Incoming>> for Answerer {
    type Response = Response<WebBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let (site, remote, upgrade) = (Rc::clone(&self.site), self.remote, Rc::clone(&self.upgrade));
        Box::pin(async move {
            let response = answer(&site, remote, request, &upgrade).await;
            site.requests.set(site.requests.get() + 1);
            on_shard(|shard| shard.count(|cells| &cells.io_requests, 1));
            Ok(response)
        })
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(site: &Rc<Site>, stream: Stream, remote: SocketAddr, open: Open) {
    on_shard(|shard| shard.count(|cells| &cells.io_opened, 1));
    let upgrade = Upgrade::default();
    let answerer = Answerer { site: Rc::clone(site), remote, upgrade: Rc::clone(&upgrade) };
    let mut connection = http1::Builder::new()
        .timer(ShardTimer)
        .header_read_timeout(site.limits.header_timeout)
        .max_buf_size(site.limits.max_header)
        .serve_connection(WebSocketIo::new(stream), answerer);
    let mut is_told = false;
    let served = poll_fn(|task| {
        if site.is_closing.get() && !std::mem::replace(&mut is_told, true) {
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(task)
    })
    .await;
    let parts = connection.into_parts();
    let mut io = parts.io;
    let upgrade = upgrade.take();
    if let (Ok(()), Some(upgrade)) = (&served, upgrade) {
        // It stays open, as a process of its own.
        upgrade.start(site, io.into_stream(), &parts.read_buf, open);
        return;
    }
    if served.is_ok() {
        let _gone = poll_fn(|task| Pin::new(&mut io).poll_shutdown(task)).await;
    }
    drop(open);
    on_shard(|shard| shard.count_io_end(served.is_ok()));
}

async fn answer(
    site: &Rc<Site>,
    remote: SocketAddr,
    request: Request<Incoming>,
    upgrade: &Upgrade,
) -> Response<WebBody> {
    let Some((handler, index)) = site.routes.find(request.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "there is nothing here");
    };
    if site.is_closing.get() {
        return closing(plain(StatusCode::SERVICE_UNAVAILABLE, "the server is closing"));
    }
    match handler {
        WebRoute::Worker(handler) => answer_by_worker(site, handler, index, remote, request).await,
        WebRoute::WebSocket(handler) => {
            let (parts, _no_body) = request.into_parts();
            match websocket::accept(handler, index, remote, Request::from_parts(parts, ())) {
                Ok((response, wanted)) => {
                    upgrade.replace(Some(wanted));
                    response.map(|()| WebBody::Whole(None))
                }
                Err((status, why)) => plain(status, why),
            }
        }
        WebRoute::Sse(_) if request.method() != Method::GET => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "events are got with GET");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            response
        }
        WebRoute::Sse(handler) => match sse::accept(site, handler, index, remote, &request) {
            Ok(response) => response,
            Err((status, why)) => plain(status, why),
        },
    }
}

async fn answer_by_worker(
    site: &Site,
    handler: &WebHandler,
    index: usize,
    remote: SocketAddr,
    request: Request<Incoming>,
) -> Response<WebBody> {
    let (parts, body) = request.into_parts();
    let body = {
        let mut collecting = pin!(collect(body, handler.max_body));
        let mut limit = Pause::new(site.limits.body_timeout);
        poll_fn(|task| match collecting.as_mut().poll(task) {
            Poll::Ready(body) => Poll::Ready(Some(body)),
            Poll::Pending => Pin::new(&mut limit).poll(task).map(|()| None),
        })
        .await
    };
    let body = match body {
        Some(Ok(body)) => body,
        Some(Err(BadBody::TooLong)) => {
            return closing(plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"));
        }
        Some(Err(BadBody::Broken)) => return closing(plain(StatusCode::BAD_REQUEST, "the body is broken")),
        None => return closing(plain(StatusCode::REQUEST_TIMEOUT, "the body took too long to come")),
    };
    let request = WebRequest { method: parts.method, uri: parts.uri, headers: parts.headers, body, remote };
    let Some(target) = handler.targets.get(index % handler.targets.len().max(1)) else {
        return plain(StatusCode::BAD_GATEWAY, "no worker");
    };
    let answering = with_current(|shard| shard.map(|shard| call(shard, target, request, handler.timeout)));
    let Some(answering) = answering else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the server is closing");
    };
    match answering.await {
        Ok(WebResponse { status, headers, body }) => {
            let mut response = Response::new(WebBody::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(CallError::Timeout) => plain(StatusCode::GATEWAY_TIMEOUT, "the worker took too long"),
        Err(CallError::Send(SendReason::Stopping) | CallError::Busy | CallError::Disabled) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "the worker is not available now")
        }
        Err(error) => plain(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<WebBody> {
    let WebResponse { headers, body, .. } = WebResponse::text(text);
    let mut response = Response::new(WebBody::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What was sent and not read cannot be followed by another request.
fn closing(mut response: Response<WebBody>) -> Response<WebBody> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
