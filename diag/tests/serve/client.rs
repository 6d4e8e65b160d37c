//! A small HTTP client over a real socket, and MCP calls over it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shard_diag::{Diag, DiagOptions, Endpoint, Source};

/// Longest wait for an answer in these tests.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Options with each service on a port the kernel chooses, and collection at each scrape.
pub(crate) fn options() -> DiagOptions {
    DiagOptions {
        radar: Some(Endpoint::loopback(0)),
        mcp: Some(Endpoint { host: String::from("127.0.0.1"), port: 0 }),
        collect_min_age: Duration::ZERO,
        ..DiagOptions::default()
    }
}

pub(crate) fn start(source: Arc<dyn Source>) -> Diag {
    Diag::start(source, options()).expect("starts")
}

pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The server may answer and close before it has read everything.
    drop(stream.write_all(request));
    read_answer(&mut stream)
}

pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            // A read with a time-out is not restarted after a signal.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("no answer within {PATIENCE:?}: {error}"),
        }
    }
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: String::from(body) }
}

pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    let text = format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    exchange(address, text.as_bytes())
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "", "")
}

pub(crate) const MCP_HEADERS: &str = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
                                      MCP-Protocol-Version: 2025-06-18\r\n";

pub(crate) fn rpc(address: SocketAddr, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let answer = request(address, "POST", "/mcp", MCP_HEADERS, &body);
    assert_eq!(answer.status, 200, "{} {}", answer.head, answer.body);
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

/// Result of a tool that must succeed: its document.
pub(crate) fn call(address: SocketAddr, tool: &str, arguments: &Value) -> Value {
    let answer = rpc(address, "tools/call", &json!({ "name": tool, "arguments": arguments }));
    let result = &answer["result"];
    assert_eq!(result["isError"], json!(false), "{answer}");
    assert!(result["content"][0]["text"].is_string(), "{answer}");
    result["structuredContent"].clone()
}

/// Result of a tool that must fail: its error object.
pub(crate) fn fail(address: SocketAddr, tool: &str, arguments: &Value) -> Value {
    let answer = rpc(address, "tools/call", &json!({ "name": tool, "arguments": arguments }));
    let result = &answer["result"];
    assert_eq!(result["isError"], json!(true), "{answer}");
    result["structuredContent"]["error"].clone()
}

/// Compares with a file beside the tests; `UPDATE_FIXTURES=1` writes it.
pub(crate) fn assert_fixture(name: &str, text: &str) {
    let path = format!("{}/tests/serve/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(&path, text).expect("writable");
    }
    let expected = std::fs::read_to_string(&path).expect("a fixture");
    assert!(expected == text, "{name} differs; run with UPDATE_FIXTURES=1 and look at the change:\n{text}");
}
