//! The list of workloads: the only place where a name, its sides and its ratios to hold meet.

use crate::error::RunError;
use crate::own::{
    across, diag, events, far_events, logging, network, population, same_shard, sockets, styles, timers,
    views,
};
use crate::peer::{
    actix, bare_sockets, futex, glommio_tasks, kameo, ractor, raw_ring, raw_socket, tokio_timers,
};
use crate::reference::{
    ERGO, ERGO_DELIVER_SECONDS, ERGO_LOCAL_MANY, ERGO_LOCAL_ONE, ERGO_LOCAL_ONE_BY_YIELDING, ERGO_NETWORK,
    ERGO_PROCESS_BYTES, ERGO_SPAWN_SECONDS, ERGO_SUBSCRIBE_SECONDS, absolute, at_least, at_most,
};
use crate::workload::{BARE, Better, Measure, OURS, Partner, Side, Workload};

const ONE_CORE: &str = "cpu 1";
const TWO_CORES: &str = "cpus 0 and 1";
const CLIENT_AND_SERVER: &str = "the client on cpu 0, the server on cpu 1";
const ELEVEN_NODES: &str = "eleven nodes of one shard, on the cpus in turn";
const TWO_NODES: &str = "two nodes of one shard, the sender on cpu 0, the receiver on cpu 1";
const ALL_CORES: &str = "one thread per cpu";
const TWO_WORKERS: &str = "2 tokio workers, not pinned";
const ALL_WORKERS: &str = "a tokio worker per cpu, not pinned";
const TWO_PROCESSES: &str = "cpu 0 (sender) and cpu 1 (receiver)";

const fn peer(name: &'static str, pinning: &'static str, measure: Measure) -> Side {
    Side { name, pinning, measure, partner: None }
}

const fn ours(pinning: &'static str, measure: Measure) -> Side {
    peer(OURS, pinning, measure)
}

const fn our_pair(measure: Measure, partner: Partner) -> Side {
    pair(OURS, measure, partner)
}

const fn pair(name: &'static str, measure: Measure, partner: Partner) -> Side {
    Side { name, pinning: TWO_PROCESSES, measure, partner: Some(partner) }
}

const fn on_all(name: &'static str, measure: Measure, partner: Partner) -> Side {
    Side { name, pinning: "one thread per cpu in each process", measure, partner: Some(partner) }
}

/// Every workload that exists.
pub static WORKLOADS: &[Workload] = &[
    Workload {
        name: "same_shard_stream",
        about: "one process streams to another on its shard",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, same_shard::stream),
            peer("actix", ONE_CORE, actix::same_arbiter_stream),
            peer("kameo", ONE_CORE, kameo::same_thread_stream),
            peer("ractor", ONE_CORE, ractor::same_thread_stream),
            peer("glommio_tasks", ONE_CORE, glommio_tasks::stream),
        ],
        derived: &[ERGO_LOCAL_ONE],
        references: &[at_least("actix", 2.0, 4.0, 6.0), at_least(ERGO, 15.0, 30.0, 50.0)],
    },
    Workload {
        name: "burst_3m",
        about: "one handler sends 3 M messages, fresh process",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, same_shard::burst),
            peer("actix", ONE_CORE, actix::burst),
            peer("actix_yield_1000", ONE_CORE, actix::same_arbiter_stream),
            peer("kameo", ONE_CORE, kameo::burst),
            peer("ractor", ONE_CORE, ractor::burst),
        ],
        derived: &[ERGO_LOCAL_ONE_BY_YIELDING],
        references: &[at_least(ERGO, 3.0, 6.0, 10.0)],
    },
    Workload {
        name: "same_shard_ping_pong",
        about: "two processes on one shard, one message to and fro",
        unit: "M round trips/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, same_shard::ping_pong),
            peer("actix", ONE_CORE, actix::ping_pong),
            peer("kameo", ONE_CORE, kameo::ping_pong),
            peer("ractor", ONE_CORE, ractor::ping_pong),
            peer("glommio_tasks", ONE_CORE, glommio_tasks::ping_pong),
        ],
        derived: &[],
        references: &[at_least("glommio_tasks", 1.2, 2.0, 3.0)],
    },
    Workload {
        name: "async_stream",
        about: "the same-shard stream into an async handler that awaits only now and then, beside other styles",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, styles::seldom),
            peer("awaits_ready", ONE_CORE, styles::awaiting),
            peer("plain_fn", ONE_CORE, styles::plain),
            peer("suspends_each_time", ONE_CORE, styles::suspending),
        ],
        derived: &[],
        references: &[at_least("plain_fn", 0.4, 0.6, 0.8)],
    },
    Workload {
        name: "instruments",
        about: "the same-shard stream beside a build without counters, latency stamps and stall beacon",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &[ours(ONE_CORE, same_shard::stream), peer(BARE, ONE_CORE, same_shard::bare_stream)],
        derived: &[],
        references: &[at_least(BARE, 0.75, 0.85, 0.9)],
    },
    Workload {
        name: "ring_1000",
        about: "1000 processes in a ring on one shard, 100 tokens",
        unit: "M hops/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, same_shard::ring_1000),
            peer("actix", ONE_CORE, actix::ring_1000),
            peer("kameo", ONE_CORE, kameo::ring_1000),
            peer("ractor", ONE_CORE, ractor::ring_1000),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "cross_shard_stream",
        about: "one process streams to another on another shard",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &[
            ours(TWO_CORES, across::stream),
            peer("ours_spin_50us", TWO_CORES, across::patient_stream),
            peer("actix", TWO_CORES, actix::other_arbiter_stream),
            peer("raw_ring", TWO_CORES, raw_ring::stream),
            peer("raw_ring_ahead", TWO_CORES, raw_ring::stream_ahead),
            peer("kameo", TWO_WORKERS, kameo::workers_stream),
            peer("ractor", TWO_WORKERS, ractor::workers_stream),
        ],
        derived: &[ERGO_LOCAL_MANY],
        references: &[
            at_least("actix", 1.5, 3.0, 6.0),
            at_least("raw_ring", 0.15, 0.3, 0.5),
            at_least(ERGO, 4.0, 8.0, 15.0),
        ],
    },
    Workload {
        name: "cross_shard_round_trip",
        about: "one message to another shard and back, both busy-polling",
        unit: "ns",
        better: Better::Lower,
        sides: &[ours(TWO_CORES, across::round_trip), peer("raw_ring", TWO_CORES, raw_ring::round_trip)],
        derived: &[],
        references: &[at_most("raw_ring", 20.0, 10.0, 4.0)],
    },
    Workload {
        name: "cross_shard_wake",
        about: "one way into a parked shard, p50",
        unit: "us",
        better: Better::Lower,
        sides: &[ours(TWO_CORES, across::wake), peer("futex", TWO_CORES, futex::one_way)],
        derived: &[],
        references: &[at_most("futex", 3.0, 2.0, 1.6)],
    },
    Workload {
        name: "cross_shard_busy",
        about: "one way into a shard that eight streams keep busy, p99",
        unit: "us",
        better: Better::Lower,
        sides: &[ours(TWO_CORES, across::into_busy)],
        derived: &[],
        references: &[absolute(1000.0, 200.0, 50.0)],
    },
    Workload {
        name: "local_n_n",
        about: "as many pairs as processors, each across shards",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &[
            ours(ALL_CORES, across::many_to_many),
            peer("actix", ALL_CORES, actix::many_to_many),
            peer("kameo", ALL_WORKERS, kameo::many_to_many),
            peer("ractor", ALL_WORKERS, ractor::many_to_many),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "call_reply",
        about: "one process awaits each reply of another on its shard",
        unit: "M calls/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, same_shard::call_reply),
            peer("actix", ONE_CORE, actix::call_reply),
            peer("kameo", ONE_CORE, kameo::call_reply),
            peer("ractor", ONE_CORE, ractor::call_reply),
        ],
        derived: &[],
        references: &[at_least("kameo", 3.0, 10.0, 20.0)],
    },
    Workload {
        name: "spawn_1m",
        about: "spawn 1 M processes on one shard",
        unit: "s",
        better: Better::Lower,
        sides: &[
            ours(ONE_CORE, population::spawn),
            peer("actix", ONE_CORE, actix::spawn),
            peer("kameo", ONE_CORE, kameo::spawn),
            peer("ractor", ONE_CORE, ractor::spawn),
        ],
        derived: &[ERGO_SPAWN_SECONDS],
        references: &[at_least(ERGO, 10.0, 30.0, 100.0)],
    },
    Workload {
        name: "event_subscribe_1m",
        about: "1 M processes of one shard subscribe to one event",
        unit: "M/s",
        better: Better::Higher,
        sides: &[ours(ONE_CORE, events::subscribe)],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "event_deliver_1m",
        about: "one publication to 1 M subscribers of one shard, until each has handled it",
        unit: "M/s",
        better: Better::Higher,
        sides: &[ours(ONE_CORE, events::deliver)],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "log_lines",
        about: "one process logs as fast as its lines are formatted, none lost",
        unit: "M lines/s",
        better: Better::Higher,
        sides: &[ours(ONE_CORE, logging::lines)],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "log_line_cost",
        about: "what a line costs the process that writes it, beside one below its level",
        unit: "ns",
        better: Better::Lower,
        sides: &[ours(ONE_CORE, logging::kept), peer("filtered", ONE_CORE, logging::filtered)],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "tcp_echo",
        about: "64 connections of one client send 64 bytes and wait for them to come back",
        unit: "K echoes/s",
        better: Better::Higher,
        sides: &[
            ours(CLIENT_AND_SERVER, sockets::echo),
            peer("glommio", CLIENT_AND_SERVER, bare_sockets::glommio_echo),
        ],
        derived: &[],
        references: &[at_least("glommio", 0.7, 0.8, 1.0)],
    },
    Workload {
        name: "web_hello",
        about: "64 connections of one client ask a web server, an actor answers",
        unit: "K requests/s",
        better: Better::Higher,
        sides: &[
            ours(CLIENT_AND_SERVER, sockets::hello),
            peer("hyper", CLIENT_AND_SERVER, bare_sockets::hyper_hello),
        ],
        derived: &[],
        references: &[at_least("hyper", 0.6, 0.7, 0.9)],
    },
    Workload {
        name: "memory_per_process",
        about: "resident bytes per idle process, of 1 M",
        unit: "B/process",
        better: Better::Lower,
        sides: &[
            ours(ONE_CORE, population::memory),
            peer("actix", ONE_CORE, actix::memory),
            peer("kameo", ONE_CORE, kameo::memory),
            peer("ractor", ONE_CORE, ractor::memory),
        ],
        derived: &[ERGO_PROCESS_BYTES],
        references: &[at_least(ERGO, 4.0, 7.0, 10.0)],
    },
    Workload {
        name: "timers_1m",
        about: "arm 1 M timers far off and cancel them",
        unit: "M timers/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, timers::cancelled),
            peer("tokio_sleep", ONE_CORE, tokio_timers::sleeps_cancelled),
            peer("tokio_delay_queue", ONE_CORE, tokio_timers::queue_cancelled),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "timers_1m_fire",
        about: "arm 1 M timers of 1 to 64 ms and handle each as it fires",
        unit: "M timers/s",
        better: Better::Higher,
        sides: &[
            ours(ONE_CORE, timers::fired),
            peer("tokio_delay_queue", ONE_CORE, tokio_timers::queue_fired),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "idle_100k",
        about: "share of a core that a node of 100,000 sleeping processes uses",
        unit: "% of a core",
        better: Better::Lower,
        sides: &[ours(ALL_CORES, population::idle)],
        derived: &[],
        references: &[absolute(0.5, 0.5, 0.5)],
    },
    Workload {
        name: "network_1_1",
        about: "64-byte frames to a process of another node, two OS processes, loopback",
        unit: "M frames/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::receive_one, network::send_one),
            pair("raw_socket", raw_socket::receive_frames, raw_socket::send_frames),
        ],
        derived: &[ERGO_NETWORK],
        references: &[at_least("raw_socket", 0.2, 0.4, 0.7), at_least(ERGO, 4.0, 10.0, 20.0)],
    },
    Workload {
        name: "pubsub_1m_subscribe",
        about: "1 M processes of 10 nodes of one OS process subscribe to an event of another node",
        unit: "s",
        better: Better::Lower,
        sides: &[ours(ELEVEN_NODES, far_events::subscribe)],
        derived: &[ERGO_SUBSCRIBE_SECONDS],
        references: &[at_least(ERGO, 3.0, 10.0, 30.0)],
    },
    Workload {
        name: "pubsub_1m_publish",
        about: "what one publication for 1 M subscribers on 10 nodes takes of its publisher's time",
        unit: "us",
        better: Better::Lower,
        sides: &[ours(ELEVEN_NODES, far_events::publish)],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "pubsub_1m_deliver",
        about: "one publication to 1 M subscribers on 10 nodes of one OS process, until each has handled it",
        unit: "s",
        better: Better::Lower,
        sides: &[ours(ELEVEN_NODES, far_events::deliver)],
        derived: &[ERGO_DELIVER_SECONDS],
        references: &[at_least(ERGO, 3.0, 10.0, 30.0)],
    },
    Workload {
        name: "network_n_n",
        about: "64-byte frames between two nodes, as many pairs of processes as processors",
        unit: "M frames/s",
        better: Better::Higher,
        sides: &[
            on_all(OURS, network::receive_many, network::send_many),
            on_all("raw_socket", raw_socket::receive_frames_many, raw_socket::send_frames_many),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "network_rtt",
        about: "one 64-byte frame to another node and back, both idle between, p50",
        unit: "us",
        better: Better::Lower,
        sides: &[
            our_pair(network::round_trip, network::echo),
            pair("raw_socket", raw_socket::round_trip_blocking, raw_socket::echo_blocking),
        ],
        derived: &[],
        references: &[at_most("raw_socket", 2.0, 1.5, 1.2)],
    },
    Workload {
        name: "network_rtt_polling",
        about: "one 64-byte frame to another node and back, both busy-polling, p50",
        unit: "us",
        better: Better::Lower,
        sides: &[
            our_pair(network::round_trip, network::echo),
            pair("raw_socket_spinning", raw_socket::round_trip_spinning, raw_socket::echo_spinning),
        ],
        derived: &[],
        references: &[at_most("raw_socket_spinning", 3.0, 1.5, 1.2)],
    },
    Workload {
        name: "network_bytes_64k",
        about: "messages of 64 KiB to another node",
        unit: "GB/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::receive_bytes, network::send_bytes),
            pair("raw_socket", raw_socket::bytes, raw_socket::send_bytes_64k),
        ],
        derived: &[],
        references: &[at_least("raw_socket", 0.5, 0.75, 0.9)],
    },
    Workload {
        name: "network_bytes_1m",
        about: "messages to another node in frames of at most 1 MiB (payload 1 MiB - 4 KiB, peer 1 MiB)",
        unit: "GB/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::receive_bytes, network::send_bytes),
            pair("raw_socket", raw_socket::bytes, raw_socket::send_bytes_1m),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "network_views",
        about: "messages of 64 records to another node, a few fields of each read: as views and as values",
        unit: "k msg/s",
        better: Better::Higher,
        sides: &[ours(TWO_NODES, views::viewed), peer("owned", TWO_NODES, views::owned)],
        derived: &[],
        references: &[at_least("owned", 1.0, 1.5, 2.0)],
    },
    Workload {
        name: "remote_call",
        about: "one process awaits each reply of one of another node, p50",
        unit: "us",
        better: Better::Lower,
        sides: &[
            our_pair(network::call, network::answer),
            pair("raw_socket", raw_socket::round_trip_blocking, raw_socket::echo_blocking),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "remote_call_100",
        about: "100 processes await each reply of one of another node",
        unit: "M calls/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::many_calls, network::answer),
            pair("raw_socket", raw_socket::calls_in_flight, raw_socket::echo_in_flight),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "diag_cost",
        about: "the same-shard stream with diagnostics scraped and asked for its processes every 100 ms",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &[ours(ONE_CORE, diag::watched_stream), peer("no_diag", ONE_CORE, diag::stream_alone)],
        derived: &[],
        references: &[],
    },
];

/// The workload called `name`.
///
/// # Errors
/// [`RunError::UnknownWorkload`].
pub fn workload(name: &str) -> Result<&'static Workload, RunError> {
    WORKLOADS.iter().find(|w| w.name == name).ok_or_else(|| RunError::UnknownWorkload(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Basis;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_references_name_something_that_is_measured() {
        let mut names = BTreeSet::new();
        for w in WORKLOADS {
            assert!(names.insert(w.name), "{} twice", w.name);
            let sides: BTreeSet<_> = w.sides.iter().map(|side| side.name).collect();
            assert_eq!(sides.len(), w.sides.len(), "{}: a side twice", w.name);
            for reference in w.references {
                let known = reference.basis == Basis::Figure
                    || sides.contains(reference.against)
                    || w.derived.iter().any(|d| d.label() == reference.against);
                assert!(known, "{}: nothing is called {}", w.name, reference.against);
                let rises = reference.floor <= reference.target && reference.target <= reference.stretch;
                let falls = reference.floor >= reference.target && reference.target >= reference.stretch;
                let is_ceiling = reference.basis == Basis::Figure && w.better == Better::Lower;
                assert!(if is_ceiling { falls } else { rises }, "{}: {reference:?}", w.name);
            }
        }
    }
}
