//! shard-runtime
