//! What is where: metrics, health and MCP, and the answers to everything else.
//!
//! Invariants: E1 health never needs a token. E2 a body is read whole, at most 1 MiB, within the request limit, before
//! anything acts on it. E3 a path this listener does not serve is 404, whatever the method.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::guard::Guard;
use super::listen::Serves;
use crate::health::{self, Limits, Probe};
use crate::mcp::McpServer;
use crate::metrics::Exporter;
use crate::snapshot::Shelf;
use crate::source::Source;
use crate::tally::{Event, Tally, status_text};

/// Largest request body.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest time a tool may take: the largest `timeout`, and a little.
pub(super) const TOOL_LIMIT: Duration = Duration::from_secs(125);
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What every answer is.
pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Metrics,
    Health(Probe),
    Mcp,
    Nowhere,
}

impl Place {
    const fn label(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Health(_) => "health",
            Self::Mcp => "mcp",
            Self::Nowhere => "other",
        }
    }
}

/// Everything an answer needs.
pub(crate) struct Site {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) exporter: Exporter,
    pub(crate) mcp: McpServer,
    pub(crate) guard: Guard,
    pub(crate) tally: Arc<Tally>,
    pub(crate) limits: Limits,
    pub(crate) collect_min_age: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) metrics_path: String,
    pub(crate) health_path: String,
}

impl Site {
    /// Answers one request that came to local address `local`.
    pub(crate) async fn answer(&self, request: Request<Incoming>, serves: Serves, local: IpAddr) -> Answer {
        let place = self.place(request.uri().path(), serves);
        let answer = match place {
            Place::Nowhere => plain(StatusCode::NOT_FOUND, "there is nothing here\n"),
            Place::Health(probe) => self.health(&request, probe),
            Place::Metrics | Place::Mcp => match self.guard.check(request.uri(), request.headers(), local) {
                Ok(()) if place == Place::Metrics => self.metrics(&request),
                Ok(()) => self.tools(request).await,
                Err(refusal) => {
                    self.tally.add(Event::Refused, refusal.reason(), "");
                    let mut answer = plain(refusal.status(), refusal.text());
                    if refusal.status() == StatusCode::UNAUTHORIZED {
                        let challenge = HeaderValue::from_static("Bearer realm=\"shard-diag\"");
                        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                    }
                    answer
                }
            },
        };
        self.tally.add(Event::Scrape, place.label(), status_text(answer.status()));
        answer
    }

    fn place(&self, path: &str, serves: Serves) -> Place {
        if serves.mcp && path == "/mcp" {
            return Place::Mcp;
        }
        if !serves.radar {
            return Place::Nowhere;
        }
        if path == self.metrics_path {
            return Place::Metrics;
        }
        match path.strip_prefix(self.health_path.as_str()) {
            Some("/live") => Place::Health(Probe::Live),
            Some("/ready") => Place::Health(Probe::Ready),
            Some("/startup") => Place::Health(Probe::Startup),
            _ => Place::Nowhere,
        }
    }

    fn health(&self, request: &Request<Incoming>, probe: Probe) -> Answer {
        if let Some(refused) = only_reads(request.method()) {
            return refused;
        }
        let verbose =
            request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "verbose=1"));
        let verdict = health::judge(self.source.as_ref(), &self.shelf, self.limits, probe, verbose);
        let status = if verdict.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::to_vec(&verdict).unwrap_or_default();
        let mut answer = with_body(status, JSON, Bytes::from(body));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    fn metrics(&self, request: &Request<Incoming>) -> Answer {
        if let Some(refused) = only_reads(request.method()) {
            return refused;
        }
        match self.exporter.page(self.collect_min_age) {
            Ok(page) => with_body(StatusCode::OK, prometheus::TEXT_FORMAT, page),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    async fn tools(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return not_allowed("POST");
        }
        let declared =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
            return self.too_large();
        }
        let body = match timeout(self.request_timeout, Limited::new(body, BODY_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return self.too_large(),
            Ok(Err(_)) => return plain(StatusCode::BAD_REQUEST, "the body could not be read\n"),
            Err(_) => {
                self.tally.add(Event::Refused, "slow_body", "");
                return plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n");
            }
        };
        if let Some(refused) = check_json(&body) {
            return refused;
        }
        let request = Request::from_parts(parts, Full::new(body));
        match timeout(TOOL_LIMIT, self.mcp.handle(request)).await {
            Ok(answer) => answer,
            Err(_) => plain(StatusCode::GATEWAY_TIMEOUT, "the tool did not answer in time\n"),
        }
    }

    fn too_large(&self) -> Answer {
        self.tally.add(Event::Refused, "body", "");
        plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB\n")
    }
}

/// JSON-RPC errors that need no look at the message.
fn check_json(body: &[u8]) -> Option<Answer> {
    let (code, text) = if serde_json::from_slice::<IgnoredAny>(body).is_err() {
        (-32700, "the body is not JSON")
    } else if body.trim_ascii_start().starts_with(b"[") {
        (-32600, "batches are not supported; send one message per request")
    } else {
        return None;
    };
    let error =
        serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": text } });
    Some(with_body(StatusCode::BAD_REQUEST, JSON, Bytes::from(error.to_string())))
}

fn only_reads(method: &Method) -> Option<Answer> {
    (method != Method::GET && method != Method::HEAD).then(|| not_allowed("GET, HEAD"))
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

fn plain(status: StatusCode, text: &str) -> Answer {
    with_body(status, TEXT, Bytes::copy_from_slice(text.as_bytes()))
}

fn with_body(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
