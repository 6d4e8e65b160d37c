//! Sockets from outside: a client with many connections, and our servers that answer it.
//!
//! Threads: the client on processor 0, the server on processor 1. Each connection has one request under way; the client is the
//! same for every side, so that only servers differ.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use shard_runtime::{
    ActorError, ActorResult, Context, IoProcess, TcpConnect, TcpData, TcpDisconnect, TcpServer, WebHandler,
    WebRequest, WebResponse, WebServer, actor, handle,
};

use crate::error::RunError;
use crate::machine::pin;
use crate::own::start::{Spread, World};
use crate::timing::{Stopwatch, rest_for};
use crate::workload::Run;

/// Connections of the client.
const CONNECTIONS: usize = 64;
/// Requests of a full run.
const REQUESTS: u64 = 300_000;
/// What is echoed.
pub const ECHO: &[u8] = &[7; 64];
/// What is asked of a web server.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n";
/// What it answers.
pub const HELLO: &str = "hello, world";

/// Sends `request` on all connections, over and over; thousands of answers per second.
///
/// # Errors
/// The server cannot be reached, or ends a connection.
pub fn drive(run: Run, address: SocketAddr, request: &[u8], end: &[u8]) -> Result<f64, RunError> {
    pin(0)?;
    let count = run.scale.of(REQUESTS);
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).map_err(RunError::io("connecting to the server"))?;
        stream.set_nodelay(true).map_err(RunError::io("setting up a connection"))?;
        connections.push((stream, 0));
    }
    let length = answer_length(&connections[0].0, request, end)?;
    for (stream, _) in &connections {
        stream.set_nonblocking(true).map_err(RunError::io("setting up a connection"))?;
    }
    // What a server does for new connections is not measured.
    rest_for(std::time::Duration::from_millis(20));
    exchange(&mut connections, request, length, count)
}

/// How long each answer is: the first one is read to its known end.
fn answer_length(mut stream: &TcpStream, request: &[u8], end: &[u8]) -> Result<usize, RunError> {
    stream.write_all(request).map_err(RunError::io("writing a request"))?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(end) {
        let read = stream.read(&mut piece).map_err(RunError::io("reading an answer"))?;
        if read == 0 {
            return Err(RunError::work("the server ended the connection"));
        }
        answer.extend_from_slice(&piece[..read]);
    }
    Ok(answer.len())
}

fn exchange(
    connections: &mut [(TcpStream, usize)],
    request: &[u8],
    length: usize,
    count: u64,
) -> Result<f64, RunError> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(RunError::work)?;
    let watch = Stopwatch::start();
    for (index, (stream, _)) in connections.iter_mut().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&set, &*stream, data, epoll::EventFlags::IN).map_err(RunError::work)?;
        stream.write_all(request).map_err(RunError::io("writing a request"))?;
    }
    let (mut done, mut events, mut buffer) = (0, Vec::with_capacity(CONNECTIONS), vec![0; 64 << 10]);
    while done < count {
        events.clear();
        epoll::wait(&set, spare_capacity(&mut events), None).map_err(RunError::work)?;
        for event in &events {
            let index = usize::try_from(event.data.u64()).map_err(RunError::work)?;
            let (stream, got) = &mut connections[index];
            let read = stream.read(&mut buffer).map_err(RunError::io("reading an answer"))?;
            if read == 0 {
                return Err(RunError::work("the server ended a connection"));
            }
            *got += read;
            if *got >= length {
                if *got > length {
                    return Err(RunError::work("an answer has another length than the first one"));
                }
                *got = 0;
                done += 1;
                stream.write_all(request).map_err(RunError::io("writing a request"))?;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    Ok(done as f64 / watch.seconds() / 1e3)
}

/// Starts a server and tells where it is.
struct Host<S> {
    server: Option<S>,
    told: mpsc::Sender<SocketAddr>,
}

#[actor]
impl<S: IoProcess> Host<S> {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(server) = self.server.take()
            && let Some(address) = cx.spawn_io(server)?.local
        {
            // The receiver is gone only if the run was given up.
            let _ = self.told.send(address);
        }
        Ok(())
    }

    #[handle]
    fn up(&mut self, _: TcpConnect, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn data(&mut self, m: TcpData, cx: &mut Context<'_>) -> ActorResult {
        // Closed meanwhile: the client notices.
        let _ = cx.send(m.id, m);
        Ok(())
    }

    #[handle]
    fn down(&mut self, _: TcpDisconnect, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[handle]
    fn hello(&mut self, _: WebRequest, _cx: &mut Context<'_>) -> Result<WebResponse, ActorError> {
        Ok(WebResponse::text(HELLO))
    }
}

fn serve(
    run: Run,
    server: impl IoProcess,
    request: &'static [u8],
    end: &'static [u8],
) -> Result<f64, RunError> {
    let world = World::start(Spread::OneShard)?;
    let (told, address) = mpsc::channel();
    let host = move || Host { server: Some(server), told };
    world.node().spawn(host, shard_runtime::SpawnOptions::named("host")).map_err(RunError::work)?;
    drive(run, World::wait(&address)?, request, end)
}

/// An actor echoes what TCP connections send; thousands of echoes per second.
///
/// # Errors
/// The server cannot be started or reached.
pub fn echo(run: Run) -> Result<f64, RunError> {
    serve(run, TcpServer::bind("127.0.0.1:0"), ECHO, ECHO)
}

/// An actor answers HTTP requests; thousands per second.
///
/// # Errors
/// The server cannot be started or reached.
pub fn hello(run: Run) -> Result<f64, RunError> {
    let server = WebServer::bind("127.0.0.1:0").route("/*", WebHandler::to("host"));
    serve(run, server, REQUEST, HELLO.as_bytes())
}
