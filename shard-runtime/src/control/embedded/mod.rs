//! The embedded registrar, as far as it moves bytes: the first node on a host serves, the others are its clients, and
//! when the server goes one of them takes over.
//!
//! Invariants: E1 whoever binds the address serves; there is no other election. E2 both sides prove that they know the
//! cookie before either believes a record, on a channel of their own, so a proof for a link is none here. E3 what
//! crosses is bounded in size and in number; garbage costs its sender the connection, nothing else.
//! Threads: the control thread.

mod client;
mod connection;
mod server;

use crate::control::shake::Shaker;
use crate::error::RegistrarError;
use crate::node::NodeShared;
use crate::registrar::{NodeRecord, Registrar, RegistrarEvent, View};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_local};

/// Events that may wait for the loop.
const EVENT_QUEUE: usize = 1024;
/// Between two attempts to serve or to connect, drawn evenly.
const RETRY_MS: std::ops::Range<u64> = 10..100;
/// How long nodes have to register again after the registrar was lost.
const CONFIRM: Duration = Duration::from_secs(10);

/// The embedded registrar of one node.
#[derive(Debug)]
pub(super) struct Embedded {
    address: String,
    shaker: Rc<Shaker>,
    node: Arc<NodeShared>,
    sender: mpsc::Sender<RegistrarEvent>,
    events: mpsc::Receiver<RegistrarEvent>,
    nodes: BTreeMap<shard_wire::NodeName, NodeRecord>,
    task: Option<AbortHandle>,
}

impl Embedded {
    pub(super) fn new(address: String, shaker: Rc<Shaker>, node: Arc<NodeShared>) -> Self {
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        Self { address, shaker, node, sender, events, nodes: BTreeMap::new(), task: None }
    }
}

impl Registrar for Embedded {
    fn register(&mut self, own: NodeRecord) {
        let task = Membership {
            address: self.address.clone(),
            shaker: Rc::clone(&self.shaker),
            node: Arc::clone(&self.node),
            own,
            view: View::default(),
            events: self.sender.clone(),
        };
        self.task = Some(spawn_local(task.run()).abort_handle());
    }

    fn poll_event(&mut self, task: &mut Context<'_>) -> Poll<RegistrarEvent> {
        // The queue cannot close: one sender is here.
        let Some(event) = ready!(self.events.poll_recv(task)) else { return Poll::Pending };
        match &event {
            RegistrarEvent::Joined(record) => {
                self.nodes.insert(record.name.clone(), record.clone());
            }
            RegistrarEvent::Left { name, .. } => {
                self.nodes.remove(name);
            }
            _ => {}
        }
        Poll::Ready(event)
    }

    fn nodes(&self) -> Vec<NodeRecord> {
        self.nodes.values().cloned().collect()
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// One node's life with the registrar.
struct Membership {
    address: String,
    shaker: Rc<Shaker>,
    node: Arc<NodeShared>,
    own: NodeRecord,
    view: View,
    events: mpsc::Sender<RegistrarEvent>,
}

/// How a spell as server or client ended.
enum End {
    /// For good.
    Refused(RegistrarError),
    /// Try again.
    Lost(RegistrarError),
}

impl Membership {
    async fn run(mut self) {
        let mut was_registered = false;
        loop {
            let end = match TcpListener::bind(&self.address).await {
                Ok(listener) => self.serve(listener, &mut was_registered).await,
                // Somebody serves, or the address is not of this host.
                Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {
                    self.follow(&mut was_registered).await
                }
                Err(_) => End::Lost(self.unreachable()),
            };
            match end {
                End::Refused(error) => return self.say(RegistrarEvent::Refused(error)).await,
                End::Lost(error) => {
                    self.view.doubt();
                    if was_registered {
                        self.say(RegistrarEvent::Lost(error)).await;
                    }
                }
            }
            tokio::time::sleep(jitter()).await;
        }
    }

    async fn say(&self, event: RegistrarEvent) {
        // The loop that hears it outlives this task.
        let _ended = self.events.send(event).await;
    }

    async fn joined(&mut self, record: NodeRecord) {
        if record.name != self.own.name
            && let Some(event) = self.view.joined(record)
        {
            self.say(event).await;
        }
    }

    async fn left(&mut self, name: &shard_wire::NodeName, incarnation: shard_wire::Incarnation) {
        if let Some(event) = self.view.left(name, incarnation) {
            self.say(event).await;
        }
    }

    async fn sweep(&mut self) {
        for event in self.view.sweep() {
            self.say(event).await;
        }
    }

    fn unreachable(&self) -> RegistrarError {
        RegistrarError::Unreachable { address: self.address.clone() }
    }
}

/// Spreads the attempts of nodes that lost their server at the same moment.
fn jitter() -> Duration {
    let mut random = [0; 8];
    // Without random bytes the spread is that of the scheduler.
    let _even = getrandom::fill(&mut random);
    let spread = RETRY_MS.end - RETRY_MS.start;
    Duration::from_millis(RETRY_MS.start + u64::from_le_bytes(random) % spread)
}
