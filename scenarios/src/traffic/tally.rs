//! What one node has counted.
//!
//! Threads: each counter is added to by the processes of all shards, and read by the program.

use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters, and whether the sources send.
        #[derive(Debug, Default)]
        pub struct Tally {
            paused: AtomicBool,
            $($(#[$doc])* pub(super) $name: AtomicU64,)*
        }
        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Snapshot {
            /// Whether the sources are told not to send.
            pub paused: bool,
            $($(#[$doc])* pub $name: u64,)*
        }
        impl Tally {
            /// The counters now.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { paused: self.paused.load(Relaxed), $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

tally! {
    /// Messages that were accepted by a link.
    sent,
    /// Messages that were refused because an outbox was full.
    refused_full,
    /// Messages that were refused because the peer was away, or not known yet.
    refused_away,
    /// Messages that were refused for another reason.
    refused_else,
    /// Messages that came.
    received,
    /// Messages that a later one shows to be missing.
    lost,
    /// Messages that came again, or after a later one: never.
    behind,
    /// Messages whose content was not what was sent: never.
    garbled,
    /// Calls that were made.
    calls,
    /// Calls that were answered.
    answered,
    /// Calls that were refused because the outbox was full.
    calls_refused,
    /// Calls that ended with an error.
    call_errors,
    /// Of these, those that ended because nothing was heard in time.
    call_timeouts,
    /// Monitors of sinks of the peer that were made.
    watched,
    /// Sinks of the peer that were not there.
    absent,
    /// Sinks of the peer that were said to be down for the end of a session.
    downs,
    /// Sinks that were said to be down twice for the end of one session: never.
    downs_again,
}

impl Tally {
    /// Tells the sources to send or not to.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Relaxed);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Relaxed)
    }

    pub(super) fn add(&self, counter: impl FnOnce(&Self) -> &AtomicU64, count: u64) {
        counter(self).fetch_add(count, Relaxed);
    }
}
