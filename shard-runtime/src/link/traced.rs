//! Traces between nodes: the block of a frame, to nodes that take it up.
//!
//! Invariant: B1 a block is sent only to a peer that has announced [`TRACES`](shard_wire::header::TRACES), and heeded only from
//! one; otherwise the message goes on without its trace, and is counted.
//! Cost: none for a frame without a block: senders and receivers look here behind a test that they make anyway.

use crate::error::SendReason;
use crate::link::LinkCells;
use crate::link::data::Broken;
use crate::link::receive::{Origin, Run};
use crate::process::bump;
use crate::shard::{Shard, TRACE_FLAG};
use crate::trace::TraceContext;
use shard_wire::Alias;
use shard_wire::frame::{Frame, FrameHead, Source};
use shard_wire::header::{FrameFlags, Trace};

impl Shard {
    /// The block of a message that a process sends to the node with this key, by the flags of the message.
    pub(super) fn block_for(&self, key: u64, flags: u64) -> Option<Trace> {
        if flags & TRACE_FLAG == 0 { None } else { self.block_of(key, self.trace()) }
    }

    /// The block that says this to the node with this key.
    pub(super) fn block_of(&self, key: u64, context: Option<TraceContext>) -> Option<Trace> {
        let context = context?;
        if !self.agrees_on_traces(key) {
            self.count_untraced();
            return None;
        }
        Some(context.to_wire())
    }

    /// The block of an answer: it names the handler that answers if that is in the trace of the request, else the asker.
    pub(super) fn block_of_answer(&self, key: u64, asked: TraceContext) -> Option<Trace> {
        let own = self.trace().filter(|own| own.trace_id() == asked.trace_id());
        self.block_of(key, own.or(Some(asked)))
    }

    fn agrees_on_traces(&self, key: u64) -> bool {
        self.session_by_key(key).is_ok_and(|session| session.traces)
    }

    /// A frame was sent: it is counted if it has a block.
    pub(super) fn note_block(
        &self,
        key: u64,
        head: &FrameHead<'_>,
        sent: Result<(), SendReason>,
    ) -> Result<(), SendReason> {
        if sent.is_ok() && head.trace.is_some() {
            self.with_peer_cells(key, |cells| bump(&cells.traced_out, 1));
        }
        sent
    }

    /// Handles a frame that is compressed, has the block of a trace or is for an alias.
    #[cold]
    pub(super) fn handle_marked<'n>(
        &'n self,
        frame: &Frame<'_>,
        origin: Origin,
        source: Source<'_>,
        run: &mut Run<'n>,
    ) -> Result<(), Broken> {
        if frame.header.flags.has(FrameFlags::TRACE) {
            self.with_link_cells(origin.link, |cells: &LinkCells| bump(&cells.traced_in, 1));
        }
        let mut found = *frame;
        if frame.header.flags.has(FrameFlags::ALIAS) {
            let Some(local) = self.aliased(frame, origin) else { return Ok(()) };
            run.alias = Some(Alias { node: self.node().key(), id: frame.header.to.0 });
            found.header.to = local;
        }
        let frame = &found;
        let handled = if frame.header.flags.has(FrameFlags::COMPRESSED) {
            self.handle_compressed(frame, origin, run)
        } else {
            self.handle_whole(frame, origin, source, run);
            Ok(())
        };
        run.alias = None;
        handled
    }

    /// The context in which a frame was sent.
    #[cold]
    pub(super) fn context_of(&self, frame: &Frame<'_>, origin: Origin) -> Option<TraceContext> {
        let block = frame.trace()?;
        let context = TraceContext::from_wire(block).filter(|_| self.agrees_on_traces(origin.key));
        if context.is_none() {
            self.count_untraced();
        }
        context
    }
}
