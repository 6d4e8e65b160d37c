//! I/O processes on real nodes, with real sockets and programs.

mod support;
mod tcp;
mod web;
