//! The node processes.
//!
//! Owns: each child, the pipe to its standard input, its log, and `run.json`. Invariant: C1 a child stops when its pipe
//! closes: on purpose in [`Children::stop`], and by the kernel when this program is gone.

use crate::Args;
use crate::layout::{Layout, Place};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines of a log that tell why its node died.
const LAST_LINES: usize = 12;
/// Time between two looks at children that stop.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Running {
    name: String,
    log: PathBuf,
    process: Child,
    is_dead: bool,
}

/// All children.
#[derive(Debug)]
pub(crate) struct Children {
    all: Vec<Running>,
    record: PathBuf,
}

impl Children {
    /// Starts a node at each place.
    pub(crate) fn start(program: &Path, layout: &Layout, args: &Args) -> io::Result<Self> {
        let logs = args.folder.join("logs");
        fs::create_dir_all(&logs)?;
        let cookie = cookie()?;
        let mut children = Self { all: Vec::new(), record: args.folder.join("run.json") };
        for place in &layout.places {
            // Dropping the children that run already closes their pipes.
            children.all.push(launch(program, place, layout, args, &logs, &cookie)?);
        }
        children.write_record(layout)?;
        Ok(children)
    }

    fn write_record(&self, layout: &Layout) -> io::Result<()> {
        let describe = |(running, place): (&Running, &Place)| {
            json!({
                "name": running.name, "pid": running.process.id(), "log": running.log,
                "wire": place.wire.to_string(), "radar": place.radar.to_string(),
                "mcp": place.mcp.map(|address| address.to_string()),
            })
        };
        let nodes: Vec<_> = self.all.iter().zip(&layout.places).map(describe).collect();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let record = json!({ "pid": std::process::id(), "started_unix_s": started, "nodes": nodes });
        fs::write(&self.record, format!("{record:#}\n"))
    }

    /// Tells of children that died since the last look.
    pub(crate) fn bury(&mut self, mut tell: impl FnMut(&str)) {
        for running in self.all.iter_mut().filter(|running| !running.is_dead) {
            let Ok(Some(status)) = running.process.try_wait() else { continue };
            running.is_dead = true;
            let end = last_lines(&running.log);
            tell(&format!(
                "{} has died ({status}); the end of {}:\n{end}",
                running.name,
                running.log.display()
            ));
        }
    }

    /// Children that died on their own.
    pub(crate) fn deaths(&self) -> usize {
        self.all.iter().filter(|running| running.is_dead).count()
    }

    /// Stops all: first by closing their pipes, then, after `limit` or when told to hurry, by killing. Returns the names
    /// of those that were killed.
    pub(crate) fn stop(&mut self, limit: Duration, mut is_hurried: impl FnMut() -> bool) -> Vec<String> {
        for running in &mut self.all {
            drop(running.process.stdin.take());
        }
        let end = crate::now() + limit;
        let (_never, wait) = std::sync::mpsc::channel::<()>();
        let is_over = |running: &mut Running| !matches!(running.process.try_wait(), Ok(None));
        while !self.all.iter_mut().all(is_over) && crate::now() < end && !is_hurried() {
            // Nothing tells of a child's end without unsafe code, so it is asked again after a while.
            let _timeout = wait.recv_timeout(LOOK);
        }
        let mut stubborn = Vec::new();
        for running in &mut self.all {
            if !is_over(running) {
                stubborn.push(running.name.clone());
                // It may end by itself just now.
                drop(running.process.kill());
            }
            drop(running.process.wait());
        }
        // It says who runs, and now nobody does.
        drop(fs::remove_file(&self.record));
        stubborn
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        // After a stop this finds nobody. A start that failed half-way leaves children, which are told here.
        drop(self.stop(Duration::from_secs(5), || false));
    }
}

fn launch(
    program: &Path,
    place: &Place,
    layout: &Layout,
    args: &Args,
    logs: &Path,
    cookie: &str,
) -> io::Result<Running> {
    let short = place.name.rsplit('-').next().unwrap_or(&place.name);
    let log = logs.join(format!("{short}.log"));
    let file = File::create(&log)?;
    let mut command = Command::new(program);
    // The environment of whoever starts the demo must not turn its nodes into others.
    for inherited in ["COOKIE_FILE", "ADVERTISE", "MCP_TOKEN", "SCENARIO_TIME_SCALE", "SHARDS", "PIN"] {
        command.env_remove(inherited);
    }
    command
        .arg("--stop-with-stdin")
        .env("NODE_NAME", &place.name)
        .env("CLUSTER", "demo")
        .env("COOKIE", cookie)
        .env("REGISTRAR", format!("embedded://{}", layout.registrar))
        .env("LISTEN", place.wire.to_string())
        .env("RADAR_ADDR", place.radar.to_string())
        .env("MCP_ADDR", place.mcp.map(|address| address.to_string()).unwrap_or_default())
        .env("SCENARIOS", &args.scenarios)
        .env("SCENARIO_START_DELAY_MS", "1000")
        .env("SCENARIO_SEED", args.seed.map(|seed| seed.to_string()).unwrap_or_default())
        .env("LOG_LEVEL", &args.log_level)
        .env("IDLE_SPIN_US", "0")
        .stdin(Stdio::piped())
        .stdout(file.try_clone()?)
        .stderr(file)
        // Ctrl-C in a terminal goes to the whole group: the nodes shall hear it from us, or a stop looks like deaths.
        .process_group(0);
    Ok(Running { name: place.name.clone(), log, process: command.spawn()?, is_dead: false })
}

/// 32 random bytes, as text.
fn cookie() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines.iter().skip(from).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
