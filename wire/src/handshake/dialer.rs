//! The dialing side of a handshake.
//!
//! Owns: the dialer's state from Hello to Welcome. Invariants: D1 the proof is made only for a challenge that kept to
//! the offered versions and keys. D2 nothing the acceptor said counts before its proof in Welcome was verified. D3 a
//! failed or finished handshake stays so.

use crate::NodeName;
use crate::handshake::inbound::Inbound;
use crate::handshake::key::{CookieKey, Role, Transcript};
use crate::handshake::message::{Body, Challenge, Hello, decode, encode_proof, encode_refuse};
use crate::handshake::{Established, Failure, Intent, Introduction, Local, Reason, Source, Step, Verdict};

/// The dialing side. Feed it what the socket read; write what it returns.
#[derive(Debug)]
pub struct Dialer {
    local: Local,
    expected: Option<NodeName>,
    intent: Intent,
    transcript: Transcript,
    inbound: Inbound,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitChallenge,
    AwaitWelcome { peer: Box<Introduction>, version: u16, key: Box<CookieKey> },
    Ended,
}

impl Dialer {
    /// Starts a handshake with whoever answers; the second value is what to write first. With `expected`, any other
    /// node is refused as [`Reason::WrongPeer`].
    #[must_use]
    pub fn new(local: Local, expected: Option<NodeName>, intent: Intent) -> (Self, Vec<u8>) {
        let hello = Hello {
            versions: local.versions,
            key_ids: local.keys.ids(),
            nonce: local.nonce,
            introduction: local.introduction.clone(),
            intent,
        }
        .encode();
        let mut transcript = Transcript::new(&local.channel_binding);
        transcript.add(&hello);
        let state = State::AwaitChallenge;
        (Self { local, expected, intent, transcript, inbound: Inbound::default(), state }, hello)
    }

    /// Takes what the socket read at `now_ns`.
    ///
    /// # Errors
    /// The handshake has failed: write the reply, close the connection.
    pub fn feed(&mut self, now_ns: u64, mut bytes: &[u8]) -> Result<Step, Failure> {
        self.on_time(now_ns)?;
        let step = self.advance(&mut bytes);
        if step.is_err() {
            self.state = State::Ended;
        }
        step
    }

    /// Checks the deadline at `now_ns`.
    ///
    /// # Errors
    /// [`Reason::Timeout`] once the deadline has passed and the handshake is not done.
    pub fn on_time(&mut self, now_ns: u64) -> Result<(), Failure> {
        if matches!(self.state, State::Ended) || now_ns < self.local.deadline_ns {
            return Ok(());
        }
        self.state = State::Ended;
        Err(Failure::local(Reason::Timeout))
    }

    fn advance(&mut self, bytes: &mut &[u8]) -> Result<Step, Failure> {
        if matches!(self.state, State::Ended) {
            return Err(Failure::local(Reason::Malformed));
        }
        let Some(message) = self.inbound.take(bytes).map_err(Failure::local)? else { return Ok(Step::Wait) };
        let body = decode(&message).map_err(Failure::local)?;
        match (std::mem::replace(&mut self.state, State::Ended), body) {
            (_, Body::Refuse(reason)) => {
                Err(Failure { reason, source_end: Source::Unproven, reply: Vec::new() })
            }
            (State::AwaitChallenge, Body::Challenge(challenge)) if bytes.is_empty() => {
                self.on_challenge(&message, *challenge)
            }
            (State::AwaitWelcome { peer, version, key }, Body::Welcome(verdict, mac)) => {
                self.on_welcome(&message, verdict, &mac, &key)?;
                let Verdict::Accept { session, epoch } = verdict else {
                    return Err(Failure::local(Reason::Refused));
                };
                let unread = bytes.to_vec();
                let intent = self.intent;
                Ok(Step::Done(Box::new(Established { peer: *peer, intent, version, session, epoch, unread })))
            }
            _ => Err(Failure::local(Reason::Malformed)),
        }
    }

    fn on_challenge(&mut self, message: &[u8], challenge: Challenge) -> Result<Step, Failure> {
        let refuse =
            |reason| Err(Failure { reason, source_end: Source::Local, reply: encode_refuse(reason) });
        let (own, peer) = (&self.local.introduction, challenge.introduction);
        if self.local.versions.best_with(challenge.versions) != Some(challenge.version) {
            return refuse(Reason::Version);
        }
        if peer.cluster != own.cluster {
            return refuse(Reason::ClusterMismatch);
        }
        if (&peer.name, peer.incarnation) == (&own.name, own.incarnation)
            || challenge.nonce == self.local.nonce
        {
            return refuse(Reason::SelfConnect);
        }
        if self.expected.as_ref().is_some_and(|name| *name != peer.name) {
            return refuse(Reason::WrongPeer);
        }
        let Some(key) = self.local.keys.by_id(challenge.key_id).cloned() else {
            return refuse(Reason::WrongCookie);
        };
        self.transcript.add(message);
        let proof = encode_proof(&key.prove(Role::Dialer, &self.transcript.hash()));
        self.transcript.add(&proof);
        let (peer, key) = (Box::new(peer), Box::new(key));
        self.state = State::AwaitWelcome { peer, version: challenge.version, key };
        Ok(Step::Send(proof))
    }

    fn on_welcome(
        &mut self,
        message: &[u8],
        verdict: Verdict,
        mac: &[u8; 32],
        key: &CookieKey,
    ) -> Result<(), Failure> {
        let covered = message.len().saturating_sub(mac.len());
        self.transcript.add(message.get(..covered).unwrap_or_default());
        if !key.verify(Role::Acceptor, &self.transcript.hash(), mac) {
            return Err(Failure::local(key.unproven()));
        }
        match verdict {
            Verdict::Accept { .. } => Ok(()),
            Verdict::Refuse(reason) => Err(Failure { reason, source_end: Source::Proven, reply: Vec::new() }),
        }
    }
}
