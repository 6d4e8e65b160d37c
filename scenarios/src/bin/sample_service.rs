//! A small order service: what an ordinary program on this runtime looks like.
//!
//! `POST /orders`, `GET /orders/{id}`, `GET /totals`, `POST /crash`, `GET /health`; each order goes out as a line of the TCP feed.
//!
//! Owns: the tree of processes, the settings, the exit status. Invariants: S1 a crash of a worker costs the request that it was
//! handling and no other. S2 nothing grows without a bound: orders, mailboxes, what waits for a slow reader of the feed.

use clap::Parser;
use serde::{Deserialize, Serialize};
use shard_diag::{Diag, DiagOptions, Endpoint};
use shard_runtime::http::{Method, StatusCode};
use shard_runtime::prelude::*;
use shard_runtime::wire::Alias;
use shard_runtime::{
    AppFailure, AppMode, AppSpec, Application, Child, CronJob, CronTick, IoBytes, TcpConnect, TcpData,
    TcpDisconnect, TcpServer, WebHandler, WebRequest, WebResponse, WebServer,
};
use shard_scenarios::exit::{INTERNAL, MACHINE, UNAVAILABLE, arguments};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The event that each order is published as.
const ORDERS: &str = "orders";
/// Publications that may wait at a subscriber. Further ones it misses, and they are counted.
const SUBSCRIBER_MAILBOX: u32 = 65_536;
/// How long requests under way may take when the program is told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// Crashes of one worker in 10 seconds that are still called bad luck.
const CRASHES: u16 = 100;

/// Takes orders over HTTP and tells them to whoever listens on the feed.
#[derive(Clone, Debug, Parser)]
#[command(name = "sample_service", version)]
struct Args {
    /// Where the web server listens; port 0 is any free one, as for the other two
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where the feed listens
    #[arg(long, default_value = "127.0.0.1:8081")]
    feed: SocketAddr,
    /// Port of metrics, health and MCP on loopback
    #[arg(long, default_value_t = 9090)]
    diag_port: u16,
    /// Shards, 1 to 64
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Workers that answer requests
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Orders that are kept; the oldest go first
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    max_orders: u32,
    /// Bytes that may wait for a reader of the feed before it is closed as too slow
    #[arg(long, default_value_t = 256 * 1024)]
    feed_pending: usize,
    /// Seconds that the program may take to stop
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    stop_seconds: u64,
}

#[message(local)]
#[derive(Clone, Debug, Serialize)]
struct Order {
    id: u64,
    item: String,
    quantity: u32,
}

#[message(local, reply = Order)]
#[derive(Deserialize)]
struct Place {
    item: String,
    quantity: u32,
}

#[message(local, reply = Option<Order>)]
struct Find(u64);

#[message(local, reply = Totals)]
struct Count;

#[derive(Serialize)]
struct Totals {
    taken: u64,
    kept: usize,
}

/// Why a request is not done, and with which status.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("not an order: {0}")]
    NotAnOrder(#[from] serde_json::Error),
    #[error("quantity must be at least 1")]
    NoQuantity,
    #[error("no order {0:?}")]
    NoOrder(String),
    #[error("nothing at {0}")]
    NoRoute(String),
    #[error("the orders are not there: {0}")]
    NoLedger(#[from] CallError),
}

impl Refusal {
    fn response(&self) -> WebResponse {
        let status = match self {
            Self::NotAnOrder(_) => StatusCode::BAD_REQUEST,
            Self::NoQuantity => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoOrder(_) | Self::NoRoute(_) => StatusCode::NOT_FOUND,
            Self::NoLedger(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        WebResponse::json(&serde_json::json!({ "error": self.to_string() })).with_status(status)
    }
}

/// Keeps the orders.
struct Ledger {
    orders: BTreeMap<u64, Order>,
    taken: u64,
    max_orders: usize,
}

#[actor]
impl Ledger {
    #[handle]
    fn find(&mut self, m: Find, _cx: &mut Context<'_>) -> Result<Option<Order>, ActorError> {
        Ok(self.orders.get(&m.0).cloned())
    }

    #[handle]
    fn place(&mut self, m: Place, cx: &mut Context<'_>) -> Result<Order, ActorError> {
        self.taken += 1;
        let order = Order { id: self.taken, item: m.item, quantity: m.quantity };
        self.orders.insert(order.id, order.clone());
        if self.orders.len() > self.max_orders {
            self.orders.pop_first();
        }
        if let Err(error) = cx.publish_by_name(ORDERS, order.clone()) {
            cx.log().with("order", order.id).warning(format_args!("not published: {error}"));
        }
        Ok(order)
    }

    #[handle]
    fn count(&mut self, _: Count, _cx: &mut Context<'_>) -> Result<Totals, ActorError> {
        Ok(Totals { taken: self.taken, kept: self.orders.len() })
    }
}

/// Answers requests. It may crash: whoever waits behind the request that it dies of waits for its successor.
#[derive(Default)]
struct Worker;

#[actor]
impl Worker {
    #[handle]
    async fn request(&mut self, m: WebRequest, cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        Ok(self.answer(&m, cx).await.unwrap_or_else(|refusal| refusal.response()))
    }

    async fn answer(&self, m: &WebRequest, cx: &Context<'_>) -> Result<WebResponse, Refusal> {
        match (&m.method, m.path()) {
            (&Method::POST, "/orders") => {
                let order = m.json::<Place>()?;
                if order.quantity == 0 {
                    return Err(Refusal::NoQuantity);
                }
                Ok(WebResponse::json(&cx.call("ledger", order).await?).with_status(StatusCode::CREATED))
            }
            (&Method::GET, "/totals") => Ok(WebResponse::json(&cx.call("ledger", Count).await?)),
            (&Method::POST, "/crash") => panic!("told to crash"),
            (&Method::GET, path) if path.starts_with("/orders/") => {
                let id = &path["/orders/".len()..];
                let number = id.parse().map_err(|_| Refusal::NoOrder(id.to_owned()))?;
                let order = cx.call("ledger", Find(number)).await?;
                order.map(|order| WebResponse::json(&order)).ok_or_else(|| Refusal::NoOrder(id.to_owned()))
            }
            (_, path) => Err(Refusal::NoRoute(path.to_owned())),
        }
    }
}

/// Counts what is published and says so each second.
#[derive(Default)]
struct Tally {
    orders: u64,
    said: u64,
    last: Option<u64>,
    missed: u64,
}

#[actor]
impl Tally {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        Ok(cx.subscribe::<Order>(ORDERS)?)
    }

    #[handle]
    fn order(&mut self, event: Event<Order>, _cx: &mut Context<'_>) -> ActorResult {
        self.orders += 1;
        self.missed += self.last.map_or(0, |last| event.sequence().saturating_sub(last + 1));
        self.last = Some(event.sequence());
        Ok(())
    }

    #[handle]
    fn summary(&mut self, _: CronTick, cx: &mut Context<'_>) -> ActorResult {
        if self.orders > self.said {
            cx.log().with("new", self.orders - self.said).with("missed", self.missed).info("orders");
            self.said = self.orders;
        }
        Ok(())
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("orders", self.orders);
        out.set("missed", self.missed);
    }
}

/// Sends each order as a line to all who are connected.
struct Feed {
    address: SocketAddr,
    pending: usize,
    readers: Vec<Alias>,
}

#[actor]
impl Feed {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let server =
            TcpServer::bind(self.address.to_string()).max_pending(self.pending).max_connections(1024);
        if let Some(address) = cx.spawn_io(server)?.local {
            cx.log().info(format_args!("feed on {address}"));
        }
        Ok(cx.subscribe::<Order>(ORDERS)?)
    }

    #[handle]
    fn order(&mut self, event: Event<Order>, cx: &mut Context<'_>) -> ActorResult {
        let mut line = serde_json::to_vec(event.message())?;
        line.push(b'\n');
        let line = IoBytes::from(line);
        for &id in &self.readers {
            // One that has gone is taken off by its own news.
            let _gone = cx.send(id, TcpData { id, data: line.clone() });
        }
        Ok(())
    }

    #[handle]
    fn connected(&mut self, m: TcpConnect, cx: &mut Context<'_>) -> ActorResult {
        cx.log().with("reader", m.remote).info("feed joined");
        self.readers.push(m.id);
        Ok(())
    }

    #[handle]
    fn ignored(&mut self, _: TcpData, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn disconnected(&mut self, m: TcpDisconnect, cx: &mut Context<'_>) -> ActorResult {
        cx.log().info(format_args!("feed left: {}", m.reason));
        self.readers.retain(|id| *id != m.id);
        Ok(())
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("readers", self.readers.len());
    }
}

/// Owns the web server, which hands requests to the workers in turn and passes over those that are being restarted.
struct Site {
    address: SocketAddr,
    workers: u16,
}

fn worker(number: u16) -> String {
    format!("worker-{number}")
}

#[actor]
impl Site {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let to_workers = (1..self.workers).map(worker).fold(WebHandler::to(worker(0)), WebHandler::and);
        let server = WebServer::bind(self.address.to_string())
            .route("/*", to_workers.max_body(16 * 1024))
            .route("/health", WebHandler::to(cx.pid()))
            .drain(DRAIN);
        if let Some(address) = cx.spawn_io(server)?.local {
            cx.log().info(format_args!("http on {address}"));
        }
        Ok(())
    }

    #[handle]
    fn request(&mut self, _: WebRequest, cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        Ok(self.health(cx))
    }

    fn health(&self, cx: &Context<'_>) -> WebResponse {
        let up = (0..self.workers).filter(|number| cx.whereis(&worker(*number)).is_some()).count();
        let status = if up > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        WebResponse::json(&serde_json::json!({ "workers": up })).with_status(status)
    }
}

/// The tree: the ledger and its listeners, the workers, the web server. It stops the other way round, once what was asked is
/// answered.
struct Orders(Args);

impl Application for Orders {
    fn name(&self) -> &str {
        "orders"
    }

    fn spec(&self) -> AppSpec {
        let (args, workers, site) = (self.0.clone(), self.0.workers, self.0.http);
        let back = move || {
            let max_orders = args.max_orders as usize;
            let ledger = Child::new(move || Ledger { orders: BTreeMap::new(), taken: 0, max_orders });
            let (address, pending) = (args.feed, args.feed_pending);
            let feed = Child::new(move || Feed { address, pending, readers: Vec::new() });
            let bounded = || SpawnOptions::new().with_mailbox(SUBSCRIBER_MAILBOX);
            Supervisor::new(SupervisorSpec::one_for_one())
                .child_with(
                    ChildSpec::new("ledger"),
                    ledger.options(SpawnOptions::new().on_shard(args.shards - 1)),
                )
                .child_with(ChildSpec::new("tally"), Child::new(Tally::default).options(bounded()))
                .child_with(ChildSpec::new("feed"), feed.options(bounded()))
        };
        let workers = move || {
            (0..workers).fold(Supervisor::new(SupervisorSpec::one_for_one()), |tree, number| {
                let spec = ChildSpec::new(&worker(number)).intensity(CRASHES, Duration::from_secs(10));
                tree.child(spec.preserve_mailbox(), Worker::default)
            })
        };
        let count = self.0.workers;
        AppSpec::new()
            .mode(AppMode::Permanent)
            .member(back, SpawnOptions::named("back"))
            .member(workers, SpawnOptions::named("workers"))
            .member(move || Site { address: site, workers: count }, SpawnOptions::named("site"))
    }
}

fn main() -> ExitCode {
    let args: Args = match arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, text)) => {
            drop(writeln!(std::io::stderr(), "sample_service: {text}"));
            status.into()
        }
    }
}

fn run(args: Args) -> Result<(), (u8, String)> {
    let failed = |error: NodeError| {
        let status = match &error {
            NodeError::Preflight(_) => MACHINE,
            NodeError::App(_) => UNAVAILABLE,
            _ => INTERNAL,
        };
        (status, error.to_string())
    };
    let port = Some(Endpoint::loopback(args.diag_port));
    let node = Node::builder("orders@localhost")
        .shards(args.shards)
        .version(env!("CARGO_PKG_VERSION"))
        .event::<Order>(ORDERS, 0)
        .cron(CronJob::new("summary", "* * * * * *").tick("tally"))
        .shutdown_timeout(Duration::from_secs(args.stop_seconds))
        .on_app_failure(AppFailure::StopNode)
        .app(Orders(args))
        .start()
        .map_err(failed)?;
    let options = DiagOptions { radar: port.clone(), mcp: port, ..DiagOptions::default() };
    let diag = Diag::for_node(&node, options).map_err(|error| (UNAVAILABLE, error.to_string()))?;
    for address in diag.radar_addresses() {
        node.log(shard_runtime::LogLevel::Info, format_args!("diagnostics on {address}"));
    }
    let stopped = node.run_until_signal().map_err(failed);
    // Last, so that readiness says 503 while the rest stops.
    diag.stop().map_err(|error| (INTERNAL, error.to_string()))?;
    stopped
}
