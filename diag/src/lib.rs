//! shard-diag
