//! An HTTP service: a web server whose requests are calls to a pool of actors.
//!
//! `cargo run --example http_service -- --serve` keeps it up: `curl http://127.0.0.1:8080/add?a=1&b=2`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::http::StatusCode;
use shard_runtime::prelude::*;
use shard_runtime::{Pool, WebHandler, WebRequest, WebResponse, WebServer};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};

#[derive(Default)]
struct Calculator;

#[actor]
impl Calculator {
    #[handle]
    fn request(&mut self, m: WebRequest, _cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        if m.path() != "/add" {
            return Ok(WebResponse::error(StatusCode::NOT_FOUND, "try /add?a=1&b=2"));
        }
        let number = |key| m.query(key).and_then(|text| text.parse::<i64>().ok());
        Ok(match (number("a"), number("b")) {
            (Some(a), Some(b)) => WebResponse::json(&a.saturating_add(b)),
            _ => WebResponse::error(StatusCode::BAD_REQUEST, "a and b must be numbers"),
        })
    }
}

/// Owns the web server.
struct Site {
    address: &'static str,
    told: Sender<SocketAddr>,
}

#[actor]
impl Site {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.spawn(|| Pool::of(Calculator::default).size(4), SpawnOptions::named("calculators").link_child())?;
        let server = WebServer::bind(self.address).route("/*", WebHandler::to("calculators"));
        if let Some(address) = cx.spawn_io(server)?.local {
            self.told.send(address)?;
        }
        Ok(())
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = std::env::args().any(|argument| argument == "--serve");
    let node = Node::builder("calc@localhost").start()?;
    let (told, address) = channel();
    let address_to_bind = if serve { "127.0.0.1:8080" } else { "127.0.0.1:0" };
    node.spawn(move || Site { address: address_to_bind, told }, SpawnOptions::named("site"))?;
    let address = address.recv()?;
    println!("listening on http://{address}");
    if serve {
        return Ok(node.run_until_signal()?);
    }
    let answer = get(address, "/add?a=40&b=2")?;
    assert!(answer.ends_with("42"), "{answer}");
    assert!(get(address, "/other")?.contains("404"));
    println!("40 + 2 = 42");
    node.stop();
    Ok(())
}
