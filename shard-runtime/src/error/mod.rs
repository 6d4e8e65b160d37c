//! Errors, one type per area.

mod actor;
mod app;
mod call;
mod cron;
mod diag;
mod event;
mod forward;
mod io;
mod link;
mod log;
mod node;
mod preflight;
mod registrar;
mod remote;
mod route;
mod send;
mod spawn;
mod trace;

pub use actor::{ActorError, ActorResult, ExitReason, RemoteError};
pub use app::AppError;
pub use call::CallError;
pub use cron::CronError;
pub use diag::DiagCallError;
pub use event::EventError;
pub use forward::ForwardError;
pub use io::{IoEnd, IoError};
pub use link::LinkError;
pub use log::LogError;
pub use node::NodeError;
pub use preflight::PreflightError;
pub use registrar::RegistrarError;
pub use remote::{AskError, EnableError, RemoteAppError, RemoteSpawnError, SpawnId, Unclaimed};
pub use route::NodeRouteError;
pub use send::{DeliveryError, DeliveryId, SendError, SendReason, Unconfirmed};
pub use spawn::SpawnError;
pub use trace::TraceParentError;
