//! The accepting side of a handshake.
//!
//! Owns: the acceptor's state from Hello to its own verdict. Invariants: A1 no proof is sent before the dialer's was
//! verified. A2 the verdict is asked for once, and only for an authenticated dialer. A3 a failed or finished handshake
//! stays so. A4 a peer with keys of its own is accepted with these only, and nobody else is.

use crate::handshake::inbound::Inbound;
use crate::handshake::key::{CookieKey, PeerKeys, Role, Transcript};
use crate::handshake::message::{Body, Challenge, Hello, decode, encode_refuse, welcome_before_proof};
use crate::handshake::{Established, Failure, Intent, Introduction, Local, Reason, Source, Step, Verdict};
use std::rc::Rc;

/// The accepting side. Feed it what the socket read; write what it returns.
#[derive(Debug)]
pub struct Acceptor {
    local: Local,
    transcript: Transcript,
    inbound: Inbound,
    peer_keys: Option<Rc<dyn PeerKeys>>,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitHello,
    AwaitProof(Box<Dialing>),
    AwaitVerdict(Box<Dialing>),
    Ended,
}

#[derive(Debug)]
struct Dialing {
    peer: Introduction,
    intent: Intent,
    version: u16,
    key: CookieKey,
}

impl Acceptor {
    /// Waits for a dialer's Hello.
    #[must_use]
    pub fn new(local: Local) -> Self {
        let transcript = Transcript::new(&local.channel_binding);
        Self { local, transcript, inbound: Inbound::default(), peer_keys: None, state: State::AwaitHello }
    }

    /// Has the keys of some peers looked up by the name that they claim.
    #[must_use]
    pub fn with_peer_keys(mut self, keys: Rc<dyn PeerKeys>) -> Self {
        self.peer_keys = Some(keys);
        self
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

    /// Answers the dialer with the session core's verdict: what to write, and the link if it was accepted.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if no verdict is due; the handshake has failed then.
    pub fn decide(&mut self, verdict: Verdict) -> Result<(Vec<u8>, Option<Box<Established>>), Failure> {
        let State::AwaitVerdict(dialing) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err(Failure::local(Reason::Malformed));
        };
        let mut message = welcome_before_proof(verdict);
        self.transcript.add(&message);
        message.extend(dialing.key.prove(Role::Acceptor, &self.transcript.hash()));
        let Verdict::Accept { session, epoch } = verdict else { return Ok((message, None)) };
        let Dialing { peer, intent, version, .. } = *dialing;
        // Bytes behind the proof were refused, so the link begins with nothing read.
        let unread = Vec::new();
        Ok((message, Some(Box::new(Established { peer, intent, version, session, epoch, unread }))))
    }

    fn advance(&mut self, bytes: &mut &[u8]) -> Result<Step, Failure> {
        match self.state {
            State::Ended => return Err(Failure::local(Reason::Malformed)),
            State::AwaitVerdict(_) => {
                // A dialer has nothing to say before Welcome.
                return if bytes.is_empty() { Ok(Step::Wait) } else { Err(refuse(Reason::Malformed)) };
            }
            State::AwaitHello | State::AwaitProof(_) => {}
        }
        let Some(message) = self.inbound.take(bytes).map_err(refuse)? else { return Ok(Step::Wait) };
        // Neither Hello nor Proof may be followed by anything before it is answered.
        if !bytes.is_empty() {
            return Err(refuse(Reason::Malformed));
        }
        let body = decode(&message).map_err(refuse)?;
        match (std::mem::replace(&mut self.state, State::Ended), body) {
            (_, Body::Refuse(reason)) => {
                Err(Failure { reason, source_end: Source::Unproven, reply: Vec::new() })
            }
            (State::AwaitHello, Body::Hello(hello)) => self.on_hello(&message, *hello).map_err(refuse),
            (State::AwaitProof(dialing), Body::Proof(mac)) => {
                if !dialing.key.verify(Role::Dialer, &self.transcript.hash(), &mac) {
                    return Err(refuse(dialing.key.unproven()));
                }
                self.transcript.add(&message);
                let step = Step::Judge(Box::new(dialing.peer.clone()), dialing.intent);
                self.state = State::AwaitVerdict(dialing);
                Ok(step)
            }
            _ => Err(refuse(Reason::Malformed)),
        }
    }

    fn on_hello(&mut self, message: &[u8], hello: Hello) -> Result<Step, Reason> {
        let (own, peer) = (&self.local.introduction, hello.introduction);
        let version = self.local.versions.best_with(hello.versions).ok_or(Reason::Version)?;
        if peer.cluster != own.cluster {
            return Err(Reason::ClusterMismatch);
        }
        if (&peer.name, peer.incarnation) == (&own.name, own.incarnation) || hello.nonce == self.local.nonce {
            return Err(Reason::SelfConnect);
        }
        let own_keys = self.peer_keys.as_ref().and_then(|keys| keys.keys_of(&peer.name));
        let keys = own_keys.as_ref().unwrap_or(&self.local.keys);
        let key = keys.choose(hello.key_ids).cloned().ok_or(Reason::WrongCookie)?;
        let challenge = Challenge {
            version,
            versions: self.local.versions,
            key_id: key.id(),
            nonce: self.local.nonce,
            introduction: own.clone(),
        }
        .encode();
        self.transcript.add(message);
        self.transcript.add(&challenge);
        self.state = State::AwaitProof(Box::new(Dialing { peer, intent: hello.intent, version, key }));
        Ok(Step::Send(challenge))
    }
}

fn refuse(reason: Reason) -> Failure {
    Failure { reason, source_end: Source::Local, reply: encode_refuse(reason) }
}
