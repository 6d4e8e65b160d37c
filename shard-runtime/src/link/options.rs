//! How a node's data links are used: what its builder may say.

use shard_wire::flow::{DEFAULT_MAX_MESSAGE, DEFAULT_MAX_WAITING, DEFAULT_WINDOW};
use shard_wire::limits::{CEILING_MAX_FRAME, FLOOR_MAX_FRAME};
use shard_wire::placement::DEFAULT_MAX_LINKS;
use std::time::Duration;

/// When a link that nobody uses is closed, unless configured otherwise.
const IDLE_AFTER: Duration = Duration::from_secs(300);
/// How long a shard looks on after bytes came in, unless configured otherwise.
const LINGER: Duration = Duration::from_micros(50);
/// Chunks of a link's memory that views may hold, unless configured otherwise.
const LEASES: usize = 4;
/// Most of them that can be configured.
const MOST_LEASES: usize = 1024;
/// Smallest window and outbox that can be configured, in bytes.
const LEAST: u64 = 1024;

/// How the links to other nodes are used. Each data link, of which there is one per pair of shards, has bounds of its own.
///
/// ```
/// use shard_runtime::{LinkOptions, Node};
///
/// let links = LinkOptions::new().max_message(1 << 20).window(256 << 10);
/// let builder = Node::builder("demo@localhost").links(links);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    pub(crate) max_message: usize,
    pub(crate) window: u64,
    pub(crate) outbox: u64,
    pub(crate) max_links: u16,
    pub(crate) idle_after: Duration,
    pub(crate) linger: Duration,
    pub(crate) leases: usize,
    pub(crate) is_numbered: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkOptions {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_message: DEFAULT_MAX_MESSAGE,
            window: DEFAULT_WINDOW,
            outbox: DEFAULT_MAX_WAITING,
            max_links: DEFAULT_MAX_LINKS,
            idle_after: IDLE_AFTER,
            linger: LINGER,
            leases: LEASES,
            is_numbered: true,
        }
    }

    /// Sets the longest message that is sent or taken, in encoded bytes, from 1 KiB to 64 MiB. Default 16 MiB. Between two
    /// nodes the smaller limit holds; a longer message is refused as `TooLarge`.
    #[must_use]
    pub const fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets how many bytes of messages the peer may have under way on one link, at least 1 KiB. Default 1 MiB. Messages
    /// longer than that go one at a time. More helps where a round trip is long. A peer that sends more than it was granted
    /// loses the link.
    #[must_use]
    pub const fn window(mut self, bytes: u64) -> Self {
        self.window = bytes;
        self
    }

    /// Sets how many bytes may wait on one link before senders get `OutboxFull`, at least 1 KiB. Default 8 MiB.
    #[must_use]
    pub const fn outbox(mut self, bytes: u64) -> Self {
        self.outbox = bytes;
        self
    }

    /// Sets how many data links to one peer there may be if each pair of shards is to have its own, at least 1. Default 64.
    /// Between two nodes the smaller figure holds. Where there are more pairs of shards, there is one link for each shard of
    /// a peer, and messages of shards that do not own it cross to the one that does.
    #[must_use]
    pub const fn max_links(mut self, links: u16) -> Self {
        self.max_links = links;
        self
    }

    /// Sets after which time a data link that nobody uses is closed, at the latest after twice as long. Default 5 minutes; zero
    /// keeps links. It is dialled again on first use. The session and its heartbeats go on.
    #[must_use]
    pub const fn idle_after(mut self, time: Duration) -> Self {
        self.idle_after = time;
        self
    }

    /// Sets how long a shard without work goes on looking at its links before it sleeps, after bytes have come in. Default 50
    /// microseconds, which is about the processor time that falling asleep and being woken take; zero lets it sleep at once.
    /// Meanwhile it offers its processor to other threads.
    #[must_use]
    pub const fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// Sets how many chunks of memory one link may have on lease to [views](crate::View) at once, of 256 KiB at most each, up to
    /// 1024. Default 4. While as many are held by views that nobody has handled and dropped, the bytes of further messages are
    /// copied out for their views. 0: all are copied.
    #[must_use]
    pub const fn leases(mut self, chunks: usize) -> Self {
        self.leases = chunks;
        self
    }

    /// Speaks the first version of the protocol: frames are not numbered, so there is no credit, nothing is sent again when
    /// a link breaks, and a message has to fit one frame. For tests against nodes of that version.
    #[doc(hidden)]
    #[must_use]
    pub const fn unnumbered(mut self) -> Self {
        self.is_numbered = false;
        self
    }

    /// Which setting is out of its range, with its value and the range.
    pub(crate) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        if !(FLOOR_MAX_FRAME..=CEILING_MAX_FRAME).contains(&self.max_message) {
            return Some(("links.max_message", self.max_message.to_string(), "1 KiB to 64 MiB"));
        }
        if self.max_links == 0 {
            return Some(("links.max_links", "0".to_owned(), "at least 1"));
        }
        if self.leases > MOST_LEASES {
            return Some(("links.leases", self.leases.to_string(), "0 to 1024"));
        }
        let small = [("links.window", self.window), ("links.outbox", self.outbox)];
        let (setting, value) = small.into_iter().find(|(_, bytes)| *bytes < LEAST)?;
        Some((setting, value.to_string(), "at least 1 KiB"))
    }
}
