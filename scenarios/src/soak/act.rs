//! What a process of the population does at random.

use super::hall::{FLOODER, Hall};
use super::ledger::{Class, Tally, Token, Tokened, Waiting, cancelling, number_of, sending};
use super::message::{Ask, Big, Defer, Echo, Go, Hop, Later, Manner, Reply, Small, Unknown};
use super::worker::{Worker, post, settle};
use crate::Random;
use shard_runtime::prelude::*;
use shard_runtime::{DeliveryError, Message};
use std::sync::Arc;
use std::time::Duration;

/// A call whose outcome has not been seen.
struct Watch<'b> {
    worker: &'b Worker,
    is_over: bool,
}

impl Watch<'_> {
    /// Books how it ended. `dropped`: its request went no further than the call itself.
    fn settle(&mut self, dropped: bool, outcome: Result<Reply, CallError>) {
        self.is_over = true;
        let books = self.worker.books();
        match outcome {
            Err(CallError::Send(_)) if dropped => return books.note(Tally::CallsRefused),
            Err(CallError::SelfCall) if dropped => return books.note(Tally::SelfCalls),
            Ok(reply) => {
                reply.token.done();
                books.note(Tally::CallsAnswered);
            }
            Err(CallError::Timeout) => books.note(Tally::CallsTimedOut),
            Err(_) => books.note(Tally::CallsFailed),
        }
        if dropped {
            // By its target's policy: to the runtime it was sent.
            books.note(Tally::Out);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.worker.books().note(Tally::CallsAbandoned);
        }
    }
}

fn millis(random: &mut Random, from: u64, to: u64) -> Duration {
    Duration::from_micros(random.between(from * 1000, to * 1000))
}

impl Worker {
    /// One thing at random, drawn from the seed.
    pub(super) async fn act(&mut self, seed: u64, cx: &Context<'_>) -> ActorResult {
        let mut random = Random::for_actor(Some(seed), &["act"]);
        let dice = random.between(0, 119);
        match dice {
            0..=56 => self.send_something(dice, &mut random, cx),
            57..=75 => self.call_something(dice, &mut random, cx).await,
            76..=89 => self.wait_for_something(dice, &mut random, cx).await,
            90..=104 => self.relate(dice, &mut random, cx),
            _ => return self.end_something(dice, &mut random, cx).await,
        }
        Ok(())
    }

    fn a_small(&self, class: Class) -> Small {
        Small { token: self.token(class) }
    }

    fn send_something(&mut self, dice: u64, random: &mut Random, cx: &Context<'_>) {
        let hall = Arc::clone(self.hall());
        let place = random.next_u64();
        let Some(to) = hall.pid(place) else { return };
        match dice {
            0..=13 => post(cx, to, self.a_small(Class::Small)),
            14..=19 => post(cx, to, Big::new(self.books(), random.next_u64() | 1)),
            20..=23 => {
                let name = Hall::name_of((place % hall.population() as u64) as usize & !3);
                post(cx, name, self.a_small(Class::Addressed));
            }
            24..=27 => {
                let name = Hall::second_name_of((place % hall.population() as u64) as usize);
                post(cx, name, self.a_small(Class::Addressed));
            }
            28..=31 => {
                if let Some(alias) = hall.alias(place) {
                    post(cx, alias, self.a_small(Class::Addressed));
                }
            }
            32..=37 => {
                let priority = if dice < 35 { Priority::High } else { Priority::Max };
                let message = self.a_small(Class::Ranked);
                let (sent, _) = sending(number_of(&message), || cx.send_with(to, message, priority));
                settle(self.books(), sent);
            }
            38..=40 => {
                if let Some(ended) = hall.ended(place) {
                    post(cx, ended, self.a_small(Class::Ended));
                }
            }
            41..=44 => post(cx, to, Hop { token: self.token(Class::Forwarded), left: (dice - 40) as u32 }),
            45..=46 => post(cx, to, Unknown { token: self.token(Class::Unknown) }),
            47..=51 => self.arm(random, cx),
            52..=53 => self.repeat(random, cx),
            54 => {
                for _ in 0..16 {
                    post(cx, FLOODER, Echo { token: self.token(Class::Echo), left: 24 });
                }
            }
            _ => {
                for _ in 0..24 {
                    post(cx, to, self.a_small(Class::Small));
                }
            }
        }
    }

    /// A delayed send, sometimes disarmed.
    fn arm(&mut self, random: &mut Random, cx: &Context<'_>) {
        let Some(to) = self.hall().pid(random.next_u64()) else { return };
        let (message, delay) = (self.a_small(Class::Delayed), millis(random, 0, 15));
        match cx.send_after(to, message, delay) {
            Ok(timer) => {
                self.books().note(Tally::Armed);
                self.timers.push(timer);
            }
            Err(refused) => refused.into_inner().into_token().returned(),
        }
        if self.timers.len() > 3 {
            for timer in self.timers.drain(..) {
                cancelling(|| cx.cancel_timer(timer));
            }
        }
    }

    /// A repeated send; there is one at a time.
    fn repeat(&mut self, random: &mut Random, cx: &Context<'_>) {
        if let Some(interval) = self.interval.take() {
            cx.cancel_timer(interval);
        }
        let Some(to) = self.hall().pid(random.next_u64()) else { return };
        let message = Small { token: Token::template(self.books(), Class::Beat) };
        match cx.send_every(to, message, millis(random, 1, 8)) {
            Ok(interval) => self.interval = Some(interval),
            Err(refused) => refused.into_inner().into_token().returned(),
        }
    }

    async fn call_something(&mut self, dice: u64, random: &mut Random, cx: &Context<'_>) {
        let Some(to) = self.hall().pid(random.next_u64()) else { return };
        let timeout = millis(random, 2, 25);
        let defer = |later| Defer { token: self.token(Class::Ask), later, reply: Class::AskReply };
        match dice {
            57..=59 => self.call(to, self.an_ask(random), timeout, cx).await,
            60 => self.call(to, defer(Later::Keep), timeout, cx).await,
            61 => self.call(to, defer(Later::Drop), timeout, cx).await,
            62 => self.call(to, defer(Later::Refuse), timeout, cx).await,
            63..=64 => self.call(to, defer(Later::PassOn), timeout, cx).await,
            65..=66 => self.call(to, defer(Later::HandOn), timeout, cx).await,
            67 => self.call(to, self.unknown_call(), timeout, cx).await,
            68..=69 => self.call_two(random, cx).await,
            70 => self.abandon(random, cx),
            _ => self.request(random, cx),
        }
    }

    fn an_ask(&self, random: &mut Random) -> Ask {
        self.an_ask_of(Class::Ask, Class::AskReply, random)
    }

    fn an_ask_of(&self, class: Class, reply: Class, random: &mut Random) -> Ask {
        let manner = match random.between(0, 19) {
            0 => Manner::Panic,
            1 => Manner::End,
            2..=5 => Manner::AfterSleep,
            _ => Manner::AtOnce,
        };
        Ask { token: self.token(class), manner, reply }
    }

    fn unknown_call(&self) -> UnknownCall {
        UnknownCall { token: self.token(Class::Unknown) }
    }

    async fn call<M: Message<Reply = Reply> + Tokened>(
        &self,
        to: Pid,
        request: M,
        timeout: Duration,
        cx: &Context<'_>,
    ) {
        let mut watch = Watch { worker: self, is_over: false };
        let (call, dropped) = sending(number_of(&request), || cx.call_timeout(to, request, timeout));
        if !dropped {
            self.books().note(Tally::Out);
        }
        watch.settle(dropped, call.await);
    }

    /// Two calls on their way at once; the second answer may come while nobody looks.
    async fn call_two(&self, random: &mut Random, cx: &Context<'_>) {
        let targets = (self.hall().pid(random.next_u64()), self.hall().pid(random.next_u64()));
        let (Some(one), Some(two)) = targets else { return };
        let (first, second) = (self.an_ask(random), self.an_ask(random));
        let mut watches = [Watch { worker: self, is_over: false }, Watch { worker: self, is_over: false }];
        let (first, first_dropped) = sending(number_of(&first), || cx.call(one, first));
        let timeout = millis(random, 1, 20);
        let (second, second_dropped) =
            sending(number_of(&second), || cx.call_with(two, second, Priority::High, timeout));
        for dropped in [first_dropped, second_dropped] {
            if !dropped {
                self.books().note(Tally::Out);
            }
        }
        let [first_watch, second_watch] = &mut watches;
        if second_dropped {
            // Its outcome is there already, and must be seen before anything can cut this handler off.
            second_watch.settle(true, second.await);
            return first_watch.settle(first_dropped, first.await);
        }
        first_watch.settle(first_dropped, first.await);
        second_watch.settle(false, second.await);
    }

    /// A call that nobody waits for, to a mailbox without a bound.
    fn abandon(&self, random: &mut Random, cx: &Context<'_>) {
        let place = random.next_u64() % self.hall().population() as u64 / 8 * 8;
        let Some(to) = self.hall().pid(place).filter(|to| *to != cx.pid()) else { return };
        let request = self.an_ask(random);
        let (call, dropped) = sending(number_of(&request), || cx.call(to, request));
        self.books().note(if dropped { Tally::CallsRefused } else { Tally::Out });
        drop(call);
    }

    /// An asynchronous request, sometimes given up.
    fn request(&mut self, random: &mut Random, cx: &Context<'_>) {
        if self.requests.len() >= 4 {
            for request in self.requests.drain(..) {
                if cx.cancel_request(request) {
                    self.seat.hall().books.note(Tally::RequestsCancelled);
                }
            }
        }
        let Some(to) = self.hall().pid(random.next_u64()) else { return };
        let ask = self.an_ask_of(Class::Request, Class::RequestReply, random);
        let (label, timeout) = (cx.pid().local.0, millis(random, 2, 25));
        let (sent, _) = sending(number_of(&ask), || cx.request(to, ask, label, timeout));
        match sent {
            Ok(request) => {
                self.books().note(Tally::Out);
                self.books().note(Tally::Requests);
                if random.between(0, 7) > 0 {
                    self.requests.push(request);
                } else if cx.cancel_request(request) {
                    self.books().note(Tally::RequestsCancelled);
                }
            }
            Err(refused) => refused.into_inner().token.request_returned(),
        }
    }

    async fn wait_for_something(&mut self, dice: u64, random: &mut Random, cx: &Context<'_>) {
        match dice {
            76..=78 => cx.sleep(millis(random, 0, 8)).await,
            79..=80 => cx.yield_now().await,
            81..=85 => {
                // Places whose mailbox is bounded and rejects.
                let place = random.next_u64() % self.hall().population() as u64 / 8 * 8 + 4;
                let Some(to) = self.hall().pid(place).filter(|to| *to != cx.pid()) else { return };
                let (message, within) = (self.a_small(Class::Patient), millis(random, 0, 20));
                let number = number_of(&message);
                let sent = Waiting::with_message(number, cx.send_wait(to, message, within)).await;
                settle(self.books(), sent);
            }
            _ => {
                let Some(to) = self.hall().pid(random.next_u64()) else { return };
                let (message, within) = (self.a_small(Class::Important), millis(random, 0, 20));
                let number = number_of(&message);
                let sent = Waiting::without_message(number, cx.send_important(to, message, within)).await;
                match sent {
                    Ok(()) => self.books().note(Tally::Out),
                    Err(DeliveryError::Refused(refused)) => refused.into_inner().token.returned(),
                    Err(_) => {}
                }
            }
        }
    }

    fn relate(&mut self, dice: u64, random: &mut Random, cx: &Context<'_>) {
        let place = self.seat.place();
        let Some(other) = self.hall().pid(random.next_u64()) else { return };
        // What is refused here has nothing to do with messages: the target has ended, the link exists.
        match dice {
            90..=91 => _ = cx.link(other),
            92 => _ = cx.unlink(other),
            93..=95 => _ = cx.monitor(other),
            96 => _ = cx.demonitor(other),
            97 => _ = cx.monitor(Hall::name_of(place & !3).as_str()),
            98..=99 => {
                if let Some(alias) = self.alias.take() {
                    _ = cx.delete_alias(alias);
                }
                self.alias = cx.create_alias().ok();
                if let Some(alias) = self.alias {
                    self.hall().set_alias(place, alias);
                }
            }
            100 => {
                if let Some(alias) = self.hall().alias(random.next_u64()) {
                    _ = cx.monitor(alias);
                }
            }
            101..=102 if !Hall::has_name(place) => {
                if self.has_second_name {
                    self.has_second_name = cx.unregister().is_err();
                } else {
                    self.has_second_name = cx.register(&Hall::second_name_of(place)).is_ok();
                }
            }
            103 => cx.trap_exit(random.between(0, 1) == 0),
            _ => cx.set_env("soak", random.next_u64()),
        }
    }

    /// Somebody's end, often one's own.
    async fn end_something(&mut self, dice: u64, random: &mut Random, cx: &Context<'_>) -> ActorResult {
        let other = self.hall().pid(random.next_u64());
        match (dice, other) {
            (105..=107, Some(other)) => {
                self.books().note(Tally::Kills);
                cx.kill(other);
            }
            (108..=109, Some(other)) => _ = cx.exit(other, ExitReason::Shutdown),
            (110, Some(other)) => {
                _ = cx.link(other);
                return Err(ActorError::new(ExitReason::Shutdown));
            }
            (111, _) => {
                cx.kill(cx.pid());
                post(cx, cx.pid(), self.a_small(Class::Small));
            }
            (112, _) => {
                cx.kill(cx.pid());
                cx.sleep(millis(random, 0, 5)).await;
            }
            (113, _) => {
                post(cx, cx.pid(), self.a_small(Class::Small));
                self.panic();
            }
            (114, _) => {
                cx.sleep(millis(random, 0, 3)).await;
                self.panic();
            }
            (115..=116, _) => {
                post(cx, cx.pid(), self.a_small(Class::Small));
                return Err(ActorError::normal());
            }
            (117, _) => {
                // Sends to itself, to be cut off by its own urgent message and kill.
                let go = Go { token: self.token(Class::Go), seed: random.next_u64() };
                let (sent, _) = sending(number_of(&go), || cx.send_with(cx.pid(), go, Priority::Max));
                settle(self.books(), sent);
            }
            _ => cx.sleep(millis(random, 0, 4)).await,
        }
        Ok(())
    }
}

/// A call that nobody handles.
#[message(local, reply = Reply)]
struct UnknownCall {
    token: Token,
}

impl Tokened for UnknownCall {
    fn token(&self) -> &Token {
        &self.token
    }
    fn into_token(self) -> Token {
        self.token
    }
}
