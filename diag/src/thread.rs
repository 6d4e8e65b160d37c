//! The diagnostics thread: start, what runs on it, stop.
//!
//! Invariants: Z1 everything diagnostics does happens on this one thread. Z2 a listener that cannot be bound refuses
//! the start; nothing is left running. Shutdown: listeners close, answers in progress get two seconds, then the thread ends.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::error::DiagError;
use crate::health::Limits;
use crate::http::{Guard, Listener, Site, bind_all, check_token, serve};
use crate::mcp::{Desk, DeskOptions, McpServer};
use crate::metrics::Exporter;
use crate::options::DiagOptions;
use crate::snapshot::Shelf;
use crate::source::Source;
use crate::tally::Tally;

/// How long answers in progress may take once a stop begins.
const DRAIN: Duration = Duration::from_secs(2);
/// How long [`Diag::stop`] waits for the thread.
const STOP: Duration = Duration::from_secs(5);
/// Entries per top list, at most.
const TOP_N_MAX: usize = 500;
/// Time between two samples of the shards' busy time.
const SAMPLE: Duration = Duration::from_secs(1);

/// A running diagnostics thread. Dropping it stops it.
#[derive(Debug)]
pub struct Diag {
    radar: Vec<SocketAddr>,
    mcp: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Diag {
    /// Binds the listeners and starts the thread.
    ///
    /// # Errors
    /// [`DiagError`] when an address is taken or needs a token, or when the system gives no thread.
    pub fn start(source: Arc<dyn Source>, options: DiagOptions) -> Result<Self, DiagError> {
        check_token(options.token.as_deref())?;
        check_path("metrics_path", &options.metrics_path)?;
        check_path("health_path", &options.health_path)?;
        let listeners = bind_all(&options)?;
        let addresses = |wanted: fn(&Listener) -> bool| {
            listeners.iter().filter(|listener| wanted(listener)).map(|listener| listener.address).collect()
        };
        let radar = addresses(|listener| listener.serves.radar);
        let mcp = addresses(|listener| listener.serves.mcp);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(DiagError::Thread)?;
        let plan = Plan::new(source, options)?;
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(String::from("shard-diag"))
            .spawn(move || {
                let _alive = alive;
                run(&runtime, plan, listeners, stopped);
            })
            .map_err(DiagError::Thread)?;
        Ok(Self { radar, mcp, stop, ended, thread: Some(thread) })
    }

    /// Addresses of the metrics and health listener; empty if it is off.
    #[must_use]
    pub fn radar_addresses(&self) -> &[SocketAddr] {
        &self.radar
    }

    /// Addresses of the MCP listener; empty in agent mode.
    #[must_use]
    pub fn mcp_addresses(&self) -> &[SocketAddr] {
        &self.mcp
    }

    /// Stops the thread: no new connection, answers in progress get two seconds.
    ///
    /// # Errors
    /// [`DiagError::StopTimeout`] if the thread does not end within five seconds, which only a [`Source`] that blocks
    /// can cause.
    pub fn stop(mut self) -> Result<(), DiagError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), DiagError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.stop.send_replace(true);
        // The channel carries nothing: its other end is dropped when the thread ends.
        if self.ended.recv_timeout(STOP) == Err(mpsc::RecvTimeoutError::Timeout) {
            return Err(DiagError::StopTimeout(STOP));
        }
        thread.join().map_err(|_| DiagError::Thread(io::Error::other("the diagnostics thread panicked")))
    }
}

impl Drop for Diag {
    fn drop(&mut self) {
        // A thread that cannot be stopped is left behind; there is nobody to tell.
        drop(self.end());
    }
}

fn check_path(option: &'static str, path: &str) -> Result<(), DiagError> {
    if path.starts_with('/') && path != "/mcp" {
        return Ok(());
    }
    Err(DiagError::BadPath { option, path: String::from(path) })
}

/// What the thread is given.
struct Plan {
    source: Arc<dyn Source>,
    shelf: Arc<Shelf>,
    exporter: Exporter,
    tally: Arc<Tally>,
    options: DiagOptions,
}

impl Plan {
    fn new(source: Arc<dyn Source>, options: DiagOptions) -> Result<Self, DiagError> {
        let shelf = Arc::new(Shelf::new(Arc::clone(&source), options.top_n.min(TOP_N_MAX)));
        let tally = Arc::new(Tally::default());
        let exporter = Exporter::new(Arc::clone(&shelf), Arc::clone(&tally))?;
        Ok(Self { source, shelf, exporter, tally, options })
    }
}

fn run(runtime: &Runtime, plan: Plan, listeners: Vec<Listener>, stop: watch::Receiver<bool>) {
    let local = LocalSet::new();
    local.block_on(runtime, work(plan, listeners, stop));
    // Connections that use up their grace: dropping them closes them.
    runtime.block_on(async { drop(timeout(DRAIN, local).await) });
}

async fn work(plan: Plan, listeners: Vec<Listener>, mut stop: watch::Receiver<bool>) {
    let Plan { source, shelf, exporter, tally, options } = plan;
    let limits =
        DeskOptions { max_inflight: options.max_inflight, result_cap_bytes: options.result_cap_bytes };
    let desk = Arc::new(Desk::new(Arc::clone(&source), Arc::clone(&tally), limits));
    let site = Rc::new(Site {
        source: Arc::clone(&source),
        shelf: Arc::clone(&shelf),
        exporter,
        mcp: McpServer::new(&desk, &options.instructions),
        guard: Guard::new(&options),
        tally,
        limits: Limits {
            stall_down_after: options.stall_down_after,
            collect_interval: options.collect_interval,
        },
        collect_min_age: options.collect_min_age,
        request_timeout: options.request_timeout,
        metrics_path: options.metrics_path,
        health_path: options.health_path,
    });
    let mut tasks = JoinSet::new();
    for listener in listeners {
        // Registering a bound socket fails only where the event loop is gone, and then nothing works.
        let Ok(socket) = tokio::net::TcpListener::from_std(listener.socket) else { continue };
        let served = serve(socket, listener.serves, Rc::clone(&site), options.max_connections, stop.clone());
        tasks.spawn_local(served);
    }
    if let Some(requests) = source.take_requests() {
        tasks.spawn_local(Arc::clone(&desk).serve_peers(requests));
    }
    tasks.spawn_local(tick(Arc::clone(&desk), shelf, options.collect_interval));
    // An error means that the handle is gone, which is a stop too.
    drop(stop.wait_for(|stop| *stop).await);
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
}

/// Samples the shards every second and collects every interval.
async fn tick(desk: Arc<Desk>, shelf: Arc<Shelf>, collect_interval: Duration) {
    let mut ticks = interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        desk.window.sample(desk.source.identity().uptime_ns, &desk.source.shards());
        drop(shelf.not_older_than(collect_interval));
    }
}
