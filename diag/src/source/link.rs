//! What the links to other nodes count: of one peer, and of the node as a whole.
//!
//! Cost: copies of what the runtime has summed.

use schemars::JsonSchema;
use serde::Serialize;
use shard_runtime::LinkCounters;

macro_rules! link_row {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the data links to one peer count besides messages, bytes, traces and compression. The names are the
        /// runtime's and those of the tools.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
        pub struct LinkRow {
            $($(#[$doc])* pub $name: u64,)*
        }
        impl LinkRow {
            /// Adds another peer's.
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
        impl From<&LinkCounters> for LinkRow {
            fn from(counters: &LinkCounters) -> Self {
                Self { $($name: counters.$name,)* }
            }
        }
    };
}

link_row! {
    /// Data links whose outbox is full now, or was and is still more than half full.
    outboxes_full,
    /// Data links whose messages wait for the peer to take what was sent before, now.
    links_held,
    /// Messages of other shards that wait at the owner of a link for room, now.
    late,
    /// Messages refused because an outbox was full.
    outbox_refused,
    /// Times that a sender waited for room in an outbox.
    outbox_waits,
    /// Messages that waited for a link when their session ended: they did not arrive.
    failed_out,
    /// Messages written and not confirmed when their session ended: whether they arrived is not known.
    unknown_out,
    /// Messages that could not be encoded.
    encode_errors,
    /// Received messages that could not be decoded.
    decode_errors,
    /// Received messages of a type this node does not know.
    unknown_types,
    /// Received messages whose target was gone.
    undeliverable,
    /// Received calls and important messages whose time was up: they were not delivered.
    expired,
    /// Important messages that came again and were not delivered again.
    duplicates,
    /// Important messages sent of which nothing was heard in time.
    unconfirmed,
    /// Acknowledgements that came when nobody waited for them any more.
    late_acks,
    /// Relations of processes here with targets there, now.
    relations_out,
    /// Relations of processes there with targets here, now.
    relations_in,
    /// Frames about relations that named what they must not, or for which there was no room.
    relations_refused,
    /// Publications sent to the node's subscribers: one frame for each.
    events_out,
    /// Publications received for the subscribers here.
    events_in,
    /// Publications that the node's subscribers were told they miss.
    events_missed_out,
    /// Publications that subscribers here were told they miss.
    events_missed_in,
    /// Asks sent: to start a process, to start, stop or describe an application.
    asks_out,
    /// Asks received and done.
    asks_done,
    /// Asks received and refused, and frames about them that named what they must not.
    asks_refused,
    /// Processes started for the peer and ended because nobody there claimed them.
    spawns_unclaimed,
    /// Links closed because the peer broke the protocol.
    protocol_errors,
    /// Messages handled as views that were read where they were received.
    views_lent,
    /// Messages handled as views whose bytes were copied, because their link had lent as much of its memory as it may.
    views_copied,
}

/// What the network of the node counts as a whole, since its start. Pairs are a reason and how often; every reason is
/// listed.
#[derive(Clone, Debug, Default)]
pub struct NetRow {
    /// Sessions ended, by reason.
    pub sessions_lost: Vec<(&'static str, u64)>,
    /// Dials that failed, by reason.
    pub dial_errors: Vec<(&'static str, u64)>,
    /// Links of peers that were accepted.
    pub links_accepted: u64,
    /// Dials that became links.
    pub links_dialled: u64,
    /// Control messages refused because the peer read too slowly.
    pub control_refused: u64,
    /// Control messages that broke the protocol, of peers and our own.
    pub control_errors: u64,
    /// Names of other nodes' processes asked for without an answer in time.
    pub name_timeouts: u64,
    /// Events of the node that slow subscribers missed.
    pub node_events_lost: u64,
    /// Questions of tools passed on to peers.
    pub diag_calls: u64,
    /// Those without an answer in time.
    pub diag_timeouts: u64,
    /// Questions of peers' tools answered here.
    pub diag_served: u64,
}
