//! Bursts of messages to pools of workers on other nodes.
//!
//! Owns, per node: the application `messaging` with the supervisor `messaging_sup`, one for one and permanent, and its children, the pool
//! `messaging_pool` with three unnamed workers and `messaging_sender`. The sender waits, then sends a burst of 100 to
//! 1000 payloads of 256 to 9996 hexadecimal digits to the pool of one other node, by name, then rests for 1 to 10 s; other nodes take turns, beginning with a random one, and the first lap rests shortest, so
//! that every link carries traffic soon.
//! [`Fail`] makes a worker, by way of the pool, or the sender end as a bug would, to see it replaced.
//! Invariants: G1 a payload that was not accepted is counted under its reason; a burst is abandoned, not queued here.
//! Cost per payload: one text on the sender's heap; on the way nothing of ours.

use crate::{Random, Settings};
use shard_runtime::prelude::*;
use shard_runtime::{
    AppError, AppSpec, Application, Child, ChildSpec, LogLevel, Placement, Pool, SendReason, Strategy,
    Supervisor, SupervisorSpec,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The name of the application.
pub const APPLICATION: &str = "messaging";
/// The registered name of the supervisor of both.
pub const SUPERVISOR: &str = "messaging_sup";
/// The registered name of a node's pool.
pub const POOL: &str = "messaging_pool";
/// The registered name of a node's sender.
pub const SENDER: &str = "messaging_sender";

const WORKERS: usize = 3;
const BURST: (u64, u64) = (100, 1000);
const DIGITS: (u64, u64) = (256, 9996);
const REST_S: (u64, u64) = (1, 10);
/// Messages between two pauses that let the rest of the shard run.
const STRIDE: u64 = 32;
/// First wait for room in an outbox; doubles with each try.
const BACK_OFF: Duration = Duration::from_millis(10);
/// Tries before a burst is abandoned because its outbox stays full.
const TRIES: u32 = 7;

/// What travels.
#[message]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePayload {
    /// Hexadecimal digits.
    pub data: String,
}

/// Ends whoever handles it with an error: a worker, if it is sent to a pool, or the sender.
#[message]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fail {
    /// What the error says.
    pub why: String,
}

/// Asks a pool for its pid, which ends with this start of its node.
#[message(reply = Pid)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPid;

/// The side of an order.
#[data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSide(pub String);

/// A key and a value.
#[data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderTag {
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// A message with every kind of field, for tools that show or send typed messages. No process here sends it.
#[message]
#[derive(Clone, Debug, PartialEq)]
pub struct TestOrder {
    /// Number of the order.
    pub id: String,
    /// Where it is placed.
    pub exchange: String,
    /// Buy or sell.
    pub side: OrderSide,
    /// Price per unit.
    pub price: f64,
    /// Units; absent means all.
    pub amount: Option<f64>,
    /// Price that ends it.
    pub stop_loss: Option<f64>,
    /// Labels.
    pub tags: Vec<OrderTag>,
    /// What was filled so far; absent entries were cancelled.
    pub fills: Vec<Option<OrderTag>>,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
    /// Remarks.
    pub notes: Option<String>,
    /// Whether it is on margin.
    pub margin: bool,
}

#[message(local)]
struct Burst;

#[derive(Debug, thiserror::Error)]
#[error("told to fail: {0}")]
struct ToldToFail(String);

/// Receives payloads and drops them.
#[derive(Debug, Default)]
struct Worker {
    received: u64,
    bytes: u64,
    max_bytes: u64,
}

#[actor]
impl Worker {
    #[handle]
    fn payload(&mut self, message: MessagePayload, cx: &mut Context<'_>) -> ActorResult {
        let bytes = message.data.len() as u64;
        self.received += 1;
        self.bytes += bytes;
        self.max_bytes = self.max_bytes.max(bytes);
        cx.log().debug(format_args!("{bytes} bytes"));
        Ok(())
    }

    #[handle]
    fn pool(&mut self, _: PoolPid, cx: &mut Context<'_>) -> Result<Pid, ActorError> {
        Ok(cx.parent())
    }

    #[handle]
    fn fail(&mut self, message: Fail, _cx: &mut Context<'_>) -> ActorResult {
        Err(ToldToFail(message.why))?
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("received", self.received);
        out.set("bytes", self.bytes);
        out.set("max_bytes", self.max_bytes);
    }
}

/// Sends the bursts.
#[derive(Debug)]
struct Sender {
    settings: Settings,
    random: Random,
    /// Index of the next target among the other nodes; `None` before the first burst.
    turn: Option<usize>,
    bursts: u64,
    messages_sent: u64,
    bytes_sent: u64,
    last_target: String,
    last_burst: u64,
    next_delay: Duration,
    /// Times an outbox had no room.
    outbox_full: u64,
    /// Bursts that were cut short, and the payload that was refused with it.
    send_errors: u64,
}

/// Why a burst ended early.
struct Abandoned(SendReason);

#[actor]
impl Sender {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        self.next_delay = self.settings.scaled(self.settings.start_delay);
        cx.log().info(format_args!("first burst in {:?}", self.next_delay));
        cx.send_after(cx.pid(), Burst, self.next_delay).map_err(|refused| refused.reason)?;
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        cx.log().info(format_args!("ended: {reason}"));
    }

    #[handle]
    async fn burst(&mut self, _: Burst, cx: &mut Context<'_>) -> ActorResult {
        let mut others = cx.nodes();
        others.retain(|node| node != cx.node_name());
        others.sort();
        if !others.is_empty() {
            let random = &mut self.random;
            let turn = *self.turn.get_or_insert_with(|| random.between(0, others.len() as u64 - 1) as usize);
            self.turn = Some(turn.wrapping_add(1));
            let target = &others[turn % others.len()];
            let count = self.random.between(BURST.0, BURST.1);
            self.bursts += 1;
            self.last_target.clone_from(target);
            self.last_burst = 0;
            if let Err(Abandoned(reason)) = self.send_all(target, count, cx).await {
                self.send_errors += 1;
                let at = self.last_burst;
                cx.log().warning(format_args!("message {at} of {count} to {target}: {reason}"));
            } else if cx.log().is_on(LogLevel::Debug) {
                cx.log().debug(format_args!("{count} messages to {target}"));
            }
        }
        // Until every other node has had one burst, and while there is none, the rest is the shortest.
        let longest =
            if self.bursts < others.len() as u64 || others.is_empty() { REST_S.0 } else { REST_S.1 };
        let rest = Duration::from_secs(self.random.between(REST_S.0, longest));
        self.next_delay = self.settings.scaled(rest);
        cx.send_after(cx.pid(), Burst, self.next_delay).map_err(|refused| refused.reason)?;
        Ok(())
    }

    #[handle]
    fn fail(&mut self, message: Fail, _cx: &mut Context<'_>) -> ActorResult {
        Err(ToldToFail(message.why))?
    }

    async fn send_all(&mut self, target: &str, count: u64, cx: &Context<'_>) -> Result<(), Abandoned> {
        for at in 0..count {
            let digits = self.random.between(DIGITS.0, DIGITS.1) & !1;
            let payload = MessagePayload { data: self.random.hex(digits as usize) };
            self.send_one(target, payload, cx).await?;
            self.messages_sent += 1;
            self.last_burst += 1;
            self.bytes_sent += digits;
            if at % STRIDE == STRIDE - 1 {
                cx.yield_now().await;
            }
        }
        Ok(())
    }

    async fn send_one(
        &mut self,
        target: &str,
        mut payload: MessagePayload,
        cx: &Context<'_>,
    ) -> Result<(), Abandoned> {
        let mut wait = BACK_OFF;
        for _ in 0..TRIES {
            match cx.send((POOL, target), payload) {
                Ok(()) => return Ok(()),
                Err(refused) if matches!(refused.reason, SendReason::OutboxFull | SendReason::Overloaded) => {
                    self.outbox_full += 1;
                    payload = refused.into_inner();
                }
                Err(refused) => return Err(Abandoned(refused.reason)),
            }
            cx.sleep(wait).await;
            wait *= 2;
        }
        Err(Abandoned(SendReason::OutboxFull))
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("bursts", self.bursts);
        out.set("messages_sent", self.messages_sent);
        out.set("bytes_sent", self.bytes_sent);
        out.set("last_target", &self.last_target);
        out.set("last_burst", self.last_burst);
        out.set("next_delay_ms", self.next_delay.as_millis());
        out.set("outbox_full", self.outbox_full);
        out.set("send_errors", self.send_errors);
    }
}

impl Sender {
    fn new(settings: &Settings, node: &str) -> Self {
        Self {
            settings: settings.clone(),
            random: Random::for_actor(settings.seed, &[node, SENDER, "0"]),
            turn: None,
            bursts: 0,
            messages_sent: 0,
            bytes_sent: 0,
            last_target: String::new(),
            last_burst: 0,
            next_delay: Duration::ZERO,
            outbox_full: 0,
            send_errors: 0,
        }
    }
}

/// The application: the supervisor, which starts the pool and the sender, each on the shard that has the least to do.
#[derive(Debug)]
struct Messaging {
    settings: Settings,
    node: String,
}

impl Application for Messaging {
    fn name(&self) -> &str {
        APPLICATION
    }

    fn spec(&self) -> AppSpec {
        let (settings, name) = (self.settings.clone(), self.node.clone());
        let spread = || SpawnOptions::new().with_placement(Placement::LeastLoaded);
        let pool = Child::new(|| Pool::of(Worker::default).size(WORKERS)).options(spread());
        let sender = Child::new(move || Sender::new(&settings, &name)).options(spread());
        let tree = move || {
            Supervisor::new(SupervisorSpec::one_for_one().strategy(Strategy::Permanent))
                .child_with(ChildSpec::new(POOL), pool.clone())
                .child_with(ChildSpec::new(SENDER), sender.clone())
        };
        AppSpec::new()
            .description("bursts of payloads to the pools of other nodes")
            .version(env!("CARGO_PKG_VERSION"))
            .role("pool", POOL)
            .role("sender", SENDER)
            .member(tree, spread().with_name(SUPERVISOR))
    }
}

/// Loads the application and starts it.
///
/// # Errors
/// It runs already, or the node is stopping.
pub fn start(node: &Node, settings: &Settings) -> Result<(), AppError> {
    node.load_app(Messaging { settings: settings.clone(), node: String::from(node.name()) })?;
    node.start_app(APPLICATION)
}
