//! shard-benches
