//! shard-scenarios
