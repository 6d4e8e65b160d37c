//! Questions of peers to this node's diagnostics thread, and its answers back to them.
//!
//! Invariants: V1 every question is answered: by the agent, or with the reason why not. V2 questions being answered are
//! bounded per node. V3 a question ends with the control link it came over.

use crate::control::diag::{DiagRequest, MAX_ANSWER_BYTES};
use crate::control::driver::Driver;
use crate::control::input::Input;
use crate::error::DiagCallError;
use shard_wire::NodeName;
use shard_wire::session::{ControlMsg, MAX_CHUNK_BYTES};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

/// Questions of one peer being answered at once.
const MAX_SERVED: usize = 64;
/// No question waits longer, whatever its asker says.
const SERVE_LIMIT: Duration = Duration::from_secs(120);

impl Driver {
    /// A peer asks this node's diagnostics thread.
    pub(super) fn serve(
        &mut self,
        peer: NodeName,
        session: u64,
        request: u64,
        deadline_ms: u32,
        bytes: Vec<u8>,
    ) {
        self.node.net().diag_served.fetch_add(1, Relaxed);
        let left = Duration::from_millis(u64::from(deadline_ms)).min(SERVE_LIMIT);
        let deadline = crate::clock::now() + left;
        let (reply, answer) = oneshot::channel();
        let from = peer.as_str().to_owned();
        // LIMIT: questions being answered.
        let is_full = self.served.keys().filter(|(asker, _)| *asker == peer).count() >= MAX_SERVED;
        let passed = match &self.agent {
            _ if is_full => Err(DiagCallError::Overloaded),
            None => Err(DiagCallError::AgentUnavailable),
            Some(agent) => {
                agent.try_send(DiagRequest { from, bytes, deadline, reply }).map_err(|error| match error {
                    tokio::sync::mpsc::error::TrySendError::Full(_) => DiagCallError::Overloaded,
                    tokio::sync::mpsc::error::TrySendError::Closed(_) => DiagCallError::AgentUnavailable,
                })
            }
        };
        if let Err(error) = passed {
            return self.refuse(&peer, request, error);
        }
        let (inputs, asker) = (self.inputs.clone(), peer.clone());
        let task = spawn_local(async move {
            let answer = match tokio::time::timeout(left, answer).await {
                Ok(Ok(bytes)) => Ok(bytes),
                Ok(Err(_)) => Err(DiagCallError::Refused),
                Err(_) => Err(DiagCallError::Timeout),
            };
            // The loop ends with its tasks.
            let _ended = inputs.send(Input::Answered { peer: asker, session, request, answer }).await;
        });
        if let Some(before) = self.served.insert((peer, request), task.abort_handle()) {
            before.abort();
        }
    }

    /// The agent has answered, or has not.
    pub(super) fn on_answered(
        &mut self,
        peer: &NodeName,
        session: u64,
        request: u64,
        answer: Result<Vec<u8>, DiagCallError>,
    ) {
        let is_served = self.served.remove(&(peer.clone(), request)).is_some();
        let is_current = self.sessions.get(peer).is_some_and(|known| known.session.number == session);
        if !is_served || !is_current {
            return;
        }
        match answer {
            Ok(bytes) if bytes.len() <= MAX_ANSWER_BYTES => self.send_answer(peer, request, &bytes),
            Ok(_) => self.refuse(peer, request, DiagCallError::TooLarge),
            Err(error) => self.refuse(peer, request, error),
        }
    }

    fn send_answer(&mut self, peer: &NodeName, request: u64, bytes: &[u8]) {
        let mut parts: Vec<&[u8]> = bytes.chunks(MAX_CHUNK_BYTES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let count = parts.len();
        for (seq, part) in (0_u32..).zip(parts) {
            let last = seq as usize + 1 == count;
            let msg = ControlMsg::DiagChunk { req_id: request, seq, last, bytes: part.to_vec() };
            if let Err(error) = self.send(peer, &msg) {
                return self.refuse(peer, request, error);
            }
        }
    }

    fn refuse(&mut self, peer: &NodeName, request: u64, error: DiagCallError) {
        let msg = ControlMsg::DiagError { req_id: request, kind: error.code(), text: error.to_string() };
        self.send_counted(peer, &msg);
    }

    /// The asker no longer waits.
    pub(super) fn stop_serving_one(&mut self, peer: &NodeName, request: u64) {
        if let Some(task) = self.served.remove(&(peer.clone(), request)) {
            task.abort();
        }
    }

    /// The link over which a peer asked is gone.
    pub(super) fn stop_serving(&mut self, peer: &NodeName) {
        self.served.retain(|(asker, _), task| {
            let keep = asker != peer;
            if !keep {
                task.abort();
            }
            keep
        });
    }
}
