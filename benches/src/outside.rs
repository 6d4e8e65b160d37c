//! Which sides the program `peers` has, whose peers are too heavy to build with the workspace.
//!
//! The one list that both programs hold their own tables to: `runs` its registry, `peers` what it does.

/// Workload by workload, the names of these sides.
pub const SIDES: &[(&str, &[&str])] = &[
    ("network_1_1", &["kameo_remote", "ractor_cluster", "tonic_stream"]),
    ("network_1_1_one_process", &["tonic_stream"]),
    ("remote_call", &["kameo_remote", "ractor_cluster", "tonic_unary"]),
    ("remote_calls_1", &["kameo_remote", "ractor_cluster", "tonic_unary"]),
    ("remote_calls_64", &["kameo_remote", "ractor_cluster", "tonic_stream", "tonic_unary"]),
];

/// All of them, one by one.
pub fn sides() -> impl Iterator<Item = (&'static str, &'static str)> {
    SIDES.iter().flat_map(|(workload, sides)| sides.iter().map(move |side| (*workload, *side)))
}
