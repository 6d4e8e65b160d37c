//! What `#[actor]` emits compiles under the workspace's lints and dispatches, on a fake runtime that keeps the contract.

#[path = "emit/fake.rs"]
mod fake;

use fake::__private::{Actor, Batch, Closed, Env, Exit, Inspect, Message};
use fake::{ActorError, ActorResult, Context, ExitReason, ReplyTo, Trace};
use shard_runtime_macros::{actor, handle};

macro_rules! messages {
    ($($name:ident $(($field:ty))? -> $reply:ty;)*) => {$(
        struct $name $(($field))?;
        impl Message for $name { type Reply = $reply; }
    )*};
}
messages! {
    Add(i64) -> ();
    Total -> i64;
    AskBoth(i64) -> i64;
    Later(i64) -> String;
    LaterStill(i64) -> String;
    Hidden(i64) -> ();
    Fail -> ();
    Stray -> ();
    Off -> ();
    Echoed(i64) -> i64;
}

/// Suspends once.
async fn elsewhere(value: i64) -> i64 {
    let mut first = true;
    std::future::poll_fn(|task| {
        if std::mem::take(&mut first) {
            task.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(value)
    })
    .await
}

macro_rules! hidden {
    ($value:expr) => {
        elsewhere($value).await
    };
}

#[derive(Default)]
struct Counter {
    total: i64,
}

#[actor(crate = fake)]
impl Counter {
    const STEP: i64 = 1;

    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.note("init");
        self.total = elsewhere(self.total).await;
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<'_>) {
        cx.note(format!("terminate: {}", reason.0));
    }

    /// Documented, and allowed to be slow.
    #[handle]
    #[inline]
    async fn add(&mut self, Add(n): Add, _cx: &mut Context<'_>) -> ActorResult {
        self.total += n * Self::STEP;
        assert!(n != 99, "{}", format!("{n}"));
        Ok(())
    }

    #[handle]
    fn total(&mut self, _: Total, _cx: &mut Context<'_>) -> Result<i64, ActorError> {
        Ok(self.total)
    }

    #[handle]
    async fn ask(&mut self, m: AskBoth, _cx: &mut Context<'_>) -> Result<i64, ActorError> {
        self.total += elsewhere(m.0).await + elsewhere(m.0).await;
        Ok(self.double())
    }

    #[handle]
    fn later(&mut self, m: Later, reply: ReplyTo<String>, _cx: &mut Context<'_>) -> ActorResult {
        reply.send(format!("later {}", m.0));
        Ok(())
    }

    #[handle]
    async fn later_still(
        &mut self,
        m: LaterStill,
        reply: ReplyTo<String>,
        _: &mut Context<'_>,
    ) -> ActorResult {
        reply.send(format!("later still {}", elsewhere(m.0).await));
        Ok(())
    }

    #[shard_runtime_macros::handle]
    async fn hidden(&mut self, m: Hidden, _: &mut Context<'_>) -> ActorResult {
        self.total = hidden!(m.0);
        Ok(())
    }

    #[handle]
    fn fail(&mut self, _: Fail, _: &mut Context<'_>) -> ActorResult {
        Err(ActorError("failed"))
    }

    #[cfg(not(test))]
    #[handle]
    fn off(&mut self, _: Off, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    fn inspect(&self, out: &mut Inspect) {
        out.0.push(("total", self.total));
    }

    const fn double(&self) -> i64 {
        self.total * 2
    }
}

fn activate<A: Actor>(
    actor: &mut A,
    queue: impl IntoIterator<Item = Env>,
    f: fn(Batch<'_, A>) -> Closed<'_>,
) -> (Exit, Vec<String>) {
    let trace = Trace::default();
    let exit = f(Batch { actor, queue: queue.into_iter().collect(), trace: trace.clone() }).exit();
    (exit, trace.take())
}

fn env<M: Message>(message: M) -> Env {
    Env::new(message, false)
}

#[test]
fn every_kind_of_handler_is_run_by_its_own_arm() {
    let mut counter = Counter::default();
    let queue = [
        env(Add(2)),
        env(Total),
        env(AskBoth(10)),
        env(Later(3)),
        env(LaterStill(4)),
        env(Hidden(5)),
        env(Total),
    ];
    let (exit, trace) = activate(&mut counter, queue, Counter::dispatch);
    assert_eq!(exit, Exit::Continue);
    assert_eq!(
        trace,
        [
            "ready: Ok(())",
            "plain: Ok(2)",
            "run: Ok(44)",
            "answer: \"later 3\"",
            "deferred: Ok(())",
            "answer: \"later still 4\"",
            "deferred_run: Ok(())",
            "run: Ok(())",
            "plain: Ok(5)",
            "close, 0 left",
        ]
    );
}

#[test]
fn a_failed_handler_closes_the_batch_with_the_rest_unread() {
    let (exit, trace) =
        activate(&mut Counter::default(), [env(Add(1)), env(Fail), env(Add(1))], Counter::dispatch);
    assert_eq!(exit, Exit::Stop(ActorError("failed")));
    assert_eq!(trace, ["ready: Ok(())", "plain: Err(ActorError(\"failed\"))", "close, 1 left"]);
}

#[test]
fn a_foreign_type_address_is_tried_again_and_a_stranger_is_unhandled() {
    let queue = [Env::new(Add(7), true), env(Stray), env(Off), Env::new(Total, true)];
    let (exit, trace) = activate(&mut Counter::default(), queue, Counter::dispatch);
    assert_eq!(exit, Exit::Continue);
    assert_eq!(trace, ["ready: Ok(())", "unhandled", "unhandled", "plain: Ok(7)", "close, 0 left"]);
}

#[test]
fn types_follow_the_source_without_what_is_configured_out() {
    let ids: Vec<_> = Counter::TYPES.iter().map(|vtable| vtable.id).collect();
    assert_eq!(ids.len(), 7);
    assert_eq!(ids[0], Add::VTABLE.id);
    assert_eq!(ids[1], Total::VTABLE.id);
    assert!(!ids.contains(&Off::VTABLE.id));
}

#[test]
fn hooks_are_called_by_their_kind() {
    let mut counter = Counter { total: 3 };
    const { assert!(Counter::HAS_INIT && Counter::HAS_TERMINATE) };
    assert_eq!(
        activate(&mut counter, [], <Counter as Actor>::init).1,
        ["init", "hook: Ok(())", "close, 0 left"]
    );
    assert_eq!(
        activate(&mut counter, [], <Counter as Actor>::terminate).1,
        ["terminate: normal", "hook_terminate_plain", "close, 0 left"]
    );
    let mut out = Inspect::default();
    Actor::inspect(&counter, &mut out);
    assert_eq!(out.0, [("total", 3)]);
}

mod shop {
    pub(crate) mod cart {
        use crate::fake;
        use crate::fake::{ActorResult, Context, ExitReason};
        use shard_runtime_macros::actor;

        /// No handler, and each hook the other way round; one `init` of two is configured out.
        pub(crate) struct Cart;

        #[actor(crate = crate::fake)]
        impl Cart {
            #[cfg(test)]
            fn init(&mut self, _: &mut Context<'_>) -> ActorResult {
                Ok(())
            }

            #[cfg(not(test))]
            async fn init(&mut self, _: &mut Context<'_>) -> ActorResult {
                Ok(())
            }

            async fn terminate(&mut self, _: &ExitReason, _: &mut Context<'_>) {}
        }

        pub(crate) struct Empty;

        #[actor(crate = fake)]
        impl Empty {
            #[cfg(not(test))]
            fn init(&mut self, _: &mut Context<'_>) -> ActorResult {
                Ok(())
            }
        }
    }
}

#[test]
fn hooks_that_are_absent_or_configured_out_are_never_announced() {
    use shop::cart::{Cart, Empty};
    const { assert!(Cart::HAS_INIT && Cart::HAS_TERMINATE && !Empty::HAS_INIT && !Empty::HAS_TERMINATE) };
    assert_eq!(activate(&mut Cart, [], <Cart as Actor>::init).1, ["hook_plain: Ok(())", "close, 0 left"]);
    assert_eq!(activate(&mut Cart, [], <Cart as Actor>::terminate).1, ["hook_terminate", "close, 0 left"]);
    assert_eq!(
        activate(&mut Empty, [], <Empty as Actor>::init),
        (Exit::Continue, vec!["close, 0 left".to_owned()])
    );
    assert_eq!(activate(&mut Empty, [], <Empty as Actor>::terminate).0, Exit::Continue);
    assert_eq!(
        activate(&mut Empty, [env(Add(1))], <Empty as Actor>::dispatch).1,
        ["unhandled", "close, 0 left"]
    );
    let mut out = Inspect::default();
    Actor::inspect(&Empty, &mut out);
    assert_eq!(out.0, [("default", 0)]);
}

#[test]
fn the_behaviour_is_the_last_module_and_the_type() {
    assert_eq!(shop::cart::Cart::BEHAVIOR, "cart.Cart");
    assert_eq!(Counter::BEHAVIOR, "emit.Counter");
    assert_eq!(Worker::<u8, 2>::BEHAVIOR, "emit.Worker");
    assert_eq!(r#try::BEHAVIOR, "emit.try");
}

#[expect(non_camel_case_types, reason = "a raw identifier is to be tried")]
struct r#try;

#[actor(crate = fake)]
impl r#try {}

struct Job<T>(T);
impl<T: std::fmt::Debug + Send + 'static> Message for Job<T> {
    type Reply = T;
}

struct Worker<T, const N: usize> {
    done: Vec<T>,
}

#[actor(crate = fake)]
impl<T, const N: usize> Worker<T, N>
where
    T: std::fmt::Debug + Clone + Send + 'static,
{
    #[handle]
    async fn job(&mut self, m: Job<T>, _: &mut Context<'_>) -> Result<T, ActorError> {
        self.done.push(m.0.clone());
        Ok(m.0)
    }

    #[handle]
    fn total(&mut self, _: Total, _: &mut Context<'_>) -> Result<<Total as Message>::Reply, ActorError> {
        Ok(i64::try_from(self.done.len() + N).unwrap_or(i64::MAX))
    }
}

#[test]
fn a_generic_actor_dispatches_for_each_of_its_types() {
    let (_, trace) =
        activate(&mut Worker::<u8, 2> { done: vec![] }, [env(Job(7_u8)), env(Total)], Worker::dispatch);
    assert_eq!(trace, ["ready: Ok(7)", "plain: Ok(3)", "close, 0 left"]);
    let (_, trace) =
        activate(&mut Worker::<&str, 0> { done: vec![] }, [env(Job("x")), env(Job(7_u8))], Worker::dispatch);
    assert_eq!(trace, ["ready: Ok(\"x\")", "unhandled", "close, 0 left"]);
}

macro_rules! actor_of {
    ($name:ident, $message:ty, $reply:ty) => {
        struct $name;

        #[actor(crate = fake)]
        impl $name {
            #[handle]
            fn answer(&mut self, m: $message, _: &mut Context<'_>) -> $reply {
                Ok(m.0)
            }
        }
    };
}
actor_of!(Echo, Echoed, Result<i64, ActorError>);

#[test]
fn a_declarative_macro_can_write_an_actor() {
    assert_eq!(activate(&mut Echo, [env(Echoed(4))], Echo::dispatch).1, ["plain: Ok(4)", "close, 0 left"]);
}

#[deprecated = "to be replaced"]
struct Old;

#[expect(deprecated, reason = "declared above")]
impl Message for Old {
    type Reply = ();
}

struct Switch;

/// The conditions of a block hold for what is emitted, and a deprecated message is only complained of where it is named.
#[actor(crate = fake)]
#[cfg(test)]
impl Switch {
    #[expect(deprecated, reason = "declared above")]
    #[handle]
    fn old(&mut self, _: Old, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

#[actor(crate = fake)]
#[cfg(not(test))]
impl Switch {}

#[test]
#[expect(deprecated, reason = "declared above")]
fn a_block_under_a_condition_is_the_only_one() {
    assert_eq!(activate(&mut Switch, [env(Old)], Switch::dispatch).1, ["plain: Ok(())", "close, 0 left"]);
}
