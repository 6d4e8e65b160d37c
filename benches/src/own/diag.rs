//! What diagnostics cost a busy shard: the same-shard stream while the node is scraped and asked for its processes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use shard_diag::{Diag, DiagOptions, Endpoint};

use crate::error::RunError;
use crate::machine::{join, pinned_thread};
use crate::own::actors::{Sink, Source, Tick};
use crate::own::start::{Spread, World};
use crate::timing::{Stopwatch, millions_per_second};
use crate::workload::Run;

/// Time between two scrapes.
const INTERVAL: Duration = Duration::from_millis(100);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Streams for about 2 s, so that a run sees a score of scrapes.
fn count(run: Run) -> u64 {
    run.scale.of(150_000_000)
}

fn stream(run: Run, is_watched: bool) -> Result<f64, RunError> {
    let world = World::start(Spread::OneShard)?;
    let (sink, seen) = Sink::expecting(count(run));
    let to = world.spawn(0, move || sink)?;
    let (source, _calls) = Source::new(to, count(run));
    let from = world.spawn(0, move || source)?;
    // After the processes: the first list is to show them.
    let watched = if is_watched { Some(Watched::start(&world)?) } else { None };
    let watch = Stopwatch::start();
    world.send(from, Tick)?;
    let seconds = World::wait(&seen)?.seconds_since(watch);
    if let Some(watched) = watched {
        watched.end()?;
    }
    Ok(millions_per_second(count(run), seconds))
}

/// The stream with diagnostics at work; M msg/s.
///
/// # Errors
/// When the node refuses, messages are lost, or diagnostics do not answer.
pub fn watched_stream(run: Run) -> Result<f64, RunError> {
    stream(run, true)
}

/// The stream of a node without diagnostics; M msg/s.
///
/// # Errors
/// When the node refuses, or messages are lost.
pub fn stream_alone(run: Run) -> Result<f64, RunError> {
    stream(run, false)
}

/// Diagnostics and the client that asks them, on the processor without a shard.
struct Watched {
    diag: Diag,
    stop: mpsc::Sender<()>,
    client: std::thread::JoinHandle<Result<u64, RunError>>,
}

impl Watched {
    fn start(world: &World) -> Result<Self, RunError> {
        let endpoint = Endpoint { host: String::from("127.0.0.1"), port: 0 };
        let options = DiagOptions {
            radar: Some(endpoint.clone()),
            mcp: Some(endpoint),
            // Every scrape collects.
            collect_min_age: Duration::ZERO,
            ..DiagOptions::default()
        };
        let diag = Diag::for_node(world.node(), options).map_err(RunError::work)?;
        let radar = first(diag.radar_addresses())?;
        let mcp = first(diag.mcp_addresses())?;
        let (stop, stopped) = mpsc::channel::<()>();
        let client = pinned_thread("scraper", 0, move || {
            let mut rounds = 0;
            loop {
                scrape(radar)?;
                ask_for_processes(mcp)?;
                rounds += 1;
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return Ok(rounds);
                }
            }
        })?;
        Ok(Self { diag, stop, client })
    }

    fn end(self) -> Result<(), RunError> {
        drop(self.stop);
        join(self.client)?;
        self.diag.stop().map_err(RunError::work)
    }
}

fn first(addresses: &[SocketAddr]) -> Result<SocketAddr, RunError> {
    addresses.first().copied().ok_or_else(|| RunError::work("diagnostics have no listener"))
}

fn scrape(at: SocketAddr) -> Result<(), RunError> {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    expect(&exchange(at, &request)?, "# TYPE")
}

fn ask_for_processes(at: SocketAddr) -> Result<(), RunError> {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"process_list","arguments":{"sort_by":"messages_in","limit":10}}}"#;
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    expect(&exchange(at, &request)?, "MessagesIn")
}

fn expect(answer: &str, text: &str) -> Result<(), RunError> {
    if answer.starts_with("HTTP/1.1 200") && answer.contains(text) {
        return Ok(());
    }
    let start: String = answer.chars().take(200).collect();
    Err(RunError::work(format_args!("diagnostics answered without `{text}`: {start}")))
}

fn exchange(at: SocketAddr, request: &str) -> Result<String, RunError> {
    let mut stream = TcpStream::connect(at).map_err(RunError::io("dialling diagnostics"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(RunError::io("limiting the wait for diagnostics"))?;
    stream.write_all(request.as_bytes()).map_err(RunError::io("asking diagnostics"))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(RunError::io("reading an answer of diagnostics"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
