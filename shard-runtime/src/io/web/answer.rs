//! How a request is answered: by the handler of its path, or with a status that says what is wrong and no more than that.
//!
//! Invariant: A1 what went wrong behind a handler is for the log and the counters; who asked gets the status and its phrase.

use crate::error::CallError;
use crate::io::web::body::{BadBody, WebBody, collect};
use crate::io::web::call::call;
use crate::io::web::message::{Share, WebRequest, WebResponse};
use crate::io::web::progress::Progress;
use crate::io::web::route::{WebHandler, WebRoute};
use crate::io::web::server::Site;
use crate::io::web::{sse, websocket};
use crate::shard::{Pause, on_shard, with_current};
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// How long a body may be silent once the server closes.
const LAST_SILENCE: Duration = Duration::from_millis(250);
/// What a request holds beside its head and body.
const OVERHEAD: usize = 256;
/// When a client that is refused for want of room or of a worker may come again, in seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Answers a request.
pub(super) async fn answer(
    site: &Site,
    remote: SocketAddr,
    request: Request<Incoming>,
    progress: &Progress,
) -> Response<WebBody> {
    // Until a worker's handler has read it.
    progress.leaves_unread.set(!request.body().is_end_stream());
    let Some((handler, index)) = site.routes.find(request.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "there is nothing here");
    };
    match handler {
        WebRoute::Worker(handler) => answer_by_worker(site, handler, index, remote, request, progress).await,
        // They would only be ended.
        _ if site.is_closing.get() => closing(unavailable()),
        WebRoute::WebSocket(handler) => {
            let (parts, _no_body) = request.into_parts();
            match websocket::accept(handler, index, remote, Request::from_parts(parts, ())) {
                Ok((response, wanted)) => {
                    progress.upgrade.replace(Some(wanted));
                    response.map(|()| Bytes::new().into())
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
            Err((StatusCode::SERVICE_UNAVAILABLE, _)) => unavailable(),
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
    progress: &Progress,
) -> Response<WebBody> {
    let (parts, body) = request.into_parts();
    let body = match collect_in_time(site, handler, body).await {
        Ok(body) => body,
        Err(BadBody::TooLong) => {
            return closing(plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"));
        }
        Err(BadBody::Broken) => return closing(plain(StatusCode::BAD_REQUEST, "the body is broken")),
        Err(BadBody::Late) => {
            return closing(plain(StatusCode::REQUEST_TIMEOUT, "the body took too long to come"));
        }
    };
    progress.leaves_unread.set(false);
    let Some(lease) = site.unhandled.try_take(size(&parts, &body)) else {
        on_shard(|shard| shard.count(|cells| &cells.io_shed, 1));
        site.complain(
            StatusCode::SERVICE_UNAVAILABLE,
            &"workers have as much unhandled as `max_unhandled` allows",
        );
        return unavailable();
    };
    let Parts { method, uri, headers, .. } = parts;
    let request = WebRequest { method, uri, headers, body, remote, _share: Share::of(lease) };
    let answering = with_current(|shard| shard.map(|shard| call(shard, handler, index, request)));
    let Some(answering) = answering else { return unavailable() };
    match answering.await {
        Ok(WebResponse { status, headers, body }) => {
            let mut response = Response::new(WebBody::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(error) => unanswered(site, error),
    }
}

/// What a request counts while workers have it.
fn size(parts: &Parts, body: &Bytes) -> usize {
    let uri = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
    let headers = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    body.len() + uri + headers.sum::<usize>() + OVERHEAD
}

/// Collects a body within the time that it has: less than otherwise once the server closes, so that who is slow still gets a
/// status.
async fn collect_in_time(site: &Site, handler: &WebHandler, body: Incoming) -> Result<Bytes, BadBody> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let come = Cell::new(0);
    let mut collecting = pin!(collect(body, handler.max_body, &come));
    let mut limit = Pause::new(site.limits.body_timeout);
    let half = site.limits.drain / 2;
    let silence = LAST_SILENCE.min(half);
    let mut last: Option<(Pause, Pause, usize)> = None;
    poll_fn(|task| {
        if let Poll::Ready(body) = collecting.as_mut().poll(task) {
            return Poll::Ready(body);
        }
        let late = |()| Err(BadBody::Late);
        if !site.is_closing.get() {
            return Pin::new(&mut limit).poll(task).map(late);
        }
        let (whole, silent, seen) =
            last.get_or_insert_with(|| (Pause::new(half), Pause::new(silence), come.get()));
        if std::mem::replace(seen, come.get()) != come.get() {
            *silent = Pause::new(silence);
        }
        if Pin::new(whole).poll(task).is_ready() {
            return Poll::Ready(late(()));
        }
        Pin::new(silent).poll(task).map(late)
    })
    .await
}

/// No worker has answered: the status says whether asking again helps.
fn unanswered(site: &Site, error: CallError) -> Response<WebBody> {
    on_shard(|shard| shard.count(|cells| &cells.io_unanswered, 1));
    let status = match error {
        CallError::Timeout => StatusCode::GATEWAY_TIMEOUT,
        // It was not handled.
        CallError::Send(_) | CallError::Busy | CallError::Disabled | CallError::Dropped => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::BAD_GATEWAY,
    };
    site.complain(status, &error);
    if status == StatusCode::SERVICE_UNAVAILABLE { unavailable() } else { bare(status) }
}

/// Try again in a moment.
fn unavailable() -> Response<WebBody> {
    let mut response = bare(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

/// A status and its phrase.
fn bare(status: StatusCode) -> Response<WebBody> {
    plain(status, status.canonical_reason().unwrap_or_default())
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
