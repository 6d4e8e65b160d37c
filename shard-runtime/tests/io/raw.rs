//! Servers of raw sockets, for clients that meet what no server of ours does.

use crate::support::LIMIT;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A server that does this with each connection, one after the other, on a thread of its own. The first has the number 0.
pub(crate) fn raw_server(mut each: impl FnMut(usize, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.set_write_timeout(Some(LIMIT)).unwrap();
            each(number, stream);
        }
    };
    // It ends with the test's own OS process.
    drop(std::thread::Builder::new().spawn(serve).unwrap());
    address
}

/// Reads the head of a request, and nothing beyond it. Empty: there is none.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// The value of a header, as it was sent.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Writes the same bytes until the peer closes, or this many have gone. How many went.
pub(crate) fn flood(stream: &mut TcpStream, bytes: &[u8], limit: usize) -> usize {
    let mut sent = 0;
    while sent < limit && stream.write_all(bytes).is_ok() {
        sent += bytes.len();
    }
    sent
}

/// Reads until the peer closes.
pub(crate) fn drain(mut stream: &TcpStream) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest), Ok(1..)) {}
}

/// An address on which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    // Let go of at once.
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
