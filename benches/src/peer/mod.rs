//! The others: each file does the workloads that its peer can do, with the peer's own means.

pub mod actix;
pub mod bare_sockets;
pub mod futex;
pub mod glommio_tasks;
pub mod kameo;
pub mod ractor;
pub mod raw_ring;
pub mod raw_socket;
pub mod tokio_runtime;
pub mod tokio_timers;
