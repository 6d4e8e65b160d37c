//! shard-tests
