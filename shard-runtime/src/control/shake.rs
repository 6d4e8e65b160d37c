//! Moves the bytes of one handshake, as dialer or as acceptor.
//!
//! Invariants: K1 a handshake ends by its deadline, whatever the peer does. K2 no more is read than the state machine of
//! the wire allows, and nothing is kept of a handshake that failed. K3 what is proven holds for this channel only, and a certificate must
//! count for the node that has proven its name.

use crate::control::routes::{Credentials, Routes};
use crate::control::socket;
use crate::control::stream::LinkStream;
use shard_wire::NodeName;
use shard_wire::handshake::{
    Acceptor, Dialer, Established, Failure, Intent, Introduction, Keyring, Local, PROTOCOL, PeerKeys, Reason,
    Source, Step, Verdict,
};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const READ_BYTES: usize = 1024;

/// What every handshake of a node starts from.
#[derive(Debug)]
pub(super) struct Shaker {
    pub(super) own: Introduction,
    /// What peers without a route of their own are met with.
    pub(super) how: Arc<Credentials>,
    /// Peers with keys of their own; registrars have none.
    pub(super) peer_keys: Option<Rc<RouteKeys>>,
    pub(super) deadline: Duration,
    /// Tells handshakes of links from those of registrars: a proof for one is none for the other.
    pub(super) channel: [u8; 32],
    pub(super) epoch: Instant,
}

/// The keys of peers whose routes have cookies of their own.
#[derive(Debug)]
pub(super) struct RouteKeys(pub(super) Arc<Routes>);

impl PeerKeys for RouteKeys {
    fn keys_of(&self, peer: &NodeName) -> Option<Keyring> {
        self.0.keys_of(peer)
    }
}

/// An authenticated dialer that waits for the verdict.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) stream: LinkStream,
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

    fn local(&self, stream: &LinkStream, keys: &Keyring) -> Result<Local, Failed> {
        let mut nonce = [0; 32];
        // Without fresh random bytes no handshake is safe.
        getrandom::fill(&mut nonce).map_err(|_| Failed::local(Reason::Refused))?;
        Ok(Local {
            introduction: self.own.clone(),
            versions: PROTOCOL,
            keys: keys.clone(),
            channel_binding: stream.binding(&self.channel).map_err(Failed::local)?,
            nonce,
            deadline_ns: self.now_ns().saturating_add(self.deadline.as_nanos() as u64),
        })
    }

    /// Runs the acceptor's side up to the verdict.
    pub(super) async fn accept(self: &Rc<Self>, stream: TcpStream) -> Result<Waiting, Failed> {
        let limit = tokio::time::timeout(self.deadline, self.accept_in_time(stream));
        limit.await.unwrap_or(Err(Failed::local(Reason::Timeout)))
    }

    async fn accept_in_time(&self, stream: TcpStream) -> Result<Waiting, Failed> {
        // A socket that cannot be set up is one whose peer has gone.
        socket::prepare(&stream).map_err(|_| Failed::local(Reason::Closed))?;
        let accepted = LinkStream::accepted(stream, self.how.tls.as_ref()).await;
        let mut stream = accepted.map_err(Failed::local)?;
        let mut acceptor = Acceptor::new(self.local(&stream, &self.how.keys)?);
        if let Some(keys) = &self.peer_keys {
            acceptor = acceptor.with_peer_keys(Rc::clone(keys) as Rc<dyn PeerKeys>);
        }
        let mut buffer = [0; READ_BYTES];
        loop {
            let bytes = read(&mut stream, &mut buffer).await?;
            match acceptor.feed(self.now_ns(), bytes) {
                Ok(Step::Judge(peer, _)) if !stream.is_for(&peer.name) => {
                    let reason = Reason::CertificateName;
                    if let Ok((refusal, _)) = acceptor.decide(Verdict::Refuse(reason)) {
                        stream.finish(&refusal).await;
                    }
                    return Err(Failed::local(reason));
                }
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
        how: &Credentials,
    ) -> Result<(LinkStream, Box<Established>), Failed> {
        how.may_leave(address).map_err(Failed::local)?;
        let limit = tokio::time::timeout(self.deadline, self.dial_in_time(address, expected, intent, how));
        limit.await.unwrap_or(Err(Failed::local(Reason::Timeout)))
    }

    async fn dial_in_time(
        &self,
        address: SocketAddr,
        expected: Option<NodeName>,
        intent: Intent,
        how: &Credentials,
    ) -> Result<(LinkStream, Box<Established>), Failed> {
        let connected = socket::connect(address).await;
        let stream = connected.map_err(|_| Failed::local(Reason::Unreachable))?;
        let dialled = LinkStream::dialled(stream, how.tls.as_ref(), expected.as_ref(), address).await;
        let mut stream = dialled.map_err(Failed::local)?;
        let (mut dialer, hello) = Dialer::new(self.local(&stream, &how.keys)?, expected, intent);
        write(&mut stream, &hello).await?;
        let mut buffer = [0; READ_BYTES];
        loop {
            let bytes = read(&mut stream, &mut buffer).await?;
            match dialer.feed(self.now_ns(), bytes) {
                // Who was dialled without a name has shown a certificate, and says only now whose.
                Ok(Step::Done(established)) if !stream.is_for(&established.peer.name) => {
                    return Err(Failed::local(Reason::CertificateName));
                }
                Ok(Step::Done(established)) => return Ok((stream, established)),
                Ok(Step::Send(answer)) => write(&mut stream, &answer).await?,
                Ok(Step::Wait | Step::Judge(..)) => {}
                Err(failure) => return Err(refuse(stream, failure).await),
            }
        }
    }
}

async fn read<'a>(stream: &mut LinkStream, buffer: &'a mut [u8]) -> Result<&'a [u8], Failed> {
    match stream.read(buffer).await.map_err(Failed::local)? {
        0 => Err(Failed::local(Reason::Closed)),
        count => Ok(buffer.get(..count).unwrap_or_default()),
    }
}

async fn write(stream: &mut LinkStream, bytes: &[u8]) -> Result<(), Failed> {
    stream.write_all(bytes).await.map_err(Failed::local)
}

/// Says why, as far as the peer still listens, and closes.
async fn refuse(stream: LinkStream, failure: Failure) -> Failed {
    if !failure.reply.is_empty() {
        stream.finish(&failure.reply).await;
    }
    Failed { reason: failure.reason, source: failure.source_end }
}
