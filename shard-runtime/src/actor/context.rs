//! What a handler can do: one pointer, to the shard. The process it speaks for is the shard's current one.
//!
//! Invariant: X1 a context exists only inside its own process's handlers, so the shard's current process is its own.

use crate::actor::{Actor, Address, Addressed, Call, OwnedRoute, ReplyTo, Request, Route, SpawnOptions};
use crate::error::{CallError, DeliveryError, ForwardError, SendError, SendReason, SpawnError, Unconfirmed};
use crate::mailbox::Meta;
use crate::shard::{Carried, Origin, Shard, told_by};
use crate::tap::Log;
use crate::trace::TraceContext;
use shard_wire::{Erased, Message, Pid};
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

    /// Where this handler stands in a trace; `None` if the message being handled is part of none and no trace was begun.
    ///
    /// The handler of a message that was sent in a trace has a span of its own, whose parent is that of the handler that sent
    /// the message. A handler that awaits keeps its context, whatever is handled in between.
    ///
    /// What a handler sends while it has a context carries it: sends, important ones too, calls, requests and their responses,
    /// what it forwards, and replies to other nodes. Exit signals, events, delayed and repeated sends, and what `init` and
    /// `terminate` send carry none.
    ///
    /// ```
    /// use shard_runtime::prelude::*;
    /// use shard_runtime::{Simulation, TraceContext};
    ///
    /// #[message]
    /// struct Order;
    /// #[message(reply = bool)]
    /// struct Book;
    ///
    /// struct Shop(Pid);
    /// #[actor]
    /// impl Shop {
    ///     #[handle]
    ///     async fn order(&mut self, _order: Order, cx: &mut Context<'_>) -> ActorResult {
    ///         // A gateway would take the context from its client: `cx.set_trace(header.parse().ok())`.
    ///         cx.begin_trace();
    ///         assert!(cx.call(self.0, Book).await.is_ok_and(|is_child| is_child));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// struct Stock;
    /// #[actor]
    /// impl Stock {
    ///     #[handle]
    ///     fn book(&mut self, _book: Book, cx: &mut Context<'_>) -> Result<bool, ActorError> {
    ///         Ok(cx.trace().is_some_and(|trace| trace.parent_span().is_some()))
    ///     }
    /// }
    ///
    /// let mut node = Simulation::new("shop@localhost", 1, 7)?;
    /// let stock = node.spawn(0, || Stock, &SpawnOptions::new())?;
    /// let shop = node.spawn(0, move || Shop(stock), &SpawnOptions::new())?;
    /// node.send(shop, Order)?;
    /// node.run();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.shard.trace()
    }

    /// Sets the context for the rest of this handler: what it sends from now on carries it, or none. It does nothing in
    /// `init` and `terminate`, where nothing is traced.
    ///
    /// The span of the context is the parent of the spans that this handler causes. A gateway that was given a `traceparent`
    /// sets what it has read from it.
    pub fn set_trace(&self, trace: Option<TraceContext>) {
        // Where nothing is traced there is nothing to be set.
        let _is_set = self.shard.set_trace(trace);
    }

    /// Begins a trace for the rest of this handler, with random ids, and returns its first span. `None` in `init` and
    /// `terminate`, where nothing is traced. A sampler decides before this: one that is called begins.
    pub fn begin_trace(&self) -> Option<TraceContext> {
        self.shard.begin_trace()
    }

    /// The index of this process's shard.
    #[must_use]
    pub fn shard_index(&self) -> u16 {
        self.shard.home_index()
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
        self.shard.unprioritized(|| self.shard.deliver_route(to.route(), message, priority.queue(), 0))
    }

    /// Sends a message, waiting for room if the target's mailbox is full, `within` at most; for a target on another node, if
    /// the outbox of the link is full. Two processes that wait for room in each other's mailbox both go on when their time is
    /// up.
    ///
    /// # Errors
    /// Gives the message back: with `Expired` if no room came up, else as for [`Context::send`].
    pub async fn send_wait<M: Message>(
        &self,
        to: impl Address,
        message: M,
        within: Duration,
    ) -> Result<(), SendError<M>> {
        let shard = self.shard;
        let deadline = shard.now_ticks().saturating_add(shard.ticks(within));
        let mut message = message;
        let mut last = None;
        // However often it tries, that is one send, which fails once.
        let reason = loop {
            // Time stands still within an activation: whoever tries twice in one lets others run first.
            if last.replace(shard.now_ticks()) == Some(shard.now_ticks()) {
                self.yield_now().await;
            }
            match shard.quietly(|| self.send(&to, message)) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let reason = error.reason;
                    message = error.into_inner();
                    if !matches!(reason, SendReason::MailboxFull | SendReason::OutboxFull) {
                        break reason;
                    }
                }
            }
            let left = deadline.saturating_sub(shard.now_ticks());
            if shard.is_remote(to.route()) {
                let Some(room) = shard.wait_for_link(to.route(), left).filter(|_| left > 0) else {
                    break SendReason::Expired;
                };
                match room.await {
                    Ok(_) => continue,
                    Err(CallError::Send(reason)) => break reason,
                    Err(_) => break SendReason::Expired,
                }
            }
            let Some(target) = shard.resolve(to.route()).filter(|_| left > 0) else {
                break SendReason::Expired;
            };
            match shard.wait_for_room(target, shard.send_queue(), left).await {
                Ok(room) => room.take(),
                Err(CallError::Send(reason)) => break reason,
                Err(_) => break SendReason::Expired,
            }
        };
        shard.count_send_error(Meta::MAIN, shard.is_remote(to.route()));
        Err(SendError::new(reason, message))
    }

    /// Sends a message and learns whether it reached the mailbox, also on another shard or node. On this shard that is what
    /// [`Context::send`] says.
    ///
    /// On another node the receiving shard acknowledges the message when it is in the mailbox, or says why it is refused. It
    /// is not delivered when `within` has passed, in whole milliseconds of the receiver. A name whose holder has gone is looked
    /// up again once. What the target's policy drops from a full mailbox counts as delivered, as for senders of its node.
    ///
    /// # Errors
    /// [`DeliveryError::Refused`]: it was not delivered, and comes back. [`DeliveryError::Unknown`]: nothing is known after
    /// `within`, or since the session with the other node has ended; for [`Context::retry_important`]. Besides the reasons of
    /// [`Context::send`]: `Expired`, `UnknownType` and `Undecodable` of another node, and `Unsupported` for one that does not
    /// acknowledge messages.
    pub async fn send_important<M: Message>(
        &self,
        to: impl Address,
        message: M,
        within: Duration,
    ) -> Result<(), DeliveryError<M>> {
        let shard = self.shard;
        if shard.is_remote(to.route()) {
            return shard.send_important_to_node(to.route(), message, within).await;
        }
        let target = shard.resolve(to.route());
        let Some(target) = target.filter(|pid| shard.is_other_shard(*pid)) else {
            return self.send(to, message).map_err(DeliveryError::Refused);
        };
        match told_by(to.route()).filter(|_| shard.is_split(target.local)) {
            None => self.send_and_learn(target, message, within).await,
            Some(by) => {
                let sent = self.send_and_learn(target, Addressed { by, message }, within).await;
                sent.map_err(|error| match error {
                    DeliveryError::Refused(error) => {
                        DeliveryError::Refused(SendError::new(error.reason, error.into_inner().message))
                    }
                    // Of another shard there is nothing to try again with.
                    DeliveryError::Unknown(_) => DeliveryError::Unknown(None),
                })
            }
        }
    }

    async fn send_and_learn<M: Message>(
        &self,
        target: Pid,
        message: M,
        within: Duration,
    ) -> Result<(), DeliveryError<M>> {
        let shard = self.shard;
        let sent = shard.send_and_learn(target, message, shard.send_queue(), shard.ticks(within));
        match sent.map_err(DeliveryError::Refused)?.await {
            Ok(learned) => learned.take(shard).map_err(DeliveryError::Refused),
            Err(_) => Err(DeliveryError::Unknown(None)),
        }
    }

    /// Tries to deliver an important message again of which nothing was heard. If an earlier attempt was delivered or refused,
    /// that is the answer, and nothing is delivered: the receiving shard remembers the last 64 important messages of each
    /// process of each incarnation of a node, for the 65,536 such processes it has heard of last; the oldest are forgotten
    /// first. A message that it has forgotten is delivered again. A retry goes to the process that the first attempt went to,
    /// also if that was sent to a name.
    ///
    /// # Errors
    /// As for [`Context::send_important`], except that a retry that cannot be sent is `Unknown` again: the earlier attempt may
    /// still arrive. [`Unconfirmed::reason`] says why; it is `Unsupported` if another process has sent the message.
    pub async fn retry_important<M: Message>(
        &self,
        unconfirmed: Unconfirmed<M>,
        within: Duration,
    ) -> Result<(), DeliveryError<M>> {
        self.shard.retry_important(unconfirmed, within).await
    }

    /// Hands a message on: the process that gets it sees the sender of the message being handled, not this process. Targets
    /// are processes of this node.
    ///
    /// # Errors
    /// As for [`Context::send`].
    pub fn forward<M: Message>(&self, to: impl Address, message: M) -> Result<(), SendError<M>> {
        self.hand_on(to.route(), message, 0, Priority::Normal)
    }

    /// The same at the given priority.
    ///
    /// # Errors
    /// As for [`Context::send`].
    pub fn forward_with<M: Message>(
        &self,
        to: impl Address,
        message: M,
        priority: Priority,
    ) -> Result<(), SendError<M>> {
        self.hand_on(to.route(), message, 0, priority)
    }

    /// Hands a call on: whoever gets it answers the caller. Targets are processes of this node.
    ///
    /// # Errors
    /// Gives the request and the reply back, to be handed to somebody else. If the error is dropped, the caller is told why.
    pub fn forward_call<M: Message>(
        &self,
        to: impl Address,
        request: M,
        mut reply: ReplyTo<M::Reply>,
    ) -> Result<(), ForwardError<M>> {
        if !reply.is_of(self.shard) {
            return Err(ForwardError::new(SendReason::LocalOnly, request, reply));
        }
        let waiter = reply.lend();
        self.hand_on(to.route(), request, waiter, Priority::Normal).map_err(|error| {
            reply.give_back(waiter);
            let (reason, request) = error.into_parts();
            ForwardError::new(reason, request, reply)
        })
    }

    fn hand_on<M: Message>(
        &self,
        to: Route<'_>,
        message: M,
        waiter: u64,
        priority: Priority,
    ) -> Result<(), SendError<M>> {
        let flags = if waiter == 0 { Meta::MAIN } else { Meta::CALL };
        let Some(target) = self.shard.resolve(to) else {
            self.shard.count_send_error(flags, false);
            return Err(SendError::new(SendReason::NoProcess, message));
        };
        let carried = self.shard.carry_on(Erased::new(message), waiter, priority.queue());
        let sent = self.shard.forward(target, carried);
        if sent.is_ok() {
            self.shard.count_sent();
        }
        sent.map_err(|(reason, Carried { message, .. })| {
            self.shard.count_send_error(flags, false);
            match message.downcast::<M>() {
                Ok(message) => SendError::new(reason, message),
                Err(_) => unreachable!("a message comes back as what it was packed as"),
            }
        })
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

    /// Sends a request at the given priority and returns its answer to come, waiting at most `timeout`.
    pub fn call_with<M: Message>(
        &self,
        to: impl Address,
        request: M,
        priority: Priority,
        timeout: Duration,
    ) -> Call<'a, M::Reply> {
        let timeout = self.shard.ticks(timeout);
        self.shard.unprioritized(|| self.shard.call_flagged(to.route(), request, priority.queue(), timeout))
    }

    /// Sends a request without waiting: the answer arrives as a [`Response`](crate::Response) with this label, exactly
    /// once, at the latest when `timeout` has passed.
    ///
    /// # Errors
    /// Gives the request back with the reason; then no answer comes.
    pub fn request<M: Message>(
        &self,
        to: impl Address,
        request: M,
        label: u64,
        timeout: Duration,
    ) -> Result<Request, SendError<M>> {
        self.shard.request(to.route(), request, label, Meta::MAIN, self.shard.ticks(timeout))
    }

    /// Sends a request at the given priority without waiting. The answer arrives in the queue of that priority.
    ///
    /// # Errors
    /// As for [`Context::request`].
    pub fn request_with<M: Message>(
        &self,
        to: impl Address,
        request: M,
        label: u64,
        priority: Priority,
        timeout: Duration,
    ) -> Result<Request, SendError<M>> {
        let timeout = self.shard.ticks(timeout);
        self.shard.unprioritized(|| self.shard.request(to.route(), request, label, priority.queue(), timeout))
    }

    /// Gives a request up: no answer comes. `false` if it has come already.
    pub fn cancel_request(&self, request: Request) -> bool {
        self.shard.cancel_request(request)
    }

    /// Sends a message after a delay. The message is dropped, and counted, if it is refused then.
    ///
    /// # Errors
    /// Too many timers and calls wait on this shard; the message comes back.
    pub fn send_after<M: Message>(
        &self,
        to: impl Address,
        message: M,
        delay: Duration,
    ) -> Result<TimerRef, SendError<M>> {
        self.shard.send_after(OwnedRoute::from(to.route()), message, self.shard.send_queue(), delay)
    }

    /// Sends a message at the given priority after a delay.
    ///
    /// # Errors
    /// As for [`Context::send_after`].
    pub fn send_after_with<M: Message>(
        &self,
        to: impl Address,
        message: M,
        priority: Priority,
        delay: Duration,
    ) -> Result<TimerRef, SendError<M>> {
        self.shard.send_after(OwnedRoute::from(to.route()), message, priority.queue(), delay)
    }

    /// Sends copies of a message at a fixed rate: the first after `period`, the k-th after k periods. Ticks that are late by
    /// more than a period are left out; a refused one is counted. It ends with this process, or when it is cancelled.
    ///
    /// # Errors
    /// Too many timers and calls wait on this shard; the message comes back.
    pub fn send_every<M: Message + Clone>(
        &self,
        to: impl Address,
        message: M,
        period: Duration,
    ) -> Result<TimerRef, SendError<M>> {
        self.shard.send_every(OwnedRoute::from(to.route()), message, self.shard.send_queue(), period)
    }

    /// Disarms a delayed or repeated send; `false` if it has fired or was cancelled before.
    pub fn cancel_timer(&self, timer: TimerRef) -> bool {
        self.shard.cancel_timer(timer)
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
    /// The name is taken, or the process table is full. `OtherShard` on a process that has a thread of its own, and
    /// `Dedicated` for one that is to get one: both use [`Context::spawn_wait`].
    #[expect(clippy::needless_pass_by_value, reason = "options are made for one spawn")]
    #[inline(always)]
    pub fn spawn<A: Actor>(
        &self,
        factory: impl FnOnce() -> A,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        if !matches!(self.shard.place(options.placement()), Ok(shard) if shard == self.shard.index()) {
            return Err(SpawnError::OtherShard);
        }
        let origin = Origin { parent: self.shard.current_id(), env: None, links_child: true, application: 0 };
        self.shard.spawn(factory, &options, origin)
    }

    /// Starts a process where the options say, and waits until its `init` is done.
    ///
    /// # Errors
    /// As for [`Context::spawn`]; or `init` failed, which no exit signal tells then.
    pub async fn spawn_wait<A: Actor>(
        &self,
        factory: impl FnOnce() -> A + Send + 'static,
        options: SpawnOptions,
    ) -> Result<Pid, SpawnError> {
        let limit = options.init_timeout();
        let call = self.shard.spawn_call(factory, options);
        match call.await {
            Ok(outcome) => outcome,
            Err(CallError::Timeout) => Err(SpawnError::Timeout { limit }),
            Err(_) => Err(SpawnError::Stopping),
        }
    }

    /// The node's log, with this process as its source.
    #[must_use]
    pub fn log(&self) -> Log<'a> {
        Log::new(self.shard)
    }
}

/// Names a delayed or repeated send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerRef(pub(crate) u64);

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
