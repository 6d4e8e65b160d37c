//! kameo 0.22 with its feature `remote`: a libp2p swarm on each side over TCP, Noise and Yamux, as its documentation sets one
//! up, and an actor that the other node looks up by its name.
//!
//! Two OS processes only: an OS process has one swarm. Each message is a request with an answer on a stream of its own, and a
//! connection has at most 100 of them; above, messages are lost. So a stream of messages is sent by 64 tasks, each of which
//! awaits that its message is in the mailbox before it sends the next.

use std::convert::Infallible;
use std::time::Duration;

use kameo::RemoteActor;
use kameo::actor::{Actor, ActorRef, RemoteActorRef, Spawn};
use kameo::message::{Context, Message};
use kameo::remote::{Behaviour, messaging};
use kameo::{mailbox, remote_message};
use libp2p::futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use shard_benches::error::RunError;
use shard_benches::workload::Run;
use tokio::runtime::Handle;

use crate::pair::{Ask, Counter, Far, Line, calls, measure, on_cpu, rate, until};

/// Messages of a full run.
const MESSAGES: u64 = 50_000;
/// Messages under way at once.
const UNDER_WAY: u64 = 64;
/// Calls of a full run of one caller.
const ALONE: u64 = 5_000;
/// Calls of a full run of many.
const TOGETHER: u64 = 50_000;
/// The name under which an actor is found.
const NAME: &str = "bench";
/// How long a connection may be without a stream.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Numbered {
    number: u64,
    n: u64,
}

#[derive(Serialize, Deserialize)]
struct Total;

/// Counts.
#[derive(RemoteActor)]
struct Sink {
    counter: Counter,
}

impl Actor for Sink {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(sink: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(sink)
    }
}

#[remote_message]
impl Message<Numbered> for Sink {
    type Reply = ();

    async fn handle(&mut self, message: Numbered, _: &mut Context<Self, ()>) {
        // Sixty-four senders: no order between them.
        self.counter.counted(message.n);
    }
}

#[remote_message]
impl Message<Total> for Sink {
    type Reply = u64;

    async fn handle(&mut self, _: Total, _: &mut Context<Self, u64>) -> u64 {
        self.counter.called()
    }
}

fn swarm() -> Result<Swarm<Behaviour>, RunError> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(RunError::work)?
        .with_behaviour(|key| Behaviour::new(key.public().to_peer_id(), messaging::Config::default()))
        .map_err(RunError::work)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build();
    swarm.behaviour().try_init_global().map_err(RunError::work)?;
    Ok(swarm)
}

/// Lets the swarm work as a task.
fn drive(mut swarm: Swarm<Behaviour>) {
    drop(Handle::current().spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    }));
}

/// Starts an actor that counts, where the other node finds it.
async fn offer(counter: Counter) -> Result<(), RunError> {
    let sink = Sink::spawn_with_mailbox(Sink { counter }, mailbox::unbounded());
    sink.wait_for_startup().await;
    sink.register(NAME).await.map_err(RunError::work)
}

/// The actor of the other node.
async fn other() -> RemoteActorRef<Sink> {
    until(|| async { RemoteActorRef::<Sink>::lookup(NAME).await.ok().flatten() }).await
}

/// A swarm that listens, and its address.
async fn listening() -> Result<Multiaddr, RunError> {
    let mut swarm = swarm()?;
    let anywhere: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().map_err(RunError::work)?;
    swarm.listen_on(anywhere).map_err(RunError::work)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let address = address.with_p2p(*swarm.local_peer_id());
    drive(swarm);
    address.map_err(|_| RunError::work("the swarm listens with another identity"))
}

/// The partner's swarm, in connection with the first.
async fn guest(text: &str) -> Result<Far, RunError> {
    let (far, address) = Far::dial(text).await?;
    let mut swarm = swarm()?;
    let address: Multiaddr = address.parse().map_err(RunError::work)?;
    swarm.dial(address.clone()).map_err(RunError::work)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                // Or names would not be asked of it.
                swarm.add_peer_address(peer_id, address);
                break;
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(RunError::work(error)),
            _ => {}
        }
    }
    drive(swarm);
    Ok(far)
}

/// A stream of tells to an actor of another node; M messages/s.
///
/// # Errors
/// When a node refuses, or messages are lost.
pub(crate) fn receive(run: Run) -> Result<f64, RunError> {
    measure(async move {
        let count = run.scale.of(MESSAGES) / UNDER_WAY * UNDER_WAY;
        let (counter, seen) = Counter::expecting(count);
        let address = listening().await?;
        offer(counter).await?;
        let line = Line::open(run, &address.to_string()).await?;
        Ok((line, rate(count, seen).await?))
    })
}

/// The partner of [`receive`].
///
/// # Errors
/// When a node refuses, or a message is not taken.
pub(crate) fn send(run: Run, text: &str) -> Result<(), RunError> {
    let text = text.to_owned();
    on_cpu(0, async move {
        let far = guest(&text).await?;
        let sink = other().await;
        let each = run.scale.of(MESSAGES) / UNDER_WAY;
        let mut tasks = Vec::new();
        for sender in 0..UNDER_WAY {
            let sink = sink.clone();
            tasks.push(Handle::current().spawn(async move {
                for number in sender * each..(sender + 1) * each {
                    sink.tell(&Numbered { number, n: 1 }).send_ack().await.map_err(RunError::work)?;
                }
                Ok::<(), RunError>(())
            }));
        }
        // The first end stops the clock when it has the last message; its acknowledgement may be cut off.
        far.stay().await;
        Ok(())
    })
}

#[derive(Clone)]
struct Caller(RemoteActorRef<Sink>);

impl Ask for Caller {
    async fn ask(&mut self) -> Result<u64, RunError> {
        self.0.ask(&Total).send().await.map_err(RunError::work)
    }
}

/// Calls of an actor of another node.
///
/// # Errors
/// When a node refuses, or a call is not answered.
pub(crate) fn ask(run: Run) -> Result<f64, RunError> {
    measure(async move {
        let address = listening().await?;
        let line = Line::open(run, &address.to_string()).await?;
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
        let far = guest(&text).await?;
        offer(Counter::of_calls()).await?;
        far.stay().await;
        Ok(())
    })
}
