//! What a hostile or clumsy client meets, and how the thread starts and stops.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shard_diag::{Diag, DiagError, DiagOptions, Endpoint};

use crate::client::{MCP_HEADERS, exchange, get, options, read_answer, request, start};
use crate::fake::{Fake, NODE1};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;

fn post(address: SocketAddr, extra: &str, body: &str) -> crate::client::Answer {
    request(address, "POST", "/mcp", &format!("{MCP_HEADERS}{extra}"), body)
}

#[test]
fn foreign_hosts_and_origins_are_forbidden() {
    let diag = start(Fake::new(NODE1, 3));
    let mcp = diag.mcp_addresses()[0];
    assert_eq!(post(mcp, "", LIST).status, 200);
    assert_eq!(post(mcp, &format!("Origin: http://{mcp}\r\n"), LIST).status, 200);
    assert_eq!(post(mcp, "Origin: http://evil.example\r\n", LIST).status, 403);
    assert_eq!(post(mcp, "Origin: null\r\n", LIST).status, 403);
    assert_eq!(post(mcp, "Host: evil.example\r\n", LIST).status, 403);
    let radar = diag.radar_addresses()[0];
    assert_eq!(request(radar, "GET", "/metrics", "Host: evil.example\r\n", "").status, 403);
}

#[test]
fn a_token_guards_everything_but_health() {
    let token = "0123456789abcdef-token";
    let node = Fake::new(NODE1, 3);
    let guarded = DiagOptions { token: Some(String::from(token)), ..options() };
    assert!(!format!("{guarded:?}").contains(token));
    let diag = Diag::start(node, guarded).expect("starts");
    let (mcp, radar) = (diag.mcp_addresses()[0], diag.radar_addresses()[0]);
    let refused = post(mcp, "", LIST);
    assert_eq!(refused.status, 401);
    assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
    assert_eq!(post(mcp, "Authorization: Bearer wrong\r\n", LIST).status, 401);
    let good = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(post(mcp, &good, LIST).status, 200);
    assert_eq!(get(radar, "/metrics").status, 401);
    assert_eq!(request(radar, "GET", "/metrics", &good, "").status, 200);
    assert_eq!(get(radar, "/health/live").status, 200);
}

#[test]
fn start_refuses_with_the_remedy() {
    let node = || Fake::new(NODE1, 1);
    let open = DiagOptions { mcp: Some(Endpoint { host: String::from("0.0.0.0"), port: 0 }), ..options() };
    let error = Diag::start(node(), open.clone()).expect_err("no token");
    assert!(matches!(error, DiagError::TokenRequired { .. }), "{error}");
    assert!(error.to_string().contains("set `token`"), "{error}");
    let token = Some(String::from("0123456789abcdef"));
    assert!(Diag::start(node(), DiagOptions { token, ..open.clone() }).is_ok());
    let error =
        Diag::start(node(), DiagOptions { token: Some(String::from("x")), ..open }).expect_err("short");
    assert!(matches!(error, DiagError::BadToken { length: 1 }), "{error}");
    let bad = DiagOptions { metrics_path: String::from("metrics"), ..options() };
    let error = Diag::start(node(), bad).expect_err("no path");
    assert!(matches!(error, DiagError::BadPath { option: "metrics_path", .. }), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("an address");
    let radar = Some(Endpoint { host: String::from("127.0.0.1"), port: address.port() });
    let error = Diag::start(node(), DiagOptions { radar, ..options() }).expect_err("taken");
    let text = error.to_string();
    assert!(
        text.contains(&address.to_string()) && text.contains("radar") && text.contains("choose another port"),
        "{text}"
    );
}

#[test]
fn malformed_requests_get_their_codes() {
    let diag = start(Fake::new(NODE1, 3));
    let mcp = diag.mcp_addresses()[0];
    for (body, code) in [("{", -32700), ("", -32700), ("[]", -32600), (" [{}]", -32600)] {
        let answer = post(mcp, "", body);
        let error: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!((answer.status, &error["error"]["code"]), (400, &json!(code)), "{body}");
    }
    let get_answer = get(mcp, "/mcp");
    assert_eq!(get_answer.status, 405);
    assert!(get_answer.head.contains("allow: post"), "{}", get_answer.head);
    assert_eq!(request(mcp, "POST", "/mcp", "Content-Type: application/json\r\n", LIST).status, 406);
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(post(mcp, "", note).status, 202);
    assert_eq!(get(mcp, "/metrics").status, 404);
    assert_eq!(post(diag.radar_addresses()[0], "", LIST).status, 404);
    assert_eq!(exchange(mcp, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n").status, 400);
    assert_eq!(post(mcp, "", LIST).status, 200);
}

#[test]
fn a_body_over_one_mebibyte_is_refused_declared_or_not() {
    let diag = start(Fake::new(NODE1, 3));
    let mcp = diag.mcp_addresses()[0];
    let declared =
        format!("POST /mcp HTTP/1.1\r\nHost: {mcp}\r\n{MCP_HEADERS}Content-Length: 4294967296\r\n\r\n");
    let mut stream = TcpStream::connect(mcp).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(declared.as_bytes()).expect("written");
    assert_eq!(read_answer(&mut stream).status, 413);
    let chunk = "x".repeat(0x8000);
    let mut chunked =
        format!("POST /mcp HTTP/1.1\r\nHost: {mcp}\r\n{MCP_HEADERS}Transfer-Encoding: chunked\r\n\r\n");
    for _ in 0..33 {
        chunked.push_str(&format!("8000\r\n{chunk}\r\n"));
    }
    let mut stream = TcpStream::connect(mcp).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(chunked.as_bytes()).expect("written");
    assert_eq!(read_answer(&mut stream).status, 413);
}

#[test]
fn silent_clients_are_closed_and_counted() {
    let quick = DiagOptions { request_timeout: Duration::from_millis(200), ..options() };
    let diag = Diag::start(Fake::new(NODE1, 3), quick).expect("starts");
    let (mcp, radar) = (diag.mcp_addresses()[0], diag.radar_addresses()[0]);
    let begun = Instant::now();
    let mut silent = TcpStream::connect(mcp).expect("connects");
    silent.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    read_answer(&mut silent);
    let mut half = TcpStream::connect(mcp).expect("connects");
    half.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    half.write_all(b"POST /mcp HTTP/1.1\r\nHost: loc").expect("written");
    read_answer(&mut half);
    let mut body = TcpStream::connect(mcp).expect("connects");
    body.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let head = format!("POST /mcp HTTP/1.1\r\nHost: {mcp}\r\n{MCP_HEADERS}Content-Length: 50\r\n\r\n{{");
    body.write_all(head.as_bytes()).expect("written");
    assert_eq!(read_answer(&mut body).status, 408);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let page = get(radar, "/metrics").body;
    for reason in ["slow_head", "slow_body"] {
        assert!(page.contains(&format!("reason=\"{reason}\"")), "{reason} is not counted");
    }
}

#[test]
fn connections_beyond_the_cap_are_told_so() {
    let few = DiagOptions { max_connections: 2, ..options() };
    let diag = Diag::start(Fake::new(NODE1, 3), few).expect("starts");
    let radar = diag.radar_addresses()[0];
    let held: Vec<_> = (0..2).map(|_| TcpStream::connect(radar).expect("connects")).collect();
    let mut third = TcpStream::connect(radar).expect("connects");
    third.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    assert_eq!(read_answer(&mut third).status, 503);
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(5);
    while get(radar, "/health/live").status != 200 {
        assert!(Instant::now() < deadline, "the two places are not given back");
    }
}

#[test]
fn both_services_share_a_port_and_stop_gives_it_back() {
    let endpoint = Endpoint::loopback(0);
    let shared = DiagOptions { radar: Some(endpoint.clone()), mcp: Some(endpoint), ..options() };
    let diag = Diag::start(Fake::new(NODE1, 3), shared).expect("starts");
    assert_eq!(diag.radar_addresses(), diag.mcp_addresses());
    let address = diag.radar_addresses()[0];
    assert_eq!((get(address, "/metrics").status, post(address, "", LIST).status), (200, 200));
    for other in diag.radar_addresses() {
        assert_eq!((other.port(), get(*other, "/health/live").status), (address.port(), 200));
    }
    let begun = Instant::now();
    diag.stop().expect("stops");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn stop_does_not_wait_for_idle_clients() {
    let diag = start(Fake::new(NODE1, 3));
    let address = diag.radar_addresses()[0];
    let silent = TcpStream::connect(address).expect("connects");
    let mut idle = TcpStream::connect(address).expect("connects");
    idle.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    idle.write_all(format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
        .expect("written");
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let begun = Instant::now();
    diag.stop().expect("stops");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn random_bytes_change_nothing() {
    let quick = DiagOptions { request_timeout: Duration::from_millis(200), ..options() };
    let diag = Diag::start(Fake::new(NODE1, 3), quick).expect("starts");
    let mcp = diag.mcp_addresses()[0];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let count = usize::try_from(next() % 300).expect("small");
        let mut bytes: Vec<u8> = (0..count).map(|_| next().to_le_bytes()[0]).collect();
        if round % 2 == 0 {
            // Half of them get as far as the body.
            let head =
                format!("POST /mcp HTTP/1.1\r\nHost: {mcp}\r\n{MCP_HEADERS}Content-Length: {count}\r\n\r\n");
            bytes.splice(0..0, head.into_bytes());
        }
        let mut stream = TcpStream::connect(mcp).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(&bytes).expect("written");
        stream.shutdown(Shutdown::Write).expect("half closed");
        let status = read_answer(&mut stream).status;
        assert!(status == 0 || (400..500).contains(&status), "round {round}: {status}");
    }
    // Flipped bytes of a valid call: refused or answered, never a broken server.
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"node_info","arguments":{}}}"#;
    for index in 0..call.len() {
        let mut bytes = call.as_bytes().to_vec();
        bytes[index] ^= 0x11;
        let Ok(body) = String::from_utf8(bytes) else { continue };
        let status = post(mcp, "", &body).status;
        assert!(matches!(status, 200 | 202 | 400..=499), "byte {index}: {status}");
    }
    assert_eq!(post(mcp, "", LIST).status, 200);
}
