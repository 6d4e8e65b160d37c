//! Messages of other nodes that were sent by a name or an alias, to processes that want to know by which.

use crate::actor::Target;
use crate::shard::{Reached, Shard};
use shard_wire::frame::Frame;
use shard_wire::header::FrameFlags;
use shard_wire::{Alias, Erased};

/// Flags of frames that were not sent by pid. That of an alias stays when the alias has been looked up.
pub(super) const ADDRESSED: FrameFlags = FrameFlags::NAME.with(FrameFlags::ALIAS);

impl Shard {
    /// Whether the process that a frame is for is told by which address it was sent.
    #[inline]
    pub(super) fn is_told(&self, frame: &Frame<'_>) -> bool {
        frame.header.flags.any(ADDRESSED) && self.is_split(frame.header.to)
    }

    /// The message with the address by which it was sent: the alias that was looked up for its frame, or the name in it.
    #[cold]
    pub(super) fn reached(frame: &Frame<'_>, alias: Option<Alias>, message: Erased) -> Erased {
        let by = match (alias, frame.name()) {
            (Some(alias), _) => Target::Alias(alias),
            (None, Some(name)) => Target::name(name),
            (None, None) => return message,
        };
        Erased::new(Reached { by, message })
    }
}
