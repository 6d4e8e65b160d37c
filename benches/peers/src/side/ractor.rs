//! ractor_cluster 0.16: two node servers, and an actor that the other node finds in a process group.
//!
//! Two OS processes only: its registry of process ids and its groups are those of the OS process, so two nodes in one would
//! take each other's actors for their own. Casts are not bounded and not confirmed; the sender yields every 1000 messages, as
//! in the workloads of one node.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use ractor_cluster::{NetworkStream, NodeServer, NodeServerMessage, RactorClusterMessage};
use shard_benches::error::RunError;
use shard_benches::workload::Run;
use tokio::net::TcpListener;
use tokio::task::yield_now;

use crate::pair::{Ask, Counter, Far, Line, calls, measure, on_cpu, rate, until};

/// Messages of a full run.
const MESSAGES: u64 = 500_000;
/// Calls of a full run of one caller.
const ALONE: u64 = 10_000;
/// Calls of a full run of many.
const TOGETHER: u64 = 100_000;
/// Messages between two yields of a sending task.
const YIELD_EVERY: u64 = 1000;
/// The group in which an actor is found.
const GROUP: &str = "bench";
/// Longer than any call of a run.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(RactorClusterMessage)]
enum Message {
    Numbered(u64, u64),
    #[rpc]
    Total(RpcReplyPort<u64>),
}

/// Counts.
struct Sink;

impl Actor for Sink {
    type Msg = Message;
    type State = Counter;
    type Arguments = Counter;

    async fn pre_start(&self, _: ActorRef<Message>, counter: Counter) -> Result<Counter, ActorProcessingErr> {
        Ok(counter)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        counter: &mut Counter,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Numbered(number, n) => counter.numbered(number, n)?,
            // The caller is gone only if the run was given up.
            Message::Total(reply) => drop(reply.send(counter.called())),
        }
        Ok(())
    }
}

async fn node(name: &str) -> Result<ActorRef<NodeServerMessage>, RunError> {
    let server =
        NodeServer::new(0, "a secret of the benches".into(), name.into(), "localhost".into(), None, None)
            .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (server, _) = Actor::spawn(None, server, ()).await.map_err(RunError::work)?;
    Ok(server)
}

/// Starts an actor that counts, where the other node finds it.
async fn offer(counter: Counter) -> Result<(), RunError> {
    let (sink, _) = Actor::spawn(None, Sink, counter).await.map_err(RunError::work)?;
    pg::join(GROUP.to_owned(), vec![sink.get_cell()]);
    Ok(())
}

/// The actor of the other node.
async fn other() -> ActorRef<Message> {
    let group = GROUP.to_owned();
    let far = || pg::get_members(&group).into_iter().find(|cell| !cell.get_id().is_local());
    until(|| ready(far())).await.into()
}

/// Starts the partner and takes its connection, which its node server has dialled.
async fn host(run: Run) -> Result<Line, RunError> {
    let server = node("sink").await?;
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(RunError::io("listening on loopback"))?;
    let address = listener.local_addr().map_err(RunError::io("reading the listening port"))?;
    let line = Line::open(run, &address.to_string()).await?;
    let (stream, peer_addr) = listener.accept().await.map_err(RunError::io("accepting the partner"))?;
    stream.set_nodelay(true).map_err(RunError::io("switching off delayed sending"))?;
    let local_addr = stream.local_addr().map_err(RunError::io("reading the listening port"))?;
    let stream = Box::new(NetworkStream::Raw { peer_addr, local_addr, stream });
    server.cast(NodeServerMessage::ConnectionOpened { stream, is_server: true }).map_err(RunError::work)?;
    Ok(line)
}

async fn guest(text: &str) -> Result<Far, RunError> {
    let (far, address) = Far::dial(text).await?;
    let server = node("source").await?;
    ractor_cluster::client_connect(&server, address.as_str()).await.map_err(RunError::work)?;
    Ok(far)
}

/// A stream of casts to an actor of another node; M messages/s.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub(crate) fn receive(run: Run) -> Result<f64, RunError> {
    measure(async move {
        let count = run.scale.of(MESSAGES);
        let (counter, seen) = Counter::expecting(count);
        offer(counter).await?;
        let line = host(run).await?;
        Ok((line, rate(count, seen).await?))
    })
}

/// The partner of [`receive`].
///
/// # Errors
/// When a node refuses.
pub(crate) fn send(run: Run, text: &str) -> Result<(), RunError> {
    let text = text.to_owned();
    on_cpu(0, async move {
        let far = guest(&text).await?;
        let sink = other().await;
        for number in 0..run.scale.of(MESSAGES) {
            sink.cast(Message::Numbered(number, 1)).map_err(RunError::work)?;
            if number % YIELD_EVERY == 0 {
                yield_now().await;
            }
        }
        far.stay().await;
        Ok(())
    })
}

#[derive(Clone)]
struct Caller(ActorRef<Message>);

impl Ask for Caller {
    async fn ask(&mut self) -> Result<u64, RunError> {
        let answer = self.0.call(Message::Total, Some(PATIENCE)).await.map_err(RunError::work)?;
        answer.success_or(()).map_err(|()| RunError::work("a call was not answered"))
    }
}

/// Calls of an actor of another node.
///
/// # Errors
/// When a node refuses, or a call is not answered.
pub(crate) fn ask(run: Run) -> Result<f64, RunError> {
    measure(async move {
        let line = host(run).await?;
        let caller = Caller(other().await);
        Ok((line, calls(run, caller, ALONE, TOGETHER).await?))
    })
}

/// The partner of [`ask`].
///
/// # Errors
/// When a node refuses.
pub(crate) fn answer(_: Run, text: &str) -> Result<(), RunError> {
    let text = text.to_owned();
    on_cpu(0, async move {
        offer(Counter::of_calls()).await?;
        guest(&text).await?.stay().await;
        Ok(())
    })
}
