//! The listener of a node: takes connections and runs their handshakes, each in a task of its own.
//!
//! Invariants: B1 an error of `accept` never ends the listener. B2 handshakes under way are bounded, in all and per
//! source address, and so are those that fail; what is over is closed at once and counted as `busy`.

use crate::control::admission::{Admission, Place};
use crate::control::input::{Authenticated, Input, Inputs};
use crate::control::shake::Shaker;
use crate::shard::LogLevel;
use crate::shared::NodeShared;
use crate::tap::Writer;
use shard_wire::handshake::Reason;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Pause after a failed `accept`, such as one without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until its task is dropped.
pub(super) async fn serve(listener: TcpListener, shaker: Rc<Shaker>, node: Arc<NodeShared>, inputs: Inputs) {
    let admission = Admission::default();
    loop {
        let (stream, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let failures = node.net().accept_failures.fetch_add(1, Relaxed) + 1;
                if failures.is_power_of_two() {
                    let writer = || Writer::Network { peer: None };
                    node.log().of(LogLevel::Error, writer, || {
                        format!("accept failed ({failures} times so far): {error}; raise the limit of open files if it is that")
                    });
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = admission.enter(source.ip(), crate::clock::now()) else {
            count(&node, Reason::Busy, source);
            continue;
        };
        let task = accept(stream, place, Rc::clone(&shaker), inputs.clone());
        let (admission, node) = (admission.clone(), Arc::clone(&node));
        tokio::task::spawn_local(async move {
            if let Err(reason) = task.await {
                admission.failed(source.ip(), reason, crate::clock::now());
                count(&node, reason, source);
            }
        });
    }
}

async fn accept(stream: TcpStream, place: Place, shaker: Rc<Shaker>, inputs: Inputs) -> Result<(), Reason> {
    match shaker.accept(stream).await {
        Ok(waiting) => {
            let authenticated = Authenticated { waiting, _place: place };
            // The control thread ends with its tasks.
            let _ended = inputs.send(Input::Authenticated(Box::new(authenticated))).await;
            Ok(())
        }
        Err(failed) => Err(failed.reason),
    }
}

/// Counts a failed handshake, and says so at the first and then ever more rarely.
pub(super) fn count(node: &NodeShared, reason: Reason, source: SocketAddr) {
    let times = node.net().accept_errors.count(reason);
    if times.is_power_of_two() {
        let name = reason.name();
        // A lost race of two dials is no fault of anybody.
        let level = if reason == Reason::Duplicate { LogLevel::Debug } else { LogLevel::Warning };
        node.log()
            .node(level, || format!("handshake with {source} failed ({name}, {times} so far): {reason}"));
    }
}
