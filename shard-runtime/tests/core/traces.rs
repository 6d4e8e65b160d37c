//! Traces inside one node: what carries them, what does not, and that nothing of them is left behind.

use crate::world::{Act, ActAsync, Note, Stop, World, both};
use shard_runtime::prelude::*;
use shard_runtime::testing::Bed;
use shard_runtime::{
    AddWorkers, Event, EventOptions, ExitSignal, Fallback, OnFull, Pool, Priority, Response, RouteSpec,
    RouteTo, Router, TraceContext,
};
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);
/// What a scribe writes of messages that have no number.
const EXIT: u32 = 900;
const EVENT: u32 = 901;
const RESPONSE: u32 = 902;
const FALLBACK: u32 = 903;
const TERMINATE: u32 = 904;

#[message(local)]
#[derive(Clone, Debug)]
struct Mark(u32);
/// Nobody has a handler for it.
#[message(local)]
struct Strange;
/// Where its handler is.
#[message(local, reply = Option<TraceContext>)]
struct Where;
/// Asks the next, and answers with all places from here on.
#[message(local, reply = Vec<TraceContext>)]
struct Chain(Vec<Pid>);
#[message(local)]
struct Rounds {
    id: u32,
    rounds: u32,
    to: Pid,
}
#[message(local, reply = ())]
struct Crash;

type Seen = (u32, Option<TraceContext>);

/// Writes down in which context it handles what.
struct Scribe {
    tell: Sender<Seen>,
    first: Option<Pid>,
}

#[actor]
impl Scribe {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(first) = self.first {
            assert_eq!(cx.begin_trace(), None, "nothing is traced in `init`");
            cx.set_trace(TraceContext::new(1, 1, true));
            assert_eq!(cx.trace(), None);
            cx.send(first, Mark(0))?;
        }
        Ok(())
    }
    fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<'_>) {
        assert_eq!(cx.begin_trace(), None, "nothing is traced in `terminate`");
        self.write(TERMINATE, cx);
    }
    #[handle]
    fn mark(&mut self, m: Mark, cx: &mut Context<'_>) -> ActorResult {
        self.write(m.0, cx);
        Ok(())
    }
    #[handle]
    fn place(&mut self, _: Where, cx: &mut Context<'_>) -> Result<Option<TraceContext>, ActorError> {
        Ok(cx.trace())
    }
    #[handle]
    async fn chain(&mut self, m: Chain, cx: &mut Context<'_>) -> Result<Vec<TraceContext>, ActorError> {
        let mut rest = m.0;
        let own = cx.trace().ok_or_else(ActorError::normal)?;
        let mut places = vec![own];
        if let Some(next) = rest.pop() {
            places.extend(cx.call(next, Chain(rest)).await?);
        }
        assert_eq!(cx.trace(), Some(own), "its own, after the call");
        Ok(places)
    }
    #[handle]
    async fn rounds(&mut self, m: Rounds, cx: &mut Context<'_>) -> ActorResult {
        let own = if m.id.is_multiple_of(3) { None } else { cx.begin_trace() };
        for round in 0..m.rounds {
            assert_eq!(cx.trace(), own, "{} in round {round}", m.id);
            match round % 3 {
                0 => cx.yield_now().await,
                1 => cx.sleep(Duration::from_millis(1)).await,
                _ => drop(cx.call(m.to, Where).await?.map(|place| check_child(Some(place), own))),
            }
        }
        cx.send(m.to, Mark(m.id))?;
        self.write(m.id, cx);
        Ok(())
    }
    #[handle]
    fn crash(&mut self, _: Crash, cx: &mut Context<'_>) -> Result<(), ActorError> {
        cx.begin_trace();
        panic!("told to")
    }
    #[handle]
    fn event(&mut self, _: Event<Note>, cx: &mut Context<'_>) -> ActorResult {
        self.write(EVENT, cx);
        Ok(())
    }
    #[handle]
    fn exit(&mut self, _: ExitSignal, cx: &mut Context<'_>) -> ActorResult {
        self.write(EXIT, cx);
        Ok(())
    }
    #[handle]
    fn response(&mut self, m: Response<Where>, cx: &mut Context<'_>) -> ActorResult {
        let there = m.result.ok().flatten();
        self.write(RESPONSE, cx);
        let _nobody_listens = self.tell.send((RESPONSE, there));
        Ok(())
    }
    #[handle]
    fn fallback(&mut self, m: Fallback, cx: &mut Context<'_>) -> ActorResult {
        assert!(m.message.is::<Mark>(), "it is the message itself");
        self.write(FALLBACK, cx);
        Ok(())
    }
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    async fn act_async(&mut self, m: ActAsync, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx).await)
    }
    #[handle]
    fn stop(&mut self, _: Stop, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

impl Scribe {
    fn write(&self, number: u32, cx: &Context<'_>) {
        let _nobody_listens = self.tell.send((number, cx.trace()));
    }
}

struct Book(Receiver<Seen>);

impl Book {
    fn next(&self, world: &mut World) -> Seen {
        let mut found = None;
        world.until("something is written", |_| {
            found = self.0.try_recv().ok();
            found.is_some()
        });
        found.unwrap()
    }
}

fn scribe(world: &mut World, shard: u16, options: SpawnOptions) -> (Pid, Book) {
    let (tell, seen) = channel();
    (world.start(shard, move || Scribe { tell, first: None }, options).unwrap(), Book(seen))
}

fn check_child(place: Option<TraceContext>, parent: Option<TraceContext>) {
    let (place, parent) = (place.expect("a trace"), parent.expect("a parent"));
    assert_eq!((place.trace_id(), place.flags()), (parent.trace_id(), parent.flags()));
    assert_eq!(place.parent_span(), Some(parent.span_id()));
    assert_ne!(place.span_id(), parent.span_id());
}

/// Runs something in a handler that has begun a trace; the context.
fn in_trace(
    world: &mut World,
    who: Pid,
    act: impl FnOnce(&mut Context<'_>) + Send + 'static,
) -> Option<TraceContext> {
    let (tell, told) = channel();
    world.run(who, move |cx| {
        assert_eq!(cx.trace(), None);
        let own = cx.begin_trace();
        assert_eq!((cx.trace(), own.and_then(|own| own.parent_span())), (own, None));
        act(cx);
        tell.send(own).unwrap();
        String::new()
    });
    told.recv().unwrap()
}

/// No message of a trace is left anywhere.
fn until_none_is_held(world: &mut World) {
    world.until("nothing of traces is held", |world| world.counters().traces_held == 0);
    assert_eq!(world.counters().traces_dropped, 0);
}

both! {
    fn whatever_a_handler_sends_carries_its_trace(world, other) {
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        for name in ["target", "alone"] {
            let options = SpawnOptions::named(name);
            let options = if name == "alone" { options.dedicated_thread() } else { options };
            let (target, book) = scribe(world, other, options);
            let own = in_trace(world, sender, move |cx| {
                cx.send(target, Mark(1)).unwrap();
                cx.send(name, Mark(2)).unwrap();
                cx.send((name, cx.node_name()), Mark(3)).unwrap();
                cx.send_with(target, Mark(4), Priority::Normal).unwrap();
                cx.forward(target, Mark(5)).unwrap();
                cx.send_after(target, Mark(90), Duration::from_millis(1)).unwrap();
                cx.set_trace(None);
                assert_eq!(cx.trace(), None);
                cx.send(target, Mark(6)).unwrap();
                let foreign = TraceContext::new(0xabc, 0xdef, false);
                cx.set_trace(foreign);
                assert_eq!(cx.trace(), foreign);
                cx.send(target, Mark(7)).unwrap();
            });
            let mut spans = HashSet::new();
            for number in 1..=5 {
                let seen = book.next(world);
                assert_eq!(seen.0, number, "in order");
                check_child(seen.1, own);
                assert!(spans.insert(seen.1.unwrap().span_id()), "each has a span of its own");
            }
            assert_eq!(book.next(world), (6, None));
            let (number, foreign) = book.next(world);
            let foreign = foreign.unwrap();
            assert_eq!((number, foreign.trace_id(), foreign.parent_span()), (7, 0xabc, Some(0xdef)));
            assert!(!foreign.is_sampled());
            world.pass(Duration::from_millis(10));
            assert_eq!(book.next(world), (90, None), "delayed messages are in no trace");
        }
        until_none_is_held(world);
    }

    fn a_process_alone_on_its_thread_sends_its_trace_too(world, other) {
        let (target, book) = scribe(world, other, SpawnOptions::new());
        let (sender, own_book) = scribe(world, 0, SpawnOptions::new().dedicated_thread());
        let own = in_trace(world, sender, move |cx| {
            cx.send(target, Mark(1)).unwrap();
            cx.send(cx.pid(), Mark(2)).unwrap();
        });
        for (book, number) in [(&book, 1), (&own_book, 2)] {
            let seen = book.next(world);
            assert_eq!(seen.0, number);
            check_child(seen.1, own);
        }
        until_none_is_held(world);
    }

    fn sends_that_wait_and_important_ones_carry_it(world, other) {
        let (target, book) = scribe(world, other, SpawnOptions::new().with_mailbox(8));
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        let done = world.run_async(sender, move |cx| Box::pin(async move {
            let own = cx.begin_trace();
            cx.send_wait(target, Mark(1), LONG).await.unwrap();
            cx.send_important(target, Mark(2), LONG).await.unwrap();
            assert_eq!(cx.trace(), own);
            own.unwrap().to_string()
        })).unwrap();
        let own: TraceContext = done.parse().unwrap();
        for number in 1..=2 {
            let seen = book.next(world);
            assert_eq!(seen.0, number);
            check_child(seen.1, Some(own));
        }
        until_none_is_held(world);
    }

    fn a_chain_of_calls_is_a_chain_of_spans(world, other) {
        let mut chain = Vec::new();
        for shard in [0, other, 0, other] {
            chain.push(scribe(world, shard, SpawnOptions::new()).0);
        }
        chain.push(scribe(world, other, SpawnOptions::new().dedicated_thread()).0);
        chain.push(scribe(world, 0, SpawnOptions::new()).0);
        let first = chain.pop().unwrap();
        let (sender, _book) = scribe(world, other, SpawnOptions::new());
        let length = chain.len() + 1;
        world.run_async(sender, move |cx| Box::pin(async move {
            let own = cx.begin_trace().unwrap();
            let places = cx.call(first, Chain(chain)).await.unwrap();
            assert_eq!(places.len(), length);
            let mut parent = own;
            for place in places {
                check_child(Some(place), Some(parent));
                parent = place;
            }
            assert_eq!(cx.trace(), Some(own), "a reply changes nothing for the caller");
            String::new()
        })).unwrap();
        until_none_is_held(world);
    }

    fn the_response_to_a_request_is_handled_in_its_trace(world, other) {
        let (target, _book) = scribe(world, other, SpawnOptions::new());
        for options in [SpawnOptions::new(), SpawnOptions::new().dedicated_thread()] {
            let (asker, book) = scribe(world, 0, options);
            let own = in_trace(world, asker, move |cx| {
                cx.request(target, Where, 1, LONG).unwrap();
            });
            let (number, response) = book.next(world);
            assert_eq!(number, RESPONSE);
            check_child(response, own);
            let (_, there) = book.next(world);
            check_child(there, own);
            assert_ne!(there, response, "two spans");
            world.run(asker, move |cx| {
                cx.request(target, Where, 1, LONG).unwrap();
                String::new()
            });
            assert_eq!(book.next(world), (RESPONSE, None));
            assert_eq!(book.next(world), (RESPONSE, None));
        }
        until_none_is_held(world);
    }

    fn init_terminate_and_exits_are_in_no_trace(world, other) {
        let (watcher, book) = scribe(world, other, SpawnOptions::new().trap_exit());
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        in_trace(world, sender, move |cx| {
            cx.exit(watcher, ExitReason::Shutdown).unwrap();
            let (tell, _never) = channel();
            cx.spawn(move || Scribe { tell, first: Some(watcher) }, SpawnOptions::new()).unwrap();
        });
        let mut seen = [book.next(world), book.next(world)];
        seen.sort_by_key(|seen| seen.0);
        assert_eq!(seen, [(0, None), (EXIT, None)]);
        in_trace(world, watcher, |cx| {
            cx.send(cx.pid(), Stop).unwrap();
        });
        assert_eq!(book.next(world), (TERMINATE, None));
        until_none_is_held(world);
    }

    fn publications_are_in_no_trace(world, other) {
        let (publisher, _book) = scribe(world, 0, SpawnOptions::new());
        let (near, near_book) = scribe(world, 0, SpawnOptions::new());
        let (far, far_book) = scribe(world, other, SpawnOptions::new());
        let (tell, told) = channel();
        world.run(publisher, move |cx| {
            tell.send(cx.register_event::<Note>("notes", EventOptions::default()).unwrap()).unwrap();
            String::new()
        });
        let topic = told.recv().unwrap();
        for subscriber in [near, far] {
            world.run(subscriber, |cx| {
                cx.subscribe::<Note>("notes").unwrap();
                String::new()
            });
        }
        world.until("both are subscribed", |world| world.events().iter().all(|event| event.subscribers == 2));
        in_trace(world, publisher, move |cx| cx.publish(&topic, Note(1)).unwrap());
        assert_eq!(near_book.next(world), (EVENT, None));
        assert_eq!(far_book.next(world), (EVENT, None));
        until_none_is_held(world);
    }

    fn handlers_that_wait_keep_their_own_context(world, other) {
        let (target, book) = scribe(world, other, SpawnOptions::new());
        let mut books = Vec::new();
        for id in 1..=12 {
            let options = if id == 12 { SpawnOptions::new().dedicated_thread() } else { SpawnOptions::new() };
            let (keeper, own) = scribe(world, 0, options);
            world.send(keeper, Rounds { id, rounds: 9, to: target }).unwrap();
            books.push((id, own));
        }
        world.pass(Duration::from_millis(100));
        let mut arrived = std::collections::HashMap::new();
        for _ in 1..=12 {
            let (id, place) = book.next(world);
            arrived.insert(id, place);
        }
        let mut traces = HashSet::new();
        for (id, own) in books {
            let (number, place) = own.next(world);
            assert_eq!(number, id);
            assert_eq!(place.is_none(), id % 3 == 0);
            match place {
                None => assert_eq!(arrived[&id], None),
                Some(place) => {
                    check_child(arrived[&id], Some(place));
                    assert!(traces.insert(place.trace_id()), "each has a trace of its own");
                }
            }
        }
        until_none_is_held(world);
    }

    fn a_context_that_is_set_while_a_handler_waits_lasts_to_its_end(world, other) {
        let (target, book) = scribe(world, other, SpawnOptions::new());
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        let own = world.run_async(sender, move |cx| Box::pin(async move {
            cx.yield_now().await;
            let own = cx.begin_trace();
            cx.yield_now().await;
            cx.send(target, Mark(1)).unwrap();
            cx.set_trace(None);
            cx.yield_now().await;
            assert_eq!(cx.trace(), None);
            cx.send(target, Mark(2)).unwrap();
            cx.set_trace(own);
            own.unwrap().to_string()
        })).unwrap();
        let own: TraceContext = own.parse().unwrap();
        let seen = book.next(world);
        assert_eq!(seen.0, 1);
        check_child(seen.1, Some(own));
        assert_eq!(book.next(world), (2, None));
        assert_eq!(world.call(sender, Where).unwrap(), None, "the next message sees none of it");
        until_none_is_held(world);
    }

    fn each_of_a_thousand_has_exactly_its_own_context(world, other) {
        let (near, near_book) = scribe(world, 0, SpawnOptions::new());
        let (far, far_book) = scribe(world, other, SpawnOptions::new().with_mailbox(4096));
        let (alone, alone_book) = scribe(world, other, SpawnOptions::new().dedicated_thread());
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        world.run(sender, move |cx| {
            for number in 1..=1_000_u32 {
                cx.set_trace(TraceContext::new(number.into(), number.into(), true).filter(|_| !number.is_multiple_of(3)));
                for to in [near, far, alone] {
                    cx.send(to, Mark(number)).unwrap();
                }
            }
            String::new()
        });
        for book in [near_book, far_book, alone_book] {
            for number in 1..=1_000_u32 {
                let (seen, place) = book.next(world);
                assert_eq!(seen, number, "in order");
                let ids = place.map(|place| (place.trace_id(), place.parent_span()));
                let expected = (!number.is_multiple_of(3)).then(|| (number.into(), Some(number.into())));
                assert_eq!(ids, expected);
            }
        }
        until_none_is_held(world);
    }

    fn priorities_and_options_hold_within_a_trace(world, other) {
        let (target, book) = scribe(world, other, SpawnOptions::new());
        let (sender, _book) = scribe(world, 0, SpawnOptions::new().with_send_priority(Priority::High));
        world.hold(target);
        let own = in_trace(world, sender, move |cx| {
            cx.send_with(target, Mark(3), Priority::Normal).unwrap();
            cx.send(target, Mark(2)).unwrap();
            cx.send_with(target, Mark(1), Priority::Max).unwrap();
        });
        world.until("they wait", |world| world.process(target).is_some_and(|process| process.mailbox == 3));
        world.cancel_waits(target);
        for number in 1..=3 {
            let seen = book.next(world);
            assert_eq!(seen.0, number);
            check_child(seen.1, own);
        }
        until_none_is_held(world);
    }

    fn a_killed_process_leaves_nothing_of_what_it_had_queued(world, other) {
        for options in [SpawnOptions::new(), SpawnOptions::new().dedicated_thread()] {
            let (target, _book) = scribe(world, other, options);
            let (sender, _book) = scribe(world, 0, SpawnOptions::new());
            world.hold(target);
            in_trace(world, sender, move |cx| {
                for number in 0..500 {
                    cx.send(target, Mark(number)).unwrap();
                }
            });
            world.until("they wait", |world| world.process(target).is_some_and(|process| process.mailbox == 500));
            world.until("they are seen", |world| world.counters().traces_held == 500);
            world.kill(target);
            world.until_gone(target);
            until_none_is_held(world);
        }
    }

    fn what_mailboxes_drop_and_nobody_handles_leaves_nothing(world, other) {
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        for policy in [OnFull::DropOldest, OnFull::DropNewest, OnFull::Reject] {
            let (target, book) = scribe(world, other, SpawnOptions::new().with_mailbox(2).on_full(policy));
            world.hold(target);
            let own = in_trace(world, sender, move |cx| {
                for number in 1..=5 {
                    let refused = cx.send(target, Mark(number));
                    assert_eq!(refused.is_err(), policy == OnFull::Reject && number > 2);
                    if let Err(refused) = refused {
                        assert_eq!(refused.into_inner().0, number, "it comes back");
                    }
                }
            });
            world.cancel_waits(target);
            let kept = if policy == OnFull::DropOldest { [4, 5] } else { [1, 2] };
            for number in kept {
                let seen = book.next(world);
                assert_eq!(seen.0, number);
                check_child(seen.1, own);
            }
        }
        let (target, book) = scribe(world, other, SpawnOptions::new());
        let own = in_trace(world, sender, move |cx| {
            cx.send(target, Strange).unwrap();
            cx.send(target, Mark(1)).unwrap();
        });
        check_child(book.next(world).1, own);
        assert_eq!(world.counters().unhandled, 1);
        until_none_is_held(world);
    }

    fn a_fallback_gets_the_message_itself_in_its_trace(world, other) {
        let (_holder, holder_book) = scribe(world, 0, SpawnOptions::named("holder"));
        let bounded = SpawnOptions::new().with_mailbox(1).with_fallback("holder", "tag");
        let (target, _target_book) = scribe(world, other, bounded);
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        world.hold(target);
        let own = in_trace(world, sender, move |cx| {
            cx.send(target, Mark(1)).unwrap();
            cx.send(target, Mark(2)).unwrap();
        });
        let seen = holder_book.next(world);
        assert_eq!(seen.0, FALLBACK);
        check_child(seen.1, own);
        world.kill(target);
        world.until_gone(target);
        until_none_is_held(world);
    }

    fn pools_and_routers_hand_the_trace_on(world, other) {
        let (tell, seen) = channel();
        let book = Book(seen);
        let worker = {
            let tell = tell.clone();
            move || Scribe { tell: tell.clone(), first: None }
        };
        let routed = worker.clone();
        let pool = world.spawn(other, move || Pool::of(worker).size(1), SpawnOptions::new()).unwrap();
        let router = move || {
            let choose = |message: &shard_runtime::Incoming<'_>| {
                assert!(message.get::<Mark>().is_some(), "a router sees the message itself");
                RouteTo::name("only")
            };
            Router::new(choose).route(RouteSpec::new("only", routed))
        };
        let router = world.spawn(0, router, SpawnOptions::new()).unwrap();
        let (sender, _book) = scribe(world, 0, SpawnOptions::new());
        let own = in_trace(world, sender, move |cx| {
            cx.send(pool, Mark(1)).unwrap();
            cx.send(router, Mark(2)).unwrap();
        });
        for _ in 0..2 {
            let (number, place) = book.next(world);
            let (place, own) = (place.unwrap(), own.unwrap());
            assert_eq!(place.trace_id(), own.trace_id(), "{number}");
            assert!(place.parent_span().is_some_and(|parent| parent != own.span_id()), "pool and router have spans");
        }
        let more = world.run_async(sender, move |cx| Box::pin(async move {
            cx.begin_trace();
            format!("{:?}", cx.call(pool, AddWorkers(1)).await.is_ok())
        }));
        assert_eq!(more.unwrap(), "true", "what manages a pool is not handed on");
        world.send(pool, Mark(3)).unwrap();
        assert_eq!(book.next(world), (3, None));
        until_none_is_held(world);
    }

    fn a_handler_that_panics_takes_its_trace_with_it(world, other) {
        let (target, book) = scribe(world, 0, SpawnOptions::new());
        for options in [SpawnOptions::new(), SpawnOptions::new().dedicated_thread()] {
            let (victim, _book) = scribe(world, 0, options);
            assert!(world.call(victim, Crash).is_err());
            let (waiting, _book) = scribe(world, 0, SpawnOptions::new());
            let crashed = world.run_async(waiting, |cx| Box::pin(async move {
                cx.begin_trace();
                cx.yield_now().await;
                panic!("told to")
            }));
            assert!(crashed.is_err());
            let (sender, _book) = scribe(world, 0, SpawnOptions::new());
            world.run(sender, move |cx| {
                assert_eq!(cx.trace(), None);
                cx.send(target, Mark(1)).unwrap();
                String::new()
            });
            assert_eq!(book.next(world), (1, None));
        }
        let _ = other;
        until_none_is_held(world);
    }
}

#[test]
fn a_test_bed_sees_what_is_sent_in_a_trace() {
    let mut bed = Bed::new(3).unwrap();
    bed.watch::<Mark>();
    let probe = bed.probe();
    let (tell, _seen) = channel();
    let sender = bed.spawn(move || Scribe { tell, first: None }, SpawnOptions::new()).unwrap();
    let to = probe.pid();
    let act = Act(Box::new(move |cx| {
        cx.begin_trace();
        cx.send(to, Mark(7)).unwrap();
        String::new()
    }));
    bed.call(sender, act).unwrap();
    assert_eq!(bed.expect::<Mark>(&probe).message.0, 7, "a probe gets the message itself");
    bed.sent::<Mark>().from(sender).to(to).once();
}

#[test]
fn a_simulation_repeats_its_ids() {
    let ids = || {
        let mut world = World::simulated(2);
        let (sender, _book) = scribe(&mut world, 1, SpawnOptions::new());
        in_trace(&mut world, sender, |_| ()).unwrap()
    };
    assert_eq!(ids(), ids());
}
