//! How a node stops: phases, limits, a report, and nobody who hangs it.

use crate::applications::Trial;
use crate::world::{Act, Fail, Puppet, World};
use shard_runtime::prelude::*;
use shard_runtime::{
    AppError, AppFailure, AppMode, AppState, LogLevel, LogRecord, LogSink, NodeBuilder, StopPhase, StopPlan,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Collects the log.
struct Lines(Sender<String>);
impl LogSink for Lines {
    fn write(&mut self, _node: &shard_runtime::wire::NodeName, record: &LogRecord) {
        let _nobody_listens = self.0.send(format!("[{}] {}", record.level.name(), record.text));
    }
}

fn builder() -> (NodeBuilder, Receiver<String>) {
    let (tell, lines) = channel();
    (Node::builder("stop@localhost").shards(2).log_level(LogLevel::Info).log_sink(Lines(tell)), lines)
}

fn spawn_puppet(node: &Node, shard: u16, options: SpawnOptions) -> (Pid, Receiver<String>) {
    let (tell, reports) = channel();
    let pid = node.spawn(move || Puppet { tell, note: String::new() }, options.on_shard(shard)).unwrap();
    (pid, reports)
}

/// Waits until a line of the log contains this.
fn wait_for_line(lines: &Receiver<String>, text: &str) -> String {
    loop {
        let line =
            lines.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("no line with `{text}`"));
        if line.contains(text) {
            return line;
        }
    }
}

#[test]
fn applications_stop_in_reverse_order_then_the_rest() {
    let (builder, _lines) = builder();
    let (store, stored) = Trial::new("store", &[("s", 0)]);
    let (web, webbed) = Trial::new("web", &[("w", 1)]);
    let node = builder.app(web.spec(|spec| spec.depends_on("store"))).app(store).start().unwrap();
    assert_eq!(node.apps().iter().map(|app| app.state).collect::<Vec<_>>(), [AppState::Running; 2]);
    let (loose, reports) = spawn_puppet(&node, 1, SpawnOptions::new().trap_exit());
    let parent =
        node.call_blocking(loose, Act(Box::new(|cx| format!("{}", cx.parent() == cx.core())))).unwrap();
    assert_eq!(parent, "true");
    let report = node.stop_with(StopPlan::new());
    assert!(report.is_clean() && !report.is_elsewhere, "{report:?}");
    let phases: Vec<_> = report.phases.iter().map(|(phase, _)| *phase).collect();
    let all = [
        StopPhase::Drain,
        StopPhase::Applications,
        StopPhase::Processes,
        StopPhase::Kill,
        StopPhase::Links,
        StopPhase::Shards,
        StopPhase::Control,
    ];
    assert_eq!(phases, all);
    assert_eq!(webbed.all().last().unwrap(), "web terminate shutdown");
    assert_eq!(stored.all().last().unwrap(), "store terminate shutdown");
    assert_eq!(reports.try_iter().last().unwrap(), "terminate shutdown", "told by its parent: not trapped");
    // Whoever asks later gets the same report, and nothing works any more.
    assert_eq!(node.stop_with(StopPlan::new()).phases.len(), 7);
    assert!(node.wait().is_some());
    assert!(matches!(node.start_app("web"), Err(AppError::NodeStopping)));
}

#[test]
fn what_does_not_end_is_named_killed_and_reported() {
    let (builder, lines) = builder();
    let node = builder.start().unwrap();
    // It waits in its `terminate`'s stead: a supervisor that waits for a child that traps exits and ignores them.
    let (stubborn, _reports) = spawn_puppet(&node, 1, SpawnOptions::named("stubborn"));
    let held = node
        .call_blocking(
            stubborn,
            Act(Box::new(|cx| {
                let child = cx.spawn(|| Deaf, SpawnOptions::named("deaf").trap_exit());
                format!("{}", child.is_ok())
            })),
        )
        .unwrap();
    assert_eq!(held, "true");
    let deaf = node.whereis("deaf").unwrap();
    let report = node.stop_with(StopPlan::new().deadline(Duration::from_millis(5200)));
    let late: Vec<_> = report.killed.iter().map(|late| (late.pid, late.name.as_str())).collect();
    assert_eq!(late, [(deaf, "deaf")]);
    assert!(report.left.is_empty() && !report.is_clean());
    let warning = wait_for_line(&lines, "the node stops and waits for");
    assert!(warning.contains("(deaf, shutdown.Deaf) state: sleep, queue: 0"), "{warning}");
    assert!(wait_for_line(&lines, "had not ended in time and are killed").contains("deaf"));
}

/// Traps exits and has no interest in them.
struct Deaf;
#[actor]
impl Deaf {
    #[handle]
    fn exit(&mut self, _: ExitSignal, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

#[test]
fn a_forced_stop_asks_nobody() {
    let (builder, _lines) = builder();
    let (app, reports) = Trial::new("app", &[("one", 0)]);
    let node = builder.app(app).start().unwrap();
    let (_loose, loose) = spawn_puppet(&node, 1, SpawnOptions::new());
    let report = node.stop_with(StopPlan::new().force());
    assert!(report.left.is_empty(), "{report:?}");
    assert_eq!(reports.all().iter().filter(|line| line.starts_with("app stop")).count(), 0, "no drain");
    assert_eq!(loose.try_iter().last().unwrap(), "terminate kill");
}

#[test]
fn an_actor_may_stop_its_node() {
    let (builder, _lines) = builder();
    let (app, reports) = Trial::new("app", &[("one", 1)]);
    let node = builder.app(app).start().unwrap();
    let (pid, _) = spawn_puppet(&node, 0, SpawnOptions::new());
    let inside = node.clone();
    let asked = node.call_blocking(
        pid,
        Act(Box::new(move |_| {
            let report = inside.stop_with(StopPlan::new());
            // It may not wait either.
            format!("{} {}", report.is_elsewhere, inside.wait().is_none())
        })),
    );
    assert_eq!(asked.unwrap(), "true true");
    let report = node.wait_timeout(Duration::from_secs(30)).expect("it stops");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(reports.all().last().unwrap(), "app terminate shutdown");
}

#[test]
fn a_dead_permanent_application_stops_a_real_node_with_an_error() {
    let (builder, _lines) = builder();
    let (app, _reports) = Trial::new("app", &[("one", 1)]);
    let app = app.spec(|spec| spec.mode(AppMode::Permanent));
    let node = builder.app(app).on_app_failure(AppFailure::StopNode).start().unwrap();
    node.send("one", Fail("crash")).unwrap();
    match node.run_until_signal() {
        Err(NodeError::AppFailed { application, reason }) => {
            assert_eq!((application.as_str(), reason.to_string().as_str()), ("app", "custom crash"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn mistakes_in_applications_are_errors_of_the_start() {
    let start = |change: &dyn Fn(NodeBuilder) -> NodeBuilder| change(builder().0).start().map(|_| ());
    let app = |name, member| Trial::new(name, &[(member, 0)]).0;
    let circle = start(&|b| {
        b.app(app("a", "a").spec(|spec| spec.depends_on("b")))
            .app(app("b", "b").spec(|spec| spec.depends_on("a")))
    });
    assert!(matches!(circle, Err(NodeError::App(AppError::Cycle { .. }))), "{circle:?}");
    let unknown = start(&|b| b.app(app("a", "a").spec(|spec| spec.depends_on("ghost"))));
    assert!(matches!(unknown, Err(NodeError::App(AppError::Depends { .. }))), "{unknown:?}");
    let twice = start(&|b| b.app(app("a", "a")).app(app("a", "b")));
    assert!(matches!(twice, Err(NodeError::App(AppError::Taken(_)))), "{twice:?}");
    let empty = start(&|b| b.app(Trial::new("a", &[]).0));
    assert!(matches!(empty, Err(NodeError::App(AppError::Empty(_)))), "{empty:?}");
    let network = start(&|b| b.app(app("a", "a").spec(shard_runtime::AppSpec::needs_network)));
    assert!(matches!(network, Err(NodeError::App(AppError::NeedsNetwork(_)))), "{network:?}");
    // One that does not start takes the node with it.
    let clash = start(&|b| b.app(app("a", "same")).app(app("b", "same")));
    assert!(matches!(clash, Err(NodeError::App(AppError::Member { .. }))), "{clash:?}");
}

#[test]
fn what_the_builder_was_told_is_seen() {
    let (builder, _lines) = builder();
    let node = builder
        .version("3.1")
        .env("region", "eu")
        .secret_env("token", String::from("hunter2"))
        .shutdown_timeout(Duration::from_secs(7))
        .start()
        .unwrap();
    let stats = node.stats();
    assert_eq!((stats.version(), stats.exposes_env()), ("3.1", false), "exposure is off unless asked for");
    assert_eq!(node.stop_plan().deadline, Duration::from_secs(7));
    let redacted = |key: &str| (key.to_owned(), "[redacted]".to_owned());
    assert_eq!(stats.env().shown(stats.exposes_env()), [redacted("REGION"), redacted("TOKEN")]);
    assert!(!format!("{:?}", stats.env()).contains("hunter2"));
    let (pid, _) = spawn_puppet(&node, 1, SpawnOptions::new());
    let seen = node.call_blocking(
        pid,
        Act(Box::new(|cx| format!("{:?} {:?}", cx.env::<&str>("region"), cx.env::<String>("token")))),
    );
    assert_eq!(seen.unwrap(), r#"Some("eu") Some("hunter2")"#);
    let shown = World::Real(node.clone()).inspect(pid);
    assert!(!format!("{shown:?}").contains("hunter2"));
}

#[test]
fn what_loses_its_parent_meanwhile_is_told_too() {
    let (builder, _lines) = builder();
    let node = builder.start().unwrap();
    let (parent, _) = spawn_puppet(&node, 0, SpawnOptions::new());
    let (tell, reports) = channel();
    let grown = node.call_blocking(
        parent,
        Act(Box::new(move |cx| {
            // Nothing ties it to its parent.
            let child = cx.spawn(move || Puppet { tell, note: String::new() }, SpawnOptions::new());
            format!("{}", child.is_ok())
        })),
    );
    assert_eq!(grown.unwrap(), "true");
    let report = node.stop_with(StopPlan::new());
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(reports.try_iter().last().unwrap(), "terminate shutdown");
}

#[test]
fn a_stop_does_not_wait_for_a_callback_that_never_returns() {
    let (builder, lines) = builder();
    let node = builder.start().unwrap();
    let (stuck, _) = spawn_puppet(&node, 1, SpawnOptions::named("stuck"));
    let (hold, held) = channel::<()>();
    let (inside, is_inside) = channel();
    let blocks = Act(Box::new(move |_| {
        inside.send(()).unwrap();
        // Until the test lets go of it.
        format!("{:?}", held.recv())
    }));
    node.send(stuck, blocks).unwrap();
    is_inside.recv_timeout(Duration::from_secs(20)).unwrap();
    let report = node.stop_with(StopPlan::new().force());
    let left: Vec<_> = report.left.iter().map(|late| (late.pid, late.state)).collect();
    assert_eq!(left, [(stuck, "zombee")]);
    assert!(report.left[0].callback > Duration::ZERO, "since when it holds its shard");
    assert!(
        wait_for_line(&lines, "were killed and have not returned")
            .contains("(stuck, world.Puppet) state: zombee")
    );
    assert!(wait_for_line(&lines, "shard 1 did not stop within").contains("blocked by"));
    drop(hold);
}
