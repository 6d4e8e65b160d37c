//! What a tool is: its description for clients, and how it is run.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::args::{Args, Param};
use super::desk::Desk;
use super::error::ToolError;

/// Longest list in one answer.
pub(crate) const ROWS_MAX: u64 = 10_000;

/// What a tool answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The document.
    pub(crate) structured: Value,
    /// Text block, where it is not the document itself.
    pub(crate) text: Option<String>,
}

impl Answer {
    /// A document.
    pub(crate) fn of<T: Serialize>(document: &T) -> Result<Self, ToolError> {
        Ok(Self { structured: serde_json::to_value(document)?, text: None })
    }

    /// A document with a text block of its own.
    pub(crate) fn with_text(self, text: String) -> Self {
        Self { text: Some(text), ..self }
    }
}

/// What a tool returns.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Answer, ToolError>> + Send>>;

/// One call.
pub(crate) struct Call {
    pub(crate) desk: Arc<Desk>,
    pub(crate) args: Args,
    /// When the caller stops waiting.
    pub(crate) deadline: Instant,
}

/// One tool.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) help: &'static str,
    pub(crate) params: &'static [Param],
    /// Schema of the document.
    pub(crate) output: fn() -> Map<String, Value>,
    /// Asking twice costs and changes nothing.
    pub(crate) idempotent: bool,
    pub(crate) run: fn(Call) -> Running,
}

/// Wraps a tool that only reads memory.
pub(crate) fn at_once(answer: Result<Answer, ToolError>) -> Running {
    Box::pin(std::future::ready(answer))
}

/// Schema of a document type.
pub(crate) fn output_of<T: JsonSchema>() -> Map<String, Value> {
    match schemars::schema_for!(T).to_value() {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// A list in an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Items<T> {
    /// The rows.
    pub(crate) items: Vec<T>,
    /// Rows there are.
    pub(crate) total: u64,
    /// Rows that pass the filters.
    pub(crate) matched: u64,
    /// Rows in this answer.
    pub(crate) returned: u64,
    /// Some matched rows are not in this answer.
    pub(crate) truncated: bool,
}

impl<T> Items<T> {
    /// A list of all that matched.
    pub(crate) fn complete(items: Vec<T>, total: u64) -> Self {
        let returned = u64::try_from(items.len()).unwrap_or(u64::MAX);
        Self { items, total, matched: returned, returned, truncated: false }
    }

    /// A list that may leave out some of what matched.
    pub(crate) fn cut(items: Vec<T>, total: u64, matched: u64) -> Self {
        let returned = u64::try_from(items.len()).unwrap_or(u64::MAX);
        Self { items, total, matched, returned, truncated: returned < matched }
    }
}
