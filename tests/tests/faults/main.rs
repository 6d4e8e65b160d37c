//! What a network and a machine can do to two nodes, and what has to come of it: no operator helps.
//!
//! | Fault | Sessions | Messages |
//! |---|---|---|
//! | kill -9, then a new start | ends at once at the other one, once; a new one | of the old session some may be lost |
//! | stopped for 30 s, either one | ends after 5 s at the other one; a new one when it runs again | likewise |
//! | partition, both ways or one way | ends at both after 5 s; a new one when it is over | likewise |
//! | 5 % of packets lost | stays | none lost |
//! | 30 % of packets lost | may end | lost only with a session |
//! | a slow wire | stays | none lost; senders are refused |
//! | connections reset, in mid-frame | stays; links are dialled again | none lost |
//! | half-open: power lost, then a new start | ends at the latest when the new one comes | lost only with a session |
//!
//! In all of them: nothing arrives twice or late, every call ends, whoever watches is told once for each session, and what
//! was sent is what arrived, failed or is unknown. `make test` runs the short ones, `make faults` all.

mod cuts;
mod endurance;
mod pair;
mod partitions;
mod stops;
