//! Sends and calls of a trace that somebody outside of the node's shards has begun.

use crate::actor::{Address, DEFAULT_CALL_TIMEOUT, Priority};
use crate::error::{CallError, SendError};
use crate::node::Node;
use crate::trace::TraceContext;
use shard_wire::Message;
use std::time::Duration;

/// A node's handle whose sends and calls carry a trace: see [`Node::traced`].
#[derive(Clone, Copy, Debug)]
pub struct TracedNode<'n> {
    node: &'n Node,
    trace: TraceContext,
}

impl Node {
    /// The handle for what is part of a trace, such as a gateway that was given a `traceparent`: the handlers of what is sent
    /// have spans whose parent is the one of this context.
    ///
    /// ```
    /// use shard_runtime::prelude::*;
    /// use shard_runtime::TraceContext;
    ///
    /// #[message(reply = String)]
    /// struct Where;
    ///
    /// struct Service;
    /// #[actor]
    /// impl Service {
    ///     #[handle]
    ///     fn place(&mut self, _ask: Where, cx: &mut Context<'_>) -> Result<String, ActorError> {
    ///         Ok(cx.trace().map_or_else(String::new, |trace| trace.to_string()))
    ///     }
    /// }
    ///
    /// let node = Node::builder("traced@localhost").start()?;
    /// let service = node.spawn(|| Service, SpawnOptions::new())?;
    /// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let context: TraceContext = header.parse()?;
    /// let place = node.traced(context).call_blocking(service, Where)?;
    /// let own: TraceContext = place.parse()?;
    /// assert_eq!(own.trace_id(), context.trace_id());
    /// assert_ne!(own.span_id(), context.span_id(), "the handler has a span of its own");
    /// assert_eq!(node.call_blocking(service, Where)?, "", "the next call is part of no trace");
    /// node.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn traced(&self, trace: TraceContext) -> TracedNode<'_> {
        TracedNode { node: self, trace }
    }
}

impl TracedNode<'_> {
    /// Sends a message, as [`Node::send`] does.
    ///
    /// # Errors
    /// As for [`Node::send`].
    pub fn send<M: Message>(&self, to: impl Address, message: M) -> Result<(), SendError<M>> {
        self.send_with(to, message, Priority::Normal)
    }

    /// Sends a message at the given priority.
    ///
    /// # Errors
    /// As for [`Node::send`].
    pub fn send_with<M: Message>(
        &self,
        to: impl Address,
        message: M,
        priority: Priority,
    ) -> Result<(), SendError<M>> {
        self.node.send_in(Some(self.trace), to.route(), message, priority)
    }

    /// Makes a call and blocks this thread, as [`Node::call_blocking`] does.
    ///
    /// # Errors
    /// As for [`Node::call_blocking`].
    pub fn call_blocking<M: Message>(&self, to: impl Address, request: M) -> Result<M::Reply, CallError> {
        self.call_blocking_timeout(to, request, DEFAULT_CALL_TIMEOUT)
    }

    /// Makes a call and blocks this thread until it is answered or `timeout` has passed.
    ///
    /// # Errors
    /// As for [`Node::call_blocking`].
    pub fn call_blocking_timeout<M: Message>(
        &self,
        to: impl Address,
        request: M,
        timeout: Duration,
    ) -> Result<M::Reply, CallError> {
        self.node.call_in(Some(self.trace), to.route(), request, timeout)
    }
}
