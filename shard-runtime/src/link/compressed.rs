//! Compressed bodies: of processes that ask for it, to nodes that read it.
//!
//! Invariants: Y1 a body is expanded within the largest message of its session, and validated afterwards as every body is.
//! Y2 a compressed frame that is no message or reply, that nobody agreed on, or that does not expand to what it claims breaks
//! the protocol.
//! Cost: a test of two words for each message to another node, and one of a flag for each that comes; all else is paid by those
//! that are compressed.

use crate::error::SendReason;
use crate::link::data::Broken;
use crate::link::receive::{Origin, Run};
use crate::link::send::refused;
use crate::process::bump;
use crate::shard::Shard;
use shard_wire::WireError;
use shard_wire::compress::{Packed, expand};
use shard_wire::flow::Full;
use shard_wire::frame::{BodyWriter, Frame, FrameHead, Source};
use shard_wire::header::{FrameFlags, FrameKind};
use std::sync::Arc;

impl Shard {
    /// Appends a frame to a link's batch, compressed if that makes it smaller and the peer reads it.
    #[cold]
    pub(super) fn push_compressed(
        &self,
        link: u32,
        head: &FrameHead<'_>,
        threshold: u32,
        write: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), WireError>,
    ) -> Result<(), SendReason> {
        let (is_agreed, max) = self.compression_of(link);
        if threshold == 0 || !is_agreed {
            // A closure of its own, so that the sender's is not built into two places.
            return self.push(link, head, |out| write(out));
        }
        // Out of its place while the value is serialised, which may be the user's code.
        let mut packer = self.net.packer.take().unwrap_or_default();
        let sent = match packer.pack(head, max, threshold, write) {
            Ok(Packed::Whole(body)) => self.push(link, head, |out| out.put(body)),
            Ok(Packed::Smaller { body, before }) => {
                let head = FrameHead { flags: head.flags.with(FrameFlags::COMPRESSED), ..*head };
                let sent = self.push(link, &head, |out| out.put(body));
                if sent.is_ok() {
                    self.with_link_cells(link, |cells| {
                        bump(&cells.compressed_out, 1);
                        bump(&cells.compressed_out_before, before as u64);
                        bump(&cells.compressed_out_after, body.len() as u64);
                    });
                }
                sent
            }
            Err(error) => {
                let mut reason = SendReason::NotConnected;
                self.with_link_cells(link, |cells| reason = refused(Full::Frame(error), cells));
                Err(reason)
            }
        };
        packer.trim();
        self.net.packer.replace(Some(packer));
        sent
    }

    /// Whether the session of a link has agreed on compression, and its largest message in bytes.
    fn compression_of(&self, link: u32) -> (bool, usize) {
        let links = self.net.links.borrow();
        let Some(owned) = links.get(link as usize).and_then(Option::as_ref) else { return (false, 0) };
        let sessions = self.net.sessions.borrow();
        let Some(peer) = sessions.get(owned.session as usize) else { return (false, 0) };
        (peer.session.is_compressing, peer.session.max_frame)
    }

    /// Expands a frame and handles it.
    #[cold]
    pub(super) fn handle_compressed<'n>(
        &'n self,
        frame: &Frame<'_>,
        origin: Origin,
        run: &mut Run<'n>,
    ) -> Result<(), Broken> {
        let (is_agreed, max) = self.compression_of(origin.link);
        let is_message = matches!(frame.header.kind, FrameKind::Send | FrameKind::Call | FrameKind::Reply);
        if !is_agreed || !is_message {
            let have = u64::from(frame.header.flags.bits());
            return Err(WireError::Invalid { what: "flag of a compressed frame", offset: 5, have }.into());
        }
        // LIMIT: Y1.
        let body = Arc::new(expand(frame.body, max.saturating_sub(frame.head_bytes()))?);
        self.with_link_cells(origin.link, |cells| {
            bump(&cells.compressed_in, 1);
            bump(&cells.compressed_in_before, frame.body.len() as u64);
            bump(&cells.compressed_in_after, body.len() as u64);
        });
        self.handle_whole(&frame.expanded(body.as_slice()), origin, Source::of(&body), run);
        Ok(())
    }
}
