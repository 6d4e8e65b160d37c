//! Frames on their way in, and the turns of the sockets.
//!
//! Invariants: V1 every body is validated before it becomes a value. V2 a frame that breaks the protocol, or more data than
//! was granted, closes its link and is counted; the shard goes on. V3 a reply completes a waiter only if it comes from the
//! node that owes it. V4 links are served in turns of bounded length, so I/O does not starve processes.

use crate::error::{CallError, SendReason};
use crate::link::Request;
use crate::link::caller::Caller;
use crate::link::data::{Broken, Got, LinkClock};
use crate::link::important::is_important;
use crate::link::send::NAME_MOVED;
use crate::link::split::ADDRESSED;
use crate::mailbox::Meta;
use crate::process::bump;
use crate::shard::{LogLevel, Parcel, Scope, Shard};
use crate::trace::TraceContext;
use shard_wire::flow::FlowError;
use shard_wire::frame::{Frame, RecvBuf, Source};
use shard_wire::header::{FrameFlags, FrameKind, Lane, Priority};
use shard_wire::{
    Alias, Erased, Lease, LocalId, MessageEntry, MessageKey, NodeName, Pid, ViewOps, Vtable, WireError,
};
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context as TaskContext;
use std::time::Duration;

/// Flags of a frame that is not handled as it is.
const MARKS: FrameFlags = FrameFlags::COMPRESSED.with(FrameFlags::TRACE).with(FrameFlags::ALIAS);
/// Flags of messages that are answered, or have something besides.
const SPECIAL: FrameFlags = FrameFlags::IMPORTANT.with(FrameFlags::TRACE).with(ADDRESSED);
/// Frames of one link handled in one turn.
const FRAMES_PER_TURN: usize = 4096;
/// How long a link is read every turn after bytes came in, in nanoseconds.
const HOT_NANOS: u64 = 200_000;
/// How often the control thread is told that bytes came in, in nanoseconds.
const REPORT_NANOS: u64 = 1_000_000_000;
/// How long the peer may wait to hear what was taken of its frames, if that is little.
const TELL_AFTER: Duration = Duration::from_millis(20);
/// Unknown message types that are logged by name before they are only counted.
const UNKNOWN_LOGGED: usize = 64;

/// Where a frame came from.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) link: u32,
    pub(super) key: u64,
    /// Milliseconds on the clock that the peer's deadlines count on.
    pub(super) now_ms: u64,
}

/// What messages that come one after the other share.
#[derive(Default)]
pub(super) struct Run<'n> {
    /// The type of the last one.
    last: Option<&'n MessageEntry>,
    /// The alias by which the message in hand was sent, if it was.
    pub(super) alias: Option<Alias>,
    /// Views given out of the receive buffer, and views whose bytes were copied.
    lent: u64,
    copied: u64,
}

/// What one look at a receive buffer came to.
#[derive(Default)]
struct Turn<'n> {
    run: Run<'n>,
    /// Frames and bytes taken, by lane.
    taken: [(u64, u64); 3],
    /// Parts of messages that are not whole.
    parts: u64,
    /// Messages whose last part came.
    joined: u64,
    /// Whole frames may be left.
    is_left: bool,
    broken: Option<Broken>,
}

impl Turn<'_> {
    fn lane(&self, lane: Lane) -> (u64, u64) {
        self.taken.get(lane as usize).copied().unwrap_or_default()
    }

    fn messages(&self) -> u64 {
        self.lane(Lane::Data).0 + self.lane(Lane::Signal).0 - self.parts
    }
}

impl Shard {
    /// Reads and handles what the hot links have, and one of the others. Whether there was something.
    pub(crate) fn poll_links(&self) -> bool {
        let count = self.net.links.borrow().len();
        if count == 0 {
            return false;
        }
        let cold = self.net.next_cold.get() % count;
        self.net.next_cold.set(cold + 1);
        let mut found = false;
        for link in 0..count {
            if self.is_to_be_read(link, link == cold) {
                found |= self.serve(link as u32, None);
            }
        }
        found
    }

    /// Whether bytes came in so recently that more may come before the shard would be asleep and awake again.
    pub(crate) fn lingers(&self) -> bool {
        self.net.linger_until.get() > self.clock().ticks()
    }

    fn is_to_be_read(&self, link: usize, its_turn: bool) -> bool {
        let links = self.net.links.borrow();
        let Some(Some(owned)) = links.get(link) else { return false };
        let is_hot = owned.data.socket.as_ref().is_some_and(|socket| socket.hot_until > self.now_ticks());
        owned.data.frames_left || is_hot || its_turn
    }

    /// Reads a link once and handles its frames. With a task, the task is woken when more comes.
    fn serve(&self, link: u32, task: Option<&mut TaskContext<'_>>) -> bool {
        let got = self.read_link(link, task);
        let handled = self.handle_frames(link);
        if got == Got::Closed {
            self.lose_link(link, "its peer closed it");
        }
        handled || got == Got::Some
    }

    fn read_link(&self, link: u32, task: Option<&mut TaskContext<'_>>) -> Got {
        let mut links = self.net.links.borrow_mut();
        let Some(Some(owned)) = links.get_mut(link as usize) else { return Got::Nothing };
        if owned.data.frames_left {
            return Got::Nothing;
        }
        let got = match task {
            None => owned.data.read(&owned.cells),
            Some(task) => owned.data.poll_read(&owned.cells, task),
        };
        let now = self.now_ticks();
        if got == Got::Some
            && let Some(socket) = owned.data.socket.as_mut()
        {
            socket.hot_until = now + self.hot_ticks();
            self.net.linger_until.set(now + self.net.linger.get());
            if now.saturating_sub(socket.reported) > self.nanos_in_ticks(REPORT_NANOS) {
                socket.reported = now;
                self.node().request(Request::Heard { link: socket.link });
            }
        }
        got
    }

    /// Handles whole frames, with the receive buffer out of the link so that handlers may use the link.
    fn handle_frames(&self, link: u32) -> bool {
        let taken = {
            let mut links = self.net.links.borrow_mut();
            let Some(Some(owned)) = links.get_mut(link as usize) else { return false };
            if !owned.data.frames_left {
                return false;
            }
            let sessions = self.net.sessions.borrow();
            let key = sessions.get(owned.session as usize).map_or(0, |peer| peer.session.key);
            let now_ms = self.link_ms(owned.data.peer_clock);
            let is_begun = owned.data.socket.as_ref().is_some_and(|socket| socket.is_begun);
            owned.data.receive.take().map(|buffer| (buffer, Origin { link, key, now_ms }, is_begun))
        };
        let Some((mut buffer, origin, is_begun)) = taken else { return false };
        let mut turn = self.handle_buffer(&mut buffer, origin, is_begun);
        let mut has_to_tell = false;
        if let Some(Some(owned)) = self.net.links.borrow_mut().get_mut(link as usize) {
            let data = &mut owned.data;
            data.receive = Some(buffer);
            data.frames_left = turn.is_left;
            for lane in [Lane::Data, Lane::Signal] {
                let (frames, bytes) = turn.lane(lane);
                data.inbound.took_many(lane, frames, bytes);
            }
            // Before a report grants more.
            turn.broken = turn.broken.or_else(|| data.check_credit().err());
            if turn.broken.is_none() && data.inbound.is_due() {
                data.tell(self.link_ms(data.clock));
            }
            if data.dirty {
                self.net.dirty.set(true);
            }
            has_to_tell = data.is_numbered() && data.inbound.is_untold();
        }
        if has_to_tell {
            self.tell_later();
        }
        let handled = turn.messages();
        if handled > 0 {
            self.with_link_cells(link, |cells| {
                bump(&cells.messages_in, handled);
                bump(&cells.views_lent, turn.run.lent);
                bump(&cells.views_copied, turn.run.copied);
            });
        }
        if turn.parts + turn.joined > 0 {
            self.with_link_cells(link, |cells| {
                bump(&cells.joined_in, turn.joined);
                bump(&cells.parts_in, turn.parts + turn.joined);
            });
        }
        if let Some(error) = turn.broken {
            self.break_link(link, error);
        }
        handled > 0
    }

    /// The peer broke the protocol of a link.
    #[cold]
    fn break_link(&self, link: u32, error: Broken) {
        self.with_link_cells(link, |cells| bump(&cells.protocol_errors, 1));
        let name = {
            let (links, sessions) = (self.net.links.borrow(), self.net.sessions.borrow());
            let owned = links.get(link as usize).and_then(Option::as_ref);
            let peer = owned.and_then(|owned| sessions.get(owned.session as usize));
            peer.map(|peer| peer.session.peer.name.clone())
        };
        let name = name.as_ref().map_or("a node", NodeName::as_str);
        self.log_line(LogLevel::Warning, LocalId::CORE.0, || {
            format!(
                "a data link of {name} broke the protocol and is closed: {error}; it is dialled again when it is used: if \
                 this happens again, look at the version and the log of {name}, and quarantine it if it is not to be trusted"
            )
        });
        self.lose_link(link, "its peer broke the frame protocol");
    }

    fn handle_buffer<'n>(&'n self, buffer: &mut RecvBuf, origin: Origin, mut is_begun: bool) -> Turn<'n> {
        let mut turn = Turn::default();
        let mut frames = buffer.frames();
        let source = frames.source();
        for _ in 0..FRAMES_PER_TURN {
            let mut frame = Frame::EMPTY;
            let handled = match frames.next_into(&mut frame) {
                Ok(true) => {
                    let frame = &frame;
                    let handled = if is_begun {
                        self.handle_frame(frame, origin, source, &mut turn)
                    } else {
                        self.begin_link(frame, origin).map(|()| is_begun = true)
                    };
                    if handled.is_ok()
                        && let Some((frames, bytes)) = turn.taken.get_mut(frame.header.kind.lane() as usize)
                    {
                        *frames += 1;
                        *bytes += u64::from(frame.header.length);
                    }
                    handled
                }
                Ok(false) => return turn,
                Err(error) => Err(Broken::Frame(error)),
            };
            if let Err(broken) = handled {
                turn.broken = Some(broken);
                return turn;
            }
        }
        turn.is_left = true;
        turn
    }

    #[inline]
    fn handle_frame<'n>(
        &'n self,
        frame: &Frame<'_>,
        origin: Origin,
        source: Source<'_>,
        turn: &mut Turn<'n>,
    ) -> Result<(), Broken> {
        match frame.header.kind {
            _ if frame.header.flags.any(MARKS) => {
                return self.handle_marked(frame, origin, source, &mut turn.run);
            }
            FrameKind::Part | FrameKind::SignalPart => return self.handle_part(frame, origin, turn),
            FrameKind::Session => return Err(FlowError::Again.into()),
            FrameKind::Credit => return self.with_data(origin.link, |data| data.credit(frame.body)),
            _ => self.handle_whole(frame, origin, source, &mut turn.run),
        }
        Ok(())
    }

    #[inline]
    pub(super) fn handle_whole<'n>(
        &'n self,
        frame: &Frame<'_>,
        origin: Origin,
        source: Source<'_>,
        run: &mut Run<'n>,
    ) {
        match frame.header.kind {
            FrameKind::Send | FrameKind::Call => self.handle_message(frame, origin, source, run),
            FrameKind::Reply => self.handle_reply(frame, origin),
            FrameKind::ReplyError => self.handle_reply_error(frame, origin),
            FrameKind::Event => self.handle_event(frame, origin.link, origin.key),
            FrameKind::Ack => self.handle_ack(frame, origin.link, origin.key),
            _ => self.handle_other(frame, origin),
        }
    }

    #[cold]
    fn handle_other(&self, frame: &Frame<'_>, origin: Origin) {
        match frame.header.kind {
            FrameKind::Link
            | FrameKind::Unlink
            | FrameKind::Monitor
            | FrameKind::Demonitor
            | FrameKind::Exit
            | FrameKind::Down
            | FrameKind::Subscribe
            | FrameKind::Unsubscribe
            | FrameKind::Unsubscribed => self.handle_relation(frame, origin.link, origin.key),
            FrameKind::Ask => self.handle_ask(frame, origin),
            FrameKind::Answer => self.handle_answer(frame, origin),
            FrameKind::Claim => self.handle_claim(frame, origin),
            // A kind of a later protocol version, or one that belongs on a control link.
            _ => self.with_link_cells(origin.link, |cells| bump(&cells.unknown_types, 1)),
        }
    }

    /// The first frame of a link says how far the peer is.
    #[cold]
    fn begin_link(&self, frame: &Frame<'_>, origin: Origin) -> Result<(), Broken> {
        if frame.header.kind != FrameKind::Session {
            return Err(FlowError::Early.into());
        }
        let now = self.now_ticks();
        self.with_data(origin.link, |data| data.begin(frame.body, now))
    }

    #[cold]
    fn handle_part<'n>(
        &'n self,
        frame: &Frame<'_>,
        origin: Origin,
        turn: &mut Turn<'n>,
    ) -> Result<(), Broken> {
        let which = usize::from(frame.header.kind == FrameKind::SignalPart);
        let Some(part) = frame.fragment() else { return Err(FlowError::Part.into()) };
        let mut joined = None;
        self.with_data(origin.link, |data| {
            if let Some(joiner) = data.joiners.get_mut(which) {
                joined = joiner.take(part, frame.body)?;
            }
            Ok(())
        })?;
        let Some(joined) = joined else {
            turn.parts += 1;
            return Ok(());
        };
        turn.joined += 1;
        let frame = joined.frame()?;
        if frame.header.flags.any(MARKS) {
            return self.handle_marked(&frame, origin, joined.source(), &mut turn.run);
        }
        self.handle_whole(&frame, origin, joined.source(), &mut turn.run);
        Ok(())
    }

    fn with_data(
        &self,
        link: u32,
        f: impl FnOnce(&mut crate::link::data::DataLink) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let mut links = self.net.links.borrow_mut();
        match links.get_mut(link as usize) {
            Some(Some(owned)) => f(&mut owned.data),
            _ => Ok(()),
        }
    }

    /// Milliseconds on a clock of a link.
    pub(crate) fn link_ms(&self, clock: LinkClock) -> u64 {
        // The peer says where its clock stands, and may say anything.
        clock.ms.saturating_add(self.clock().span_ns(self.now_ticks().saturating_sub(clock.at)) / 1_000_000)
    }

    /// Has peers told before long what was taken of their frames.
    fn tell_later(&self) {
        if self.net.tells.replace(true) {
            return;
        }
        let timer = self.timer(TELL_AFTER, |shard| {
            shard.net.tells.set(false);
            shard.tell_all();
        });
        if timer.is_none() {
            // LIMIT: timers of the shard.
            self.net.tells.set(false);
            self.tell_all();
        }
    }

    fn tell_all(&self) {
        let mut links = self.net.links.borrow_mut();
        for owned in links.iter_mut().flatten() {
            if owned.data.inbound.is_untold() {
                owned.data.tell(self.link_ms(owned.data.clock));
                if owned.data.dirty {
                    self.net.dirty.set(true);
                }
            }
        }
    }

    #[inline]
    fn handle_message<'n>(
        &'n self,
        frame: &Frame<'_>,
        origin: Origin,
        source: Source<'_>,
        run: &mut Run<'n>,
    ) {
        let header = &frame.header;
        let is_call = header.kind == FrameKind::Call;
        // All that is no plain message, in one test: that takes the branches it would take if there were only calls.
        let is_special = is_call | header.flags.any(SPECIAL);
        if is_special && self.net.refuses.get() && self.refuse_new(frame, origin) {
            return;
        }
        let entry = match run.last {
            Some(entry) if entry.ops().key() == header.key => entry,
            _ => match self.node().registry().get(header.key) {
                Some(entry) => *run.last.insert(entry),
                None => return self.unknown_type(frame, origin),
            },
        };
        if header.to.shard() != self.index() || !self.exists(header.to.0) {
            return self.not_here(frame, origin, entry, run.alias);
        }
        if is_special && header.deadline.is_past(origin.now_ms) {
            return self.expired(frame, origin);
        }
        let arms = self.views_of(header.to.0);
        let is_told = is_special && self.is_told(frame);
        let decoded = if is_told || arms.is_empty() {
            entry.ops().decode(frame.body)
        } else {
            view_or_message(frame, entry, arms, source, run)
        };
        let Ok(mut message) = decoded else { return self.undecodable(frame, origin) };
        let mut meta = Meta::REMOTE | queue_of(header.flags.priority());
        let mut reply = origin.key;
        if is_special {
            if is_told {
                message = Self::reached(frame, run.alias, message);
            }
            let trace = self.context_of(frame, origin);
            if let Some(trace) = trace {
                message = self.traced(trace, message);
            }
            if is_important(frame) {
                return self.take_important(frame, origin, message);
            }
            if !is_call {
                return self.put_message(header.to.0, header.from.0, meta, reply, message);
            }
            let caller = Caller { key: origin.key, reference: header.reference, callee: header.to.0 };
            let Some(reference) = self.net.callers.borrow_mut().insert_asked((caller, trace)) else {
                self.contain(|| drop(message));
                return self.answer_error(frame, origin, CallError::Send(SendReason::Overloaded));
            };
            reply = reference;
            meta |= Meta::CALL;
        }
        self.put_message(header.to.0, header.from.0, meta, reply, message);
    }

    #[cold]
    fn unknown_type(&self, frame: &Frame<'_>, origin: Origin) {
        if self.is_repeated(frame, origin) {
            return;
        }
        let MessageKey(key) = frame.header.key;
        self.with_link_cells(origin.link, |cells| bump(&cells.unknown_types, 1));
        let is_new = {
            let mut logged = self.net.unknown_logged.borrow_mut();
            let is_new = logged.len() < UNKNOWN_LOGGED && !logged.contains(&key);
            if is_new {
                logged.push(key);
            }
            is_new
        };
        if is_new {
            self.log_line(LogLevel::Warning, LocalId::CORE.0, || {
                format!("a peer sends messages of an unknown type (key {key:016x}): deploy the version that declares it")
            });
        }
        self.answer_error(frame, origin, CallError::UnknownType);
    }

    /// The time of a call or of an important message was up before it was read.
    #[cold]
    fn expired(&self, frame: &Frame<'_>, origin: Origin) {
        if self.is_repeated(frame, origin) {
            return;
        }
        self.with_link_cells(origin.link, |cells| bump(&cells.expired, 1));
        self.answer_error(frame, origin, CallError::Timeout);
    }

    #[cold]
    fn undecodable(&self, frame: &Frame<'_>, origin: Origin) {
        if self.is_repeated(frame, origin) {
            return;
        }
        self.with_link_cells(origin.link, |cells| bump(&cells.decode_errors, 1));
        self.answer_error(frame, origin, CallError::Decode);
    }

    /// The target is not a process of this shard: gone, or on another shard.
    #[cold]
    fn not_here(&self, frame: &Frame<'_>, origin: Origin, entry: &MessageEntry, alias: Option<Alias>) {
        let header = &frame.header;
        let is_call = header.kind == FrameKind::Call;
        let there = self.node().port(header.to.shard()).is_some_and(|port| port.table.exists(header.to.0));
        if !there {
            if !self.is_repeated(frame, origin) {
                self.undeliverable(frame, origin, CallError::Send(SendReason::NoProcess));
            }
            return;
        }
        if (is_call || is_important(frame)) && header.deadline.is_past(origin.now_ms) {
            return self.expired(frame, origin);
        }
        // With `target` placement the slot's owner and the process's shard are one; a peer that says otherwise pays a hop.
        let Ok(mut message) = entry.ops().decode(frame.body) else { return self.undecodable(frame, origin) };
        if self.is_told(frame) {
            message = Self::reached(frame, alias, message);
        }
        let trace = self.context_of(frame, origin);
        if let Some(trace) = trace {
            message = self.traced(trace, message);
        }
        let passed = if is_important(frame) {
            self.pass_important(frame, origin, message)
        } else {
            self.pass_on(frame, origin, message, trace)
        };
        if !passed {
            // LIMIT: a full ring and spill.
            self.answer_error(frame, origin, CallError::Send(SendReason::Overloaded));
        }
    }

    /// Hands a message or call to the shard of its target. `false`: that shard does not keep up.
    fn pass_on(
        &self,
        frame: &Frame<'_>,
        origin: Origin,
        message: Erased,
        trace: Option<TraceContext>,
    ) -> bool {
        let header = &frame.header;
        let (to, from, reference, key) = (header.to.0, header.from.0, header.reference, origin.key);
        let is_call = header.kind == FrameKind::Call;
        let queue = queue_of(header.flags.priority());
        self.run_on(header.to.shard(), move |shard| {
            let caller = Caller { key, reference, callee: to };
            let open = is_call.then(|| shard.net.callers.borrow_mut().insert_asked((caller, trace)));
            let (meta, reply) = match open {
                None => (0, key),
                Some(Some(reply)) => (Meta::CALL, reply),
                Some(None) => {
                    shard.contain(|| drop(message));
                    let code = CallError::Send(SendReason::Overloaded).code();
                    return shard.send_error(key, reference, code, None);
                }
            };
            shard.put_message(to, from, Meta::REMOTE | queue | meta, reply, message);
        })
    }

    /// Nobody can have it: the sender's table of names is corrected, and whoever waits for an answer is told.
    #[cold]
    pub(super) fn undeliverable(&self, frame: &Frame<'_>, origin: Origin, error: CallError) {
        self.with_link_cells(origin.link, |cells| bump(&cells.undeliverable, 1));
        if let Some(name) = frame.name() {
            self.send_error(origin.key, frame.header.from.0, NAME_MOVED, Some(name));
        }
        self.answer_error(frame, origin, error);
    }

    /// Tells whoever waits for an answer, if somebody does.
    #[cold]
    pub(super) fn answer_error(&self, frame: &Frame<'_>, origin: Origin, error: CallError) {
        if frame.header.kind == FrameKind::Call {
            self.send_error(origin.key, frame.header.reference, error.code(), None);
        } else if is_important(frame) {
            self.refuse_important(frame, origin, error);
        }
    }

    fn handle_reply(&self, frame: &Frame<'_>, origin: Origin) {
        let reference = frame.header.reference;
        let shard = LocalId(reference).shard();
        if shard == self.index() {
            return self.complete_remote(reference, origin.key, frame.body);
        }
        // Bodies are validated where their type is known; the copy keeps the alignment that validation needs.
        let mut body = shard_wire::frame::Batch::with_capacity(frame.body.len());
        body.extend_from_slice(frame.body);
        let key = origin.key;
        self.run_on(shard, move |shard| shard.complete_remote(reference, key, &body));
    }

    fn handle_reply_error(&self, frame: &Frame<'_>, origin: Origin) {
        let Some((code, _)) = frame.body.split_first_chunk::<4>() else { return };
        let code = u32::from_le_bytes(*code);
        if code == NAME_MOVED {
            return self.handle_name_moved(frame, origin);
        }
        let (reference, key) = (frame.header.reference, origin.key);
        let shard = LocalId(reference).shard();
        if shard == self.index() {
            return self.fail_remote(reference, key, CallError::from_code(code));
        }
        self.run_on(shard, move |shard| shard.fail_remote(reference, key, CallError::from_code(code)));
    }

    /// The news goes to the shard that sent the message: its table is the one that is out of date.
    #[cold]
    fn handle_name_moved(&self, frame: &Frame<'_>, origin: Origin) {
        let Some(name) = frame.name() else { return };
        let shard = LocalId(frame.header.reference).shard();
        if shard == self.index() || self.node().port(shard).is_none() {
            return self.name_moved(origin.key, name);
        }
        let (key, name): (u64, Box<str>) = (origin.key, name.into());
        self.run_on(shard, move |shard| shard.name_moved(key, &name));
    }

    /// A link is no good any more.
    fn lose_link(&self, link: u32, why: &'static str) {
        let id = {
            let links = self.net.links.borrow();
            let owned = links.get(link as usize).and_then(Option::as_ref);
            owned.and_then(|owned| owned.data.socket.as_ref().map(|socket| socket.link))
        };
        if let Some(link) = id {
            self.node().request(Request::LinkLost { link, why });
        }
        self.close_link(link, true);
    }

    /// Hands what was built in this turn to the sockets. Whether there was something.
    pub(crate) fn flush_links(&self) -> bool {
        if !self.net.dirty.replace(false) {
            return false;
        }
        let count = self.net.links.borrow().len();
        for link in 0..count {
            if !self.write_link(link, None) {
                self.lose_link(link as u32, "its socket failed");
            }
        }
        if self.net.some_full.get() {
            self.look_for_room();
        }
        true
    }

    /// Writes one link. `false`: its socket has failed.
    fn write_link(&self, link: usize, task: Option<&mut TaskContext<'_>>) -> bool {
        let mut links = self.net.links.borrow_mut();
        let Some(Some(owned)) = links.get_mut(link) else { return true };
        if !owned.data.dirty || owned.data.socket.is_none() {
            return true;
        }
        let cells = &*owned.cells;
        let is_good = match task {
            None => owned.data.write(cells),
            Some(task) => owned.data.poll_write(cells, task),
        };
        if owned.data.is_blocked() {
            self.net.dirty.set(true);
        }
        let is_held = owned.data.out.is_held();
        if is_held != owned.data.is_held {
            owned.data.is_held = is_held;
            let held = cells.links_held.load(Relaxed);
            let now = if is_held { held + 1 } else { held.saturating_sub(1) };
            cells.links_held.store(now, Relaxed);
        }
        is_good
    }

    /// Before a park: has the task woken when a socket can go on. Whether there is something to do now.
    pub(crate) fn arm_links(&self, task: &mut TaskContext<'_>) -> bool {
        let _scope = Scope::enter(self);
        let count = self.net.links.borrow().len();
        let mut found = false;
        for link in 0..count {
            if !self.write_link(link, Some(task)) {
                self.lose_link(link as u32, "its socket failed");
                found = true;
            }
            found |= self.serve(link as u32, Some(task));
        }
        if self.net.some_full.get() {
            self.look_for_room();
        }
        found
    }

    /// Runs something on another shard, in order with what was sent there before. `false`: that shard does not keep up.
    pub(super) fn run_on(&self, shard: u16, task: impl FnOnce(&Self) + Send + 'static) -> bool {
        let refused = self.push_parcel(shard, Parcel::task(Box::new(task)));
        let is_taken = refused.is_none();
        if let Some(refused) = refused {
            self.count(|cells| &cells.dead_letters, 1);
            self.contain(|| drop(refused));
        }
        is_taken
    }

    /// Ticks that a link stays hot after bytes came in.
    pub(crate) fn hot_ticks(&self) -> u64 {
        self.nanos_in_ticks(HOT_NANOS)
    }

    /// A pid of another incarnation.
    pub(super) fn pid_of(&self, key: u64, local: u64) -> Pid {
        Pid { node: shard_wire::IncarnationKey(key), local: LocalId(local) }
    }
}

/// A message for an actor that takes some as views: a view of it where it lies, a view of a copy if the buffer may not be lent,
/// or the message, if that is what the actor takes.
#[inline(never)]
fn view_or_message(
    frame: &Frame<'_>,
    entry: &MessageEntry,
    arms: &[&'static Vtable],
    source: Source<'_>,
    run: &mut Run<'_>,
) -> Result<Erased, WireError> {
    let is_arm = |ops: &&ViewOps| {
        let table = ops.vtable();
        arms.iter().any(|arm| std::ptr::eq(*arm, table))
    };
    let Some(ops) = entry.ops().view_ops().filter(is_arm) else { return entry.ops().decode(frame.body) };
    if let Some(lease) = source.lend(frame.body) {
        let view = ops.open(lease)?;
        run.lent += 1;
        return Ok(view);
    }
    // Before it is copied: garbage takes no memory.
    entry.ops().body().check(frame.body)?;
    let Some(lease) = Lease::copied(frame.body) else { return entry.ops().decode(frame.body) };
    run.copied += 1;
    ops.open(lease)
}

pub(super) fn queue_of(priority: Priority) -> u64 {
    match priority {
        Priority::Normal => Meta::MAIN,
        Priority::High => Meta::SYSTEM,
        Priority::Max => Meta::URGENT,
    }
}
