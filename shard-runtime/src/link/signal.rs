//! Frames about relations on their way out, in order, and the room that they wait for.
//!
//! Invariants: R3 and R4 of [`relation`](super::relation). Where another shard owns the link, a frame goes there as a task,
//! and waits there.

use crate::error::SendReason;
use crate::link::Session;
use crate::link::send::Way;
use crate::process::bump;
use crate::shard::Shard;
use shard_wire::LocalId;
use shard_wire::frame::FrameHead;
use shard_wire::header::FrameKind;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Where a local id names its shard.
pub(super) const SHARD_SHIFT: u32 = 52;
/// How long frames wait that found no room, before they are tried again.
const RETRY: Duration = Duration::from_millis(10);

/// A frame about a relation, on its way out.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(super) kind: FrameKind,
    pub(super) to: LocalId,
    pub(super) from: LocalId,
    pub(super) reference: u64,
    pub(super) name: Option<Box<str>>,
    pub(super) body: Vec<u8>,
    /// The peer's shard whose link it takes.
    pub(super) via: u16,
}

impl Shard {
    /// Sends a frame about a relation over the link of its shard. One that `waits` is kept if there is no room now.
    pub(super) fn send_signal(
        &self,
        session: &Arc<Session>,
        signal: Signal,
        waits: bool,
    ) -> Result<(), SendReason> {
        if session.is_over.load(Relaxed) {
            return Err(SendReason::NotConnected);
        }
        if self.net.far.borrow().is_overdue(session) {
            // R3.
            return if waits { self.let_wait(session, signal, false) } else { Err(SendReason::OutboxFull) };
        }
        match self.try_signal(session, signal) {
            Ok(()) => Ok(()),
            Err((_, signal)) if waits => self.let_wait(session, signal, false),
            Err((reason, _)) => Err(reason),
        }
    }

    fn try_signal(&self, session: &Arc<Session>, signal: Signal) -> Result<(), (SendReason, Signal)> {
        // Of another session with the same incarnation, the frame would speak of relations that are not its.
        let route = match self.session_by_key(session.key) {
            Ok(up) if up.number == session.number => {
                let shard = u64::from(signal.via) << SHARD_SHIFT;
                self.route(self.pid_of(session.key, shard))
            }
            _ => Err(SendReason::NotConnected),
        };
        match route {
            Ok(Way::Link(link)) => {
                let head = FrameHead {
                    to: signal.to,
                    from: signal.from,
                    reference: signal.reference,
                    name: signal.name.as_deref(),
                    ..FrameHead::new(signal.kind)
                };
                let pushed = self.push(link, &head, |out| out.put(&signal.body));
                pushed.map_err(|reason| (reason, signal))
            }
            Ok(Way::Owner(shard)) => {
                let session = Arc::clone(session);
                self.tell(shard, move |owner| {
                    // It waits there for the session to be known and for room; if the session has ended, so has the relation.
                    let _ended = owner.send_signal(&session, signal, true);
                });
                Ok(())
            }
            Err(reason) => Err((reason, signal)),
        }
    }

    fn let_wait(&self, session: &Arc<Session>, signal: Signal, goes_first: bool) -> Result<(), SendReason> {
        let is_first = {
            let mut far = self.net.far.borrow_mut();
            if !far.wait(session, signal, goes_first) {
                return Err(SendReason::Overloaded);
            }
            !std::mem::replace(&mut far.is_timed, true)
        };
        if is_first && self.timer(RETRY, Self::retry_signals).is_none() {
            // LIMIT: timers of the shard. The next frame that waits tries again.
            self.net.far.borrow_mut().is_timed = false;
        }
        Ok(())
    }

    fn retry_signals(&self) {
        let waiting = {
            let mut far = self.net.far.borrow_mut();
            far.is_timed = false;
            far.overdue_sessions()
        };
        for session in waiting {
            loop {
                let next = self.net.far.borrow_mut().next_overdue(&session);
                let Some(signal) = next else { break };
                if let Err((_, signal)) = self.try_signal(&session, signal) {
                    // There is the room that it has left.
                    let _back = self.let_wait(&session, signal, true);
                    break;
                }
            }
        }
    }

    /// Shows how many relations this shard has with a node.
    pub(super) fn count_far(&self, session: &Session) {
        if let Some(cells) = session.peer.shards.get(usize::from(self.index())) {
            let (own, watchers) = self.net.far.borrow().counts(session);
            cells.relations_out.store(own, Relaxed);
            cells.relations_in.store(watchers, Relaxed);
        }
    }

    pub(super) fn count_refused(&self, session: &Session) {
        if let Some(cells) = session.peer.shards.get(usize::from(self.index())) {
            bump(&cells.relations_refused, 1);
        }
    }
}
