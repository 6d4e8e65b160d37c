//! A chat room over WebSockets: what one browser says, all hear.
//!
//! `cargo run --example websocket_chat -- --serve` keeps it up: open http://127.0.0.1:8080 in two windows.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use shard_runtime::wire::Alias;
use shard_runtime::{
    WebHandler, WebRequest, WebResponse, WebServer, WebSocketHandler, WsConnect, WsDisconnect, WsMessage,
};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};

const PAGE: &str = "<!doctype html><title>chat</title><input id=say autofocus><pre id=log></pre><script>\
    const s = new WebSocket('ws://' + location.host + '/chat');\
    s.onmessage = m => log.textContent += m.data + '\\n';\
    say.onchange = () => { s.send(say.value); say.value = ''; };</script>";

struct Room {
    address: &'static str,
    told: Sender<SocketAddr>,
    members: Vec<(Alias, SocketAddr)>,
}

impl Room {
    fn tell(&self, text: &str, cx: &Context<'_>) {
        for (member, _) in &self.members {
            // One that has gone is taken off the list by its own news.
            let _gone = cx.send(*member, WsMessage::text(*member, text));
        }
    }
}

#[actor]
impl Room {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let server = WebServer::bind(self.address)
            .route("/", WebHandler::to(cx.pid()))
            .route("/chat", WebSocketHandler::to(cx.pid()));
        if let Some(address) = cx.spawn_io(server)?.local {
            self.told.send(address)?;
        }
        Ok(())
    }

    #[handle]
    fn page(&mut self, _: WebRequest, _cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        Ok(WebResponse::html(PAGE))
    }

    #[handle]
    fn enters(&mut self, m: WsConnect, cx: &mut Context<'_>) -> ActorResult {
        self.members.push((m.id, m.remote));
        self.tell(&format!("{} is here", m.remote.port()), cx);
        Ok(())
    }

    #[handle]
    fn says(&mut self, m: WsMessage, cx: &mut Context<'_>) -> ActorResult {
        let who = self.members.iter().find(|(id, _)| *id == m.id).map_or(0, |(_, remote)| remote.port());
        self.tell(&format!("{who}: {}", m.as_text().unwrap_or("?")), cx);
        Ok(())
    }

    #[handle]
    fn leaves(&mut self, m: WsDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        self.members.retain(|(id, _)| *id != m.id);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = std::env::args().any(|argument| argument == "--serve");
    let address = if serve { "127.0.0.1:8080" } else { "127.0.0.1:0" };
    let node = Node::builder("chat@localhost").start()?;
    let (told, bound) = channel();
    node.spawn(move || Room { address, told, members: Vec::new() }, SpawnOptions::named("room"))?;
    let address = bound.recv()?;
    println!("listening on http://{address}");
    if serve {
        return Ok(node.run_until_signal()?);
    }
    let (mut one, _) = tungstenite::connect(format!("ws://{address}/chat"))?;
    let (mut two, _) = tungstenite::connect(format!("ws://{address}/chat"))?;
    one.send("hello".into())?;
    while !two.read()?.to_text()?.ends_with(": hello") {}
    println!("one was heard by two");
    node.stop();
    Ok(())
}
