//! The MCP server: tools over streamable HTTP, and the same tools for the diagnostics threads of peers.
//!
//! `tools/` holds one file per tool; `args` and `tool` say what a tool is; `desk` runs one, here or on another node;
//! `server` is the protocol side (rmcp); `records` are the shared JSON records.

mod app_records;
mod args;
mod cron_records;
mod desk;
mod error;
mod process_record;
mod records;
mod server;
mod time_text;
mod tool;
mod tools;
mod window;

pub(crate) use desk::{Desk, DeskOptions};
pub(crate) use server::McpServer;
