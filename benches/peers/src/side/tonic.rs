//! tonic 0.14 with prost: a gRPC service with a unary method, a client stream and a stream in both directions.
//!
//! Not an actor framework, but what services are most often joined by. One HTTP/2 connection without TLS and with its default
//! windows; the client and the server are written by tonic-build.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use shard_benches::error::RunError;
use shard_benches::timing::{Stopwatch, millions_per_second};
use shard_benches::workload::Run;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::{iter, wrappers::ReceiverStream};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::pair::{Ask, Counter, Far, Line, Span, calls, measure, on_cpu};

use generated::node_client::NodeClient;
use generated::node_server::{Node, NodeServer};

mod generated {
    //! Written by the build script.
    #![expect(unreachable_pub, clippy::too_many_lines, reason = "it is written for crates that hand it on")]
    include!(concat!(env!("OUT_DIR"), "/bench.Node.rs"));
}

/// Messages of a full run.
const MESSAGES: u64 = 2_000_000;
/// Calls of a full run of one caller.
const ALONE: u64 = 10_000;
/// Calls of a full run of many.
const TOGETHER: u64 = 100_000;

/// What goes both ways: the two numbers that ours carries, too.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Numbered {
    /// Position in the stream, or the count of calls.
    #[prost(fixed64, tag = "1")]
    pub(crate) number: u64,
    /// The rest of the frame.
    #[prost(fixed64, tag = "2")]
    pub(crate) n: u64,
}

/// The service of a node.
#[derive(Debug)]
struct Served {
    calls: AtomicU64,
    expected: u64,
    done: mpsc::UnboundedSender<Span>,
}

#[tonic::async_trait]
impl Node for Served {
    type EchoStream = Streaming<Numbered>;

    async fn total(&self, _: Request<Numbered>) -> Result<Response<Numbered>, Status> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Response::new(Numbered { number, n: 1 }))
    }

    async fn sink(&self, request: Request<Streaming<Numbered>>) -> Result<Response<Numbered>, Status> {
        let mut messages = request.into_inner();
        let (mut counter, mut seen) = Counter::expecting(self.expected);
        while let Some(message) = messages.message().await? {
            counter
                .numbered(message.number, message.n)
                .map_err(|error| Status::data_loss(error.to_string()))?;
        }
        if let Ok(span) = seen.try_recv() {
            // The receiver is gone only if the run was given up.
            let _ = self.done.send(span);
        }
        Ok(Response::new(Numbered { number: self.expected, n: 0 }))
    }

    async fn echo(
        &self,
        request: Request<Streaming<Numbered>>,
    ) -> Result<Response<Self::EchoStream>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

/// Starts the server as a task: its address, and where it tells of a stream of `expected` messages.
async fn serve(expected: u64) -> Result<(String, mpsc::UnboundedReceiver<Span>), RunError> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(RunError::io("listening on loopback"))?;
    let address = listener.local_addr().map_err(RunError::io("reading the listening port"))?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let (done, seen) = mpsc::unbounded_channel();
    let served = NodeServer::new(Served { calls: AtomicU64::new(0), expected, done });
    drop(Handle::current().spawn(Server::builder().add_service(served).serve_with_incoming(incoming)));
    Ok((address.to_string(), seen))
}

async fn dial(address: &str) -> Result<NodeClient<Channel>, RunError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(RunError::work)?;
    Ok(NodeClient::new(endpoint.connect().await.map_err(RunError::work)?))
}

/// A client stream to a method of another node; M messages/s.
///
/// # Errors
/// When the server cannot be started, or messages are lost.
pub(crate) fn receive(run: Run) -> Result<f64, RunError> {
    measure(async move {
        let count = run.scale.of(MESSAGES);
        let (address, mut seen) = serve(count).await?;
        let mut line = Line::open(run, &address).await?;
        // By then the client has its answer, and the server can go.
        line.hear().await?;
        let (first, last) =
            seen.recv().await.ok_or_else(|| RunError::work("the server has not seen all messages"))?;
        Ok((line, millions_per_second(count, last.seconds_since(first))))
    })
}

/// The partner of [`receive`].
///
/// # Errors
/// When the server cannot be reached, or has not seen all.
pub(crate) fn send(run: Run, text: &str) -> Result<(), RunError> {
    let text = text.to_owned();
    on_cpu(0, async move {
        let (mut far, address) = Far::dial(&text).await?;
        let mut client = dial(&address).await?;
        let messages = (0..run.scale.of(MESSAGES)).map(|number| Numbered { number, n: 1 });
        client.sink(iter(messages)).await.map_err(RunError::work)?;
        far.tell("sent").await?;
        far.stay().await;
        Ok(())
    })
}

#[derive(Clone)]
struct Caller(NodeClient<Channel>);

impl Ask for Caller {
    async fn ask(&mut self) -> Result<u64, RunError> {
        let answer = self.0.total(Numbered { number: 0, n: 1 }).await.map_err(RunError::work)?;
        Ok(answer.into_inner().number)
    }
}

/// Unary calls of another node.
///
/// # Errors
/// When the server cannot be reached, or a call is not answered.
pub(crate) fn ask(run: Run) -> Result<f64, RunError> {
    measure(async move {
        let mut line = Line::open(run, "").await?;
        let caller = Caller(dial(&line.hear().await?).await?);
        Ok((line, calls(run, caller, ALONE, TOGETHER).await?))
    })
}

/// Messages that come back in a stream in both directions, with as many under way as the workload's name says; thousands
/// per second.
///
/// # Errors
/// When the server cannot be reached, or messages are lost.
pub(crate) fn ask_in_a_stream(run: Run) -> Result<f64, RunError> {
    measure(async move {
        let mut line = Line::open(run, "").await?;
        let mut client = dial(&line.hear().await?).await?;
        let count = run.scale.of(TOGETHER);
        let depth = usize::try_from(run.depth()).map_err(RunError::work)?;
        let (asks, asked) = mpsc::channel(depth);
        let watch = Stopwatch::start();
        for number in 0..run.depth() {
            asks.try_send(Numbered { number, n: 1 }).map_err(RunError::work)?;
        }
        let mut answers = client.echo(ReceiverStream::new(asked)).await.map_err(RunError::work)?.into_inner();
        for due in 0..count {
            let answer = answers.message().await.map_err(RunError::work)?;
            if answer.is_none_or(|answer| answer.number != due) {
                return Err(RunError::work(format_args!("message {due} did not come back")));
            }
            let number = due + run.depth();
            if number < count {
                asks.send(Numbered { number, n: 1 }).await.map_err(RunError::work)?;
            }
        }
        Ok((line, millions_per_second(count, watch.seconds()) * 1e3))
    })
}

/// The partner of [`ask`] and [`ask_in_a_stream`].
///
/// # Errors
/// When the server cannot be started.
pub(crate) fn answer(_: Run, text: &str) -> Result<(), RunError> {
    let text = text.to_owned();
    on_cpu(0, async move {
        let (mut far, _) = Far::dial(&text).await?;
        let (address, _seen) = serve(u64::MAX).await?;
        far.tell(&address).await?;
        far.stay().await;
        Ok(())
    })
}
