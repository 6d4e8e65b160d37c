//! Runs one of two nodes that count what they send each other, and prints the counters.
//!
//! Owns: one line of JSON on standard output every 100 ms. SIGUSR1 pauses the sources, SIGUSR2 lets them go on, SIGTERM
//! and SIGINT stop the node.

use clap::Parser;
use serde_json::{Value, json};
use shard_runtime::{LinkOptions, LogLevel, Node, NodeError};
use shard_scenarios::exit::{INTERNAL, MACHINE, arguments};
use shard_scenarios::traffic::{Load, Tally, start};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVERY: Duration = Duration::from_millis(100);

/// One of two nodes that send each other numbered messages and count what arrives.
#[derive(Debug, Parser)]
#[command(name = "traffic", version)]
struct Args {
    /// Name of this node
    #[arg(long)]
    name: String,
    /// Address for links
    #[arg(long)]
    listen: String,
    /// The other node
    #[arg(long)]
    peer: String,
    /// Its address; without it, this node waits to be dialled
    #[arg(long)]
    at: Option<String>,
    /// Shards, 1 to 64
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Messages per second and source, of which there are two per shard; 0: as many as links take
    #[arg(long, default_value_t = 2000)]
    rate: u64,
    /// Bytes of a message; one in 997 has 300,000
    #[arg(long, default_value_t = 64)]
    bytes: u64,
    /// Bytes that may be under way on one link
    #[arg(long, default_value_t = 1 << 20)]
    window: u64,
    /// Secret of both nodes; off loopback at least 32 bytes
    #[arg(long, env = "TRAFFIC_COOKIE", default_value = "traffic-in-a-test-network-0123456789abcdef")]
    cookie: String,
}

fn main() -> ExitCode {
    let args: Args = match arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "traffic: {error}"));
            match error.downcast_ref() {
                Some(NodeError::Preflight(_)) => MACHINE.into(),
                _ => INTERNAL.into(),
            }
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let signals = watch_signals()?;
    let mut builder = Node::builder(&args.name)
        .shards(args.shards)
        .listen(&args.listen)
        .cookie(&args.cookie)
        .allow_plaintext(true)
        .links(LinkOptions::new().window(args.window))
        .log_level(LogLevel::Info);
    if let Some(at) = &args.at {
        builder = builder.route(&args.peer, at);
    }
    let node = builder.start()?;
    let tally = Arc::new(Tally::default());
    let load = Load { peer: args.peer.clone(), rate: args.rate, bytes: args.bytes };
    start(&node, args.shards, &load, &tally)?;
    loop {
        writeln!(std::io::stdout(), "{}", line(&node, &tally, &args.peer))?;
        match signals.recv_timeout(EVERY) {
            Ok(SIGUSR1) => tally.pause(true),
            Ok(SIGUSR2) => tally.pause(false),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    node.stop();
    Ok(())
}

fn watch_signals() -> std::io::Result<Receiver<i32>> {
    let (tell, signals) = channel();
    let mut caught = Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in caught.forever() {
            if tell.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(signals)
}

/// What this node counts, and what its links count.
fn line(node: &Node, tally: &Tally, peer: &str) -> Value {
    let peers = node.stats().peers();
    let known = peers.iter().find(|known| known.name == peer);
    let link = known.map(|known| {
        let counters = &known.counters;
        let reasons: Vec<_> = known
            .history
            .iter()
            .filter_map(|record| match record.change {
                shard_runtime::PeerChange::Down(reason) => Some(reason.name()),
                _ => None,
            })
            .collect();
        json!({
            "connected": known.connected,
            "session": known.session,
            "incarnation": known.key.to_string(),
            "ups": known.ups,
            "downs": known.downs,
            "reasons": reasons,
            "reconnections": known.reconnections,
            "failed": counters.failed_out,
            "unknown": counters.unknown_out,
            "undeliverable": counters.undeliverable,
            "decode_errors": counters.decode_errors,
            "protocol_errors": counters.protocol_errors,
            "outbox_bytes": counters.outbox_bytes,
            "links": counters.links,
        })
    });
    json!({ "node": node.name(), "tally": tally.snapshot(), "link": link })
}
