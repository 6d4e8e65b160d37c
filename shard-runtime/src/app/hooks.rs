//! The process that runs the hooks of one application, and owns its value.
//!
//! Invariants: H1 one hook runs at a time, and ends: when it returns, panics, is late, or is cut. H2 the value is dropped with
//! this process.

use crate::actor::{Context, local_message};
use crate::app::spec::MAX_MEMBERS;
use crate::app::{AppContext, AppMode, AppSpec, Application};
use crate::error::{ActorError, ActorResult, AppError, ExitReason};
use crate::io::Drain;
use crate::names::MAX_NAME_BYTES;
use crate::process::Env;
use shard_runtime_macros::{actor, handle};
use shard_wire::Pid;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How often it is looked whether web servers have ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

type Running<'a> = Pin<Box<dyn Future<Output = ActorResult> + 'a>>;

/// An application without its type.
pub(crate) trait Hooks: Send {
    fn run<'a>(&'a mut self, hook: &'a Hook, cx: &'a AppContext<'a>) -> Running<'a>;
}

impl<A: Application> Hooks for A {
    fn run<'a>(&'a mut self, hook: &'a Hook, cx: &'a AppContext<'a>) -> Running<'a> {
        match hook {
            Hook::Init => Box::pin(Application::init(self, cx)),
            Hook::Start => Box::pin(async move {
                Application::start(self, cx).await;
                Ok(())
            }),
            Hook::Stop => Box::pin(async move {
                Application::stop(self, cx).await;
                Ok(())
            }),
            Hook::Terminate(reason) => Box::pin(async move {
                Application::terminate(self, reason, cx).await;
                Ok(())
            }),
        }
    }
}

/// An application before it is loaded.
pub(crate) struct Candidate {
    pub(crate) name: Arc<str>,
    pub(crate) spec: AppSpec,
    pub(crate) hooks: Box<dyn Hooks>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Candidate").field(&self.name).finish()
    }
}

impl Candidate {
    /// Asks an application for its name and specification.
    pub(crate) fn new(app: impl Application) -> Result<Self, AppError> {
        let asked = catch_unwind(AssertUnwindSafe(|| (Arc::<str>::from(app.name()), app.spec())));
        let (name, spec) = asked
            .map_err(|panic| AppError::SpecPanicked(crate::shard::panic_message(panic.as_ref()).into()))?;
        // LIMIT: length of a name.
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(AppError::BadName(name.as_ref().into()));
        }
        if spec.members.is_empty() {
            return Err(AppError::Empty(name.as_ref().into()));
        }
        debug_assert!(spec.members.len() <= MAX_MEMBERS, "bounded where they are added");
        Ok(Self { name, spec, hooks: Box::new(app) })
    }
}

/// Which hook.
#[derive(Clone, Debug)]
pub(crate) enum Hook {
    Init,
    Start,
    Stop,
    Terminate(ExitReason),
}

impl Hook {
    fn name(&self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Terminate(_) => "terminate",
        }
    }
}

/// Asks for a hook to be run.
pub(super) struct RunHook {
    pub(super) hook: Hook,
    pub(super) mode: AppMode,
    pub(super) limit: Duration,
    /// From [`Cut::issue`].
    pub(super) number: u64,
}
local_message!(RunHook => HookEnd);

/// How a hook ended.
#[derive(Clone, Debug)]
pub(super) enum HookEnd {
    Done,
    Failed(ExitReason),
    Late,
    Cut,
}

/// Ends the hook that runs, from the steward, which is of the same shard.
#[derive(Default)]
pub(super) struct Cut {
    issued: Cell<u64>,
    /// Hooks up to this one are cut.
    cut: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Cut {
    /// Ends all hooks that were asked for so far.
    pub(super) fn cut(&self) {
        self.cut.set(self.issued.get());
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The number of the next hook.
    pub(super) fn issue(&self) -> u64 {
        self.issued.set(self.issued.get() + 1);
        self.issued.get()
    }
}

/// Runs the hooks of one application.
pub(super) struct HookRunner {
    pub(super) name: Arc<str>,
    pub(super) symbol: u32,
    pub(super) env: Env,
    pub(super) hooks: Box<dyn Hooks>,
    pub(super) cut: Rc<Cut>,
}

#[actor]
impl HookRunner {
    #[handle]
    async fn run(&mut self, m: RunHook, cx: &mut Context<'_>) -> Result<HookEnd, ActorError> {
        let shard = cx.shard();
        let app_cx = AppContext {
            cx,
            name: &self.name,
            symbol: self.symbol,
            mode: m.mode,
            env: &self.env,
            end: shard.clock().ticks().saturating_add(shard.ticks(m.limit)),
        };
        let (hook, cut, hooks) = (&m.hook, &self.cut, &mut self.hooks);
        let app_cx = &app_cx;
        let symbol = self.symbol;
        // Made at its first poll, where a panic is caught.
        let mut running = pin!(async move {
            if matches!(hook, Hook::Stop) {
                drain(app_cx.cx, symbol).await;
            }
            hooks.run(hook, app_cx).await
        });
        let mut late = pin!(cx.sleep(m.limit));
        let end = poll_fn(|task| {
            if m.number <= cut.cut.get() {
                return Poll::Ready(HookEnd::Cut);
            }
            match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(task))) {
                Ok(Poll::Ready(Ok(()))) => return Poll::Ready(HookEnd::Done),
                Ok(Poll::Ready(Err(error))) => return Poll::Ready(HookEnd::Failed(error.into_reason())),
                Ok(Poll::Pending) => {}
                Err(panic) => return Poll::Ready(panicked(panic.as_ref())),
            }
            cut.waker.replace(Some(task.waker().clone()));
            late.as_mut().poll(task).map(|()| HookEnd::Late)
        })
        .await;
        match &end {
            HookEnd::Done => {}
            HookEnd::Failed(reason) => {
                let (name, hook) = (&self.name, m.hook.name());
                cx.log().error(format_args!("the {hook} hook of application {name} failed: {reason}"));
            }
            HookEnd::Late | HookEnd::Cut => {
                let (name, hook, limit) = (&self.name, m.hook.name(), m.limit);
                cx.log().warning(format_args!(
                    "the {hook} hook of application {name} was cut off (limit {limit:?})"
                ));
            }
        }
        Ok(end)
    }
}

/// Has the web servers of an application answer what was asked, while all that they need still runs.
async fn drain(cx: &Context<'_>, symbol: u32) {
    let shard = cx.shard();
    let (start, mut drain) = (crate::clock::now(), Drain::new(Some(symbol)));
    let tell = |pid: Pid| shard.tell(pid.local.shard(), move |home| home.drain_server(pid));
    while let Some(limit) = drain.look(shard.node().drains(), tell)
        && crate::clock::now().saturating_duration_since(start) < limit
    {
        cx.sleep(LOOK_EVERY).await;
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> HookEnd {
    HookEnd::Failed(ExitReason::Panic(crate::shard::panic_message(panic).into()))
}
