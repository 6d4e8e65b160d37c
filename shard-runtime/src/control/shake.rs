//! Moves the bytes of one handshake, as dialer or as acceptor.
//!
//! Invariants: K1 a handshake ends by its deadline, whatever the peer does. K2 no more is read than the state machine of
//! the wire allows, and nothing is kept of a handshake that failed.

use crate::control::socket;
use shard_wire::NodeName;
use shard_wire::handshake::{
    Acceptor, Dialer, Established, Failure, Intent, Introduction, Keyring, Local, PROTOCOL, Reason, Source,
    Step,
};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ_BYTES: usize = 1024;

/// What every handshake of a node starts from.
#[derive(Debug)]
pub(super) struct Shaker {
    pub(super) own: Introduction,
    pub(super) keys: Keyring,
    pub(super) deadline: Duration,
    /// Tells handshakes of links from those of registrars: a proof for one is none for the other.
    pub(super) channel: [u8; 32],
    pub(super) epoch: Instant,
}

/// An authenticated dialer that waits for the verdict.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) stream: TcpStream,
    pub(super) acceptor: Acceptor,
    pub(super) peer: Introduction,
    pub(super) intent: Intent,
}

/// A handshake that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) reason: Reason,
    pub(super) source: Source,
}

impl Failed {
    pub(super) const fn local(reason: Reason) -> Self {
        Self { reason, source: Source::Local }
    }
}

impl Shaker {
    pub(super) fn now_ns(&self) -> u64 {
        crate::clock::now().saturating_duration_since(self.epoch).as_nanos() as u64
    }

    fn local(&self) -> Result<Local, Failed> {
        let mut nonce = [0; 32];
        // Without fresh random bytes no handshake is safe.
        getrandom::fill(&mut nonce).map_err(|_| Failed::local(Reason::Refused))?;
        Ok(Local {
            introduction: self.own.clone(),
            versions: PROTOCOL,
            keys: self.keys.clone(),
            channel_binding: self.channel,
            nonce,
            deadline_ns: self.now_ns().saturating_add(self.deadline.as_nanos() as u64),
        })
    }

    /// Runs the acceptor's side up to the verdict.
    pub(super) async fn accept(self: &Rc<Self>, stream: TcpStream) -> Result<Waiting, Failed> {
        let limit = tokio::time::timeout(self.deadline, self.accept_in_time(stream));
        limit.await.unwrap_or(Err(Failed::local(Reason::Timeout)))
    }

    async fn accept_in_time(&self, mut stream: TcpStream) -> Result<Waiting, Failed> {
        // A socket that cannot be set up is one whose peer has gone.
        socket::prepare(&stream).map_err(|_| Failed::local(Reason::Closed))?;
        let mut acceptor = Acceptor::new(self.local()?);
        let mut buffer = [0; READ_BYTES];
        loop {
            let bytes = read(&mut stream, &mut buffer).await?;
            match acceptor.feed(self.now_ns(), bytes) {
                Ok(Step::Judge(peer, intent)) => {
                    return Ok(Waiting { stream, acceptor, peer: *peer, intent });
                }
                Ok(Step::Send(answer)) => write(&mut stream, &answer).await?,
                Ok(Step::Wait | Step::Done(_)) => {}
                Err(failure) => return Err(refuse(stream, failure).await),
            }
        }
    }

    /// Connects and runs the dialer's side. `expected` is who must answer.
    pub(super) async fn dial(
        &self,
        address: SocketAddr,
        expected: Option<NodeName>,
        intent: Intent,
    ) -> Result<(TcpStream, Box<Established>), Failed> {
        let limit = tokio::time::timeout(self.deadline, self.dial_in_time(address, expected, intent));
        limit.await.unwrap_or(Err(Failed::local(Reason::Timeout)))
    }

    async fn dial_in_time(
        &self,
        address: SocketAddr,
        expected: Option<NodeName>,
        intent: Intent,
    ) -> Result<(TcpStream, Box<Established>), Failed> {
        let connected = socket::connect(address).await;
        let mut stream = connected.map_err(|_| Failed::local(Reason::Unreachable))?;
        let (mut dialer, hello) = Dialer::new(self.local()?, expected, intent);
        write(&mut stream, &hello).await?;
        let mut buffer = [0; READ_BYTES];
        loop {
            let bytes = read(&mut stream, &mut buffer).await?;
            match dialer.feed(self.now_ns(), bytes) {
                Ok(Step::Done(established)) => return Ok((stream, established)),
                Ok(Step::Send(answer)) => write(&mut stream, &answer).await?,
                Ok(Step::Wait | Step::Judge(..)) => {}
                Err(failure) => return Err(refuse(stream, failure).await),
            }
        }
    }
}

async fn read<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Result<&'a [u8], Failed> {
    match stream.read(buffer).await {
        Ok(count) if count > 0 => Ok(buffer.get(..count).unwrap_or_default()),
        _ => Err(Failed::local(Reason::Closed)),
    }
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), Failed> {
    stream.write_all(bytes).await.map_err(|_| Failed::local(Reason::Closed))
}

/// Says why, as far as the peer still listens, and closes.
async fn refuse(mut stream: TcpStream, failure: Failure) -> Failed {
    if !failure.reply.is_empty() {
        // A peer that has gone need not be told.
        let _gone = stream.write_all(&failure.reply).await;
        let _gone = stream.shutdown().await;
    }
    Failed { reason: failure.reason, source: failure.source_end }
}
