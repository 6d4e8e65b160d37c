//! shard-runtime-macros
