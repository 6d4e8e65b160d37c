//! What other nodes ask this one to start: each request is dealt with once, by the shard that its id leads to, and answered.
//!
//! ```text
//! ask ─► on_ask ─► shard of the process ─► init ─► guest_started ─► answer … claim ─► on_claim
//! ```
//!
//! Invariants: H1 each ask that is read is answered, also when it is refused. H2 the same id gives the same process, for as
//! long as it is remembered. H3 a process that is not claimed in time, not wanted, or whose session ends before it is claimed
//! is ended, and counted; a claimed one lives on whatever becomes of its asker, unless they are linked.
//! H4 nothing in a frame is believed: names, keys, shards and arguments are checked before anything is begun.

use crate::actor::{Placement, SpawnOptions};
use crate::error::{ExitReason, SpawnError, Unclaimed};
use crate::link::guest::{Guest, Stage};
use crate::link::offer::{Offer, Started};
use crate::link::receive::Origin as FrameOrigin;
use crate::link::signal::Signal;
use crate::link::{LinkCells, Session};
use crate::process::{FIRST_SLOT, Far, bump};
use crate::shard::{LogLevel, Origin, Shard};
use shard_wire::ask::{Answer, Ask, Claim, EnvText, Place, Refusal, SpawnAsk};
use shard_wire::frame::{Batch, Frame};
use shard_wire::header::FrameKind;
use shard_wire::{Erased, LocalId, MessageKey, Pid};
use std::sync::Arc;
use std::time::Duration;

/// How much longer than its asker waits a process may start and stay unclaimed: the claim, or a retry, is under way.
const CLAIM_GRACE: Duration = Duration::from_secs(2);
/// How often it is looked for what nobody claims.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest time that an asker may wait.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// An ask that has come in.
pub(super) struct Asked {
    pub(super) session: Arc<Session>,
    pub(super) from: u64,
    pub(super) id: u64,
    key: MessageKey,
    /// Tick until which the asker waits.
    pub(super) until: u64,
    body: Batch,
}

impl Shard {
    /// An ask, on whatever shard it was read.
    #[cold]
    pub(super) fn handle_ask(&self, frame: &Frame<'_>, origin: FrameOrigin) {
        if self.take_ask(frame, origin).is_none() {
            self.with_link_cells(origin.link, |cells| bump(&cells.asks_refused, 1));
        }
    }

    fn take_ask(&self, frame: &Frame<'_>, origin: FrameOrigin) -> Option<()> {
        let header = &frame.header;
        let session = self.session_by_key(origin.key).ok().filter(|session| session.serves)?;
        let (to, from) = (header.to.shard(), header.from);
        let is_of_peer = from == LocalId::CORE || from.shard() < session.shards && from.slot() >= FIRST_SLOT;
        if to >= self.node().shards() || !is_of_peer || LocalId(header.reference).shard() >= session.shards {
            return None;
        }
        let left = header
            .deadline
            .left_ms(origin.now_ms)
            .map_or(MAX_WAIT, |ms| Duration::from_millis(u64::from(ms)).min(MAX_WAIT));
        let mut body = Batch::with_capacity(frame.body.len());
        body.extend_from_slice(frame.body);
        let asked = Asked {
            session,
            from: from.0,
            id: header.reference,
            key: header.key,
            until: self.now_ticks().saturating_add(self.ticks(left)),
            body,
        };
        self.tell(to, move |shard| shard.on_ask(asked));
        Some(())
    }

    /// Counts for the node of a session.
    pub(super) fn count_asks(&self, session: &Session, f: impl FnOnce(&LinkCells)) {
        if let Some(cells) = session.peer.shards.get(usize::from(self.index())) {
            f(cells);
        }
    }

    /// Answers an ask. If that cannot be, the session has ended, or the asker's time-out tells it.
    pub(super) fn answer_ask(&self, session: &Arc<Session>, id: u64, answer: &Answer) {
        let to = LocalId(id);
        let signal = Signal {
            kind: FrameKind::Answer,
            to,
            from: LocalId::CORE,
            reference: id,
            name: None,
            body: answer.to_bytes(),
            via: to.shard(),
        };
        let _ended = self.send_signal(session, signal, true);
        let is_refused = matches!(answer, Answer::Refused { .. });
        self.count_asks(session, |cells| {
            bump(if is_refused { &cells.asks_refused } else { &cells.asks_done }, 1);
        });
    }

    fn on_ask(&self, mut asked: Asked) {
        if asked.session.is_over() {
            return;
        }
        let body = std::mem::take(&mut asked.body);
        match Ask::from_bytes(&body) {
            Err(_) => self.answer_ask(&asked.session, asked.id, &Answer::refused(Refusal::Malformed)),
            Ok(Ask::Spawn(spawn)) => self.host(&asked, &spawn),
            Ok(ask) => self.on_app_ask(&asked, &ask),
        }
    }

    fn host(&self, asked: &Asked, spawn: &SpawnAsk<'_>) {
        if let Some(answer) = self.known_guest(asked, spawn) {
            if let Some(answer) = answer {
                self.answer_ask(&asked.session, asked.id, &answer);
            }
            return;
        }
        if let Err(refusal) = self.begin_guest(asked, spawn) {
            self.answer_ask(&asked.session, asked.id, &Answer::refused(refusal));
        }
    }

    /// What a request of the same id came to (H2); `Some(None)`: it is under way.
    fn known_guest(&self, asked: &Asked, spawn: &SpawnAsk<'_>) -> Option<Option<Answer>> {
        let mut guests = self.net.guests.borrow_mut();
        let guest = guests.find(&asked.session, asked.id)?;
        if *guest.offer != *spawn.offer {
            return Some(Some(Answer::refused(Refusal::Mismatch)));
        }
        guest.until = guest.until.max(asked.until);
        Some(match &guest.stage {
            Stage::Starting => None,
            Stage::Up(local) | Stage::Claimed(local) => Some(Answer::Started(*local)),
            Stage::Refused(answer) => Some(answer.clone()),
            Stage::Doomed | Stage::GivenUp => Some(Answer::refused(Refusal::Unclaimed)),
        })
    }

    fn begin_guest(&self, asked: &Asked, spawn: &SpawnAsk<'_>) -> Result<(), Refusal> {
        if self.node().is_stopping() {
            return Err(Refusal::Stopping);
        }
        let left = asked.until.saturating_sub(self.now_ticks());
        if left == 0 {
            return Err(Refusal::Expired);
        }
        let offer = self.node().offers().spawn(spawn.offer).ok_or(Refusal::NameUnknown)?;
        if !offer.peers.allows(asked.session.peer.name.as_str()) {
            return Err(Refusal::NotAllowed);
        }
        let reads = offer.reads(asked.key).ok_or(Refusal::WrongArguments)?;
        self.node().registry().get(asked.key).ok_or(Refusal::WrongArguments)?;
        let mut decoded = None;
        // Decoding and conversion may be the user's code.
        self.contain(|| decoded = reads.decode(spawn.args).ok());
        let args = decoded.ok_or(Refusal::Undecodable)?;
        let target = self.place(placement_of(spawn.place)).map_err(|_| Refusal::NoShard)?;
        let (options, application) = self.guest_options(asked, spawn, left);
        let guest = Guest { offer: Arc::clone(&offer.name), stage: Stage::Starting, until: asked.until };
        if !self.net.guests.borrow_mut().begin(&asked.session, asked.id, guest) {
            self.contain(|| drop(args));
            return Err(Refusal::Overloaded);
        }
        let (session, id, here) = (Arc::clone(&asked.session), asked.id, self.index());
        self.tell(target, move |shard| {
            let told: Started = Box::new(move |shard, outcome| {
                shard.tell(here, move |home| home.guest_started(&session, id, outcome));
            });
            shard.start_guest(&offer, args, &options, application, told);
        });
        Ok(())
    }

    fn start_guest(
        &self,
        offer: &Offer,
        args: Erased,
        options: &SpawnOptions,
        application: u32,
        told: Started,
    ) {
        let origin = Origin { application, ..Origin::CORE };
        (offer.start)(self, args, options, origin, told);
    }

    fn guest_options(&self, asked: &Asked, spawn: &SpawnAsk<'_>, left: u64) -> (SpawnOptions, u32) {
        // A retry may still join it.
        let left = Duration::from_nanos(self.clock().span_ns(left)).saturating_add(CLAIM_GRACE);
        let wanted = match spawn.init_ms {
            0 => crate::actor::DEFAULT_INIT_TIMEOUT,
            ms => Duration::from_millis(u64::from(ms)),
        };
        let parent = self.pid_of(asked.session.key, asked.from);
        let leader = self.pid_of(spawn.leader.0, spawn.leader.1);
        let far = Far { parent, leader, links: spawn.links_parent && asked.from != LocalId::CORE.0 };
        let mut options = SpawnOptions::new().with_init_timeout(wanted.min(left)).asked_by(far);
        if !spawn.register.is_empty() {
            options = options.with_name(spawn.register);
        }
        if spawn.mailbox > 0 {
            options = options.with_mailbox(spawn.mailbox);
        }
        if let Some(level) = spawn.log_level.checked_sub(1) {
            options = options.with_log_level(LogLevel::from_u8(level));
        }
        for (key, value) in &spawn.env {
            options = with_env(options, key, value);
        }
        let application = (!spawn.application.is_empty())
            .then(|| self.node().apps().info(spawn.application, |_| 0))
            .flatten()
            .filter(|info| info.state == crate::app::AppState::Running)
            .map_or(0, |info| info.symbol);
        (options, application)
    }

    /// A process that another node asked for is up, or will not be.
    fn guest_started(&self, session: &Arc<Session>, id: u64, outcome: Result<Pid, SpawnError>) {
        let to = match &outcome {
            Ok(pid) => Stage::Up(pid.local),
            Err(error) => Stage::Refused(self.refusal_of(error)),
        };
        let answer = match &to {
            Stage::Refused(answer) => answer.clone(),
            _ => outcome.as_ref().map_or(Answer::Done, |pid| Answer::Started(pid.local)),
        };
        let before = self.net.guests.borrow_mut().advance(session, id, to);
        match (before, outcome) {
            (Some(Stage::Starting), outcome) => {
                self.answer_ask(session, id, &answer);
                if outcome.is_ok() {
                    self.look_for_unclaimed_later();
                }
            }
            // Nobody wants it any more.
            (Some(_), Ok(pid)) => {
                self.net.guests.borrow_mut().advance(session, id, Stage::GivenUp);
                self.end_guest(session, pid.local, Unclaimed::Unwanted { node: name_of(session) });
            }
            // Its session has ended.
            (None, Ok(pid)) => {
                self.end_guest(session, pid.local, Unclaimed::SessionEnded { node: name_of(session) });
            }
            (_, Err(_)) => {}
        }
    }

    /// Ends a process that nobody has (H3).
    fn end_guest(&self, session: &Session, local: LocalId, why: Unclaimed) {
        self.count_asks(session, |cells| bump(&cells.spawns_unclaimed, 1));
        self.log_line(LogLevel::Warning, LocalId::CORE.0, || format!("a process is ended: {why}"));
        self.tell(local.shard(), move |shard| {
            if let Some(record) = shard.live_record(local.0) {
                shard.end_unclaimed(record, ExitReason::custom(why));
            }
        });
    }

    fn look_for_unclaimed_later(&self) {
        if std::mem::replace(&mut self.net.guests.borrow_mut().is_timed, true) {
            return;
        }
        if self.timer(LOOK_EVERY, Self::look_for_unclaimed).is_none() {
            // LIMIT: timers of the shard. The next start tries again, and the end of the session ends what is left.
            self.net.guests.borrow_mut().is_timed = false;
        }
    }

    fn look_for_unclaimed(&self) {
        let late = {
            let mut guests = self.net.guests.borrow_mut();
            guests.is_timed = false;
            guests.overdue(self.now_ticks().saturating_sub(self.ticks(CLAIM_GRACE)))
        };
        for (session, id) in late {
            self.give_up_guest(&session, id, Unclaimed::Late { node: name_of(&session) });
        }
        if self.net.guests.borrow().unclaimed() > 0 {
            self.look_for_unclaimed_later();
        }
    }

    fn give_up_guest(&self, session: &Session, id: u64, why: Unclaimed) {
        let before = self.net.guests.borrow_mut().advance(session, id, Stage::GivenUp);
        if let Some(Stage::Up(local)) = before {
            self.end_guest(session, local, why);
        }
    }

    /// A claim, on whatever shard it was read.
    #[cold]
    pub(super) fn handle_claim(&self, frame: &Frame<'_>, origin: FrameOrigin) {
        let (id, to) = (frame.header.reference, frame.header.to.shard());
        let session = self.session_by_key(origin.key).ok().filter(|_| to < self.node().shards());
        match (session, Claim::from_bytes(frame.body)) {
            (Some(session), Ok(claim)) => {
                self.tell(to, move |shard| shard.on_claim(&session, id, claim));
            }
            _ => self.with_link_cells(origin.link, |cells| bump(&cells.asks_refused, 1)),
        }
    }

    fn on_claim(&self, session: &Arc<Session>, id: u64, claim: Claim) {
        let stage = self.net.guests.borrow_mut().find(session, id).map(|guest| guest.stage.clone());
        match (stage, claim) {
            (Some(Stage::Up(local)), Claim::Keep) => {
                self.net.guests.borrow_mut().advance(session, id, Stage::Claimed(local));
            }
            (Some(Stage::Up(_)), Claim::Drop) => {
                self.give_up_guest(session, id, Unclaimed::Unwanted { node: name_of(session) });
            }
            (Some(Stage::Starting), Claim::Drop) => {
                self.net.guests.borrow_mut().advance(session, id, Stage::Doomed);
            }
            // Said again, or too late.
            _ => {}
        }
    }

    /// A session has ended: what it has not claimed is ended.
    pub(super) fn end_guests(&self, session: &Session) {
        let left = self.net.guests.borrow_mut().end(session);
        for local in left {
            self.end_guest(session, local, Unclaimed::SessionEnded { node: name_of(session) });
        }
    }

    fn refusal_of(&self, error: &SpawnError) -> Answer {
        let (why, reason) = match error {
            SpawnError::NameTaken { .. } => (Refusal::Taken, None),
            SpawnError::BadName(_) => (Refusal::BadName, None),
            SpawnError::Init { reason } => (Refusal::Init, Some(self.reason_for_wire(reason))),
            SpawnError::FactoryPanicked { .. } => (Refusal::Panicked, None),
            SpawnError::AppStopping { .. } => (Refusal::AppStopping, None),
            SpawnError::Stopping => (Refusal::Stopping, None),
            SpawnError::NoShard { .. } => (Refusal::NoShard, None),
            _ => (Refusal::Limit, None),
        };
        let text = match error {
            SpawnError::FactoryPanicked { message } => message.as_ref().to_owned(),
            error => error.to_string(),
        };
        Answer::Refused { why: Some(why), text, reason }
    }
}

fn name_of(session: &Session) -> String {
    session.peer.name.as_str().to_owned()
}

fn placement_of(place: Place) -> Placement {
    match place {
        Place::LeastLoaded => Placement::LeastLoaded,
        Place::Shard(shard) => Placement::Shard(shard),
        Place::Key(hash) => Placement::Key(hash),
    }
}

fn with_env(options: SpawnOptions, key: &str, value: &EnvText) -> SpawnOptions {
    match value {
        EnvText::Text(text) => options.with_env(key, text.clone()),
        EnvText::Bool(value) => options.with_env(key, *value),
        EnvText::I64(value) => options.with_env(key, *value),
        EnvText::U64(value) => options.with_env(key, *value),
        EnvText::F64(value) => options.with_env(key, *value),
        EnvText::I32(value) => options.with_env(key, *value),
        EnvText::U32(value) => options.with_env(key, *value),
        EnvText::U16(value) => options.with_env(key, *value),
    }
}
