//! Pools and routers: who gets a message, what happens when workers are full, end or are changed.

use crate::world::{World, both};
use shard_runtime::prelude::*;
use shard_runtime::{
    AddRoute, AddWorkers, CallError, DisableRoute, EnableRoute, Picking, Pool, PoolError, PoolStatus,
    RemoveRoute, RemoveWorkers, ReplaceRoute, RespawnRoute, RouteError, RouteSpec, RouteTo, Router, Routes,
    SendReason,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

#[message(local, reply = String)]
struct Who {
    kind: &'static str,
}
#[message(local)]
struct Work(u32);
#[message(local)]
struct Crash;
#[message(local, reply = u32)]
struct Hold;

struct Worker {
    kind: &'static str,
    tell: Sender<String>,
}

#[actor]
impl Worker {
    #[handle]
    fn who(&mut self, _: Who, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok(format!("{} {}", self.kind, cx.pid()))
    }
    #[handle]
    fn work(&mut self, m: Work, cx: &mut Context<'_>) -> ActorResult {
        self.tell.send(format!("{} {} {}", self.kind, m.0, cx.sender() == cx.core()))?;
        Ok(())
    }
    #[handle]
    fn crash(&mut self, _: Crash, _cx: &mut Context<'_>) -> ActorResult {
        panic!("told to")
    }
    #[handle]
    async fn hold(&mut self, _: Hold, cx: &mut Context<'_>) -> Result<u32, ActorError> {
        cx.sleep(Duration::from_millis(200)).await;
        Ok(1)
    }
}

fn worker(kind: &'static str, tell: &Sender<String>) -> impl Fn() -> Worker + Send + 'static {
    let tell = tell.clone();
    move || Worker { kind, tell: tell.clone() }
}

fn pool(
    world: &mut World,
    shard: u16,
    set: impl FnOnce(Pool) -> Pool + Send + 'static,
) -> (Pid, Receiver<String>) {
    let (tell, told) = channel();
    let make = worker("w", &tell);
    (world.spawn(shard, move || set(Pool::of(make)), SpawnOptions::named("pool")).unwrap(), told)
}

fn next(world: &mut World, told: &Receiver<String>) -> String {
    let mut found = None;
    world.until("a report", |_| {
        found = told.try_recv().ok();
        found.is_some()
    });
    found.unwrap()
}

fn value(world: &mut World, pid: Pid, key: &str) -> String {
    let entries = world.inspect(pid);
    let found = entries.iter().find(|(name, _)| name == key);
    found.unwrap_or_else(|| panic!("{key} is not among {entries:?}")).1.clone()
}

both! {
    fn a_pool_shares_its_work_out_and_answers_come_from_the_workers(world, other) {
        let (pool, told) = pool(world, other, |pool| pool.size(3));
        let mut workers: Vec<String> = (0..6).map(|_| world.call(pool, Who { kind: "" }).unwrap()).collect();
        workers.sort();
        workers.dedup();
        assert_eq!(workers.len(), 3);
        for n in 0..6 {
            world.send(pool, Work(n)).unwrap();
            assert_eq!(next(world, &told), format!("w {n} true"));
        }
        assert_eq!(value(world, pool, "messages_forwarded"), "12");
        assert_eq!(value(world, pool, "ergo:pool_size"), "3");
        assert_eq!(world.process(pool).unwrap().kind, "pool");
    }

    fn a_worker_that_ends_is_replaced_in_its_slot(world, other) {
        let (pool, told) = pool(world, other, |pool| pool.size(2));
        for round in 0..4_u64 {
            world.send(pool, Crash).unwrap();
            world.until("it is replaced", |world| {
                let stats = world.call(pool, PoolStatus).unwrap();
                stats.restarts == round + 1 && stats.running == 2 && stats.size == 2
            });
        }
        for n in 0..4 {
            world.send(pool, Work(n)).unwrap();
            next(world, &told);
        }
        assert_eq!(world.call(pool, PoolStatus).unwrap().unhandled, 0);
    }

    fn a_pool_grows_and_shrinks_without_losing_what_is_queued(world, other) {
        let (pool, told) = pool(world, other, |pool| pool.size(1));
        assert_eq!(world.call(pool, AddWorkers(3)).unwrap(), Ok(4));
        for n in 0..100 {
            world.send(pool, Work(n)).unwrap();
        }
        assert_eq!(world.call(pool, RemoveWorkers(3)).unwrap(), Ok(1));
        assert_eq!(world.call(pool, RemoveWorkers(1)).unwrap(), Err(PoolError::Empty { size: 1 }));
        for _ in 0..100 {
            next(world, &told);
        }
        world.until("the others are gone", |world| world.counters().processes == 2);
        assert_eq!(world.call(pool, PoolStatus).unwrap().restarts, 0);
        world.kill(pool);
        world.until("its workers end with it", |world| world.counters().processes == 0);
    }

    fn a_full_pool_waits_and_its_own_bound_tells_the_senders(world, other) {
        let (tell, told) = channel();
        let make = worker("w", &tell);
        let options = SpawnOptions::named("pool").with_mailbox(4);
        let pool = world.spawn(other, move || Pool::of(make).size(2).worker_mailbox(1).picking(Picking::LeastLoaded), options).unwrap();
        // Both workers are held, with one message queued each; one is in the pool's hand, four in its mailbox.
        let mut accepted = 0;
        for _ in 0..2 {
            world.send(pool, Hold).unwrap();
            accepted += 1;
        }
        world.until("both are held", |world| world.call(pool, PoolStatus).unwrap().forwarded == 2);
        let mut refused = None;
        for n in 0..50 {
            match world.send(pool, Work(n)) {
                Ok(()) => accepted += 1,
                Err(error) => { refused = Some(error.reason); break }
            }
        }
        assert_eq!(refused, Some(SendReason::MailboxFull), "{:?} {:?}", world.process(pool), world.facts(pool));
        for _ in 2..accepted {
            next(world, &told);
        }
        world.until("all were handed on", |world| world.call(pool, PoolStatus).is_ok_and(|stats| stats.forwarded == accepted));
        assert_eq!(world.call(pool, PoolStatus).unwrap().unhandled, 0);
    }

    fn a_router_sends_each_message_its_way(world, other) {
        let (tell, told) = channel();
        let (one, two) = (worker("one", &tell), worker("two", &tell));
        let router = move || {
            let choose = |m: &shard_runtime::Incoming<'_>| match (m.get::<Who>(), m.get::<Work>()) {
                (Some(who), _) => RouteTo::name(who.kind),
                (None, Some(work)) if work.0 < 10 => RouteTo::name("one"),
                (None, Some(work)) if work.0 < 20 => RouteTo::name("two"),
                (None, Some(work)) if work.0 < 30 => RouteTo::name("named"),
                (None, Some(_)) => RouteTo::Discard,
                (None, None) => RouteTo::name("one"),
            };
            Router::new(choose)
                .route(RouteSpec::new("one", one))
                .route(RouteSpec::new("two", two))
                .on_failed(|failed, cx| {
                    let n = failed.message.get::<Work>().map(|work| work.0);
                    cx.send("listener", Work(1000 + n.unwrap_or(0))).unwrap();
                })
        };
        let router = world.spawn(other, router, SpawnOptions::new()).unwrap();
        let listener = worker("listener", &tell);
        world.spawn(0, listener, SpawnOptions::named("listener")).unwrap();
        for (n, text) in [(1, "one 1 true"), (11, "two 11 true"), (21, "listener 1021 false")] {
            world.send(router, Work(n)).unwrap();
            assert_eq!(next(world, &told), text);
        }
        let named = worker("named", &tell);
        world.spawn(0, named, SpawnOptions::named("named")).unwrap();
        world.send(router, Work(22)).unwrap();
        assert_eq!(next(world, &told), "named 22 true");
        world.send(router, Work(99)).unwrap();
        assert_eq!(world.call(router, Who { kind: "nobody" }), Err(CallError::Send(SendReason::NoProcess)));
        assert!(world.call(router, Who { kind: "two" }).unwrap().starts_with("two "));

        assert_eq!(world.call(router, DisableRoute("two".into())).unwrap(), Ok(()));
        world.until("its worker has ended", |world| world.call(router, Routes).unwrap()[1].pid.is_none());
        assert_eq!(world.call(router, Who { kind: "two" }), Err(CallError::Disabled));
        assert_eq!(world.call(router, RespawnRoute("two".into())).unwrap(), Err(RouteError::Disabled));
        assert_eq!(world.call(router, EnableRoute("two".into())).unwrap(), Ok(()));
        assert!(world.call(router, Who { kind: "two" }).unwrap().starts_with("two "));
        let three = worker("three", &tell);
        assert_eq!(world.call(router, ReplaceRoute(RouteSpec::new("two", three))).unwrap(), Ok(()));
        world.until("it is replaced", |world| {
            world.call(router, Who { kind: "two" }).is_ok_and(|who| who.starts_with("three "))
        });
        let again = worker("again", &tell);
        assert_eq!(world.call(router, AddRoute(RouteSpec::new("one", again))).unwrap(), Err(RouteError::Duplicate));
        assert_eq!(world.call(router, RespawnRoute("one".into())).unwrap(), Err(RouteError::Running));
        assert_eq!(world.call(router, RemoveRoute("two".into())).unwrap(), Ok(()));
        assert_eq!(world.call(router, RemoveRoute("nothing".into())).unwrap(), Ok(()));
        world.until("it is gone", |world| world.call(router, Routes).unwrap().len() == 1);
        assert_eq!(value(world, router, "discarded"), "1");
        assert_eq!(value(world, router, "routes_total"), "1");
    }

    fn a_route_whose_worker_keeps_ending_rests_until_it_is_respawned(world, other) {
        let (tell, _told) = channel();
        let one = worker("one", &tell);
        let router = move || Router::new(|_| RouteTo::name("one")).route(RouteSpec::new("one", one));
        let router = world.spawn(other, router, SpawnOptions::new()).unwrap();
        for restarts in 1..=5_u64 {
            world.send(router, Crash).unwrap();
            world.until("it is replaced", |world| value(world, router, "restarts") == restarts.to_string());
        }
        world.send(router, Crash).unwrap();
        world.until("it rests", |world| world.call(router, Routes).unwrap()[0].pid.is_none());
        assert_eq!(world.call(router, Who { kind: "one" }), Err(CallError::Send(SendReason::NoProcess)));
        assert_eq!(world.call(router, RespawnRoute("one".into())).unwrap(), Ok(()));
        assert!(world.call(router, Who { kind: "one" }).is_ok());
    }
}
