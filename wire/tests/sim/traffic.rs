//! What nodes send each other in the simulation, and the account of it: every message of every session, seen from
//! outside.

use std::collections::BTreeMap;

use shard_wire::flow::{DEFAULT_MAX_MESSAGE, FlowConfig, Inbound, Joiner, Loss, Outbox, Report};
use shard_wire::frame::{Frame, FrameHead, RecvBuf};
use shard_wire::header::FrameKind;
use shard_wire::placement::Slot;
use shard_wire::{Incarnation, LocalId};

/// Senders per flow whose order is watched.
pub(super) const PAIRS: usize = 3;
const WINDOW: u64 = 16 << 10;
const MAX_FRAME: usize = 128 << 10;

/// A direction of a data link, for the life of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Lane {
    pub(super) from: Incarnation,
    pub(super) to: Incarnation,
    pub(super) session: u64,
    pub(super) slot: Slot,
}

impl Lane {
    fn back(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }
}

#[derive(Default, Debug)]
struct Account {
    sent: [u64; PAIRS],
    delivered: [u64; PAIRS],
    replies_sent: u64,
    replies_delivered: u64,
    /// Calls without an answer yet, in the order they were made.
    open_calls: Vec<u64>,
    closed: Option<Loss>,
}

impl Account {
    fn sent(&self) -> u64 {
        self.sent.iter().sum::<u64>() + self.replies_sent
    }

    fn delivered(&self) -> u64 {
        self.delivered.iter().sum::<u64>() + self.replies_delivered
    }
}

/// What was sent, delivered and answered, by direction.
#[derive(Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<Lane, Account>,
    pub(super) messages: u64,
    pub(super) calls_answered: u64,
    pub(super) calls_failed: u64,
}

impl Ledger {
    fn of(&mut self, lane: Lane) -> &mut Account {
        self.accounts.entry(lane).or_default()
    }

    /// An end has processed the end of its session: what it says of the rest is held against what is known.
    pub(super) fn close(&mut self, lane: Lane, loss: Loss) {
        let account = self.of(lane);
        assert_eq!(account.closed, None, "a flow ends once");
        account.closed = Some(loss);
        // Every call ends, with the session at the latest.
        let failed = std::mem::take(&mut account.open_calls).len() as u64;
        self.calls_failed += failed;
    }

    /// After all is quiet.
    pub(super) fn check(&self) {
        for (lane, account) in &self.accounts {
            let (sent, delivered) = (account.sent(), account.delivered());
            match account.closed {
                Some(Loss { failed, unknown }) => assert!(
                    delivered + failed <= sent && sent <= delivered + failed + unknown,
                    "{lane:?}: {sent} sent, {delivered} delivered, {failed} failed, {unknown} unknown"
                ),
                // Its sender died, or both live: then nothing is missing, as the caller sees to.
                None => assert!(delivered <= sent, "{lane:?}: a phantom"),
            }
        }
    }

    /// Between two ends that are in session: everything has come, and been answered.
    pub(super) fn check_complete(&self, lane: Lane) {
        let Some(account) = self.accounts.get(&lane) else { return };
        assert_eq!(account.sent, account.delivered, "{lane:?}");
        assert_eq!(account.replies_sent, account.replies_delivered, "{lane:?}");
        assert!(account.open_calls.is_empty(), "{lane:?}: calls without an answer: {:?}", account.open_calls);
    }
}

/// One end of a data link, for the life of a session.
pub(super) struct Flow {
    lane: Lane,
    pub(super) out: Outbox,
    inbound: Inbound,
    joiners: [Joiner; 2],
    receive: RecvBuf,
    is_begun: bool,
}

impl Flow {
    pub(super) fn new(lane: Lane) -> Self {
        let config = FlowConfig { max_message: DEFAULT_MAX_MESSAGE, max_waiting: 1 << 20, is_numbered: true };
        Self {
            lane,
            out: Outbox::new(config).unwrap(),
            inbound: Inbound::new(WINDOW),
            joiners: [Joiner::new(DEFAULT_MAX_MESSAGE), Joiner::new(DEFAULT_MAX_MESSAGE)],
            receive: RecvBuf::new(MAX_FRAME).unwrap(),
            is_begun: false,
        }
    }

    pub(super) fn link(&mut self) {
        self.receive = RecvBuf::new(MAX_FRAME).unwrap();
        self.is_begun = false;
        let report = self.inbound.report(0);
        self.out.link(&report).unwrap();
    }

    pub(super) fn cut(&mut self) {
        assert_eq!(self.out.cut(), 0, "nothing is lost with a link");
    }

    /// Sends a message of a pair, perhaps as a call; a full outbox refuses it.
    pub(super) fn send(&mut self, ledger: &mut Ledger, pair: usize, is_call: bool, length: usize) {
        let account = ledger.of(self.lane);
        let number = account.sent[pair];
        let kind = if is_call { FrameKind::Call } else { FrameKind::Send };
        let from = LocalId(pair as u64 + 1);
        let reference = (pair as u64) << 56 | number;
        let head = FrameHead { from, to: LocalId(9), reference, ..FrameHead::new(kind) };
        let body = vec![number as u8; length];
        if self.out.push(&head, |out| out.put(&body)).is_ok() {
            account.sent[pair] += 1;
            if is_call {
                account.open_calls.push(reference);
            }
            ledger.messages += 1;
        }
    }

    /// Bytes for the wire.
    pub(super) fn write(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let next = self.out.next_write().unwrap();
            if next.is_empty() {
                return bytes;
            }
            let count = next.len();
            bytes.extend_from_slice(next);
            self.out.wrote(count);
        }
    }

    /// Tells the peer what was taken, if anything was.
    pub(super) fn tell(&mut self) {
        if self.inbound.is_untold() && self.out.waiting_control() == 0 {
            let report = self.inbound.report(0);
            self.out
                .push_control(&FrameHead::new(FrameKind::Credit), |out| out.put(&report.to_bytes()))
                .unwrap();
        }
    }

    /// Takes bytes of the wire.
    pub(super) fn read(&mut self, ledger: &mut Ledger, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.receive.spare_mut();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.receive.advance(count);
            bytes = &bytes[count..];
            let mut receive = std::mem::replace(&mut self.receive, RecvBuf::new(MAX_FRAME).unwrap());
            while let Some(frame) = receive.next_frame().unwrap() {
                self.take(ledger, &frame);
            }
            self.receive = receive;
        }
        if self.inbound.is_due() {
            self.tell();
        }
    }

    fn take(&mut self, ledger: &mut Ledger, frame: &Frame<'_>) {
        match frame.header.kind {
            FrameKind::Session => {
                assert!(!self.is_begun);
                self.is_begun = true;
                self.out.on_resume(&Report::from_bytes(frame.body).unwrap()).unwrap();
            }
            FrameKind::Credit => self.out.on_credit(&Report::from_bytes(frame.body).unwrap()).unwrap(),
            FrameKind::Part | FrameKind::SignalPart => {
                let which = usize::from(frame.header.kind == FrameKind::SignalPart);
                let joined = self.joiners[which].take(frame.fragment().unwrap(), frame.body).unwrap();
                if let Some(joined) = joined {
                    self.take_message(ledger, &joined.frame().unwrap());
                }
            }
            _ => self.take_message(ledger, frame),
        }
        assert!(self.is_begun, "a frame before the link has begun");
        self.inbound.took(&frame.header);
        assert_eq!(self.inbound.check_credit(), Ok(()), "{:?}: a peer that keeps the rules", self.lane);
    }

    fn take_message(&mut self, ledger: &mut Ledger, frame: &Frame<'_>) {
        let reference = frame.header.reference;
        if frame.header.kind == FrameKind::Reply {
            ledger.of(self.lane.back()).replies_delivered += 1;
            // A call that has failed already may still be answered; one that never was may not.
            let calls = &mut ledger.of(self.lane).open_calls;
            if let Some(at) = calls.iter().position(|call| *call == reference) {
                calls.remove(at);
                ledger.calls_answered += 1;
            } else {
                assert!(
                    ledger.of(self.lane).closed.is_some(),
                    "an answer to call {reference:x}, which is not open"
                );
            }
            return;
        }
        let account = ledger.of(self.lane.back());
        let pair = usize::try_from(frame.header.from.0 - 1).unwrap();
        let number = reference & u64::MAX >> 8;
        assert_eq!(
            number, account.delivered[pair],
            "{:?} of pair {pair}: doubled, missing or out of order",
            self.lane
        );
        assert!(number < account.sent[pair], "a phantom");
        assert!(frame.body.iter().all(|byte| *byte == number as u8), "the body of another message");
        account.delivered[pair] += 1;
        if frame.header.kind == FrameKind::Call {
            let head = FrameHead { to: frame.header.from, reference, ..FrameHead::new(FrameKind::Reply) };
            if self.out.push(&head, |out| out.put(&[1; 8])).is_ok() {
                ledger.of(self.lane).replies_sent += 1;
            }
        }
    }
}
