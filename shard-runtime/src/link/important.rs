//! Important messages of other nodes: each is put into its mailbox or refused, once, and its sender is told which.
//!
//! Invariants: R1 each important message that is read is acknowledged, one that comes again with the outcome of the first;
//! how long that is remembered is bounded by the [window](super::window). R2 the shard of the target decides and remembers.

use crate::error::{CallError, SendReason};
use crate::link::receive::{Origin, queue_of};
use crate::link::window::Sender;
use crate::mailbox::Meta;
use crate::process::bump;
use crate::shard::Shard;
use shard_wire::frame::{Frame, FrameHead};
use shard_wire::header::{FrameFlags, FrameKind};
use shard_wire::{Ack, Erased, LocalId};

/// Whether the sender waits for an acknowledgement.
pub(super) fn is_important(frame: &Frame<'_>) -> bool {
    frame.header.kind == FrameKind::Send && frame.header.flags.has(FrameFlags::IMPORTANT)
}

fn sender_of(frame: &Frame<'_>, origin: Origin) -> Sender {
    Sender { key: origin.key, process: frame.header.from.0 }
}

/// How a refusal is told to the sender of an important message.
fn ack_of(error: CallError) -> Ack {
    match error {
        CallError::Timeout => Ack::Expired,
        CallError::UnknownType => Ack::UnknownType,
        CallError::Decode => Ack::Undecodable,
        CallError::Send(SendReason::NodeStopping | SendReason::Stopping) => Ack::Stopping,
        CallError::Send(SendReason::NoProcess) => Ack::NoProcess,
        CallError::Send(SendReason::Terminated) => Ack::Terminated,
        CallError::Send(SendReason::MailboxFull) => Ack::MailboxFull,
        CallError::Send(SendReason::AliasUnknown) => Ack::AliasUnknown,
        _ => Ack::Overloaded,
    }
}

impl Shard {
    /// An important message for this shard.
    #[cold]
    pub(super) fn take_important(&self, frame: &Frame<'_>, origin: Origin, message: Erased) {
        if self.is_repeated(frame, origin) {
            return self.contain(|| drop(message));
        }
        let header = &frame.header;
        let meta = Meta::REMOTE | queue_of(header.flags.priority());
        let put = self.put_important(header.to.0, header.from.0, meta, origin.key, message);
        match put {
            Ok(()) => self.note_and_ack(frame, origin, Ack::Delivered),
            Err(reason @ (SendReason::NoProcess | SendReason::Terminated)) => {
                self.undeliverable(frame, origin, CallError::Send(reason));
            }
            Err(reason) => self.note_and_ack(frame, origin, ack_of(CallError::Send(reason))),
        }
    }

    /// An important message that a peer sent by way of this shard to another one.
    #[cold]
    pub(super) fn pass_important(&self, frame: &Frame<'_>, origin: Origin, message: Erased) -> bool {
        let header = &frame.header;
        let (to, id, key, here) = (header.to, header.reference, origin.key, self.index());
        let sender = sender_of(frame, origin);
        let meta = Meta::REMOTE | queue_of(header.flags.priority());
        self.run_on(to.shard(), move |shard| {
            let known = shard.net.window.borrow().find(sender, id);
            if known.is_some() {
                shard.with_peer_cells(key, |cells| bump(&cells.duplicates, 1));
            }
            let ack = known.unwrap_or_else(|| {
                if shard.net.refuses.get() {
                    shard.contain(|| drop(message));
                    return Ack::Stopping;
                }
                let put = shard.put_important(to.0, sender.process, meta, key, message);
                let ack = put.map_or_else(|reason| ack_of(CallError::Send(reason)), |()| Ack::Delivered);
                shard.net.window.borrow_mut().note(sender, id, ack);
                ack
            });
            shard.run_on(here, move |shard| shard.send_ack(key, id, ack));
        })
    }

    /// Whether this important message was dealt with before; then its sender is told again.
    pub(super) fn is_repeated(&self, frame: &Frame<'_>, origin: Origin) -> bool {
        if !is_important(frame) {
            return false;
        }
        let id = frame.header.reference;
        let known = self.net.window.borrow().find(sender_of(frame, origin), id);
        let Some(ack) = known else { return false };
        self.with_link_cells(origin.link, |cells| bump(&cells.duplicates, 1));
        self.send_ack(origin.key, id, ack);
        true
    }

    /// Tells the sender of an important message why it was refused.
    pub(super) fn refuse_important(&self, frame: &Frame<'_>, origin: Origin, error: CallError) {
        self.note_and_ack(frame, origin, ack_of(error));
    }

    fn note_and_ack(&self, frame: &Frame<'_>, origin: Origin, ack: Ack) {
        let id = frame.header.reference;
        self.net.window.borrow_mut().note(sender_of(frame, origin), id, ack);
        self.send_ack(origin.key, id, ack);
    }

    fn send_ack(&self, key: u64, id: u64, ack: Ack) {
        let head = FrameHead { to: LocalId(id), reference: id, ..FrameHead::new(FrameKind::Ack) };
        // If it cannot be sent, the session is gone or its outbox full: the sender's time-out tells it.
        let nobody = LocalId::CORE.0;
        if self.route_frame(self.pid_of(key, id), &head, nobody, |out| out.put(&ack.to_bytes())).is_err() {
            self.count(|cells| &cells.dead_letters, 1);
        }
    }
}
