//! What servers and clients say about their connections.

use crate::error::IoError;
use crate::io::{Chunk, IoBytes};
use std::time::Duration;

/// How connections are read and written.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) chunk: Option<Chunk>,
    pub(crate) window: usize,
    pub(crate) max_pending: usize,
    pub(crate) idle: Option<Duration>,
    pub(crate) keep_alive: Option<(IoBytes, Duration)>,
    pub(crate) tcp_keep_alive: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: None,
            window: 256 << 10,
            max_pending: 1 << 20,
            idle: None,
            keep_alive: None,
            tcp_keep_alive: None,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), IoError> {
        let bad = |option, must_be| Err(IoError::BadOption { option, value: "0".to_owned(), must_be });
        if self.window == 0 {
            return bad("max_unhandled", "at least 1 byte");
        }
        if self.max_pending == 0 {
            return bad("max_pending", "at least 1 byte");
        }
        if self.idle.is_some_and(|idle| idle.is_zero()) {
            return bad("idle_timeout", "longer than nothing");
        }
        if self.keep_alive.as_ref().is_some_and(|(bytes, every)| bytes.is_empty() || every.is_zero()) {
            return bad("keep_alive", "some bytes and a period longer than nothing");
        }
        self.chunk.as_ref().map_or(Ok(()), Chunk::check)
    }
}

/// The setters that a server and a client have in common.
macro_rules! connection_options {
    ($type:ty) => {
        impl $type {
            /// Cuts the stream into frames. Default: each read is a message.
            #[must_use]
            pub fn chunk(mut self, chunk: Chunk) -> Self {
                self.options.chunk = Some(chunk);
                self
            }

            /// Sets how many bytes that were read may be unhandled before a connection is not read on. Default 256 KiB; one
            /// read, of 64 KiB at most, may exceed it.
            #[must_use]
            pub fn max_unhandled(mut self, bytes: usize) -> Self {
                self.options.window = bytes;
                self
            }

            /// Sets how many bytes may wait to be written on one connection before it is closed as too slow. Default 1 MiB.
            #[must_use]
            pub fn max_pending(mut self, bytes: usize) -> Self {
                self.options.max_pending = bytes;
                self
            }

            /// Closes a connection from which nothing comes for this long. Default: never.
            #[must_use]
            pub fn idle_timeout(mut self, limit: Duration) -> Self {
                self.options.idle = Some(limit);
                self
            }

            /// Sends these bytes when nothing was written for `every`. Default: nothing is sent.
            #[must_use]
            pub fn keep_alive(mut self, bytes: impl Into<IoBytes>, every: Duration) -> Self {
                self.options.keep_alive = Some((bytes.into(), every));
                self
            }

            /// Has the system probe a silent peer after this long. Default: the system's own rule.
            #[must_use]
            pub fn tcp_keep_alive(mut self, after: Duration) -> Self {
                self.options.tcp_keep_alive = Some(after);
                self
            }
        }
    };
}
pub(crate) use connection_options;
