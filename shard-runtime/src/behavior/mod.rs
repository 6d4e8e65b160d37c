//! Ready behaviours: actors that run other actors. They speak the same messages as any actor.

mod pool;
mod router;

pub(crate) use pool::Retire;

pub use pool::{AddWorkers, Picking, Pool, PoolError, PoolStats, PoolStatus, RemoveWorkers};
pub use router::{
    AddRoute, DisableRoute, EnableRoute, Incoming, RemoveRoute, ReplaceRoute, RespawnRoute, RouteError,
    RouteFailed, RouteInfo, RoutePending, RouteSpec, RouteTo, Router, Routes,
};
