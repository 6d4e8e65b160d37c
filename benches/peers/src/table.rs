//! Which function does the work of which side. `shard_benches::outside` is the list that this table and the registry of
//! `runs` are held to.

use shard_benches::error::RunError;
use shard_benches::workload::{Measure, Partner, Program, Side};

use crate::side::{kameo, ractor, tonic};

const fn side(name: &'static str, measure: Measure, partner: Partner) -> Side {
    Side { name, pinning: "cpus 0 and 1", program: Program::Peers, measure, partner: Some(partner) }
}

const KAMEO_CALLS: Side = side("kameo_remote", kameo::ask, kameo::answer);
const RACTOR_CALLS: Side = side("ractor_cluster", ractor::ask, ractor::answer);
const TONIC_CALLS: Side = side("tonic_unary", tonic::ask, tonic::answer);
const TONIC_STREAM: Side = side("tonic_stream", tonic::receive, tonic::send);

/// Workload by workload, every side.
pub(crate) static SIDES: &[(&str, Side)] = &[
    ("network_1_1", side("kameo_remote", kameo::receive, kameo::send)),
    ("network_1_1", side("ractor_cluster", ractor::receive, ractor::send)),
    ("network_1_1", TONIC_STREAM),
    ("network_1_1_one_process", TONIC_STREAM),
    ("remote_call", KAMEO_CALLS),
    ("remote_call", RACTOR_CALLS),
    ("remote_call", TONIC_CALLS),
    ("remote_calls_1", KAMEO_CALLS),
    ("remote_calls_1", RACTOR_CALLS),
    ("remote_calls_1", TONIC_CALLS),
    ("remote_calls_64", KAMEO_CALLS),
    ("remote_calls_64", RACTOR_CALLS),
    ("remote_calls_64", side("tonic_stream", tonic::ask_in_a_stream, tonic::answer)),
    ("remote_calls_64", TONIC_CALLS),
];

/// The side called `side` of `workload`.
pub(crate) fn find(workload: &str, side: &str) -> Result<(&'static str, &'static Side), RunError> {
    let found = SIDES.iter().find(|(of, it)| *of == workload && it.name == side);
    found
        .map(|(of, it)| (*of, it))
        .ok_or_else(|| RunError::UnknownSide { workload: workload.to_owned(), side: side.to_owned() })
}
