//! shard-wire-macros
