//! Actors pinned to shards: one thread per shard, lock-free mailboxes, zero-copy links between nodes.
//!
//! ```no_run
//! use shard_runtime::prelude::*;
//!
//! #[message]
//! pub struct Add { pub n: i64 }
//!
//! #[message(reply = i64)]
//! pub struct Total;
//!
//! #[derive(Default)]
//! struct Counter { total: i64 }
//!
//! #[actor]
//! impl Counter {
//!     #[handle]
//!     async fn add(&mut self, m: Add, _cx: &mut Context<'_>) -> ActorResult { self.total += m.n; Ok(()) }
//!     #[handle]
//!     fn total(&mut self, _: Total, _cx: &mut Context<'_>) -> Result<i64, ActorError> { Ok(self.total) }
//! }
//!
//! fn main() -> Result<(), NodeError> {
//!     let node = Node::builder("demo@localhost").shards(2).start()?;
//!     let pid = node.spawn(Counter::default, SpawnOptions::named("counter"))?;
//!     node.send(pid, Add { n: 2 })?;
//!     assert_eq!(node.call_blocking(pid, Total)?, 2);
//!     node.run_until_signal()
//! }
//! ```
//!
//! # Cargo features
//!
//! - `tls`, on by default: TLS for TCP and web servers, by rustls.
//! - `web`, on by default: web servers, WebSockets and streams of events, by hyper and tungstenite.
//! - `tracing`: the log to and from `tracing`, see `TracingSink` and `Node::tracing_layer`.
//! - `loom`: for the models of this crate only; outside of them nothing works with it.

extern crate self as shard_runtime;

mod actor;
mod app;
mod behavior;
mod clock;
mod control;
mod cron;
mod error;
mod event;
mod io;
mod link;
mod mailbox;
mod names;
mod node;
mod oneshot;
mod process;
mod reactor;
mod registrar;
mod ring;
mod shard;
mod shared;
mod stats;
mod supervisor;
mod symbol;
mod sync;
mod tap;
mod trace;
mod wheel;

pub mod prelude;
pub mod testing;

pub use actor::{
    Actor, Address, Addressed, Call, Context, Down, ExitSignal, Fallback, Inspect, Named, Placement,
    Priority, RemoteApp, RemoteSpawnOptions, ReplyTo, Request, Response, Route, Sleep, SpawnOptions, Target,
    TimerRef, YieldNow,
};
pub use app::{AppContext, AppFailure, AppInfo, AppMode, AppSpec, AppState, Application, CoreEvent};
pub use behavior::{
    AddRoute, AddWorkers, DisableRoute, EnableRoute, Incoming, Picking, Pool, PoolError, PoolStats,
    PoolStatus, RemoveRoute, RemoveWorkers, ReplaceRoute, RespawnRoute, RouteError, RouteFailed, RouteInfo,
    RoutePending, RouteSpec, RouteTo, Router, Routes,
};
pub use control::{DiagPort, DiagRequest, NodeEvent, NodeRoute, RouteOptions};
pub use cron::{
    CronFacts, CronFallback, CronJob, CronJobFacts, CronRun, CronSchedule, CronSlot, CronTick, Missed,
    Overlap,
};
pub use error::{
    ActorError, ActorResult, AppError, AskError, CallError, CronError, DeliveryError, DeliveryId,
    DiagCallError, EnableError, EventError, ExitReason, ForwardError, IoEnd, IoError, LinkError, LogError,
    NodeError, NodeRouteError, PreflightError, RegistrarError, RemoteAppError, RemoteError, RemoteSpawnError,
    SendError, SendReason, SpawnError, SpawnId, TraceParentError, Unclaimed, Unconfirmed,
};
pub use event::{
    Event, EventFacts, EventGap, EventOptions, EventOrigin, EventPosition, EventRestart, EventStart,
    EventStop, Topic, Utilization,
};
/// Methods, status codes and header names of web requests.
#[cfg(feature = "web")]
pub use http;
#[cfg(feature = "tls")]
pub use io::{CertificateNames, LinkTls, TlsClient, TlsServer};
pub use io::{
    Chunk, CloseIo, Io, IoBytes, IoProcess, IoTarget, IoText, Port, PortData, PortError, PortStart,
    PortStatus, PortTerminate, PortText, TcpClient, TcpConnect, TcpData, TcpDisconnect, TcpServer, UdpPacket,
    UdpServer, WriteBytes,
};
#[cfg(feature = "web")]
pub use io::{
    SseClient, SseConnect, SseDisconnect, SseEvent, SseHandler, SseMessage, WebHandler, WebRequest,
    WebResponse, WebRoute, WebServer, WebSocketClient, WebSocketHandler, WsConnect, WsDisconnect, WsKind,
    WsMessage,
};
pub use link::{LinkCounters, LinkOptions, PeerChange, PeerRecord, Peers};
pub use node::{LateProcess, Node, NodeBuilder, Pinning, StopPhase, StopPlan, StopReport, TracedNode};
pub use process::{Env, OnFull};
pub use reactor::preflight::{Check, Report, doctor};
pub use reactor::sim::Simulation;
pub use reactor::sim_apps::SimulationOptions;
pub use registrar::{NodeRecord, Registrar, RegistrarEvent, RegistrarRole, RegistrarSpec, RegistrarState};
pub use shard::{LogLevel, STALL_BOUNDS_NS, ShardCounters};
pub use shard_runtime_macros::{actor, handle};
/// Identities, frames and the message registry.
pub use shard_wire as wire;
pub use shard_wire::{Alias, Message, Pid, View, Viewable, data, message};
pub use stats::{
    AcceptorStats, NetStats, NodeStats, PeerStats, ProcessFacts, ProcessState, ProcessStats, Reader,
    ShardStats, StalledShard,
};
pub use supervisor::{
    AddChild, Backoff, Child, ChildEvent, ChildId, ChildSnapshot, ChildSpec, ChildState, Children,
    DisableChild, EnableChild, InvalidSpec, OnExceed, Phase, RemoveChild, RestartRecord, Shutdown, Snapshot,
    SpecSnapshot, StartChild, Strategy, Supervisor, SupervisorError, SupervisorSpec, SupervisorType,
    TerminateInstance,
};
pub use tap::{
    ConsoleSink, JsonSink, Log, LogLevels, LogLine, LogRecord, LogSink, LogSource, LogWith, LoggerFacts,
    MemorySink, Output, RotatingFile, StderrSink,
};

#[cfg(feature = "tracing")]
pub use tap::{LogLayer, TracingSink};
pub use trace::TraceContext;

/// What the macros emit refers to. Not an API.
#[doc(hidden)]
pub mod __private {
    pub use crate::actor::{Actor, Batch, Closed, Context, Envelope, Exit, Inspect, ReplyTo};
    pub use crate::error::{ActorError, ActorResult, ExitReason};
    pub use crate::shard::Shard;
    pub use shard_wire::{Message, Vtable, vtable};
}

/// What the benchmarks measure and nobody else may use.
#[doc(hidden)]
pub mod bench_internals {
    pub use crate::clock::{Clock, ClockKind, VirtualClock, now};
    pub use crate::names::{MAX_NAME_BYTES, NameError, Names};
    pub use crate::oneshot::{
        Receiver as ReplyReceiver, RecvError, Sender as ReplySender, channel as reply_slot,
    };
    pub use crate::ring::{
        DEFAULT_CAPACITY, DEFAULT_INBOX_LIMIT, DEFAULT_SPILL_LIMIT, Inbox, InboxError, InboxRefusal, Outbox,
        Receiver, RunMark, SLOT_BYTES, Sender, Sleep, SpillFull, channel,
    };
    pub use crate::symbol::{MAX_SYMBOL_BYTES, MAX_SYMBOLS, Symbol, SymbolError, Symbols};
    pub use crate::wheel::{Advanced, DEFAULT_TIMER_LIMIT, TimerKey, TimerLimitReached, Wheel};
}

/// The guide's examples compile and hold.
#[cfg(all(doctest, feature = "tls", feature = "web"))]
mod guide {
    #[doc = include_str!("../../docs/guide/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../../docs/guide/actors.md")]
    struct Actors;
    #[doc = include_str!("../../docs/guide/supervision.md")]
    struct Supervision;
    #[doc = include_str!("../../docs/guide/events.md")]
    struct Events;
    #[doc = include_str!("../../docs/guide/io.md")]
    struct Io;
    #[doc = include_str!("../../docs/guide/other-nodes.md")]
    struct OtherNodes;
    #[doc = include_str!("../../docs/guide/versions.md")]
    struct Versions;
    #[doc = include_str!("../../docs/guide/views.md")]
    struct Views;
    #[doc = include_str!("../../docs/guide/testing.md")]
    struct Testing;
    #[doc = include_str!("../../docs/guide/securing-a-cluster.md")]
    struct SecuringACluster;
}
