//! What an operator sets, from arguments and the environment, checked before anything starts.
//!
//! Invariant: S1 an empty variable counts as unset, except for an address, where it means "off". S2 each error names the
//! argument and the variable it came from, and what would do instead.

use clap::{Parser, Subcommand};
use shard_diag::Endpoint;
use shard_runtime::{LogLevel, Pinning, RegistrarSpec};
use shard_scenarios::{Scenario, Settings, UnknownScenario};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs one node with the scenarios of this crate.
#[derive(Debug, Parser)]
#[command(
    name = "node",
    version,
    after_help = "exit status: 0 stopped as told, 1 unhealthy, 64 bad settings, \
    69 an address or the registrar is not available, 70 internal error, 78 the machine lacks something"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Name of the node, `name@host`; it need not resolve
    #[arg(long, env = "NODE_NAME", global = true, default_value = "node@localhost")]
    name: String,
    /// Name of the cluster: nodes of other clusters are not found
    #[arg(long, env = "CLUSTER", global = true, default_value = "observability")]
    cluster: String,
    /// Shared secret of the cluster; better in a file, see --cookie-file
    #[arg(long, env = "COOKIE", global = true, hide_env_values = true)]
    cookie: Option<String>,
    /// File that holds the cookie
    #[arg(long, env = "COOKIE_FILE", global = true)]
    cookie_file: Option<PathBuf>,
    /// Where nodes find each other, `embedded://IP:PORT`; without it only this node is known
    #[arg(long, env = "REGISTRAR", global = true)]
    registrar: Option<String>,
    /// Address for other nodes, `IP:PORT`
    #[arg(long, env = "LISTEN", global = true)]
    listen: Option<String>,
    /// Address that other nodes are told, if it is not the one listened on
    #[arg(long, env = "ADVERTISE", global = true)]
    advertise: Option<String>,
    /// Address of metrics and health, `HOST:PORT`; empty: not served
    #[arg(long, env = "RADAR_ADDR", global = true, default_value = "127.0.0.1:9090")]
    radar_addr: String,
    /// Address of the MCP server, `HOST:PORT`; empty: an agent that answers through other nodes
    #[arg(long, env = "MCP_ADDR", global = true, default_value = "")]
    mcp_addr: String,
    /// Bearer token of metrics and MCP; needed where they listen off loopback
    #[arg(long, env = "MCP_TOKEN", global = true, hide_env_values = true)]
    mcp_token: Option<String>,
    /// Scenarios to run, separated by commas
    #[arg(long, env = "SCENARIOS", global = true, default_value = "messaging")]
    scenarios: String,
    /// Seed of the scenarios' random choices
    #[arg(long, env = "SCENARIO_SEED", global = true)]
    scenario_seed: Option<String>,
    /// Factor on the scenarios' delays
    #[arg(long, env = "SCENARIO_TIME_SCALE", global = true, default_value = "1")]
    scenario_time_scale: String,
    /// Milliseconds before the scenarios' first traffic
    #[arg(long, env = "SCENARIO_START_DELAY_MS", global = true, default_value = "5000")]
    scenario_start_delay_ms: String,
    /// Lowest level that is logged: trace, debug, info, warning, error, panic
    #[arg(long, env = "LOG_LEVEL", global = true, default_value = "info")]
    log_level: String,
    /// Number of shards
    #[arg(long, env = "SHARDS", global = true, default_value = "1")]
    shards: String,
    /// Where shards run: none, auto, or a list of CPUs such as 0,2
    #[arg(long, env = "PIN", global = true, default_value = "none")]
    pin: String,
    /// Microseconds that an idle shard polls before it sleeps
    #[arg(long, env = "IDLE_SPIN_US", global = true, default_value = "0")]
    idle_spin_us: String,
    /// Stop when standard input ends, so that the node does not outlive the program that started it
    #[arg(long, global = true)]
    pub(crate) stop_with_stdin: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Run the node; the default
    Run,
    /// Look at what the node needs from this machine
    Doctor,
    /// Ask the node at --radar-addr whether it is ready
    Healthcheck,
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("{argument} ({variable}) is {value:?}, but must be {must_be}")]
    Bad { argument: &'static str, variable: &'static str, value: String, must_be: &'static str },
    #[error("--scenarios (SCENARIOS): {0}")]
    Scenario(#[from] UnknownScenario),
    #[error("cannot read the cookie from {}: {source}; check --cookie-file (COOKIE_FILE)", path.display())]
    CookieFile { path: PathBuf, source: std::io::Error },
    #[error("the cookie is given twice, by --cookie (COOKIE) and by --cookie-file (COOKIE_FILE); keep one")]
    TwoCookies,
}

/// Checked settings.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) cookie: Option<String>,
    pub(crate) registrar: Option<RegistrarSpec>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) advertise: Option<SocketAddr>,
    pub(crate) radar: Option<Endpoint>,
    pub(crate) mcp: Option<Endpoint>,
    pub(crate) token: Option<String>,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) scenario: Settings,
    pub(crate) log_level: LogLevel,
    pub(crate) shards: u16,
    pub(crate) pinning: Pinning,
    pub(crate) idle_spin: Duration,
}

/// One setting as text, with the names it goes by.
struct Given<'a> {
    argument: &'static str,
    variable: &'static str,
    text: &'a str,
}

impl Given<'_> {
    fn bad(&self, must_be: &'static str) -> SettingError {
        let Self { argument, variable, text } = *self;
        SettingError::Bad { argument, variable, value: text.to_owned(), must_be }
    }

    fn parse<T: std::str::FromStr>(&self, must_be: &'static str) -> Result<T, SettingError> {
        self.text.trim().parse().map_err(|_| self.bad(must_be))
    }

    fn endpoint(&self) -> Result<Option<Endpoint>, SettingError> {
        if self.text.is_empty() {
            return Ok(None);
        }
        let must_be = "HOST:PORT, such as 127.0.0.1:9090, or empty";
        let (host, port) = self.text.rsplit_once(':').ok_or_else(|| self.bad(must_be))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match (host, port.parse()) {
            ("", _) | (_, Err(_)) => Err(self.bad(must_be)),
            (host, Ok(port)) => Ok(Some(Endpoint { host: host.to_owned(), port })),
        }
    }

    fn pinning(&self) -> Result<Pinning, SettingError> {
        match self.text.trim() {
            "none" => Ok(Pinning::None),
            "auto" => Ok(Pinning::Auto),
            cpus => {
                let cpus: Result<Vec<usize>, _> = cpus.split(',').map(|cpu| cpu.trim().parse()).collect();
                cpus.map(Pinning::Cpus).map_err(|_| self.bad("none, auto, or CPUs such as 0,2"))
            }
        }
    }
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

fn address(
    argument: &'static str,
    variable: &'static str,
    text: Option<&String>,
) -> Result<Option<SocketAddr>, SettingError> {
    let parse = |text| Given { argument, variable, text }.parse("IP:PORT, such as 127.0.0.1:11144");
    given(text).map(parse).transpose()
}

fn registrar(text: &str) -> Result<RegistrarSpec, SettingError> {
    let given = Given { argument: "--registrar", variable: "REGISTRAR", text };
    let must_be = "embedded://IP:PORT, such as embedded://127.0.0.1:4499";
    let address = text.strip_prefix("embedded://").ok_or_else(|| given.bad(must_be))?;
    let checked: SocketAddr = address.parse().map_err(|_| given.bad(must_be))?;
    Ok(RegistrarSpec::embedded(checked.to_string()))
}

impl Args {
    /// Reads all settings.
    pub(crate) fn check(&self) -> Result<Checked, SettingError> {
        let of = |argument, variable, text| Given { argument, variable, text };
        let level = of("--log-level", "LOG_LEVEL", self.log_level.as_str());
        let levels = LogLevel::ALL.into_iter();
        let log_level = levels
            .rev()
            .find(|known| known.name() == level.text.trim().to_ascii_lowercase())
            .ok_or_else(|| level.bad("trace, debug, info, warning, error or panic"))?;
        let micros = of("--idle-spin-us", "IDLE_SPIN_US", self.idle_spin_us.as_str());
        Ok(Checked {
            name: self.name.clone(),
            cluster: self.cluster.clone(),
            cookie: self.cookie()?,
            registrar: given(self.registrar.as_ref()).map(registrar).transpose()?,
            listen: address("--listen", "LISTEN", self.listen.as_ref())?,
            advertise: address("--advertise", "ADVERTISE", self.advertise.as_ref())?,
            radar: self.radar()?,
            mcp: of("--mcp-addr", "MCP_ADDR", &self.mcp_addr).endpoint()?,
            token: given(self.mcp_token.as_ref()).map(str::to_owned),
            scenarios: self.scenarios()?,
            scenario: self.scenario()?,
            log_level,
            shards: self.shards()?,
            pinning: of("--pin", "PIN", &self.pin).pinning()?,
            idle_spin: Duration::from_micros(micros.parse("a number of microseconds")?),
        })
    }

    /// Where metrics and health are served.
    pub(crate) fn radar(&self) -> Result<Option<Endpoint>, SettingError> {
        Given { argument: "--radar-addr", variable: "RADAR_ADDR", text: &self.radar_addr }.endpoint()
    }

    /// Number of shards.
    pub(crate) fn shards(&self) -> Result<u16, SettingError> {
        Given { argument: "--shards", variable: "SHARDS", text: &self.shards }.parse("1 to 1024")
    }

    /// Whether shards are pinned.
    pub(crate) fn is_pinned(&self) -> Result<bool, SettingError> {
        let pin = Given { argument: "--pin", variable: "PIN", text: &self.pin };
        Ok(pin.pinning()? != Pinning::None)
    }

    fn cookie(&self) -> Result<Option<String>, SettingError> {
        let file = self.cookie_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        match (given(self.cookie.as_ref()), file) {
            (Some(_), Some(_)) => Err(SettingError::TwoCookies),
            (Some(cookie), None) => Ok(Some(cookie.to_owned())),
            (None, Some(path)) => read_cookie(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn scenarios(&self) -> Result<Vec<Scenario>, SettingError> {
        let names = self.scenarios.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(|name| Ok(name.parse()?)).collect()
    }

    fn scenario(&self) -> Result<Settings, SettingError> {
        let of = |argument, variable, text| Given { argument, variable, text };
        let seed = |text| of("--scenario-seed", "SCENARIO_SEED", text).parse("a number below 2^64");
        let scale = of("--scenario-time-scale", "SCENARIO_TIME_SCALE", self.scenario_time_scale.as_str());
        let must_be = "a number from 0.001 to 1000";
        let time_scale: f64 = scale.parse(must_be)?;
        if !(0.001..=1000.0).contains(&time_scale) {
            return Err(scale.bad(must_be));
        }
        let variable = "SCENARIO_START_DELAY_MS";
        let delay = of("--scenario-start-delay-ms", variable, self.scenario_start_delay_ms.as_str());
        Ok(Settings {
            seed: given(self.scenario_seed.as_ref()).map(seed).transpose()?,
            time_scale,
            start_delay: Duration::from_millis(delay.parse("a number of milliseconds")?),
        })
    }
}

fn read_cookie(path: &Path) -> Result<String, SettingError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| SettingError::CookieFile { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Args, Checked, Command, SettingError};
    use clap::Parser;
    use shard_diag::Endpoint;
    use shard_runtime::{LogLevel, Pinning};
    use shard_scenarios::Scenario;

    fn check(arguments: &[&str]) -> Result<Checked, SettingError> {
        Args::try_parse_from([&["node"], arguments].concat()).unwrap().check()
    }

    #[test]
    fn settings_are_read() {
        let checked = check(&[
            "--listen",
            "127.0.0.1:11145",
            "--radar-addr",
            "[::1]:80",
            "--scenarios",
            "hog, messaging",
            "--pin",
            "0,2",
            "--shards",
            "2",
            "--log-level",
            "DEBUG",
            "--scenario-seed",
            "7",
            "--mcp-token",
            "",
        ])
        .unwrap();
        assert_eq!(checked.listen.map(|address| address.port()), Some(11145));
        assert_eq!(checked.radar, Some(Endpoint { host: "::1".to_owned(), port: 80 }));
        assert_eq!((checked.mcp, checked.token), (None, None));
        assert_eq!(checked.scenarios, [Scenario::Hog, Scenario::Messaging]);
        assert_eq!((checked.shards, checked.pinning), (2, Pinning::Cpus(vec![0, 2])));
        assert_eq!((checked.log_level, checked.scenario.seed), (LogLevel::Debug, Some(7)));
    }

    #[test]
    fn each_mistake_names_argument_variable_and_remedy() {
        for (arguments, words) in [
            (["--shards", "many"], ["--shards", "SHARDS", "1 to 1024"]),
            (["--listen", "localhost:80"], ["--listen", "LISTEN", "IP:PORT"]),
            (["--radar-addr", "9090"], ["--radar-addr", "RADAR_ADDR", "HOST:PORT"]),
            (["--scenario-time-scale", "0"], ["--scenario-time-scale", "SCENARIO_TIME_SCALE", "0.001"]),
            (["--registrar", "etcd://x:1"], ["--registrar", "REGISTRAR", "embedded://"]),
            (["--pin", "all"], ["--pin", "PIN", "auto"]),
            (["--log-level", "loud"], ["--log-level", "LOG_LEVEL", "warning"]),
            (["--scenarios", "chaos"], ["--scenarios", "SCENARIOS", "messaging"]),
            (["--cookie-file", "/nowhere"], ["--cookie-file", "COOKIE_FILE", "/nowhere"]),
        ] {
            let text = check(&arguments).unwrap_err().to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn settings_may_follow_the_command() {
        let args = Args::try_parse_from(["node", "doctor", "--shards", "3"]).unwrap();
        assert_eq!((args.command, args.shards().unwrap()), (Some(Command::Doctor), 3));
    }
}
