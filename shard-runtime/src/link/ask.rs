//! What this node asks of others, from the asker's side: under an id, waited for by whoever asked, claimed if it is a
//! process.
//!
//! ```text
//! attempt ─► post_ask (home shard: open) ─► link, or the shard that owns it ─► peer
//!    ▲ answer_own ◄── on_answer ◄── answer, refusal here, end of the session        claim ─► peer
//! ```
//!
//! Invariants: K1 an id names the shard that keeps what is open under it, and leads to the same shard of the peer each time.
//! K2 an ask is open from its posting until it is answered or nobody waits for it. K3 a process is claimed by whoever has its
//! pid in hand, and by nobody else: an answer that nobody takes leaves it unclaimed.
//! Cost: cold; a look-up and one frame per step.

use crate::actor::Call;
use crate::error::{AskError, CallError, SendReason, SpawnId};
use crate::link::Session;
use crate::link::receive::Origin;
use crate::link::send::Way;
use crate::link::signal::{SHARD_SHIFT, Signal};
use crate::process::bump;
use crate::shard::{Outcome, Parcel, Shard};
use crate::trace::TraceContext;
use shard_wire::ask::{Answer, Claim};
use shard_wire::frame::{Frame, FrameHead};
use shard_wire::header::{Deadline, FrameKind};
use shard_wire::{LocalId, MessageKey, NodeName, Pid};
use std::sync::Arc;
use std::time::Duration;

/// Asks of one shard that may be open.
const MAX_OPEN: usize = 1 << 16;

/// An ask that is waited for.
#[derive(Debug)]
pub(crate) struct Open {
    /// Who waits, on whatever shard.
    waiter: u64,
    /// Where it went.
    session: Arc<Session>,
}

/// An answer, and the session it came in.
pub(crate) type Told = Result<(Answer, Arc<Session>), AskError>;

/// Stands for the question that an answer answers.
struct Asking;
crate::actor::local_message!(Asking => Told);

/// Something to be asked.
pub(crate) struct Errand {
    pub(crate) id: u64,
    pub(crate) node: Box<str>,
    /// Who asks: a process, or the node's core.
    pub(crate) from: u64,
    pub(crate) key: MessageKey,
    /// Tick at which it expires.
    pub(crate) until: u64,
    pub(crate) waiter: u64,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) body: Vec<u8>,
}

/// Takes an ask back that nobody waits for any more.
struct Awaited<'s> {
    shard: &'s Shard,
    id: u64,
    waiter: u64,
    is_answered: bool,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let (id, waiter, is_answered) = (self.id, self.waiter, self.is_answered);
        self.shard.tell(home_of(id), move |home| home.forget_ask(id, waiter, !is_answered));
    }
}

fn home_of(id: u64) -> u16 {
    LocalId(id).shard()
}

/// Where whoever asks is.
impl Shard {
    /// An id for an ask; `None` if its shard does not answer.
    pub(crate) fn ask_id(&self, given: Option<SpawnId>) -> Result<u64, AskError> {
        match given {
            Some(SpawnId(id)) if home_of(id) < self.node().shards() => Ok(id),
            Some(_) => Err(AskError::Malformed),
            None => self.at_home(|home| home.net.next_delivery(home.index())).ok_or(AskError::Stopping),
        }
    }

    /// Asks another node something and waits for the answer.
    pub(crate) async fn ask_far(
        &self,
        id: u64,
        node: &str,
        (key, body): (MessageKey, Vec<u8>),
        within: Duration,
    ) -> Told {
        let span = self.ticks(within);
        let waiter = self.own_waiter(span).ok_or(AskError::Overloaded)?;
        let errand = Errand {
            id,
            node: node.into(),
            from: self.current_id(),
            key,
            until: self.now_ticks().saturating_add(span),
            waiter,
            trace: self.trace(),
            body,
        };
        let call = Call::<Told>::new(self, waiter);
        let mut awaited = Awaited { shard: self, id, waiter, is_answered: false };
        self.tell(home_of(id), move |home| home.post_ask(errand));
        let told = match call.await {
            Ok(told) => told,
            Err(CallError::Timeout) => Err(AskError::Timeout),
            Err(_) => Err(AskError::Disconnected),
        };
        // One that is tried again must find what this one has started.
        awaited.is_answered = true;
        told
    }

    /// The same for whoever is not a process: `done` is told on this shard.
    pub(crate) fn ask_far_with(
        &self,
        mut errand: Errand,
        within: Duration,
        done: impl FnOnce(&Self, Told) + 'static,
    ) {
        let callback = Box::new(move |shard: &Self, outcome: Outcome| {
            done(
                shard,
                match outcome {
                    Outcome::Reply(payload) => Parcel::reply_of::<Asking>(payload),
                    Outcome::Failed(CallError::Timeout) | Outcome::Due => Err(AskError::Timeout),
                    Outcome::Failed(_) => Err(AskError::Disconnected),
                },
            );
        });
        let span = self.ticks(within);
        match self.own_callback(span, callback) {
            Ok(waiter) => {
                errand.waiter = waiter;
                errand.until = self.now_ticks().saturating_add(span);
                self.tell(home_of(errand.id), move |home| home.post_ask(errand));
            }
            Err(callback) => callback(self, Outcome::Failed(CallError::Send(SendReason::Overloaded))),
        }
    }

    /// Says that somebody has a process, or does not want it.
    pub(crate) fn claim_far(&self, id: u64, session: Arc<Session>, claim: Claim) {
        self.tell(home_of(id), move |home| home.send_claim(id, &session, claim));
    }
}

/// On the shard that keeps what is open.
impl Shard {
    fn post_ask(&self, errand: Errand) {
        let waiter = errand.waiter;
        if let Err(why) = self.try_ask(errand) {
            self.answer_own::<Told>(waiter, Err(why));
        }
    }

    /// The session with a node that can be asked.
    fn session_to_ask(&self, node: &str) -> Result<Arc<Session>, AskError> {
        if *node == *self.node().name() {
            return Err(AskError::OwnNode);
        }
        if NodeName::new(node).is_err() {
            return Err(AskError::NotConnected);
        }
        let Some(index) = self.session_with(node) else {
            return Err(not_sent(self.why_no_session(node)));
        };
        let sessions = self.net.sessions.borrow();
        let peer = sessions.get(index as usize).ok_or(AskError::NotConnected)?;
        match &peer.session {
            session if !session.serves => Err(AskError::Unsupported),
            session if session.is_leaving() => Err(AskError::NodeStopping),
            session => Ok(Arc::clone(session)),
        }
    }

    fn try_ask(&self, errand: Errand) -> Result<(), AskError> {
        let session = self.session_to_ask(&errand.node)?;
        {
            let mut open = self.net.asks.borrow_mut();
            // LIMIT: asks that are waited for.
            if open.len() >= MAX_OPEN {
                return Err(AskError::Overloaded);
            }
            open.insert(errand.id, Open { waiter: errand.waiter, session: Arc::clone(&session) });
        }
        let id = errand.id;
        self.send_ask(&session, errand).inspect_err(|_| {
            self.net.asks.borrow_mut().remove(&id);
        })
    }

    fn send_ask(&self, session: &Session, errand: Errand) -> Result<(), AskError> {
        let to = self.pid_of(session.key, place_of(errand.id, session));
        match self.route(to).map_err(not_sent)? {
            Way::Link(link) => self.write_ask(link, to, &errand).map_err(not_sent),
            Way::Owner(owner) => {
                self.tell(owner, move |owner| {
                    let sent = match owner.route(to) {
                        Ok(Way::Link(link)) => owner.write_ask(link, to, &errand),
                        Ok(Way::Owner(_)) => Err(SendReason::NotConnected),
                        Err(reason) => Err(reason),
                    };
                    if let Err(reason) = sent {
                        owner.answer_own::<Told>(errand.waiter, Err(not_sent(reason)));
                    }
                });
                Ok(())
            }
        }
    }

    fn write_ask(&self, link: u32, to: Pid, errand: &Errand) -> Result<(), SendReason> {
        let left = errand.until.saturating_sub(self.now_ticks());
        let clock = {
            let links = self.net.links.borrow();
            let owned = links.get(link as usize).and_then(Option::as_ref);
            owned.ok_or(SendReason::NotConnected)?.data.clock
        };
        let left_ms = self.clock().span_ns(left).div_ceil(1_000_000);
        let head = FrameHead {
            key: errand.key,
            to: to.local,
            from: LocalId(errand.from),
            reference: errand.id,
            trace: self.block_of(to.node.0, errand.trace),
            deadline: Deadline::after(self.link_ms(clock), left_ms),
            ..FrameHead::new(FrameKind::Ask)
        };
        let sent = self.push(link, &head, |out| out.put(&errand.body));
        self.note_block(to.node.0, &head, sent)?;
        self.with_link_cells(link, |cells| bump(&cells.asks_out, 1));
        Ok(())
    }

    /// An answer: it goes to the shard that keeps the ask.
    #[cold]
    pub(super) fn handle_answer(&self, frame: &Frame<'_>, origin: Origin) {
        let (id, key) = (frame.header.reference, origin.key);
        let Ok(answer) = Answer::from_bytes(frame.body) else {
            return self.with_link_cells(origin.link, |cells| bump(&cells.decode_errors, 1));
        };
        if home_of(id) < self.node().shards() {
            self.tell(home_of(id), move |home| home.on_answer(id, key, answer));
        }
    }

    fn on_answer(&self, id: u64, key: u64, answer: Answer) {
        let open = {
            let mut asks = self.net.asks.borrow_mut();
            let is_its = asks.get(&id).is_some_and(|open| open.session.key == key);
            if is_its { asks.remove(&id) } else { None }
        };
        match open {
            Some(open) => self.answer_own::<Told>(open.waiter, Ok((answer, open.session))),
            // K3.
            None => self.with_peer_cells(key, |cells| bump(&cells.late_acks, 1)),
        }
    }

    fn forget_ask(&self, id: u64, waiter: u64, is_unwanted: bool) {
        let open = {
            let mut asks = self.net.asks.borrow_mut();
            // A later attempt has the same id.
            let is_its = asks.get(&id).is_some_and(|open| open.waiter == waiter);
            if is_its { asks.remove(&id) } else { None }
        };
        if let Some(open) = open
            && is_unwanted
        {
            self.send_claim(id, &open.session, Claim::Drop);
        }
    }

    fn send_claim(&self, id: u64, session: &Arc<Session>, claim: Claim) {
        let to = LocalId(place_of(id, session));
        let signal = Signal {
            kind: FrameKind::Claim,
            to,
            from: LocalId::CORE,
            reference: id,
            name: None,
            body: claim.to_bytes(),
            via: to.shard(),
        };
        // Without the session, the peer has ended what is not claimed.
        let _ended = self.send_signal(session, signal, true);
    }

    /// The session has ended: no answer comes any more.
    pub(super) fn fail_asks(&self, ended: &Session, why: AskError) {
        let is_its = |open: &Open| open.session.key == ended.key && open.session.number == ended.number;
        let waiting: Vec<u64> = {
            let mut asks = self.net.asks.borrow_mut();
            let ids: Vec<u64> = asks.iter().filter(|(_, open)| is_its(open)).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| asks.remove(id)).map(|open| open.waiter).collect()
        };
        for waiter in waiting {
            self.answer_own::<Told>(waiter, Err(why));
        }
    }
}

/// Where on the peer an ask is dealt with (K1), as a local id of that shard.
fn place_of(id: u64, session: &Session) -> u64 {
    u64::from(home_of(id) % session.shards.max(1)) << SHARD_SHIFT
}

fn not_sent(reason: SendReason) -> AskError {
    match reason {
        SendReason::NotConnected | SendReason::NoRoute | SendReason::NoProcess => AskError::NotConnected,
        SendReason::NodeStopping => AskError::NodeStopping,
        SendReason::TooLarge | SendReason::Encode => AskError::TooLarge,
        SendReason::Stopping => AskError::Stopping,
        _ => AskError::Overloaded,
    }
}
