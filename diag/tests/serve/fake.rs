//! A node made of plain data, and a network of such nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shard_diag::source::{
    AcceptorRow, AppRow, CronJobRow, CronPlan, CronSlotRow, CronView, Current, EventRow, Facts, Identity,
    InspectError, IoRow, KnownNode, LinkRow, LogLevel, LoggerRow, NetRow, NodeCounters, PeerChangeRow,
    PeerFlags, PeerRow, Phase, ProcessCells, ProcessRow, ProcessState, ProxyError, Queues, RegistrarView,
    RemoteRequest, Reply, ShardRow, Source, Ties, Version,
};
use tokio::sync::{mpsc, oneshot};

/// What an inspected process does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inspected {
    Answers,
    IsBlocked,
    /// The process is suspended; its shard works.
    IsSuspended,
    /// A source that breaks its promise to end by the deadline.
    Hangs,
}

pub(crate) struct Process {
    pub(crate) cells: ProcessCells,
    pub(crate) name: String,
    pub(crate) application: String,
    pub(crate) behavior: &'static str,
    pub(crate) kind: &'static str,
}

/// The parts a test may change while diagnostics runs.
pub(crate) struct State {
    pub(crate) processes: Vec<Process>,
    pub(crate) shards: Vec<ShardRow>,
    pub(crate) phase: Phase,
    pub(crate) registrar_down: Option<String>,
    pub(crate) inspected: Inspected,
    pub(crate) peers: BTreeMap<String, mpsc::Sender<RemoteRequest>>,
    pub(crate) apps: Vec<AppRow>,
    pub(crate) events: Vec<EventRow>,
}

pub(crate) struct Fake {
    name: String,
    crc: u32,
    pub(crate) state: RwLock<State>,
    inbox: RwLock<Option<mpsc::Receiver<RemoteRequest>>>,
    door: mpsc::Sender<RemoteRequest>,
}

pub(crate) const CREATION: u64 = 1_785_240_000_123_456_789;
pub(crate) const NODE1: (&str, u32) = ("demo@cluster-node1", 0x5748_01E2);
pub(crate) const NODE2: (&str, u32) = ("node@localhost", 0x2C32_3E75);

/// Three applications: `orders` runs, `web` is being stopped, `audit` is loaded.
fn apps() -> Vec<AppRow> {
    let row = |name: &str, state, uptime: u64, processes| AppRow {
        name: String::from(name),
        description: format!("does {name}"),
        version: String::from("1.0"),
        state,
        mode: "temporary",
        uptime_ns: uptime * 1_000_000_000,
        weight: 1,
        processes,
        starts: 1,
        timeouts: [Duration::from_secs(15); 3],
        ..AppRow::default()
    };
    vec![
        AppRow { last_reason: String::from("normal"), ..row("audit", "loaded", 0, 0) },
        AppRow {
            mode: "permanent",
            weight: 7,
            tags: vec![String::from("eu")],
            roles: vec![(String::from("front"), String::from("worker_0"))],
            depends: vec![String::from("store")],
            needs_network: true,
            env: vec![(String::from("TOKEN"), String::from("[redacted]"))],
            members: vec![1001, 1002],
            ..row("orders", "running", 90, 3)
        },
        row("web", "stopping", 5, 1),
    ]
}

/// Four events: `news` is used, `idle` is not, `quiet` waits for subscribers, `wasted` has none.
fn events() -> Vec<EventRow> {
    let row = |name: &str, subscribers, published, utilization| EventRow {
        name: name.into(),
        message_type: "demo::News",
        producer: 1001,
        buffer: 0,
        kept: 0,
        notify: false,
        open: false,
        subscribers,
        published,
        local_sent: subscribers * published,
        remote_sent: 0,
        lost: 0,
        created: UNIX_EPOCH + Duration::from_secs(10),
        last_published: (published > 0).then(|| UNIX_EPOCH + Duration::from_secs(20)),
        utilization,
    };
    vec![
        row("idle", 0, 0, "idle"),
        EventRow { buffer: 16, kept: 7, lost: 2, open: true, ..row("news", 5, 100, "active") },
        EventRow { producer: 9999, notify: true, ..row("quiet", 0, 0, "on_demand") },
        row("wasted", 0, 300, "no_subscribers"),
    ]
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Three jobs: `backup` has failed, `old` is disabled and never ran, `report` starts processes.
fn cron_jobs() -> Vec<CronJobRow> {
    let row = |name: &str| CronJobRow {
        name: String::from(name),
        spec: String::from("0 * * * *"),
        zone: String::from("Europe/Berlin"),
        action: String::from("tick to worker_0"),
        enabled: true,
        next: Some(at(3600)),
        last_run: Some(at(60)),
        overlap: "skip",
        missed: "skip",
        runs: 9,
        ..CronJobRow::default()
    };
    vec![
        CronJobRow {
            last_error: String::from("no such process"),
            fallback: Some((String::from("worker_3"), String::from("a tag"))),
            failures: 2,
            skipped: 3,
            missed_runs: 4,
            missed: "run once",
            ..row("backup")
        },
        CronJobRow { enabled: false, next: None, last_run: None, runs: 0, ..row("old") },
        CronJobRow { overlap: "queue", ..row("report") },
    ]
}

/// `count` processes with ids from 1001, of which number i has received 10 * i messages.
fn processes(count: u64) -> Vec<Process> {
    (0..count)
        .map(|i| Process {
            cells: ProcessCells {
                id: (i % 2) << 52 | (1001 + i),
                parent: if i == 0 { 1 } else { 1001 },
                leader: 1,
                shard: u16::try_from(i % 2).expect("small"),
                system: i == 0,
                state: if i == 7 { ProcessState::WaitResponse } else { ProcessState::Sleep },
                log_level: if i == 3 { LogLevel::Debug } else { LogLevel::Info },
                messages_in: 10 * i,
                messages_out: 5 * i,
                mailbox: i % 4,
                mailbox_main: i % 4 / 2,
                oldest_ns: (i % 4) * 2_000_000,
                running_ns: i * 1_000_000_000,
                wakeups: i,
                uptime_ns: 200_000_000_000,
                init_ns: 1_000 * i,
                state_ns: 5_000_000,
                callback_elapsed_ns: 0,
            },
            name: if i % 3 == 0 { format!("worker_{i}") } else { String::new() },
            application: String::from("demo"),
            behavior: if i % 2 == 0 { "messaging.Worker" } else { "messaging.Sender" },
            kind: if i == 0 { "supervisor" } else { "actor" },
        })
        .collect()
}

fn shard(id: u32) -> ShardRow {
    ShardRow {
        id,
        cpu: (id == 0).then_some(3),
        heartbeat_age_ns: 1_000_000,
        run_queue: 2,
        processes: 60,
        turns: 1000,
        busy_ns: 40_000_000_000,
        ring_messages_in: 12,
        ring_messages_out: 13,
        wakes: 7,
        policy_dropped: 21,
        mailbox_refused: 22,
        mailbox_lost: 23,
        interrupted: 24,
        unhandled: 25,
        panics: 26,
        inbox_refused: 27,
        ring_refused: 28,
        queued_bytes: 29,
        over_budget: 30,
        // Four below 200 ms, three below 1 s, two below 5 s, and one that took longer than all bounds.
        stalls: vec![4, 2, 1, 1, 1, 0, 0, 0, 0, 1],
        stalled_ns: 310_500_000_000,
        io: IoRow {
            tasks: 31,
            descriptors: 32,
            opened: 33,
            closed: 34,
            failed: 35,
            refused: 36,
            bytes_in: 37,
            bytes_out: 38,
            held: 39,
            requests: 40,
            shed: 41,
            unanswered: 42,
            abandoned: 43,
            cut: 44,
            dropped: 45,
        },
        rescued: 46,
        nudged: 47,
        traces_held: 48,
        traces_dropped: 49,
        envelope_bytes: 50,
        future_bytes: 51,
        ..ShardRow::default()
    }
}

impl Fake {
    pub(crate) fn new((name, crc): (&str, u32), process_count: u64) -> Arc<Self> {
        let (door, inbox) = mpsc::channel(64);
        Arc::new(Self {
            name: String::from(name),
            crc,
            state: RwLock::new(State {
                processes: processes(process_count),
                shards: vec![shard(0), shard(1)],
                phase: Phase::Running,
                registrar_down: None,
                inspected: Inspected::Answers,
                peers: BTreeMap::new(),
                apps: apps(),
                events: events(),
            }),
            inbox: RwLock::new(Some(inbox)),
            door,
        })
    }

    pub(crate) fn edit(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects two nodes.
    pub(crate) fn connect(one: &Self, two: &Self) {
        one.edit().peers.insert(two.name.clone(), two.door.clone());
        two.edit().peers.insert(one.name.clone(), one.door.clone());
    }

    /// Makes process `index` run a handler for `elapsed`, and its shard look stuck for as long.
    pub(crate) fn stick(&self, index: usize, elapsed: Duration) {
        let since_ns = u64::try_from(elapsed.as_nanos()).expect("short");
        let mut state = self.edit();
        let process = &mut state.processes[index];
        process.cells.state = ProcessState::Running;
        process.cells.callback_elapsed_ns = since_ns;
        let (id, shard, name) = (process.cells.id, usize::from(process.cells.shard), process.name.clone());
        state.shards[shard].heartbeat_age_ns = since_ns;
        state.shards[shard].current = Some(Current { id, name, since_ns });
        state.inspected = Inspected::IsBlocked;
    }
}

fn visit(process: &Process, visitor: &mut dyn FnMut(&ProcessRow<'_>)) {
    visitor(&ProcessRow {
        cells: process.cells,
        name: &process.name,
        application: &process.application,
        behavior: process.behavior,
        kind: process.kind,
    });
}

fn blocked(by: u64) -> InspectError {
    InspectError::ShardBlocked {
        shard: 1,
        by,
        pid: String::from("<574801E2.0.1002>"),
        name: String::from("spinner"),
        for_ns: 12_300_000_000,
    }
}

fn facts(first: String) -> Facts {
    let ties = |pids: Vec<String>, node: &str| Ties {
        pids,
        names: vec![String::from("a name")],
        aliases: vec![String::from("Alias#<00000000000000ff.7.0.0>")],
        events: vec![String::from("an event")],
        nodes: vec![String::from(node)],
    };
    Facts {
        env: Vec::new(),
        queues: Queues { main: 1, system: 2, urgent: 3, log: 4 },
        mailbox_limit: Some(64),
        on_full: "drop oldest",
        fallback: Some((String::from("spill"), String::from("a tag"))),
        send_priority: "high",
        traps_exits: true,
        splits_handles: false,
        awaited_calls: 2,
        aliases: vec![String::from("Alias#<00000000000000ff.8.0.0>")],
        events: vec![String::from("its event")],
        env_keys: vec![String::from("REGION")],
        links: ties(vec![first.clone()], "linked@node"),
        linked_by: vec![first.clone()],
        monitors: ties(Vec::new(), "monitored@node"),
        monitored_by: vec![first],
    }
}

impl Source for Fake {
    fn identity(&self) -> Identity {
        Identity {
            name: self.name.clone(),
            crc: self.crc,
            creation: CREATION,
            uptime_ns: 200_500_000_000,
            version: Version {
                name: String::from("demo"),
                release: String::from("1.2.3"),
                ..Version::default()
            },
            framework: Version { name: String::from("shard-runtime"), ..Version::default() },
            shards: 2,
            env: Vec::new(),
            log_level: LogLevel::Info,
            loggers: vec![LoggerRow {
                name: String::from("default"),
                behavior: String::from("file"),
                levels: vec![LogLevel::Info, LogLevel::Error],
                lost: 6,
            }],
            phase: self.edit().phase,
        }
    }

    fn node_counters(&self) -> NodeCounters {
        let state = self.edit();
        let sum = |field: fn(&ProcessCells) -> u64| state.processes.iter().map(|p| field(&p.cells)).sum();
        NodeCounters {
            processes_total: state.processes.len() as u64,
            processes_running: 1,
            processes_spawned: 500,
            processes_terminated: 380,
            registered_names: 40,
            send_errors_local: 3,
            log_messages: [0, 1, 2, 3, 4, 5],
            connections_established: 4,
            connections_lost: 1,
            messages_in: sum(|c| c.messages_in),
            messages_out: sum(|c| c.messages_out),
            running_ns: sum(|c| c.running_ns),
            wakeups: sum(|c| c.wakeups),
            ..NodeCounters::default()
        }
    }

    fn for_each_process(&self, visitor: &mut dyn FnMut(&ProcessRow<'_>)) {
        for process in &self.edit().processes {
            visit(process, visitor);
        }
    }

    fn process(&self, local_id: u64, visitor: &mut dyn FnMut(&ProcessRow<'_>)) -> bool {
        let state = self.edit();
        let found = state.processes.iter().find(|process| process.cells.id == local_id);
        found.map(|process| visit(process, visitor)).is_some()
    }

    fn shards(&self) -> Vec<ShardRow> {
        self.edit().shards.clone()
    }

    fn peers(&self) -> Vec<PeerRow> {
        let names: Vec<_> = self.edit().peers.keys().cloned().collect();
        names
            .into_iter()
            .map(|node| PeerRow {
                node,
                creation: CREATION + 1,
                uptime_ns: 100_000_000_000,
                connection_uptime_ns: 90_000_000_000,
                pool_size: 4,
                pool_len: 4,
                messages_in: 1000,
                messages_out: 900,
                bytes_in: 4_000_000,
                bytes_out: 3_600_000,
                rtt_ns: 80_000,
                traced_sent: 61,
                compressed_sent: 62,
                compressed_bytes_sent: 63,
                compressed_orig_bytes_sent: 64,
                decompressed_received: 65,
                decompressed_bytes_received: 66,
                decompressed_orig_received: 67,
                link: LinkRow {
                    outboxes_full: 68,
                    links_held: 69,
                    late: 70,
                    failed_out: 71,
                    unknown_out: 72,
                    ..LinkRow::default()
                },
                flags: PeerFlags { remote_spawn: true, keep_alive_s: 1, ..PeerFlags::default() },
                history: vec![PeerChangeRow {
                    at: UNIX_EPOCH,
                    session: 1,
                    change: "down",
                    reason: Some("heartbeat"),
                    shard: None,
                    epoch: None,
                }],
                ..PeerRow::default()
            })
            .collect()
    }

    fn apps(&self) -> Vec<AppRow> {
        self.edit().apps.clone()
    }

    fn events(&self) -> Vec<EventRow> {
        self.edit().events.clone()
    }

    fn cron(&self) -> CronView {
        let names = [String::from("backup"), String::from("report")];
        CronView { next: Some(at(3600)), spool: names.to_vec(), jobs: cron_jobs() }
    }

    /// Each enabled job every hour.
    fn cron_schedule(&self, since: SystemTime, span: Duration, limit: usize, job: Option<&str>) -> CronPlan {
        let names: Vec<_> = cron_jobs()
            .into_iter()
            .filter(|row| row.enabled && job.is_none_or(|job| row.name == job))
            .map(|row| row.name)
            .collect();
        let hours = span.as_secs() / 3600;
        let slots = (1..=hours)
            .map(|hour| CronSlotRow { time: since + Duration::from_secs(hour * 3600), jobs: names.clone() });
        CronPlan { slots: slots.take(limit).collect(), truncated: hours > limit as u64 }
    }

    fn log_lost(&self) -> [u64; 6] {
        [6, 5, 4, 3, 2, 1]
    }

    fn net(&self) -> NetRow {
        NetRow {
            sessions_lost: vec![("goodbye", 0), ("heartbeat", 3)],
            dial_errors: vec![("timeout", 7)],
            links_accepted: 9,
            ..NetRow::default()
        }
    }

    fn acceptors(&self) -> Vec<AcceptorRow> {
        vec![AcceptorRow {
            interface: String::from("127.0.0.1:15000"),
            handshake_errors: vec![("bad_mac", 2), ("timeout", 1)],
            accept_failures: 8,
        }]
    }

    fn outside_dropped(&self) -> u64 {
        5
    }

    fn registrar(&self) -> RegistrarView {
        RegistrarView {
            down: self.edit().registrar_down.clone(),
            nodes: vec![KnownNode { name: String::from("far@away"), creation: 0 }],
        }
    }

    fn lookup(&self, name: &str) -> Option<u64> {
        let state = self.edit();
        state.processes.iter().find(|process| process.name == name).map(|process| process.cells.id)
    }

    fn inspect(
        &self,
        local_id: u64,
        items: Vec<String>,
        _deadline: Instant,
    ) -> Reply<'_, Vec<(String, String)>, InspectError> {
        let mode = self.edit().inspected;
        Box::pin(async move {
            match mode {
                Inspected::Answers => Ok(vec![
                    (String::from("id"), local_id.to_string()),
                    (String::from("items"), items.join(",")),
                ]),
                Inspected::IsBlocked => Err(blocked(local_id)),
                Inspected::IsSuspended => Err(InspectError::Timeout),
                Inspected::Hangs => std::future::pending().await,
            }
        })
    }

    fn facts(&self, local_id: u64, _deadline: Instant) -> Reply<'_, Facts, InspectError> {
        let mode = self.edit().inspected;
        let me = format!("{}:1001.{CREATION}", self.name);
        Box::pin(async move {
            match mode {
                Inspected::Answers | Inspected::IsSuspended => Ok(facts(me)),
                Inspected::IsBlocked => Err(blocked(local_id)),
                Inspected::Hangs => std::future::pending().await,
            }
        })
    }

    fn diag_call(&self, node: &str, request: Vec<u8>, deadline: Instant) -> Reply<'_, Vec<u8>, ProxyError> {
        let door = self.edit().peers.get(node).cloned();
        let from = self.name.clone();
        Box::pin(async move {
            let door = door.ok_or(ProxyError::NotConnected)?;
            let (reply, answer) = oneshot::channel();
            let request = RemoteRequest { from, request, deadline, reply };
            door.try_send(request).map_err(|_| ProxyError::Overloaded)?;
            let limit = tokio::time::Instant::from_std(deadline);
            match tokio::time::timeout_at(limit, answer).await {
                Ok(Ok(bytes)) => Ok(bytes),
                Ok(Err(_)) => Err(ProxyError::Unreachable),
                Err(_) => Err(ProxyError::Timeout),
            }
        })
    }

    fn ping(&self, node: &str, count: u32, _deadline: Instant) -> Reply<'_, Vec<u64>, ProxyError> {
        let known = self.edit().peers.contains_key(node);
        Box::pin(async move {
            if known {
                Ok((1..=u64::from(count)).map(|i| i * 100_000).collect())
            } else {
                Err(ProxyError::NotConnected)
            }
        })
    }

    fn take_requests(&self) -> Option<mpsc::Receiver<RemoteRequest>> {
        self.inbox.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}
