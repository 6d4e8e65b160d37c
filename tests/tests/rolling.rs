//! Five nodes in OS processes of their own, restarted one after the other while all of them call and send to each other.
//!
//! Callers try again on `NodeStopping`, with another node, and on nothing else. Each important message that was acknowledged and
//! each that was handled is written to a file by the node that knows it; at the end the test compares them.

use shard_runtime::prelude::*;
use shard_runtime::{DeliveryError, SendReason};
use shard_tests::harness::{NodeProcess, NodeSpec, Signal, TempDir, eventually, free_ports};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

const NODES: usize = 5;
const LIMIT: Duration = Duration::from_secs(30);
/// Calls and messages in each direction that everybody completes before the next node is stopped.
const STEP: u64 = 200;

const INDEX: &str = "SHARD_ROLLING_INDEX";
const RUN: &str = "SHARD_ROLLING_RUN";
const PORTS: &str = "SHARD_ROLLING_PORTS";
const FILES: &str = "SHARD_ROLLING_FILES";

#[message(reply = u64)]
struct Work {
    n: u64,
}
#[message]
struct Letter {
    id: String,
}
/// A node says where its server is, and is told the same.
#[message(reply = Pid)]
struct Hello {
    node: u64,
    server: Pid,
}
/// One more call, and one more letter.
#[message(local)]
struct Again;
#[message(local)]
struct Greet;

/// The servers of the other nodes that take something new.
type Others = Arc<RwLock<VecDeque<(u64, Pid)>>>;

fn enter(others: &Others, node: u64, server: Pid) {
    let mut others = others.write().unwrap();
    others.retain(|(known, _)| *known != node);
    others.push_back((node, server));
}

/// The next one in turn.
fn pick(others: &Others) -> Option<(u64, Pid)> {
    let mut others = others.write().unwrap();
    let first = others.pop_front()?;
    others.push_back(first);
    Some(first)
}

fn leave(others: &Others, server: Pid) {
    others.write().unwrap().retain(|(_, known)| *known != server);
}

struct Server {
    handled: File,
    others: Others,
}

#[actor]
impl Server {
    #[handle]
    async fn work(&mut self, m: Work, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        if m.n.is_multiple_of(16) {
            cx.sleep(Duration::from_millis(1)).await;
        }
        Ok(m.n + 1)
    }
    #[handle]
    fn letter(&mut self, m: Letter, _cx: &mut Context<'_>) -> ActorResult {
        // One write of a short line: it is there when the process is gone.
        self.handled.write_all(format!("{}\n", m.id).as_bytes())?;
        Ok(())
    }
    #[handle]
    fn hello(&mut self, m: Hello, cx: &mut Context<'_>) -> Result<Pid, ActorError> {
        enter(&self.others, m.node, m.server);
        Ok(cx.pid())
    }
}

/// Calls and sends, one after the other, and writes down what became of it.
struct Client {
    me: u64,
    name: String,
    server: Pid,
    others: Others,
    acknowledged: File,
    report: File,
    n: u64,
    retries: u64,
    /// Nodes that have not said where their server is.
    strangers: Vec<u64>,
}

impl Client {
    fn fail(&mut self, what: &str, why: impl std::fmt::Display) -> ActorResult {
        writeln!(self.report, "failed {what} {}-{}: {why}", self.name, self.n)?;
        Ok(())
    }

    async fn call(&mut self, cx: &mut Context<'_>) -> ActorResult {
        while let Some((_, server)) = pick(&self.others) {
            match cx.call_timeout(server, Work { n: self.n }, LIMIT).await {
                Ok(answer) if answer == self.n + 1 => return Ok(()),
                Ok(answer) => return self.fail("call", format!("answered {answer}")),
                Err(CallError::Send(SendReason::NodeStopping)) => {
                    self.retries += 1;
                    leave(&self.others, server);
                }
                Err(error) => return self.fail("call", error),
            }
        }
        self.fail("call", "no node is left")
    }

    async fn write(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let id = format!("{}-{}", self.name, self.n);
        let mut letter = Letter { id: id.clone() };
        while let Some((_, server)) = pick(&self.others) {
            match cx.send_important(server, letter, LIMIT).await {
                Ok(()) => {
                    self.acknowledged.write_all(format!("{id}\n").as_bytes())?;
                    return Ok(());
                }
                Err(DeliveryError::Refused(error)) if error.reason == SendReason::NodeStopping => {
                    self.retries += 1;
                    leave(&self.others, server);
                    letter = error.into_inner();
                }
                Err(error) => return self.fail("letter", error),
            }
        }
        self.fail("letter", "no node is left")
    }
}

#[actor]
impl Client {
    /// Meets the nodes that it does not know, until it knows all of them.
    #[handle]
    async fn greet(&mut self, _: Greet, cx: &mut Context<'_>) -> ActorResult {
        for node in std::mem::take(&mut self.strangers) {
            let to = format!("n{node}@localhost");
            let hello = Hello { node: self.me, server: self.server };
            match cx.call_timeout(("server", &*to), hello, LIMIT).await {
                Ok(server) => enter(&self.others, node, server),
                // It is not there yet.
                Err(_) => self.strangers.push(node),
            }
        }
        if self.strangers.is_empty() {
            writeln!(self.report, "ready")?;
            cx.send(cx.pid(), Again)?;
        } else {
            cx.send_after(cx.pid(), Greet, Duration::from_millis(20))?;
        }
        Ok(())
    }
    #[handle]
    async fn again(&mut self, _: Again, cx: &mut Context<'_>) -> ActorResult {
        self.call(cx).await?;
        self.write(cx).await?;
        self.n += 1;
        if self.n.is_multiple_of(50) {
            writeln!(self.report, "done {} retries {}", self.n, self.retries)?;
        }
        cx.send(cx.pid(), Again)?;
        Ok(())
    }
}

fn open(path: PathBuf) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

/// Not a test by itself: with the environment set it is one of the nodes, which lives until it is told to stop.
#[test]
fn child() {
    let Ok(index) = std::env::var(INDEX) else { return };
    let (ports, files) = (std::env::var(PORTS).unwrap(), PathBuf::from(std::env::var(FILES).unwrap()));
    let me: u64 = index.parse().unwrap();
    let run = format!("{me}-{}", std::env::var(RUN).unwrap());
    let ports: Vec<&str> = ports.split(',').collect();
    let mut builder = Node::builder(&format!("n{me}@localhost"))
        .shards(2)
        .cookie("of a rolling restart")
        .listen(format!("127.0.0.1:{}", ports[me as usize]));
    let strangers: Vec<u64> = (0..NODES as u64).filter(|node| *node != me).collect();
    for node in &strangers {
        builder = builder.route(format!("n{node}@localhost"), format!("127.0.0.1:{}", ports[*node as usize]));
    }
    let node = builder.start().unwrap();
    let others = Others::default();
    let handled = open(files.join(format!("handled-{run}")));
    let theirs = Arc::clone(&others);
    let server =
        node.spawn(move || Server { handled, others: theirs }, SpawnOptions::named("server")).unwrap();
    for shard in 0..2 {
        let name = format!("{run}-{shard}");
        let client = Client {
            me,
            server,
            others: Arc::clone(&others),
            acknowledged: open(files.join(format!("acknowledged-{name}"))),
            report: open(files.join(format!("report-{name}"))),
            n: 0,
            retries: 0,
            strangers: strangers.clone(),
            name,
        };
        let client = node.spawn(move || client, SpawnOptions::new().on_shard(shard)).unwrap();
        node.send(client, Greet).unwrap();
    }
    node.run_until_signal().unwrap();
}

struct Cluster {
    files: PathBuf,
    ports: String,
    nodes: Vec<(NodeProcess, u64)>,
}

impl Cluster {
    fn start(&self, index: usize, run: u64) -> NodeProcess {
        let program = std::env::current_exe().unwrap();
        let spec = NodeSpec::program(program, &format!("n{index}-{run}"), &self.files)
            .with_arguments(["--exact", "child", "--nocapture"])
            .with_variable(INDEX, index.to_string())
            .with_variable(RUN, run.to_string())
            .with_variable(PORTS, &self.ports)
            .with_variable(FILES, &self.files);
        spec.start().unwrap()
    }

    /// How far the clients of a node are.
    fn done(&self, index: usize) -> Vec<u64> {
        let run = self.nodes[index].1;
        (0..2)
            .map(|shard| {
                let report = read(&self.files.join(format!("report-{index}-{run}-{shard}")));
                let last = report.lines().rev().find_map(|line| line.strip_prefix("done "));
                last.and_then(|line| line.split(' ').next()).map_or(0, |n| n.parse().unwrap())
            })
            .collect()
    }

    /// Waits until all clients that run have gone a step on.
    fn wait_for_a_step(&self, what: &str, except: Option<usize>) {
        let others: Vec<usize> = (0..NODES).filter(|index| Some(*index) != except).collect();
        let before: Vec<_> = others.iter().map(|index| self.done(*index)).collect();
        eventually(LIMIT, what, || {
            others.iter().zip(&before).all(|(index, before)| {
                self.done(*index).iter().zip(before).all(|(now, before)| *now >= before + STEP)
            })
        });
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// All lines of the files whose names begin like this.
fn lines(files: &Path, prefix: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(files).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)) {
            lines.extend(read(&path).lines().map(ToOwned::to_owned));
        }
    }
    lines
}

#[test]
fn a_rolling_restart_fails_no_call_and_loses_nothing_that_was_acknowledged() {
    let folder = TempDir::new("rolling").unwrap();
    let ports: Vec<String> = free_ports(NODES).unwrap().iter().map(ToString::to_string).collect();
    let mut cluster = Cluster { files: folder.path().to_owned(), ports: ports.join(","), nodes: Vec::new() };
    for index in 0..NODES {
        let node = cluster.start(index, 0);
        cluster.nodes.push((node, 0));
    }
    cluster.wait_for_a_step("all nodes are under load", None);
    for index in 0..NODES {
        cluster.nodes[index].0.signal(Signal::Terminate).unwrap();
        let status = cluster.nodes[index].0.wait(LIMIT).unwrap();
        assert!(status.is_some_and(|status| status.success()), "node {index}: {status:?}");
        cluster.wait_for_a_step("the others go on", Some(index));
        cluster.nodes[index] = (cluster.start(index, 1), 1);
        cluster.wait_for_a_step("the node is back", None);
    }
    for (node, _) in &mut cluster.nodes {
        node.signal(Signal::Terminate).unwrap();
    }
    for (index, (node, _)) in cluster.nodes.iter_mut().enumerate() {
        let status = node.wait(LIMIT).unwrap();
        assert!(status.is_some_and(|status| status.success()), "node {index}: {status:?}");
    }
    let reports = lines(&cluster.files, "report-");
    // When all stop at once, those that are last have nobody left to ask.
    let failed: Vec<_> = reports
        .iter()
        .filter(|line| line.starts_with("failed") && !line.ends_with("no node is left"))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let handled: Vec<String> = lines(&cluster.files, "handled-");
    let once: BTreeSet<&String> = handled.iter().collect();
    assert_eq!(once.len(), handled.len(), "letters were handled twice");
    let acknowledged = lines(&cluster.files, "acknowledged-");
    let lost: Vec<_> = acknowledged.iter().filter(|id| !once.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged and not handled: {lost:#?}");
    assert!(acknowledged.len() as u64 > 10 * STEP, "{}", acknowledged.len());
    let retries = reports.iter().filter(|line| line.starts_with("done") && !line.ends_with("retries 0"));
    assert!(retries.count() > 0, "nobody met a node that was stopping");
}
