//! The embedded registrar as the loop of the control thread sees it: events in, a snapshot of the others.

use crate::control::embedded::membership::Membership;
use crate::control::shake::Shaker;
use crate::registrar::{NodeRecord, Registrar, RegistrarEvent, View};
use crate::shared::NodeShared;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_local};

/// Events that may wait for the loop.
const EVENT_QUEUE: usize = 1024;

/// The embedded registrar of one node.
#[derive(Debug)]
pub(in crate::control) struct Embedded {
    address: String,
    shaker: Rc<Shaker>,
    node: Arc<NodeShared>,
    sender: mpsc::Sender<RegistrarEvent>,
    events: mpsc::Receiver<RegistrarEvent>,
    nodes: BTreeMap<shard_wire::NodeName, NodeRecord>,
    task: Option<AbortHandle>,
}

impl Embedded {
    pub(in crate::control) fn new(address: String, shaker: Rc<Shaker>, node: Arc<NodeShared>) -> Self {
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
