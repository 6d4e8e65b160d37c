//! I/O processes on real nodes, with real sockets and programs.

mod flow;
mod hostile;
mod owner;
mod port;
mod raw;
mod sse_client;
mod support;
mod tcp;
mod tls;
mod udp;
mod web;
mod web_bounds;
mod web_close;
mod ws_client;
