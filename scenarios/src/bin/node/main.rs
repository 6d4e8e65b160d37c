//! Runs one node with the scenarios of this crate.
//!
//! Owns: the order of start (signals, node, scenarios, diagnostics) and of stop (node, diagnostics), and the exit status.
//! Invariants: N1 whatever keeps the node from starting is one line on standard error that says what to do, and a status;
//! never a panic. N2 a second signal ends the program at once.

mod settings;
mod stop;

use settings::{Args, Checked, Command};
use shard_diag::source::Version;
use shard_diag::{Diag, DiagError, DiagOptions, NodeSource};
use shard_runtime::{LogLevel, Node, NodeError, doctor};
use shard_scenarios::exit::{INTERNAL, MACHINE, UNAVAILABLE, USAGE, arguments};
use std::fmt::Display;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Not healthy.
const UNHEALTHY: u8 = 1;

/// How long `healthcheck` waits.
const HEALTH_LIMIT: Duration = Duration::from_secs(2);

/// What the program ends with, unless all is well.
struct Failure {
    status: u8,
    text: String,
}

fn failure(status: u8, text: impl Display) -> Failure {
    Failure { status, text: text.to_string() }
}

fn main() -> ExitCode {
    let args: Args = match arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    let outcome = match args.command.unwrap_or(Command::Run) {
        Command::Run => run(&args),
        Command::Doctor => examine(&args),
        Command::Healthcheck => healthcheck(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            drop(writeln!(std::io::stderr(), "node: {text}"));
            status.into()
        }
    }
}

fn examine(args: &Args) -> Result<(), Failure> {
    let usage = |error| failure(USAGE, error);
    let report = doctor(args.shards().map_err(usage)?, args.is_pinned().map_err(usage)?);
    drop(write!(std::io::stdout(), "{report}"));
    if report.is_healthy() {
        Ok(())
    } else {
        Err(failure(MACHINE, "this machine cannot run the node; see above"))
    }
}

fn healthcheck(args: &Args) -> Result<(), Failure> {
    let radar = args.radar().map_err(|error| failure(USAGE, error))?;
    let radar = radar.ok_or_else(|| failure(USAGE, "--radar-addr (RADAR_ADDR) is empty: nobody to ask"))?;
    let resolved = (radar.host.as_str(), radar.port).to_socket_addrs();
    let address = resolved.ok().and_then(|mut all| all.next()).map(to_self);
    let address = address.ok_or_else(|| failure(USAGE, format_args!("cannot resolve {:?}", radar.host)))?;
    match shard_scenarios::http::get(address, "/health/ready?verbose=1", HEALTH_LIMIT) {
        Ok(page) if page.status == 200 => {
            drop(writeln!(std::io::stdout(), "{}", page.body));
            Ok(())
        }
        Ok(page) => Err(failure(UNHEALTHY, format_args!("not ready: {}", page.body))),
        Err(error) => Err(failure(UNHEALTHY, format_args!("{address} does not answer: {error}"))),
    }
}

/// A node that listens on every address is asked on loopback.
fn to_self(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn run(args: &Args) -> Result<(), Failure> {
    let settings = args.check().map_err(|error| failure(USAGE, error))?;
    let stop = stop::watch(args.stop_with_stdin)
        .map_err(|error| failure(INTERNAL, format_args!("cannot wait for signals: {error}")))?;
    let node = start(&settings).map_err(|error| failure(status_of(&error), error))?;
    for scenario in &settings.scenarios {
        shard_scenarios::start(*scenario, &node, &settings.scenario)
            .map_err(|error: NodeError| failure(INTERNAL, format_args!("scenario {scenario}: {error}")))?;
    }
    let diag = observe(&node, &settings).map_err(|error| {
        node.stop();
        failure(if matches!(error, DiagError::Bind { .. }) { UNAVAILABLE } else { USAGE }, error)
    })?;
    node.log(LogLevel::Info, format_args!("ready: {}", addresses(&diag)));
    let why = stop.wait();
    node.log(LogLevel::Info, format_args!("stopping: {why}"));
    node.stop();
    // Last, so that readiness says 503 while the rest stops.
    diag.stop().map_err(|error| failure(INTERNAL, error))
}

fn start(settings: &Checked) -> Result<Node, NodeError> {
    let mut builder = Node::builder(&settings.name)
        .shards(settings.shards)
        .pinning(settings.pinning.clone())
        .idle_spin(settings.idle_spin)
        .log_level(settings.log_level)
        .cluster(&settings.cluster);
    if let Some(address) = settings.listen {
        builder = builder.listen(address.to_string());
    }
    if let Some(address) = settings.advertise {
        builder = builder.advertise(address.to_string());
    }
    if let Some(cookie) = &settings.cookie {
        builder = builder.cookie(cookie);
    }
    if let Some(registrar) = &settings.registrar {
        builder = builder.registrar(registrar.clone());
    }
    builder.start()
}

fn status_of(error: &NodeError) -> u8 {
    match error {
        NodeError::Preflight(_) => MACHINE,
        NodeError::BadName(_) | NodeError::BadSetting { .. } | NodeError::Cookie(_) | NodeError::Route(_) => {
            USAGE
        }
        NodeError::Listen { .. } | NodeError::Registrar(_) => UNAVAILABLE,
        _ => INTERNAL,
    }
}

fn observe(node: &Node, settings: &Checked) -> Result<Diag, DiagError> {
    let version = Version {
        name: env!("CARGO_PKG_NAME").to_owned(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        license: env!("CARGO_PKG_LICENSE").to_owned(),
        ..Version::default()
    };
    let options = DiagOptions {
        radar: settings.radar.clone(),
        mcp: settings.mcp.clone(),
        token: settings.token.clone(),
        ..DiagOptions::default()
    };
    Diag::start(Arc::new(NodeSource::new(node).with_version(version)), options)
}

fn addresses(diag: &Diag) -> String {
    let urls = |addresses: &[SocketAddr], path: &str| {
        addresses.iter().map(|address| format!("http://{address}{path}")).collect::<Vec<_>>()
    };
    let mut all = urls(diag.radar_addresses(), "/metrics");
    all.extend(urls(diag.mcp_addresses(), "/mcp"));
    if all.is_empty() { "no listener, asked through other nodes".to_owned() } else { all.join(" ") }
}
