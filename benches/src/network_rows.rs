//! The workloads between two nodes, with their sides and the ratios to hold.
//!
//! A side here has two ends on a processor each: two OS processes, or two threads where the name of the workload says one
//! process. The sides of the program `peers` are named here and done there.

use crate::error::RunError;
use crate::own::{control, far_events, network, views};
use crate::peer::raw_socket;
use crate::reference::{ERGO, ERGO_DELIVER_SECONDS, ERGO_NETWORK, ERGO_SUBSCRIBE_SECONDS, at_least, at_most};
use crate::workload::{Better, Measure, OURS, Partner, Program, Reference, Run, Side, Workload};

const ELEVEN_NODES: &str = "eleven nodes of one shard, on the cpus in turn";
const TWO_NODES: &str = "two nodes of one shard, the sender on cpu 0, the receiver on cpu 1";
const TWO_ENDS: &str = "cpu 0 (sender, or who answers) and cpu 1 (receiver, or who asks)";

const fn our_pair(measure: Measure, partner: Partner) -> Side {
    pair(OURS, measure, partner)
}

const fn pair(name: &'static str, measure: Measure, partner: Partner) -> Side {
    Side { name, pinning: TWO_ENDS, program: Program::Runs, measure, partner: Some(partner) }
}

const fn on_all(name: &'static str, measure: Measure, partner: Partner) -> Side {
    let pinning = "one thread per cpu at each end";
    Side { name, pinning, program: Program::Runs, measure, partner: Some(partner) }
}

const fn ours_alone(measure: Measure) -> Side {
    alone(OURS, ELEVEN_NODES, measure)
}

const fn alone(name: &'static str, pinning: &'static str, measure: Measure) -> Side {
    Side { name, pinning, program: Program::Runs, measure, partner: None }
}

/// A side of the program `peers`.
const fn outside(name: &'static str) -> Side {
    let (program, partner) = (Program::Peers, Some(elsewhere_too as Partner));
    Side { name, pinning: TWO_ENDS, program, measure: elsewhere, partner }
}

fn elsewhere(run: Run) -> Result<f64, RunError> {
    Err(RunError::Missing { side: run.side, why: "the program `peers` does it: make peers" })
}

fn elsewhere_too(run: Run, _: &str) -> Result<(), RunError> {
    elsewhere(run).map(drop)
}

const fn idle(name: &'static str, about: &'static str, references: &'static [Reference]) -> Workload {
    const SIDES: &[Side] = &[
        our_pair(network::round_trip, network::echo),
        pair("raw_socket", raw_socket::round_trip_blocking, raw_socket::echo_blocking),
    ];
    round_trip(name, about, SIDES, references)
}

const fn polling(name: &'static str, about: &'static str, references: &'static [Reference]) -> Workload {
    const SIDES: &[Side] = &[
        our_pair(network::round_trip, network::echo),
        pair("raw_socket_spinning", raw_socket::round_trip_spinning, raw_socket::echo_spinning),
    ];
    round_trip(name, about, SIDES, references)
}

const fn round_trip(
    name: &'static str,
    about: &'static str,
    sides: &'static [Side],
    references: &'static [Reference],
) -> Workload {
    Workload { name, about, unit: "us", better: Better::Lower, sides, derived: &[], references }
}

const fn control_trip(name: &'static str, about: &'static str) -> Workload {
    const SIDES: &[Side] =
        &[alone(OURS, TWO_NODES, control::flooded), alone("no_flood", TWO_NODES, control::idle)];
    round_trip(name, about, SIDES, &[])
}

/// The workloads between nodes.
pub static NETWORK: &[Workload] = &[
    Workload {
        name: "network_1_1",
        about: "64-byte frames to a process of another node, two OS processes, loopback",
        unit: "M frames/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::receive_one, network::send_one),
            pair("raw_socket", raw_socket::receive_frames, raw_socket::send_frames),
            outside("kameo_remote"),
            outside("ractor_cluster"),
            outside("tonic_stream"),
        ],
        derived: &[ERGO_NETWORK],
        references: &[at_least("raw_socket", 0.2, 0.4, 0.7), at_least(ERGO, 4.0, 10.0, 20.0)],
    },
    Workload {
        name: "network_1_1_one_process",
        about: "the same, both nodes in one OS process",
        unit: "M frames/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::receive_one, network::send_one),
            pair("raw_socket", raw_socket::receive_frames, raw_socket::send_frames),
            outside("tonic_stream"),
        ],
        derived: &[],
        references: &[],
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
        name: "network_n_n_one_process",
        about: "the same, both nodes in one OS process",
        unit: "M frames/s",
        better: Better::Higher,
        sides: &[
            on_all(OURS, network::receive_many, network::send_many),
            on_all("raw_socket", raw_socket::receive_frames_many, raw_socket::send_frames_many),
        ],
        derived: &[],
        references: &[],
    },
    idle(
        "network_rtt",
        "one 64-byte frame to another node and back, both idle between, p50",
        &[at_most("raw_socket", 2.0, 1.5, 1.2)],
    ),
    idle(
        "network_rtt_asleep",
        "the same, shards asleep as soon as they have no work (`LinkOptions::linger` zero)",
        &[],
    ),
    idle("network_rtt_p99", "the same, p99", &[]),
    idle("network_rtt_p999", "the same, p99.9", &[]),
    polling(
        "network_rtt_polling",
        "one 64-byte frame to another node and back, both busy-polling, p50",
        &[at_most("raw_socket_spinning", 3.0, 1.5, 1.2)],
    ),
    polling("network_rtt_polling_p99", "the same, p99", &[]),
    polling("network_rtt_polling_p999", "the same, p99.9", &[]),
    control_trip(
        "network_control_trip",
        "control threads of two nodes, whose processes flood and call each other through windows of 4 KiB, p50",
    ),
    control_trip("network_control_trip_p99", "the same, p99"),
    Workload {
        name: "network_bytes_10k",
        about: "messages of 10 KB to another node, handed to the kernel in batches of 64 KiB",
        unit: "GB/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::receive_bytes, network::send_bytes),
            pair("raw_socket", raw_socket::bytes, raw_socket::send_bytes_10k),
        ],
        derived: &[],
        references: &[],
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
        about: "messages of 1 MiB to another node; ours go in parts of 64 KiB",
        unit: "GB/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::receive_bytes, network::send_bytes),
            pair("raw_socket", raw_socket::bytes, raw_socket::send_bytes_1m),
            pair("raw_socket_64k", raw_socket::bytes, raw_socket::send_bytes_64k),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "network_views",
        about: "messages of 64 records to another node, a few fields of each read: as views and as values",
        unit: "k msg/s",
        better: Better::Higher,
        sides: &[alone(OURS, TWO_NODES, views::viewed), alone("owned", TWO_NODES, views::owned)],
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
            outside("kameo_remote"),
            outside("ractor_cluster"),
            outside("tonic_unary"),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "remote_calls_1",
        about: "one process awaits each reply of one of another node",
        unit: "K calls/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::many_calls, network::answer),
            pair("raw_socket", raw_socket::calls_in_flight, raw_socket::echo_in_flight),
            outside("kameo_remote"),
            outside("ractor_cluster"),
            outside("tonic_unary"),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "remote_calls_64",
        about: "64 processes await each reply of one of another node",
        unit: "K calls/s",
        better: Better::Higher,
        sides: &[
            our_pair(network::many_calls, network::answer),
            pair("raw_socket", raw_socket::calls_in_flight, raw_socket::echo_in_flight),
            outside("kameo_remote"),
            outside("ractor_cluster"),
            outside("tonic_stream"),
            outside("tonic_unary"),
        ],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "pubsub_1m_subscribe",
        about: "1 M processes of 10 nodes of one OS process subscribe to an event of another node",
        unit: "s",
        better: Better::Lower,
        sides: &[ours_alone(far_events::subscribe)],
        derived: &[ERGO_SUBSCRIBE_SECONDS],
        references: &[at_least(ERGO, 3.0, 10.0, 30.0)],
    },
    Workload {
        name: "pubsub_1m_publish",
        about: "what one publication for 1 M subscribers on 10 nodes takes of its publisher's time",
        unit: "us",
        better: Better::Lower,
        sides: &[ours_alone(far_events::publish)],
        derived: &[],
        references: &[],
    },
    Workload {
        name: "pubsub_1m_deliver",
        about: "one publication to 1 M subscribers on 10 nodes of one OS process, until each has handled it",
        unit: "s",
        better: Better::Lower,
        sides: &[ours_alone(far_events::deliver)],
        derived: &[ERGO_DELIVER_SECONDS],
        references: &[at_least(ERGO, 3.0, 10.0, 30.0)],
    },
];
