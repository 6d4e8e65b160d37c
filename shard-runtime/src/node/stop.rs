//! How a node stops: phases, each with a limit, and a report of what was left.
//!
//! Order: the node is no longer ready, and tells peers that it takes nothing new; web servers answer what was asked, what was
//! accepted from other nodes is handled; applications end, the last
//! started first; what else runs is told to end; links say goodbye; processes with threads of their own, shards, the control
//! thread.
//! Invariants: P1 one stop runs, whoever asks for it; all who ask get its report. P2 every wait has a limit, so a stop ends
//! whatever a process does. P3 the library never ends the OS process.
//! Threads: the caller's, or one named `stop` if the caller is a shard.

use crate::app::Stop;
use crate::error::{AppError, ExitReason};
use crate::io::Drain;
use crate::node::apps::{ask, to_stop};
use crate::node::handle::{Inner, stop_shards};
use crate::oneshot;
use crate::shard::{Inbound, LogLevel, Shard};
use crate::shared::NodeShared;
use crate::stats::{ProcessStats, Reader};
use rustc_hash::FxHashSet;
use shard_wire::{LocalId, Pid};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long a stop waits for the log to be written.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// How long all has until it is killed, by default.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(180);
/// How long what was killed has.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How often slow processes are named.
const WARN_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked who has lost its parent.
const SWEEP_EVERY: Duration = Duration::from_millis(50);
/// How often it is looked whether anybody is left.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Processes named in one warning.
const NAMED: usize = 10;
/// Processes named in a report.
const REPORTED: usize = 1000;

/// How a node is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StopPlan {
    /// How long web servers, applications and processes have to end before they are killed.
    pub deadline: Duration,
    /// Whether all is killed at once.
    pub force: bool,
    /// Whether processes outside of applications are told to end and waited for. Without it they end with their shards.
    pub waits_for_all: bool,
}

impl Default for StopPlan {
    fn default() -> Self {
        Self { deadline: DEFAULT_DEADLINE, force: false, waits_for_all: true }
    }
}

impl StopPlan {
    /// Everything has 3 minutes to end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long everything together has to end before it is killed. Default 3 minutes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Kills everything at once.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

/// A part of a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StopPhase {
    /// Web servers take nothing more and answer what was asked, each for as long as it allows itself; what was accepted from
    /// other nodes is handled and answered.
    Drain,
    /// Applications end, in reverse order of their start.
    Applications,
    /// All other processes are told to end.
    Processes,
    /// What had not ended in time is killed.
    Kill,
    /// Links say goodbye.
    Links,
    /// Shards end, and the processes with threads of their own.
    Shards,
    /// The control thread ends.
    Control,
}

/// A process that had not ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LateProcess {
    /// Which.
    pub pid: Pid,
    /// Its registered name, or none.
    pub name: String,
    /// Its actor type.
    pub behavior: &'static str,
    /// Its application, or none.
    pub application: String,
    /// Its state.
    pub state: &'static str,
    /// Messages in its mailbox.
    pub queue: u64,
    /// For how long the callback that holds its thread has been there; zero if none does.
    pub callback: Duration,
}

/// What came of a stop.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StopReport {
    /// How long each phase took.
    pub phases: Vec<(StopPhase, Duration)>,
    /// Processes that had to be killed, 1,000 at most.
    pub killed: Vec<LateProcess>,
    /// Processes that were killed and had not returned, 1,000 at most.
    pub left: Vec<LateProcess>,
    /// The permanent application whose end stopped the node, and why it ended.
    pub app_failed: Option<(String, ExitReason)>,
    /// This was asked for on a shard thread, which cannot wait: another thread stops the node, and this report is empty. See
    /// [`Node::wait`](crate::Node::wait).
    pub is_elsewhere: bool,
}

impl StopReport {
    /// Whether all ended by itself.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.killed.is_empty() && self.left.is_empty() && self.app_failed.is_none()
    }
}

/// The state of a node's stop.
#[expect(
    clippy::disallowed_types,
    reason = "met by threads that stop or wait for a stop, never by a shard that works"
)]
#[derive(Default)]
pub(super) struct Stopping {
    has_begun: AtomicBool,
    /// Kill what is left.
    is_cut: AtomicBool,
    state: std::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    report: Option<StopReport>,
    app_failed: Option<(String, ExitReason)>,
    waiting: Vec<Sender<StopReport>>,
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopping").field("has_begun", &self.has_begun.load(Relaxed)).finish_non_exhaustive()
    }
}

impl Stopping {
    /// Whether the caller is the one who stops the node (P1).
    fn begin(&self) -> bool {
        !self.has_begun.swap(true, Acquire)
    }

    pub(super) fn cut(&self) {
        self.is_cut.store(true, Release);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Acquire)
    }

    pub(super) fn fail(&self, application: &str, reason: ExitReason) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.app_failed.get_or_insert_with(|| (application.to_owned(), reason));
    }

    fn end(&self, mut report: StopReport) -> StopReport {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        report.app_failed = state.app_failed.clone();
        state.report = Some(report.clone());
        for waiting in state.waiting.drain(..) {
            // Whoever waited may have given up.
            let _unheard = waiting.send(report.clone());
        }
        report
    }

    fn subscribe(&self) -> Receiver<StopReport> {
        let (tell, report) = channel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.report {
            Some(done) => {
                // The receiver is right here.
                let _heard = tell.send(done.clone());
            }
            None => state.waiting.push(tell),
        }
        report
    }

    /// Waits for the end of the stop.
    pub(super) fn wait(&self, limit: Option<Duration>) -> Option<StopReport> {
        let report = self.subscribe();
        match limit {
            None => report.recv().ok(),
            Some(limit) => report.recv_timeout(limit).ok(),
        }
    }
}

impl Inner {
    /// Stops from a thread that may wait.
    pub(super) fn stop_by(&self, plan: StopPlan) -> StopReport {
        if !self.stopping.begin() {
            if plan.force {
                self.stopping.cut();
            }
            return self.stopping.wait(None).unwrap_or_default();
        }
        if plan.force {
            self.stopping.cut();
        }
        let mut run =
            Run { inner: self, until: crate::clock::now() + plan.deadline, report: StopReport::default() };
        // Readiness is off from here on, and so is whatever comes from outside.
        self.shared.begin_stop();
        run.leave();
        run.phase(StopPhase::Drain, |run| {
            run.drain();
            run.accepted();
        });
        run.phase(StopPhase::Applications, Run::applications);
        if plan.waits_for_all || plan.force {
            run.phase(StopPhase::Processes, Run::processes);
            run.phase(StopPhase::Kill, Run::kill);
        }
        run.phase(StopPhase::Links, |run| {
            let is_settled = run.settle_links();
            run.inner.control.goodbye(is_settled);
        });
        run.phase(StopPhase::Shards, |run| {
            let threads =
                std::mem::take(&mut *run.inner.threads.write().unwrap_or_else(PoisonError::into_inner));
            stop_shards(&run.inner.shared, threads);
        });
        run.phase(StopPhase::Control, |run| run.inner.control.end());
        // The last lines, too, before the OS process may end.
        self.shared.log().flush(FLUSH_LIMIT);
        let report = run.report;
        self.stopping.end(report)
    }
}

/// A stop that runs.
pub(super) struct Run<'a> {
    pub(super) inner: &'a Inner,
    pub(super) until: Instant,
    report: StopReport,
}

impl Run<'_> {
    fn phase(&mut self, phase: StopPhase, run: impl FnOnce(&mut Self)) {
        let start = crate::clock::now();
        run(self);
        self.report.phases.push((phase, crate::clock::now().saturating_duration_since(start)));
    }

    pub(super) fn shared(&self) -> &Arc<NodeShared> {
        &self.inner.shared
    }

    pub(super) fn is_over(&self) -> bool {
        self.inner.stopping.is_cut() || crate::clock::now() >= self.until
    }

    /// Has web servers answer what was asked while all that they need still runs.
    fn drain(&mut self) {
        let (start, mut drain) = (crate::clock::now(), Drain::new(None));
        while !self.is_over() {
            let tell = |pid: Pid| {
                let Some(port) = self.shared().port(pid.local.shard()) else { return };
                let task = Box::new(move |shard: &Shard| shard.drain_server(pid));
                if port.post_reserved(Inbound::Task(task)).is_err() {
                    self.shared().count_inbox_refused();
                }
            };
            let Some(limit) = drain.look(self.shared().drains(), tell) else { return };
            if crate::clock::now().saturating_duration_since(start) >= limit {
                self.shared().log().node(LogLevel::Warning, || {
                    format!("web servers have not ended within {limit:?}; going on without them")
                });
                return;
            }
            self.pause();
        }
    }

    /// Ends applications one after the other, the last started first.
    fn applications(&mut self) {
        let mut warned = crate::clock::now();
        for app in to_stop(self.shared()) {
            let mut force = self.is_over();
            loop {
                let stop = Stop { name: Arc::clone(&app.name), force, with_all: true };
                // Asked again and again: each is answered when it has ended.
                let patience = if force { KILL_LIMIT } else { Duration::from_millis(100) };
                match ask(self.shared(), stop, patience) {
                    Err(AppError::Timeout { .. }) if !force => {}
                    Err(AppError::Timeout { .. }) => {
                        let name = &app.name;
                        self.inner.shared.log().node(LogLevel::Error, || {
                            format!("application {name} has not ended though its processes were killed; going on without it")
                        });
                        break;
                    }
                    // It has ended, or the shard that knows has.
                    _ => break,
                }
                if crate::clock::now().saturating_duration_since(warned) >= WARN_EVERY {
                    warned = crate::clock::now();
                    self.warn(&self.left(|process| process.application == app.symbol));
                }
                if self.is_over() && !force {
                    force = true;
                    let late = self.left(|process| process.application == app.symbol);
                    self.report.killed.extend(late.into_iter().take(REPORTED));
                }
            }
        }
    }

    /// Tells the roots of all trees to end, and whatever loses its parent meanwhile, and waits.
    fn processes(&mut self) {
        let (mut warned, mut told) = (crate::clock::now(), FxHashSet::default());
        let mut next_look = crate::clock::now();
        while !self.is_over() && !self.is_empty() {
            let now = crate::clock::now();
            if now >= next_look {
                self.exit_roots(&mut told);
                // A look at very many processes takes a while itself.
                next_look = crate::clock::now() + (crate::clock::now() - now) * 4 + SWEEP_EVERY;
            }
            self.pause();
            if now.saturating_duration_since(warned) >= WARN_EVERY {
                warned = now;
                self.warn(&self.left(|_| true));
            }
        }
    }

    /// Tells each process without a parent to end, once. The node's core process tells it, which is the parent of most.
    fn exit_roots(&self, told: &mut FxHashSet<u64>) {
        let shared = self.shared();
        let mut roots: Vec<Vec<Pid>> = shared.ports().iter().map(|_| Vec::new()).collect();
        Reader::new(Arc::clone(shared)).processes(|process| {
            let parent = process.parent;
            let has_parent = parent != LocalId::CORE
                && shared.port(parent.shard()).is_some_and(|port| port.table.exists(parent.0));
            if !has_parent
                && told.insert(process.id.0)
                && let Some(roots) = roots.get_mut(usize::from(process.id.shard()))
            {
                roots.push(Pid { node: shared.key(), local: process.id });
            }
            true
        });
        for (port, roots) in shared.ports().iter().zip(roots) {
            let task = Box::new(move |shard: &Shard| {
                for pid in roots {
                    // One that has gone needs no telling.
                    let _gone =
                        shard.speaking_as(LocalId::CORE.0, || shard.send_exit(pid, ExitReason::Shutdown));
                }
            });
            if port.post_reserved(Inbound::Task(task)).is_err() {
                shared.count_inbox_refused();
            }
        }
    }

    /// Kills what is left.
    fn kill(&mut self) {
        if self.is_empty() {
            return;
        }
        let late = self.left(|_| true);
        self.shared().log().node(LogLevel::Error, || {
            format!(
                "{} processes had not ended in time and are killed: {}",
                late.len(),
                lines(&late, self.shared())
            )
        });
        self.report.killed.extend(late.into_iter().take(REPORTED));
        let until = crate::clock::now() + KILL_LIMIT;
        loop {
            // A supervisor may have started a child meanwhile.
            let mut left = Vec::new();
            Reader::new(Arc::clone(self.shared())).processes(|process| {
                left.push(process.id);
                true
            });
            if left.is_empty() {
                return;
            }
            for id in left {
                self.inner.kill(Pid { node: self.shared().key(), local: id });
            }
            if crate::clock::now() >= until {
                break;
            }
            self.pause();
        }
        let left = self.left(|_| true);
        self.shared().log().node(LogLevel::Error, || {
            format!(
                "{} processes were killed and have not returned: {}",
                left.len(),
                lines(&left, self.shared())
            )
        });
        self.report.left = left.into_iter().take(REPORTED).collect();
    }

    /// Lets a little time pass.
    pub(super) fn pause(&self) {
        let (kept, mut never) = oneshot::channel::<()>();
        // Nobody sends: this is the way to wait for a while that the house rules allow.
        let _elapsed = never.recv_timeout(LOOK_EVERY);
        drop(kept);
    }

    fn is_empty(&self) -> bool {
        let mut is_empty = true;
        Reader::new(Arc::clone(self.shared())).processes(|_| {
            is_empty = false;
            false
        });
        is_empty
    }

    fn left(&self, which: impl Fn(&ProcessStats) -> bool) -> Vec<LateProcess> {
        let reader = Reader::new(Arc::clone(self.shared()));
        let mut late = Vec::new();
        reader.processes(|process| {
            if which(process) {
                late.push(LateProcess {
                    pid: Pid { node: self.shared().key(), local: process.id },
                    name: reader.symbol(process.name).to_owned(),
                    behavior: process.behavior,
                    application: reader.symbol(process.application).to_owned(),
                    state: process.state.name(),
                    queue: process.mailbox,
                    callback: Duration::from_nanos(process.callback_ns),
                });
            }
            late.len() < REPORTED
        });
        late
    }

    fn warn(&self, late: &[LateProcess]) {
        if !late.is_empty() {
            self.shared().log().node(LogLevel::Warning, || {
                format!(
                    "the node stops and waits for {} processes: {}",
                    late.len(),
                    lines(late, self.shared())
                )
            });
        }
    }
}

fn lines(late: &[LateProcess], shared: &NodeShared) -> String {
    let line = |process: &LateProcess| {
        let LateProcess { pid, name, behavior, state, queue, callback, .. } = process;
        let since =
            if callback.is_zero() { String::new() } else { format!(", in a callback for {callback:?}") };
        format!("{} ({name}, {behavior}) state: {state}, queue: {queue}{since}", pid.short(shared.crc()))
    };
    let mut text: Vec<_> = late.iter().take(NAMED).map(line).collect();
    if late.len() > NAMED {
        text.push(format!("and {} more", late.len() - NAMED));
    }
    text.join("; ")
}
