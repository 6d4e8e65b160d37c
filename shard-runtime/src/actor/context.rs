//! What a handler can do: one pointer, to the shard. The process it speaks for is the shard's current one.
//!
//! Invariant: X1 a context exists only inside its own process's handlers, so the shard's current process is its own.

use crate::actor::SpawnOptions;
use crate::actor::{Actor, Address, Call, Route};
use crate::error::{CallError, SendError, SpawnError};
use crate::mailbox::Meta;
use crate::shard::Shard;
use crate::tap::Log;
use shard_wire::{Message, Pid};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// How long a call waits by default.
pub(crate) const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Which queue of the target a message enters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Priority {
    /// Main queue.
    #[default]
    Normal,
    /// System queue: before Main.
    High,
    /// Urgent queue: before System; cuts a running batch.
    Max,
}

impl Priority {
    #[inline(always)]
    pub(crate) fn queue(self) -> u64 {
        match self {
            Self::Normal => Meta::MAIN,
            Self::High => Meta::SYSTEM,
            Self::Max => Meta::URGENT,
        }
    }
}

/// A handler's access to its process, its shard and its node.
pub struct Context<'a> {
    shard: &'a Shard,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    #[inline(always)]
    pub(crate) fn new(shard: &'a Shard) -> Self {
        Self { shard }
    }

    #[inline(always)]
    pub(crate) fn shard(&self) -> &'a Shard {
        self.shard
    }

    /// This process.
    #[must_use]
    #[inline(always)]
    pub fn pid(&self) -> Pid {
        self.shard.current_pid()
    }

    /// Who sent the message being handled: a process of any node, or the node's core process for senders outside.
    #[must_use]
    #[inline(always)]
    pub fn sender(&self) -> Pid {
        self.shard.sender()
    }

    /// The index of this shard.
    #[must_use]
    pub fn shard_index(&self) -> u16 {
        self.shard.index()
    }

    /// The node's name.
    #[must_use]
    pub fn node_name(&self) -> &'a str {
        self.shard.node().name()
    }

    /// Names of the nodes that are connected now.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.shard.node().connected_nodes()
    }

    /// Sends a message at normal priority. `Ok` means that it entered the mailbox (same shard), the ring towards its
    /// shard, or the link's batch; what is lost later is counted as a dead letter.
    ///
    /// # Errors
    /// Gives the message back with the reason.
    #[inline(always)]
    pub fn send<M: Message>(&self, to: impl Address, message: M) -> Result<(), SendError<M>> {
        match to.route() {
            Route::Pid(pid) => self.shard.deliver(pid, message, Meta::MAIN, 0),
            route => self.shard.deliver_route(route, message, Meta::MAIN, 0),
        }
    }

    /// Sends a message at the given priority.
    ///
    /// # Errors
    /// As for [`Context::send`].
    #[inline]
    pub fn send_with<M: Message>(
        &self,
        to: impl Address,
        message: M,
        priority: Priority,
    ) -> Result<(), SendError<M>> {
        self.shard.deliver_route(to.route(), message, priority.queue(), 0)
    }

    /// Sends a request and returns its answer to come. Waits 5 seconds at most.
    #[inline(always)]
    pub fn call<M: Message>(&self, to: impl Address, request: M) -> Call<'a, M::Reply> {
        match to.route() {
            Route::Pid(pid) => self.shard.call(pid, request, self.shard.default_timeout()),
            route => self.shard.call_route(route, request, self.shard.default_timeout()),
        }
    }

    /// Sends a request and returns its answer to come, waiting at most `timeout`.
    pub fn call_timeout<M: Message>(
        &self,
        to: impl Address,
        request: M,
        timeout: Duration,
    ) -> Call<'a, M::Reply> {
        self.shard.call_route(to.route(), request, self.shard.ticks(timeout))
    }

    /// Sends a message to a process after a delay. The message is dropped, and counted, if the target is gone by then.
    ///
    /// # Errors
    /// Too many timers and calls wait on this shard; the message comes back.
    pub fn send_after<M: Message>(&self, to: Pid, message: M, delay: Duration) -> Result<(), SendError<M>> {
        self.shard.send_after(to, message, delay)
    }

    /// Waits without holding the shard.
    pub fn sleep(&self, duration: Duration) -> Sleep<'a> {
        Sleep { call: self.shard.sleep(duration) }
    }

    /// Lets others run, then goes on.
    #[inline(always)]
    pub fn yield_now(&self) -> YieldNow<'a> {
        YieldNow { shard: self.shard, yielded: false }
    }

    /// Starts a process on this shard. It is addressable at once; its `init` runs before its first message.
    ///
    /// # Errors
    /// The name is taken, or the process table is full.
    #[expect(clippy::needless_pass_by_value, reason = "options are made for one spawn")]
    #[inline(always)]
    pub fn spawn<A: Actor>(
        &self,
        factory: impl FnOnce() -> A,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        self.shard.spawn(factory, &options, self.shard.current_id())
    }

    /// Kills a process of this node: its handler is dropped at once if it is suspended, at its next return if it runs.
    pub fn kill(&self, pid: Pid) {
        self.shard.kill(pid);
    }

    /// The process that holds a name on this node.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.shard.node().lookup(name)
    }

    /// Claims a name for this process, which has none yet.
    ///
    /// # Errors
    /// Somebody holds it, this process has one already, or the name is not usable.
    pub fn register(&self, name: &str) -> Result<(), SpawnError> {
        self.shard.register_current(name)
    }

    /// The node's log, with this process as its source.
    #[must_use]
    pub fn log(&self) -> Log<'a> {
        Log::new(self.shard)
    }
}

/// A wait of [`Context::sleep`].
#[derive(Debug)]
#[must_use = "a sleep does nothing unless awaited"]
pub struct Sleep<'a> {
    call: Call<'a, ()>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        Pin::new(&mut self.call).poll(task).map(|_: Result<(), CallError>| ())
    }
}

/// A pause of [`Context::yield_now`].
#[must_use = "a yield does nothing unless awaited"]
pub struct YieldNow<'a> {
    shard: &'a Shard,
    yielded: bool,
}

impl std::fmt::Debug for YieldNow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("YieldNow").field("yielded", &self.yielded).finish_non_exhaustive()
    }
}

impl Future for YieldNow<'_> {
    type Output = ();

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        self.shard.run_again(task);
        Poll::Pending
    }
}
