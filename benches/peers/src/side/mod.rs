//! The peers, each with the same two works: a stream of numbered messages to an actor (or method) of another node, and
//! calls of one that counts them.

pub(crate) mod kameo;
pub(crate) mod ractor;
pub(crate) mod tonic;
