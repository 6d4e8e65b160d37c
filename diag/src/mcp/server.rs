//! The protocol side: rmcp's streamable HTTP server over the desk.
//!
//! Each POST is answered on its own; no session is kept, so no client can pile them up. Invariant: V1 a tool that fails
//! is a result with `isError`; only an unknown tool is a protocol error.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool as McpTool,
    ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;

use super::args::input_schema;
use super::desk::Desk;
use super::tool::Tool;
use super::tools;

const INSTRUCTIONS: &str = "Diagnostics of a cluster of actor nodes. Start with cluster_nodes and node_info, then \
process_list with sort_by; for restarts, process_list with kind supervisor, then process_inspect. Every tool takes \
`node` to ask another node of the cluster. Counters are totals since start.";

/// How long a client may keep the list of tools, in milliseconds.
const LIST_FRESH_MS: u64 = 300_000;

/// Answers MCP requests.
#[derive(Clone)]
pub(crate) struct McpServer {
    service: StreamableHttpService<Handler, NeverSessionManager>,
}

impl McpServer {
    /// A server over the desk; `extra` is added to the instructions. Host and origin are checked by our listener.
    pub(crate) fn new(desk: &Arc<Desk>, extra: &str) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let handler = Handler { desk: Arc::clone(desk), extra: Arc::from(extra) };
        let service = StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        Self { service }
    }

    /// Answers one request, whose body is complete.
    pub(crate) async fn handle(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Response<BoxBody<Bytes, std::convert::Infallible>> {
        self.service.handle(request).await
    }
}

#[derive(Clone)]
struct Handler {
    desk: Arc<Desk>,
    extra: Arc<str>,
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("shard-mcp", env!("CARGO_PKG_VERSION"));
        let instructions = if self.extra.is_empty() {
            String::from(INSTRUCTIONS)
        } else {
            format!("{INSTRUCTIONS} {}", self.extra)
        };
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(name)
            .with_instructions(instructions)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::ALL.iter().map(describe).collect())
            .with_ttl_ms(LIST_FRESH_MS)
            .with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = tools::find(&request.name) else {
            return Err(ErrorData::invalid_params(
                format!("unknown tool {:?}; see tools/list", request.name),
                None,
            ));
        };
        let outcome = self.desk.answer(tool, request.arguments.unwrap_or_default()).await;
        let result = match outcome {
            Ok(answer) => {
                let mut result = CallToolResult::structured(answer.structured);
                if let Some(text) = answer.text {
                    result.content = vec![ContentBlock::text(text)];
                }
                result
            }
            Err(error) => {
                let mut result = CallToolResult::structured_error(json!({ "error": error.to_json() }));
                result.content = vec![ContentBlock::text(error.to_string())];
                result
            }
        };
        Ok(result.into())
    }
}

fn describe(tool: &Tool) -> McpTool {
    let annotations =
        ToolAnnotations::from_raw(None, Some(true), Some(false), Some(tool.idempotent), Some(false));
    McpTool::new(tool.name, tool.help, input_schema(tool.params))
        .with_title(tool.title)
        .with_raw_output_schema(Arc::new((tool.output)()))
        .with_annotations(annotations)
}
