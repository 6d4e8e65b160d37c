//! What a hook of an application can do.

use crate::actor::{Address, Call, Context, Sleep, SpawnOptions};
use crate::app::AppMode;
use crate::error::{EventError, SendError, SpawnError};
use crate::event::Topic;
use crate::process::Env;
use crate::tap::Log;
use crate::{Actor, ExitReason};
use shard_wire::{Message, Pid};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a hook of an [`Application`](crate::Application) works with.
pub struct AppContext<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) name: &'a Arc<str>,
    pub(super) symbol: u32,
    pub(super) mode: AppMode,
    pub(super) env: &'a Env,
    /// Ticks when the hook is cut off.
    pub(super) end: u64,
}

impl fmt::Debug for AppContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppContext").field("app", &self.name).finish_non_exhaustive()
    }
}

impl<'a> AppContext<'a> {
    /// The application's name.
    #[must_use]
    pub fn app(&self) -> &str {
        self.name
    }

    /// Its mode in this run.
    #[must_use]
    pub fn mode(&self) -> AppMode {
        self.mode
    }

    /// The environment of its members: the node's, with its own over it.
    #[must_use]
    pub fn env(&self) -> &Env {
        self.env
    }

    /// How long this hook has left before it is cut off.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let clock = self.cx.shard().clock();
        Duration::from_nanos(clock.span_ns(self.end.saturating_sub(clock.ticks())))
    }

    /// The process that runs the hooks.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.cx.pid()
    }

    /// The process that holds a name on this node.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.cx.whereis(name)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As for [`Context::send`].
    pub fn send<M: Message>(&self, to: impl Address, message: M) -> Result<(), SendError<M>> {
        self.cx.send(to, message)
    }

    /// Sends a request and returns its answer to come. Waits 5 seconds at most.
    pub fn call<M: Message>(&self, to: impl Address, request: M) -> Call<'a, M::Reply> {
        self.cx.call(to, request)
    }

    /// Sends a request and returns its answer to come, waiting at most `timeout`.
    pub fn call_timeout<M: Message>(
        &self,
        to: impl Address,
        request: M,
        timeout: Duration,
    ) -> Call<'a, M::Reply> {
        self.cx.call_timeout(to, request, timeout)
    }

    /// Starts a process that belongs to the application, and waits until its `init` is done. It is not a member: nothing
    /// happens when it ends, and it ends with the application at the latest.
    ///
    /// # Errors
    /// As for [`Context::spawn_wait`]; `AppStopping` once the application is being stopped.
    pub async fn spawn<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        self.cx.spawn_wait(factory, options.in_application(self.symbol)).await
    }

    /// Sends an exit signal to a process of this node.
    ///
    /// # Errors
    /// As for [`Context::exit`].
    pub fn exit(&self, pid: Pid, reason: ExitReason) -> Result<(), crate::LinkError> {
        self.cx.exit(pid, reason)
    }

    /// Publishes an event.
    ///
    /// # Errors
    /// As for [`Context::publish`].
    pub fn publish<M: Message + Sync>(&self, topic: &Topic<M>, message: M) -> Result<(), EventError> {
        self.cx.publish(topic, message)
    }

    /// Waits without holding the shard.
    pub fn sleep(&self, duration: Duration) -> Sleep<'a> {
        self.cx.sleep(duration)
    }

    /// The node's log.
    #[must_use]
    pub fn log(&self) -> Log<'a> {
        self.cx.log()
    }
}
