//! One of a soak's population: takes every kind of message, and on `Go` does something at random.
//!
//! Invariant: W1 every handler books its message when it takes it and when it is done with it; one that is cut off leaves
//! that to the token's drop.

use super::hall::{Hall, Seat};
use super::ledger::{Books, Class, Grave, Tally, Token, Tokened, number_of, sending};
use super::message::{Answer, Ask, Big, Defer, Go, Hop, Later, Manner, Quit, Reply, Small};
use crate::Random;
use shard_runtime::prelude::*;
use shard_runtime::{Address, Addressed, Alias, Down, ExitSignal, Message, Request, Response, TimerRef};
use std::sync::Arc;
use std::time::Duration;

/// How a process comes into being.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Birth {
    Quick,
    Slow,
    Fails,
    Panics,
    Hangs,
}

/// One of the population.
pub(super) struct Worker {
    grave: Grave,
    pub(super) seat: Seat,
    birth: Birth,
    is_up: bool,
    pub(super) random: Random,
    pub(super) held: Option<(ReplyTo<Reply>, Class)>,
    pub(super) timers: Vec<TimerRef>,
    pub(super) interval: Option<TimerRef>,
    pub(super) requests: Vec<Request>,
    pub(super) alias: Option<Alias>,
    pub(super) has_second_name: bool,
}

impl Worker {
    pub(super) fn new(seat: Seat, birth: Birth, seed: u64) -> Self {
        Self {
            grave: Grave::new(&seat.hall().books),
            seat,
            birth,
            is_up: false,
            random: Random::for_actor(Some(seed), &[]),
            held: None,
            timers: Vec::new(),
            interval: None,
            requests: Vec::new(),
            alias: None,
            has_second_name: false,
        }
    }

    pub(super) fn hall(&self) -> &Arc<Hall> {
        self.seat.hall()
    }

    pub(super) fn books(&self) -> &Books {
        &self.seat.hall().books
    }

    pub(super) fn token(&self, class: Class) -> Token {
        Token::new(self.books(), class)
    }

    /// Ends the handler by a panic, without the hook's lines on standard error.
    pub(super) fn panic(&self) -> ! {
        self.books().note(Tally::Panics);
        std::panic::resume_unwind(Box::new("soak: a panic on purpose"))
    }

    /// What is left when the sources stop.
    fn calm_down(&mut self, cx: &Context<'_>) {
        self.held = None;
        if let Some(interval) = self.interval.take() {
            cx.cancel_timer(interval);
        }
    }
}

/// Books what became of a send.
pub(super) fn settle<M: Tokened>(books: &Books, sent: Result<(), SendError<M>>) {
    match sent {
        Ok(()) => books.note(Tally::Out),
        Err(refused) => refused.into_inner().into_token().returned(),
    }
}

/// Sends and books.
pub(super) fn post<M: Message + Tokened>(cx: &Context<'_>, to: impl Address, message: M) {
    let books = Arc::clone(message.token().books());
    let (sent, _) = sending(number_of(&message), || cx.send(to, message));
    settle(&books, sent);
}

#[actor]
impl Worker {
    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        match self.birth {
            Birth::Quick => {}
            Birth::Slow => cx.sleep(Duration::from_millis(2)).await,
            Birth::Fails => return Err(ActorError::new(ExitReason::Shutdown)),
            Birth::Panics => self.panic(),
            Birth::Hangs => cx.sleep(Duration::from_secs(10)).await,
        }
        self.is_up = true;
        self.seat.sit(cx.pid());
        Ok(())
    }

    fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<'_>) {
        if !self.is_up {
            self.books().note(Tally::SpawnsFailed);
        }
        self.grave.open();
    }

    #[handle]
    async fn go(&mut self, mut m: Go, cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        if self.hall().is_stopping() {
            self.calm_down(cx);
            m.token.done();
            return Ok(());
        }
        let ended = self.act(m.seed, cx).await;
        m.token.done();
        ended
    }

    #[handle]
    fn small(&mut self, mut m: Small, _cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        m.token.done();
        Ok(())
    }

    #[handle]
    fn addressed(&mut self, mut m: Addressed<Small>, _cx: &mut Context<'_>) -> ActorResult {
        m.message.token.begin();
        m.message.token.done();
        Ok(())
    }

    #[handle]
    async fn big(&mut self, mut m: Big, cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        if self.random.between(0, 15) == 0 {
            cx.yield_now().await;
        }
        if !m.is_whole() {
            self.books().note(Tally::Corrupt);
        }
        m.token.done();
        Ok(())
    }

    #[handle]
    fn hop(&mut self, mut m: Hop, cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        let place = self.random.next_u64();
        if m.left > 0
            && !self.hall().is_stopping()
            && let Some(next) = self.hall().pid(place)
        {
            let onward = Hop { token: self.token(Class::Forwarded), left: m.left - 1 };
            let (sent, _) = sending(number_of(&onward), || cx.forward(next, onward));
            settle(self.books(), sent);
        }
        m.token.done();
        Ok(())
    }

    #[handle]
    async fn ask(&mut self, mut m: Ask, cx: &mut Context<'_>) -> Result<Reply, ActorError> {
        m.token.begin();
        match m.manner {
            Manner::AtOnce => {}
            Manner::AfterSleep => {
                cx.sleep(Duration::from_micros(self.random.between(0, 6000))).await;
            }
            Manner::Panic => self.panic(),
            Manner::End => {
                m.token.done();
                return Err(ActorError::normal());
            }
        }
        m.token.done();
        Ok(Reply { token: self.token(m.reply) })
    }

    #[handle]
    fn defer(&mut self, mut m: Defer, reply: ReplyTo<Reply>, cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        let place = self.random.next_u64();
        let next = self.hall().pid(place);
        match (m.later, next) {
            (Later::Keep, _) => {
                if let Some((held, class)) = self.held.replace((reply, m.reply)) {
                    held.send(Reply { token: self.token(class) });
                }
            }
            (Later::Drop, _) => drop(reply),
            (Later::Refuse, _) => reply.refuse(CallError::Busy),
            (Later::PassOn, Some(next)) => {
                post(cx, next, Answer { token: self.token(Class::Small), reply, class: m.reply });
            }
            (Later::HandOn, Some(next)) => {
                let later = if self.random.between(0, 1) == 0 { Later::PassOn } else { Later::Refuse };
                let onward = Defer { token: self.token(Class::Forwarded), later, reply: m.reply };
                let (sent, _) = sending(number_of(&onward), || cx.forward_call(next, onward, reply));
                match sent {
                    Ok(()) => self.books().note(Tally::Out),
                    Err(refused) => {
                        let (reason, request, reply) = refused.into_parts();
                        reply.refuse(CallError::Send(reason));
                        request.token.request_returned();
                    }
                }
            }
            (Later::PassOn | Later::HandOn, None) => drop(reply),
        }
        m.token.done();
        Ok(())
    }

    #[handle]
    fn answer(&mut self, mut m: Answer, _cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        m.reply.send(Reply { token: Token::new(m.token.books(), m.class) });
        m.token.done();
        Ok(())
    }

    #[handle]
    fn quit(&mut self, mut m: Quit, _cx: &mut Context<'_>) -> ActorResult {
        m.token.begin();
        m.token.done();
        Err(ActorError::normal())
    }

    #[handle]
    fn response(&mut self, m: Response<Ask>, cx: &mut Context<'_>) -> ActorResult {
        self.requests.retain(|request| *request != m.request);
        book_response(self.books(), m, cx);
        Ok(())
    }

    #[handle]
    fn down(&mut self, _: Down, _cx: &mut Context<'_>) -> ActorResult {
        self.books().note(Tally::SystemStarted);
        Ok(())
    }

    #[handle]
    fn exit(&mut self, _: ExitSignal, _cx: &mut Context<'_>) -> ActorResult {
        self.books().note(Tally::SystemStarted);
        Ok(())
    }
}

/// Books the answer to a request, whose label is the pid that made it.
pub(super) fn book_response(books: &Books, m: Response<Ask>, cx: &Context<'_>) {
    books.note(Tally::SystemStarted);
    if m.label != cx.pid().local.0 {
        books.note(Tally::Misrouted);
    }
    match m.result {
        Ok(reply) => {
            reply.token.done();
            books.note(Tally::ResponsesOk);
        }
        Err(CallError::Timeout) => books.note(Tally::ResponsesTimedOut),
        Err(_) => books.note(Tally::ResponsesFailed),
    }
}
