//! Why a tool has no answer, in words an operator and a program can both use.

use serde_json::{Map, Value, json};

use crate::pid::PidError;
use crate::source::{InspectError, ProxyError};

/// Why a tool has no answer. `kind()` is stable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    #[error("parameter `{field}` {text}")]
    Argument { field: String, text: String },
    #[error("parameter `{field}`: {source}")]
    Pid { field: &'static str, source: PidError },
    #[error("unknown process {text}")]
    UnknownProcess { text: String },
    #[error("unknown event {name}: `event_list` names those there are")]
    UnknownEvent { name: String },
    #[error("unknown cron job {name}: `cron_info` names those there are")]
    UnknownJob { name: String },
    #[error("unknown application {name}: `app_list` names those there are")]
    UnknownApplication { name: String },
    #[error("the application {name} does not run: it has no processes")]
    NotRunning { name: String },
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The process is alive but did not answer: what its record says is attached.
    #[error("{source}; its record says {state}, {callback_ms} ms in the handler")]
    InspectLate { source: InspectError, state: &'static str, callback_ms: u64 },
    #[error("node {node}: {source}")]
    Proxy { node: String, source: ProxyError },
    #[error("node {node}: {text}")]
    Remote { node: String, kind: String, text: String, field: Option<String> },
    #[error("the answer has {bytes} bytes, at most {cap} are sent; use `limit` or a filter")]
    TooLarge { bytes: usize, cap: usize },
    #[error("{limit} tool calls are in progress; ask again later")]
    Overloaded { limit: usize },
    #[error("the answer could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl ToolError {
    /// A refused parameter.
    pub(crate) fn argument(field: &str, text: String) -> Self {
        Self::Argument { field: String::from(field), text }
    }

    /// Stable word of the error.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Argument { .. } => "invalid_argument",
            Self::Pid { source: PidError::WrongNode { .. }, .. } => "wrong_node",
            Self::Pid { source: PidError::StaleIncarnation { .. } | PidError::OtherLife { .. }, .. } => {
                "stale_incarnation"
            }
            Self::Pid { source: PidError::Malformed, .. } => "invalid_argument",
            Self::UnknownProcess { .. } => "unknown_process",
            Self::UnknownEvent { .. } => "unknown_event",
            Self::UnknownJob { .. } => "unknown_job",
            Self::UnknownApplication { .. } => "unknown_application",
            Self::NotRunning { .. } => "not_running",
            Self::Inspect(source) | Self::InspectLate { source, .. } => inspect_kind(source),
            Self::Proxy { source, .. } => source.kind(),
            Self::Remote { kind, .. } => kind,
            Self::TooLarge { .. } => "too_large",
            Self::Overloaded { .. } => "overloaded",
            Self::Json(_) => "internal",
        }
    }

    /// The object under `error` in the structured result.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert(String::from("kind"), Value::from(self.kind()));
        object.insert(String::from("text"), Value::from(self.to_string()));
        let field = match self {
            Self::Argument { field, .. } => Some(format!("/{field}")),
            Self::Pid { field, .. } => Some(format!("/{field}")),
            Self::Remote { field, .. } => field.clone(),
            _ => None,
        };
        if let Some(field) = field {
            object.insert(String::from("field"), Value::from(field));
        }
        if let Self::Proxy { node, .. } | Self::Remote { node, .. } = self {
            object.insert(String::from("node"), Value::from(node.as_str()));
        }
        if let Self::Inspect(source) | Self::InspectLate { source, .. } = self
            && let InspectError::ShardBlocked { shard, pid, name, for_ns, .. } = source
        {
            let blocked = json!({ "shard": shard, "pid": pid, "name": name, "for_ns": for_ns });
            object.insert(String::from("blocked_by"), blocked);
        }
        if let Self::InspectLate { state, callback_ms, .. } = self {
            object.insert(String::from("State"), Value::from(*state));
            object.insert(String::from("CallbackElapsed"), Value::from(callback_ms * 1_000_000));
        }
        Value::Object(object)
    }
}

fn inspect_kind(error: &InspectError) -> &'static str {
    match error {
        InspectError::UnknownProcess => "unknown_process",
        InspectError::ShardBlocked { .. } => "shard_blocked",
        InspectError::Timeout => "timeout",
        InspectError::Overloaded => "overloaded",
    }
}
