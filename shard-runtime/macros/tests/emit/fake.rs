//! A runtime of one process and one thread that keeps the contract of `#[actor]`: enough to run what the macro emits.
//!
//! It records which method of `Batch` ran each message, and gives each message a type address of its own on demand, as
//! builds with many codegen units do.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

/// What happened, in order.
pub(crate) type Trace = Rc<RefCell<Vec<String>>>;
pub(crate) type ActorResult = Result<(), ActorError>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ActorError(pub(crate) &'static str);

#[derive(Debug)]
pub(crate) struct ExitReason(pub(crate) &'static str);

/// What the actor sees; the trace is what the test sees.
#[derive(Debug)]
pub(crate) struct Context<'s> {
    trace: &'s Trace,
}

impl Context<'_> {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.trace.borrow_mut().push(text.into());
    }
}

#[derive(Debug, Default)]
pub(crate) struct Inspect(pub(crate) Vec<(&'static str, i64)>);

#[derive(Debug)]
pub(crate) struct ReplyTo<R> {
    trace: Trace,
    reply: PhantomData<R>,
}

impl<R: std::fmt::Debug> ReplyTo<R> {
    pub(crate) fn send(self, reply: R) {
        self.trace.borrow_mut().push(format!("answer: {reply:?}"));
    }
}

pub(crate) mod __private {
    pub(crate) use super::Inspect;
    use super::{
        ActorError, ActorResult, Any, Context, ExitReason, PhantomData, Poll, ReplyTo, TaskContext, Trace,
        TypeId, Waker, pin,
    };
    use std::collections::VecDeque;

    pub(crate) trait Message: Any + Send + Sized {
        type Reply: std::fmt::Debug + Send;
        const VTABLE: &'static Vtable = &Vtable { id: TypeId::of::<Self>() };
    }

    pub(crate) const fn vtable<M: Message>() -> &'static Vtable {
        M::VTABLE
    }

    #[derive(Debug)]
    pub(crate) struct Vtable {
        pub(crate) id: TypeId,
    }

    pub(crate) trait Actor: Sized + 'static {
        const BEHAVIOR: &'static str;
        const TYPES: &'static [&'static Vtable];
        const HAS_INIT: bool;
        const HAS_TERMINATE: bool;
        fn dispatch(b: Batch<'_, Self>) -> Closed<'_>;
        fn init(b: Batch<'_, Self>) -> Closed<'_>;
        fn terminate(b: Batch<'_, Self>) -> Closed<'_>;
        fn inspect(&self, out: &mut Inspect) {
            out.0.push(("default", 0));
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    pub(crate) enum Exit {
        Continue,
        Stop(ActorError),
    }

    /// Proof that a batch was closed; made by `Batch::close` only.
    #[derive(Debug)]
    #[must_use]
    pub(crate) struct Closed<'s>(Exit, PhantomData<&'s ()>);

    impl Closed<'_> {
        pub(crate) fn exit(self) -> Exit {
            self.0
        }
    }

    pub(crate) struct Env {
        address: usize,
        id: TypeId,
        payload: Box<dyn Any>,
    }

    impl Env {
        pub(crate) fn new<M: Message>(message: M, foreign: bool) -> Self {
            let own = std::ptr::from_ref(M::VTABLE).addr();
            Self { address: if foreign { 0 } else { own }, id: TypeId::of::<M>(), payload: Box::new(message) }
        }

        pub(crate) fn is<M: Message>(&self) -> bool {
            self.address == std::ptr::from_ref(M::VTABLE).addr()
        }
    }

    pub(crate) struct Batch<'s, A> {
        pub(crate) actor: &'s mut A,
        pub(crate) queue: VecDeque<Env>,
        pub(crate) trace: Trace,
    }

    /// Polls like the runtime: the first poll must be the last one if `once`.
    fn drive<R>(once: bool, future: impl Future<Output = R>) -> R {
        let mut future = pin!(future);
        let mut task = TaskContext::from_waker(Waker::noop());
        for polls in 1.. {
            match future.as_mut().poll(&mut task) {
                Poll::Ready(result) => return result,
                Poll::Pending => assert!(!once && polls < 10, "suspended on the stack, or for ever"),
            }
        }
        unreachable!("the loop above has no end")
    }

    impl<'s, A: Actor> Batch<'s, A> {
        pub(crate) fn next(&mut self) -> Option<Env> {
            self.queue.pop_front()
        }

        fn note(&self, text: String) {
            self.trace.borrow_mut().push(text);
        }

        fn take<M: Message>(&self, e: Env) -> M {
            *e.payload.downcast::<M>().expect("the arm tested the type")
        }

        fn end<R: std::fmt::Debug>(&self, kind: &str, result: Result<R, ActorError>) -> Option<Exit> {
            self.note(format!("{kind}: {result:?}"));
            result.err().map(Exit::Stop)
        }

        pub(crate) fn plain<M: Message>(
            &mut self,
            e: Env,
            f: impl FnOnce(&mut A, M, &mut Context<'_>) -> Result<M::Reply, ActorError>,
        ) -> Option<Exit> {
            let message = self.take(e);
            let result = f(self.actor, message, &mut Context { trace: &self.trace.clone() });
            self.end("plain", result)
        }

        pub(crate) fn ready<M: Message>(
            &mut self,
            e: Env,
            f: impl AsyncFnOnce(&mut A, M, &mut Context<'_>) -> Result<M::Reply, ActorError>,
        ) -> Option<Exit> {
            let message = self.take(e);
            let result = drive(true, f(self.actor, message, &mut Context { trace: &self.trace.clone() }));
            self.end("ready", result)
        }

        pub(crate) fn run<M: Message>(
            &mut self,
            e: Env,
            f: impl AsyncFnOnce(&mut A, M, &mut Context<'_>) -> Result<M::Reply, ActorError>,
        ) -> Option<Exit> {
            let message = self.take(e);
            let result = drive(false, f(self.actor, message, &mut Context { trace: &self.trace.clone() }));
            self.end("run", result)
        }

        pub(crate) fn deferred<M: Message>(
            &mut self,
            e: Env,
            f: impl FnOnce(&mut A, M, ReplyTo<M::Reply>, &mut Context<'_>) -> ActorResult,
        ) -> Option<Exit> {
            let message = self.take(e);
            let reply = ReplyTo { trace: self.trace.clone(), reply: PhantomData };
            let result = f(self.actor, message, reply, &mut Context { trace: &self.trace.clone() });
            self.end("deferred", result)
        }

        pub(crate) fn deferred_run<M: Message>(
            &mut self,
            e: Env,
            f: impl AsyncFnOnce(&mut A, M, ReplyTo<M::Reply>, &mut Context<'_>) -> ActorResult,
        ) -> Option<Exit> {
            let message = self.take(e);
            let reply = ReplyTo { trace: self.trace.clone(), reply: PhantomData };
            let result =
                drive(false, f(self.actor, message, reply, &mut Context { trace: &self.trace.clone() }));
            self.end("deferred_run", result)
        }

        pub(crate) fn unmatched(&mut self, mut e: Env, types: &[&'static Vtable]) -> Option<Env> {
            match types.iter().find(|vtable| vtable.id == e.id) {
                Some(own) => {
                    e.address = std::ptr::from_ref(*own).addr();
                    Some(e)
                }
                None => {
                    self.note("unhandled".to_owned());
                    None
                }
            }
        }

        pub(crate) fn hook(self, f: impl AsyncFnOnce(&mut A, &mut Context<'_>) -> ActorResult) -> Closed<'s> {
            let result = drive(false, f(self.actor, &mut Context { trace: &self.trace.clone() }));
            let exit = self.end("hook", result).unwrap_or(Exit::Continue);
            self.close(exit)
        }

        pub(crate) fn hook_plain(
            self,
            f: impl FnOnce(&mut A, &mut Context<'_>) -> ActorResult,
        ) -> Closed<'s> {
            let result = f(self.actor, &mut Context { trace: &self.trace.clone() });
            let exit = self.end("hook_plain", result).unwrap_or(Exit::Continue);
            self.close(exit)
        }

        pub(crate) fn hook_terminate(
            self,
            f: impl AsyncFnOnce(&mut A, &ExitReason, &mut Context<'_>),
        ) -> Closed<'s> {
            drive(false, f(self.actor, &ExitReason("normal"), &mut Context { trace: &self.trace.clone() }));
            self.note("hook_terminate".to_owned());
            self.close(Exit::Continue)
        }

        pub(crate) fn hook_terminate_plain(
            self,
            f: impl FnOnce(&mut A, &ExitReason, &mut Context<'_>),
        ) -> Closed<'s> {
            f(self.actor, &ExitReason("normal"), &mut Context { trace: &self.trace.clone() });
            self.note("hook_terminate_plain".to_owned());
            self.close(Exit::Continue)
        }

        pub(crate) fn close(self, exit: Exit) -> Closed<'s> {
            self.note(format!("close, {} left", self.queue.len()));
            Closed(exit, PhantomData)
        }
    }
}
