//! The immortal ones of a soak: drivers that keep it going, the process that floods its own mailbox, and the one that gets
//! what full mailboxes refuse.
//!
//! Invariants: D1 a driver is never killed and nothing links it, so each of its requests is answered exactly once, which it
//! counts. D2 it makes no message while more than [`MOST_ALIVE`] are on their way: memory stays flat.

use super::hall::{Hall, Seat};
use super::ledger::{Class, Grave, Tally, Token, number_of, sending};
use super::message::{Ask, Big, Echo, Go, Hop, Manner, Quit, Small, Tick, Unknown};
use super::worker::{Birth, Worker, book_response, post, settle};
use crate::Random;
use shard_runtime::prelude::*;
use shard_runtime::{Fallback, Message, Response};
use std::sync::Arc;
use std::time::Duration;

/// Messages that may be on their way while drivers make more.
const MOST_ALIVE: u64 = 20_000;
/// `Go` messages of one round.
const ROUND: u64 = 24;
/// Longest pause between two rounds.
const PAUSE_US: u64 = 400;

/// Sends `Go` to the population and fills vacant places.
pub(super) struct Driver {
    grave: Grave,
    hall: Arc<Hall>,
    random: Random,
}

impl Driver {
    pub(super) fn new(hall: Arc<Hall>, seed: u64) -> Self {
        Self { grave: Grave::new(&hall.books), hall, random: Random::for_actor(Some(seed), &["driver"]) }
    }

    fn token(&self, class: Class) -> Token {
        Token::new(&self.hall.books, class)
    }

    fn round(&mut self, cx: &Context<'_>) {
        if self.hall.books.alive() > MOST_ALIVE {
            return;
        }
        for _ in 0..ROUND {
            if let Some(to) = self.hall.pid(self.random.next_u64()) {
                let seed = self.random.next_u64();
                post(cx, to, Go { token: self.token(Class::Go), seed });
            }
        }
        if self.random.between(0, 15) == 0
            && let Some(to) = self.hall.pid(self.random.next_u64())
        {
            let ask = Ask {
                token: self.token(Class::Request),
                manner: Manner::AfterSleep,
                reply: Class::RequestReply,
            };
            let label = cx.pid().local.0;
            let number = number_of(&ask);
            let (sent, _) = sending(number, || cx.request(to, ask, label, Duration::from_millis(20)));
            match sent {
                Ok(_) => {
                    for tally in [Tally::Out, Tally::Requests, Tally::DriverRequests] {
                        self.hall.books.note(tally);
                    }
                }
                Err(refused) => refused.into_inner().token.request_returned(),
            }
        }
    }

    async fn fill(&mut self, cx: &Context<'_>) {
        for _ in 0..6 {
            if let Some(seat) = self.hall.claim(self.random.next_u64()) {
                self.spawn(seat, cx).await;
            }
        }
    }

    async fn spawn(&mut self, seat: Seat, cx: &Context<'_>) {
        let birth = match self.random.between(0, 39) {
            0 => Birth::Fails,
            1 => Birth::Panics,
            2 => Birth::Hangs,
            3..=5 => Birth::Slow,
            _ => Birth::Quick,
        };
        let seed = self.random.next_u64();
        let mut options = Hall::options(seat.place());
        if self.random.between(0, 7) == 0 {
            options = options.link_parent();
        }
        let books = Arc::clone(&self.hall.books);
        let spawned = match self.random.between(0, 3) {
            0 => cx.spawn(move || Worker::new(seat, birth, seed), options),
            1 if seed.is_multiple_of(8) => {
                let panics = move || -> Worker {
                    seat.hall().books.note(Tally::Panics);
                    std::panic::resume_unwind(Box::new("soak: a factory panics on purpose"))
                };
                cx.spawn_wait(panics, options).await
            }
            _ => {
                let shard = self.random.between(0, u64::from(self.hall.shards) - 1) as u16;
                cx.spawn_wait(move || Worker::new(seat, birth, seed), options.on_shard(shard)).await
            }
        };
        match spawned {
            Ok(_) => books.note(Tally::Spawns),
            // The process itself says so.
            Err(SpawnError::Init { .. }) => {}
            Err(_) => books.note(Tally::SpawnsFailed),
        }
    }
}

#[actor]
impl Driver {
    #[handle]
    async fn tick(&mut self, mut m: Tick, cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        if !self.hall.is_stopping() {
            self.round(cx);
            self.fill(cx).await;
            let next = Tick { token: self.token(Class::Tick) };
            let pause = Duration::from_micros(self.random.between(0, PAUSE_US));
            match cx.send_after(cx.pid(), next, pause) {
                Ok(_) => self.hall.books.note(Tally::Armed),
                Err(refused) => refused.into_inner().token.returned(),
            }
        }
        m.token.done();
        Ok(())
    }

    #[handle]
    fn response(&mut self, m: Response<Ask>, cx: &mut Context<'_>) -> ActorResult {
        self.hall.books.note(Tally::DriverResponses);
        book_response(&self.hall.books, m, cx);
        Ok(())
    }

    #[handle]
    fn quit(&mut self, mut m: Quit, _cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        m.token.done();
        Err(ActorError::normal())
    }

    fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<'_>) {
        self.grave.open();
    }
}

/// Sends itself what it gets.
pub(super) struct Flooder {
    grave: Grave,
    hall: Arc<Hall>,
}

impl Flooder {
    pub(super) fn new(hall: Arc<Hall>) -> Self {
        Self { grave: Grave::new(&hall.books), hall }
    }
}

#[actor]
impl Flooder {
    #[handle]
    fn echo(&mut self, mut m: Echo, cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        if m.left > 0 && !self.hall.is_stopping() {
            let again = Echo { token: Token::new(&self.hall.books, Class::Echo), left: m.left - 1 };
            let (sent, _) = sending(number_of(&again), || cx.send(cx.pid(), again));
            settle(&self.hall.books, sent);
        }
        m.token.done();
        Ok(())
    }

    #[handle]
    fn quit(&mut self, mut m: Quit, _cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        m.token.done();
        Err(ActorError::normal())
    }

    fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<'_>) {
        self.grave.open();
    }
}

/// Takes what full mailboxes refuse; its own is bounded too.
pub(super) struct Sink {
    grave: Grave,
    hall: Arc<Hall>,
}

impl Sink {
    pub(super) fn new(hall: Arc<Hall>) -> Self {
        Self { grave: Grave::new(&hall.books), hall }
    }
}

/// Books the message if it is an `M`, else gives it back.
fn take<M: Message + super::ledger::Tokened>(
    message: shard_runtime::wire::Erased,
) -> Option<shard_runtime::wire::Erased> {
    match message.downcast::<M>() {
        Ok(message) => {
            let mut token = message.into_token();
            token.begin();
            token.done();
            None
        }
        Err(message) => Some(message),
    }
}

#[actor]
impl Sink {
    #[handle]
    fn fallback(&mut self, m: Fallback, _cx: &mut Context<'_>) -> ActorResult {
        let left = take::<Small>(m.message).and_then(take::<Big>).and_then(take::<Go>);
        let left = left.and_then(take::<Hop>).and_then(take::<Unknown>).and_then(take::<Echo>);
        let left = left.and_then(take::<super::message::Answer>).and_then(take::<Quit>);
        if left.is_some() {
            self.hall.books.note(Tally::Misrouted);
        }
        Ok(())
    }

    #[handle]
    fn quit(&mut self, mut m: Quit, _cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        m.token.done();
        Err(ActorError::normal())
    }

    fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<'_>) {
        self.grave.open();
    }
}
