//! A blocking HTTP/1.1 client for what nodes serve on loopback: one request, one connection.
//!
//! Owns: as much of HTTP as our own servers speak: a status line, headers, a body by length, in chunks or up to the end.
//! Every wait has a time-out, so that a server that hangs fails the test instead of hanging it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// LIMIT: more than any page of ours.
const BODY_BYTES: u64 = 64 << 20;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Response {
    /// Value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// `GET path`. `within` limits the connect and each single wait for bytes.
///
/// # Errors
/// If the connection fails or times out, or the answer is not HTTP.
pub fn get(to: SocketAddr, path: &str, within: Duration) -> io::Result<Response> {
    request(to, "GET", path, &[], "", within)
}

/// Any request. `Host`, `Connection` and `Content-Length` are added unless given.
///
/// # Errors
/// If the connection fails or times out, or the answer is not HTTP.
pub fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
    within: Duration,
) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&to, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    let (host, length) = (to.to_string(), body.len().to_string());
    let own = [("Host", host.as_str()), ("Connection", "close"), ("Content-Length", length.as_str())];
    let added =
        own.iter().filter(|(name, _)| !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
    for (name, value) in headers.iter().chain(added) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(BODY_BYTES).read_to_end(&mut bytes)?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> io::Result<Response> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| bad("no end of the headers"))?;
    let (head, rest) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| bad("no status line"))?;
    let split = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(split).collect();
    let mut response = Response { status, headers, body: String::new() };
    let body = if response.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        unchunk(rest)?
    } else if let Some(length) = response.header("content-length") {
        let length: usize = length.parse().map_err(|_| bad("content-length is no number"))?;
        rest.get(..length).ok_or_else(|| bad("the body is shorter than its content-length"))?.to_vec()
    } else {
        rest.to_vec()
    };
    response.body = String::from_utf8(body).map_err(|_| bad("the body is not UTF-8"))?;
    Ok(response)
}

fn unchunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").ok_or_else(|| bad("a chunk without a size"))?;
        let line = String::from_utf8_lossy(&rest[..end]);
        let size = line.split(';').next().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or_else(|| bad("the size of a chunk is no number"))?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(rest.get(..size).ok_or_else(|| bad("a chunk was cut"))?);
        rest = rest
            .get(size..)
            .and_then(|rest| rest.strip_prefix(b"\r\n"))
            .ok_or_else(|| bad("a chunk was cut"))?;
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an http answer: {what}"))
}

#[cfg(test)]
mod tests {
    use super::{get, parse, request};
    use std::io::{ErrorKind, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(30);

    /// Answers one connection and returns the request's text.
    fn serve(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let run = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                seen.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(seen).unwrap()
        };
        (at, thread::Builder::new().spawn(run).unwrap())
    }

    #[test]
    fn get_reads_status_headers_and_body() {
        let (at, server) = serve(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}junk",
        );
        let response = get(at, "/health/ready", SOON).unwrap();
        assert_eq!((response.status, response.body.as_str()), (503, "{}"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        let seen = server.join().unwrap();
        assert!(
            seen.starts_with("GET /health/ready HTTP/1.1\r\n") && seen.contains(&format!("Host: {at}\r\n")),
            "{seen}"
        );
    }

    #[test]
    fn given_headers_win() {
        let (at, server) = serve("HTTP/1.1 200 OK\r\n\r\nto the end");
        assert_eq!(
            request(at, "POST", "/mcp", &[("host", "evil.example")], "", SOON).unwrap().body,
            "to the end"
        );
        let seen = server.join().unwrap();
        assert!(seen.contains("host: evil.example\r\n") && !seen.contains("Host:"), "{seen}");
    }

    #[test]
    fn chunks_are_joined_and_cut_ones_refused() {
        let whole =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n";
        assert_eq!(parse(whole.as_bytes()).unwrap().body, "hello!");
        let tail = "\r\n\r\n".len();
        for cut in 0..whole.len() - tail {
            assert_eq!(parse(&whole.as_bytes()[..cut]).unwrap_err().kind(), ErrorKind::InvalidData, "{cut}");
        }
    }

    #[test]
    fn a_silent_server_is_a_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = get(listener.local_addr().unwrap(), "/", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }
}
