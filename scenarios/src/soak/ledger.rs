//! The books of a soak: what was made, what became of it, and what the program itself saw.
//!
//! Owns: a [`Token`] in each message and in each reply, which is counted when it is made and when it is dropped, and whose
//! drop books what became of it. What no handler did is told apart by where it happens: between `terminate` and the drop of
//! an actor only its queued messages are dropped; inside a send, only what its target's policy drops.
//! Invariants: K1 a token is made once and dropped once, under exactly one fate. K2 the place is per thread, and each
//! scope puts back what it found. Cost: two shared adds and a reference count per message.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(super) enum $name { $($variant,)* }
        impl $name {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];
            pub(super) const COUNT: usize = Self::ALL.len();
            pub(super) fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

numbered! {
    /// What kind of message, or reply, a token is in.
    Class {
        Tick = "tick",
        Go = "go",
        Small = "small",
        Big = "big (boxed)",
        Addressed = "by name, alias",
        Ranked = "high, max",
        Ended = "to the ended",
        Outside = "from outside",
        Delayed = "send_after",
        Beat = "send_every",
        Patient = "send_wait",
        Important = "send_important",
        Forwarded = "forwarded",
        Echo = "flood",
        Unknown = "unhandled type",
        Ask = "call",
        Request = "async request",
        AskReply = "reply of a call",
        RequestReply = "reply of a request",
    }
}

numbered! {
    /// What became of a token.
    Fate {
        Handled = "handled",
        Interrupted = "interrupted",
        Returned = "returned",
        Unsent = "unsent",
        Cancelled = "cancelled",
        LostWithMailbox = "lost with mailbox",
        DroppedNewest = "dropped newest",
        DroppedOldest = "dropped oldest",
        Astray = "astray",
        Template = "template",
    }
}

numbered! {
    /// What handlers and sources count.
    Tally {
        Started = "messages taken by handlers",
        SystemStarted = "down, exit and response messages taken by handlers",
        Out = "sends, calls and requests accepted from handlers",
        Armed = "delayed sends armed",
        SendsRefused = "sends that came back",
        RequestsRefused = "requests that came back",
        CallsRefused = "calls that were refused at once",
        CallsRefusedOutside = "calls from outside that were refused on a shard",
        CallsRefusedAtDoor = "calls from outside that no shard saw",
        SelfCalls = "calls to oneself",
        CallsAnswered = "calls answered",
        CallsTimedOut = "calls that timed out",
        CallsFailed = "calls that failed otherwise",
        CallsAbandoned = "calls whose caller stopped waiting",
        Requests = "requests accepted",
        RequestsCancelled = "requests given up in time",
        ResponsesOk = "requests answered",
        ResponsesTimedOut = "requests that timed out",
        ResponsesFailed = "requests that failed otherwise",
        DriverRequests = "requests of immortal processes",
        DriverResponses = "answers they got",
        Spawns = "spawns that succeeded",
        SpawnsFailed = "spawns that failed",
        Panics = "panics made",
        Terminates = "terminate callbacks",
        Kills = "kills asked for",
        Corrupt = "messages whose content was not what was sent",
        Misrouted = "messages that reached the wrong process",
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// A send of this token is on the stack.
    Sending(u64),
    /// A send gives up on its way, its message unsent.
    GivingUp,
    Cancelling,
    /// `terminate` has run, the actor has not been dropped.
    Burying,
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Elsewhere) };
    /// The last token that was dropped inside its own send.
    static DROPPED_NEWEST: Cell<u64> = const { Cell::new(0) };
}

struct Scope(Place);

impl Scope {
    fn enter(place: Place) -> Self {
        Self(PLACE.replace(place))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        PLACE.set(self.0);
    }
}

/// The books.
#[derive(Debug)]
pub(super) struct Ledger {
    next: AtomicU64,
    made: [AtomicU64; Class::COUNT],
    fates: [[AtomicU64; Fate::COUNT]; Class::COUNT],
    tallies: [AtomicU64; Tally::COUNT],
    /// Tokens that are alive.
    alive: AtomicU64,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            next: AtomicU64::new(1),
            made: std::array::from_fn(|_| AtomicU64::new(0)),
            fates: std::array::from_fn(|_| zeros()),
            tallies: std::array::from_fn(|_| AtomicU64::new(0)),
            alive: AtomicU64::new(0),
        }
    }

    pub(super) fn note(&self, tally: Tally) {
        self.tallies[tally as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn tally(&self, tally: Tally) -> u64 {
        self.tallies[tally as usize].load(Relaxed)
    }

    pub(super) fn made(&self, class: Class) -> u64 {
        self.made[class as usize].load(Relaxed)
    }

    pub(super) fn fate(&self, class: Class, fate: Fate) -> u64 {
        self.fates[class as usize][fate as usize].load(Relaxed)
    }

    /// Tokens that are somewhere now. Zero orders what their drops booked before what the caller reads next.
    pub(super) fn alive(&self) -> u64 {
        self.alive.load(Acquire)
    }
}

/// A handle of the books, as actors and messages hold it.
pub(super) type Books = Arc<Ledger>;

const TAKEN: u64 = 1;
const TEMPLATE: u64 = 2;
const FATED: u64 = 4;

/// One message or reply under account: 16 bytes.
#[derive(Debug)]
pub(super) struct Token {
    books: Books,
    /// `number:40 | fate:8 | class:8 | state:8`.
    word: u64,
}

impl Token {
    pub(super) fn new(books: &Books, class: Class) -> Self {
        let number = books.next.fetch_add(1, Relaxed);
        books.made[class as usize].fetch_add(1, Relaxed);
        books.alive.fetch_add(1, Relaxed);
        Self { books: Arc::clone(books), word: number << 24 | u64::from(class as u8) << 8 }
    }

    /// What a repeated send copies.
    pub(super) fn template(books: &Books, class: Class) -> Self {
        let mut token = Self::new(books, class);
        token.word |= TEMPLATE;
        token
    }

    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    fn number(&self) -> u64 {
        self.word >> 24
    }

    fn class(&self) -> usize {
        (self.word >> 8 & 0xFF) as usize
    }

    /// A handler has it.
    pub(super) fn begin(&mut self) {
        self.books.note(Tally::Started);
        self.word |= TAKEN;
    }

    /// The handler is done with it.
    pub(super) fn done(self) {
        self.end(Fate::Handled);
    }

    /// It came back from a send.
    pub(super) fn returned(self) {
        self.books.note(Tally::SendsRefused);
        self.end(Fate::Returned);
    }

    /// It came back from a request.
    pub(super) fn request_returned(self) {
        self.books.note(Tally::RequestsRefused);
        self.end(Fate::Returned);
    }

    fn end(mut self, fate: Fate) {
        self.word |= FATED | u64::from(fate as u8) << 16;
    }

    fn fate_now(&self) -> Fate {
        if self.word & FATED != 0 {
            return Fate::ALL[(self.word >> 16 & 0xFF) as usize];
        }
        if self.word & TEMPLATE != 0 {
            return Fate::Template;
        }
        if self.word & TAKEN != 0 {
            return Fate::Interrupted;
        }
        match PLACE.get() {
            Place::Sending(number) if number == self.number() => {
                DROPPED_NEWEST.set(number);
                Fate::DroppedNewest
            }
            Place::Sending(_) => Fate::DroppedOldest,
            Place::GivingUp => Fate::Unsent,
            Place::Cancelling => Fate::Cancelled,
            Place::Burying => Fate::LostWithMailbox,
            Place::Elsewhere => Fate::Astray,
        }
    }
}

impl Clone for Token {
    fn clone(&self) -> Self {
        let class = Class::ALL[self.class()];
        Self::new(&self.books, class)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let fate = self.fate_now();
        self.books.fates[self.class()][fate as usize].fetch_add(1, Relaxed);
        self.books.alive.fetch_sub(1, AcqRel);
    }
}

/// A message with a token in it.
pub(super) trait Tokened {
    fn token(&self) -> &Token;
    fn into_token(self) -> Token;
}

/// Runs a send of this token and says whether it was dropped inside.
pub(super) fn sending<R>(number: u64, send: impl FnOnce() -> R) -> (R, bool) {
    DROPPED_NEWEST.set(0);
    let _scope = Scope::enter(Place::Sending(number));
    let result = send();
    (result, DROPPED_NEWEST.get() == number)
}

/// The number that [`sending`] wants.
pub(super) fn number_of(message: &impl Tokened) -> u64 {
    message.token().number()
}

/// Runs what drops an armed message.
pub(super) fn cancelling<R>(cancel: impl FnOnce() -> R) -> R {
    let _scope = Scope::enter(Place::Cancelling);
    cancel()
}

/// Part of every actor: says when it is being buried. `terminate` opens it, the actor's drop shuts it.
#[derive(Debug)]
pub(super) struct Grave(Books);

impl Grave {
    pub(super) fn new(books: &Books) -> Self {
        Self(Arc::clone(books))
    }

    pub(super) fn open(&self) {
        self.0.note(Tally::Terminates);
        PLACE.set(Place::Burying);
    }
}

impl Drop for Grave {
    fn drop(&mut self) {
        if PLACE.get() == Place::Burying {
            PLACE.set(Place::Elsewhere);
        }
    }
}

/// A send that waits, as a future: what its polls drop is told from what is dropped with it.
pub(super) struct Waiting<F> {
    _gives_up: GivesUp,
    number: u64,
    future: std::pin::Pin<Box<F>>,
    _gave_up: Scope,
}

struct GivesUp(Place);

impl Drop for GivesUp {
    fn drop(&mut self) {
        PLACE.set(self.0);
    }
}

impl<F: Future> Waiting<F> {
    /// The future holds the message until it is sent: what is dropped with it was never sent.
    pub(super) fn with_message(number: u64, future: F) -> Self {
        Self::new(Place::GivingUp, number, future)
    }

    /// The message is away while the future waits.
    pub(super) fn without_message(number: u64, future: F) -> Self {
        Self::new(Place::Elsewhere, number, future)
    }

    fn new(place: Place, number: u64, future: F) -> Self {
        let _gave_up = Scope(Place::Elsewhere);
        Self { _gives_up: GivesUp(place), number, future: Box::pin(future), _gave_up }
    }
}

impl<F: Future> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<F::Output> {
        let number = self.number;
        sending(number, || self.future.as_mut().poll(task)).0
    }
}
