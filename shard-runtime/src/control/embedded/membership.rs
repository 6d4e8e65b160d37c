//! One node's life with the embedded registrar: serve if the address is free, else follow whoever serves, and again.

use crate::control::shake::Shaker;
use crate::error::RegistrarError;
use crate::registrar::{NodeRecord, RegistrarEvent, View};
use crate::shared::NodeShared;
use shard_wire::{Incarnation, NodeName};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Between two attempts to serve or to connect, drawn evenly.
const RETRY_MS: std::ops::Range<u64> = 10..100;
/// How long nodes have to register again after the registrar was lost.
pub(super) const CONFIRM: Duration = Duration::from_secs(10);

/// One node's life with the registrar.
pub(super) struct Membership {
    pub(super) address: String,
    pub(super) shaker: Rc<Shaker>,
    pub(super) node: Arc<NodeShared>,
    pub(super) own: NodeRecord,
    pub(super) view: View,
    pub(super) events: mpsc::Sender<RegistrarEvent>,
}

/// How a spell as server or client ended.
pub(super) enum End {
    /// For good.
    Refused(RegistrarError),
    /// Try again.
    Lost(RegistrarError),
}

impl Membership {
    pub(super) async fn run(mut self) {
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

    pub(super) async fn say(&self, event: RegistrarEvent) {
        // The loop that hears it outlives this task.
        let _ended = self.events.send(event).await;
    }

    pub(super) async fn joined(&mut self, record: NodeRecord) {
        if record.name != self.own.name
            && let Some(event) = self.view.joined(record)
        {
            self.say(event).await;
        }
    }

    pub(super) async fn left(&mut self, name: &NodeName, incarnation: Incarnation) {
        if let Some(event) = self.view.left(name, incarnation) {
            self.say(event).await;
        }
    }

    pub(super) async fn sweep(&mut self) {
        for event in self.view.sweep() {
            self.say(event).await;
        }
    }

    pub(super) fn unreachable(&self) -> RegistrarError {
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
