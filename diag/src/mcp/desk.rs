//! Runs a tool: checks the arguments, chooses the node, forwards or executes, caps the answer.
//!
//! Invariants: D1 a forwarded call is executed by the peer's own diagnostics thread and never forwarded again. D2 every
//! call ends by its deadline. D3 at most `max_inflight` calls run; one more is refused at once, not queued.
//! Threads: the diagnostics thread.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::args::Args;
use super::error::ToolError;
use super::tool::{Answer, Call, Tool};
use super::tools;
use super::window::Window;
use crate::pid::{self, Target};
use crate::source::{ProxyError, RemoteRequest, Source};
use crate::tally::{Event, Tally};

/// Version of the request between two diagnostics threads.
const FORWARD_VERSION: u32 = 1;
/// Seconds a call waits where the caller does not say.
const TIMEOUT_DEFAULT_S: u64 = 30;
/// What an executing node keeps back of its deadline so that its answer still arrives.
const RETURN_MARGIN: Duration = Duration::from_millis(50);
/// Bytes of an error answer are not counted against the cap.
const MARGIN_BYTES: usize = 256;

/// Limits of the desk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeskOptions {
    /// Calls in progress.
    pub(crate) max_inflight: usize,
    /// Largest answer in bytes.
    pub(crate) result_cap_bytes: usize,
}

/// Executes tools on behalf of clients and peers.
pub(crate) struct Desk {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) window: Window,
    tally: Arc<Tally>,
    permits: Semaphore,
    options: DeskOptions,
}

/// A call as it travels between two diagnostics threads.
#[derive(Serialize, Deserialize)]
struct Forward {
    v: u32,
    tool: String,
    args: Map<String, Value>,
}

/// The answer to a [`Forward`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Forwarded {
    Ok { structured: Value, text: Option<String> },
    Error { kind: String, text: String, field: Option<String> },
}

impl Desk {
    /// A desk with all tools.
    pub(crate) fn new(source: Arc<dyn Source>, tally: Arc<Tally>, options: DeskOptions) -> Self {
        let permits = Semaphore::new(options.max_inflight);
        Self { source, window: Window::default(), tally, permits, options }
    }

    /// Local id of what an operator wrote in parameter `field`.
    pub(crate) fn resolve(&self, field: &'static str, text: &str) -> Result<u64, ToolError> {
        let identity = self.source.identity();
        match pid::parse(text, &identity).map_err(|source| ToolError::Pid { field, source })? {
            Target::Id(id) => Ok(id),
            Target::Name(name) => {
                self.source.lookup(name).ok_or_else(|| ToolError::UnknownProcess { text: String::from(text) })
            }
        }
    }

    /// Answers a client of this node.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        tool: &'static Tool,
        args: Map<String, Value>,
    ) -> Result<Answer, ToolError> {
        let outcome = self.answer_uncounted(tool, args).await;
        self.tally.add(Event::ToolCall, tool.name, if outcome.is_ok() { "ok" } else { "error" });
        outcome
    }

    async fn answer_uncounted(
        self: &Arc<Self>,
        tool: &'static Tool,
        args: Map<String, Value>,
    ) -> Result<Answer, ToolError> {
        let _permit = self.permit()?;
        let args = Args::check(tool.params, args)?;
        let seconds = args.int("timeout").unwrap_or(TIMEOUT_DEFAULT_S);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        match args.text("node") {
            Some(node) if node != self.source.identity().name => {
                let node = String::from(node);
                self.forward(&node, tool, &args, deadline).await
            }
            _ => self.execute(tool, args, deadline).await,
        }
    }

    fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, ToolError> {
        self.permits.try_acquire().map_err(|_| ToolError::Overloaded { limit: self.options.max_inflight })
    }

    async fn execute(
        self: &Arc<Self>,
        tool: &'static Tool,
        args: Args,
        deadline: Instant,
    ) -> Result<Answer, ToolError> {
        let call = Call { desk: Arc::clone(self), args, deadline };
        let answer = (tool.run)(call).await?;
        let bytes = answer.structured.to_string().len();
        let cap = self.options.result_cap_bytes;
        if bytes > cap { Err(ToolError::TooLarge { bytes, cap }) } else { Ok(answer) }
    }

    async fn forward(
        &self,
        node: &str,
        tool: &Tool,
        args: &Args,
        deadline: Instant,
    ) -> Result<Answer, ToolError> {
        let failed = |source| ToolError::Proxy { node: String::from(node), source };
        let forward =
            Forward { v: FORWARD_VERSION, tool: String::from(tool.name), args: args.without_route() };
        let request = serde_json::to_vec(&forward)?;
        let reply = self.source.diag_call(node, request, deadline.into_std());
        // The source ends by the deadline; this is for one that does not.
        let bytes = timeout_at(deadline + RETURN_MARGIN, reply)
            .await
            .map_err(|_| failed(ProxyError::Timeout))?
            .map_err(failed)?;
        if bytes.len() > self.options.result_cap_bytes * 2 + MARGIN_BYTES {
            return Err(failed(ProxyError::TooLarge));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Forwarded::Ok { structured, text }) => Ok(Answer { structured, text }),
            Ok(Forwarded::Error { kind, text, field }) => {
                Err(ToolError::Remote { node: String::from(node), kind, text, field })
            }
            Err(_) => Err(failed(ProxyError::Version)),
        }
    }

    /// Serves peers until the node closes the channel.
    pub(crate) async fn serve_peers(self: Arc<Self>, mut requests: mpsc::Receiver<RemoteRequest>) {
        while let Some(request) = requests.recv().await {
            let desk = Arc::clone(&self);
            tokio::task::spawn_local(async move {
                let answer = desk.answer_peer(&request).await;
                let bytes = serde_json::to_vec(&answer).unwrap_or_default();
                // The asker may have given up; then nobody reads the answer.
                drop(request.reply.send(bytes));
            });
        }
    }

    async fn answer_peer(self: &Arc<Self>, request: &RemoteRequest) -> Forwarded {
        let refuse = |kind: &str, text: &str| Forwarded::Error {
            kind: String::from(kind),
            text: String::from(text),
            field: None,
        };
        let Ok(forward) = serde_json::from_slice::<Forward>(&request.request) else {
            return refuse("version", "the request is not one of this version");
        };
        if forward.v != FORWARD_VERSION {
            return refuse("version", "the request is not one of this version");
        }
        let Some(tool) = tools::find(&forward.tool) else {
            return refuse("refused", "there is no such tool on this node");
        };
        let outcome = self.execute_for_peer(tool, forward.args, request).await;
        self.tally.add(
            Event::ToolCall,
            tool.name,
            if outcome.is_ok() { "remote_ok" } else { "remote_error" },
        );
        match outcome {
            Ok(answer) => Forwarded::Ok { structured: answer.structured, text: answer.text },
            Err(error) => {
                let field = error.to_json().get("field").and_then(Value::as_str).map(String::from);
                Forwarded::Error { kind: String::from(error.kind()), text: error.to_string(), field }
            }
        }
    }

    async fn execute_for_peer(
        self: &Arc<Self>,
        tool: &'static Tool,
        mut args: Map<String, Value>,
        request: &RemoteRequest,
    ) -> Result<Answer, ToolError> {
        let _permit = self.permit()?;
        args.remove("node");
        let args = Args::check(tool.params, args)?;
        let asked = Instant::from_std(request.deadline);
        let deadline = asked.checked_sub(RETURN_MARGIN).unwrap_or(asked);
        timeout_at(deadline, self.execute(tool, args, deadline)).await.unwrap_or_else(|_| {
            Err(ToolError::Proxy { node: self.source.identity().name, source: ProxyError::Timeout })
        })
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("options", &self.options).finish_non_exhaustive()
    }
}
