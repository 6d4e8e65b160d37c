//! A node that serves the embedded registrar.
//!
//! Invariants: V1 a connection registers one record: the name and incarnation it has proven. V2 when a second life claims
//! a name, its holder is probed; if it answers the claim is refused, if it is silent for [`PROBE_LIMIT`] or gone the
//! claim wins. V3 a client that does not read what it is told loses its connection.

use crate::control::admission::{Admission, Place};
use crate::control::embedded::connection::{Incoming, Outgoing, Over, split};
use crate::control::embedded::membership::{CONFIRM, End, Membership};
use crate::control::shake::Shaker;
use crate::registrar::{
    BAD_RECORD, Change, ClientId, Directory, FULL, NodeRecord, RegistrarEvent, RegistrarMsg, RegistrarRole,
    TAKEN,
};
use shard_wire::handshake::{Reason, Verdict};
use shard_wire::{Incarnation, NodeName};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long the holder of a name has to answer when another life claims it.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// Inputs of connections that may wait.
const QUEUE: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection has to say.
enum Said {
    /// It has proven itself and wants to register.
    Hello { id: ClientId, outgoing: Outgoing, record: NodeRecord },
    /// A message after that.
    Message { id: ClientId, message: RegistrarMsg },
    /// It has ended.
    Gone { id: ClientId },
}

/// A second life of a registered name.
struct Claim {
    id: ClientId,
    outgoing: Outgoing,
    record: NodeRecord,
    holder: ClientId,
    until: Instant,
}

/// The state of the server.
struct Server<'a> {
    membership: &'a mut Membership,
    directory: Directory,
    clients: HashMap<ClientId, Outgoing>,
    claims: Vec<Claim>,
}

impl Membership {
    /// Serves until the listener is of no use any more, which is never.
    pub(super) async fn serve(&mut self, listener: TcpListener, was_registered: &mut bool) -> End {
        let (said, mut queue) = mpsc::channel(QUEUE);
        let mut directory = Directory::default();
        directory.register(ClientId::OWN, self.own.clone());
        *was_registered = true;
        self.say(RegistrarEvent::Registered { role: RegistrarRole::Server }).await;
        let (shaker, node) = (Rc::clone(&self.shaker), Arc::clone(&self.node));
        let mut server = Server { membership: self, directory, clients: HashMap::new(), claims: Vec::new() };
        // Connections end with this function.
        let mut connections = JoinSet::new();
        let admission = Admission::default();
        let mut next = 1_u64;
        let mut confirm_at = Some(crate::clock::now() + CONFIRM);
        loop {
            let due = server.claims.iter().map(|claim| claim.until).chain(confirm_at).min();
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, source)) => {
                        let Some(place) = admission.enter(source.ip(), crate::clock::now()) else {
                            node.net().registrar_errors.count(Reason::Busy);
                            continue;
                        };
                        let id = ClientId(next);
                        next += 1;
                        let (shaker, node, said) = (Rc::clone(&shaker), Arc::clone(&node), said.clone());
                        let admission = admission.clone();
                        connections.spawn_local(async move {
                            if let Err(reason) = converse(id, stream, place, shaker, said).await {
                                admission.failed(source.ip(), reason, crate::clock::now());
                                node.net().registrar_errors.count(reason);
                            }
                        });
                    }
                    // Such as no free file descriptor; the listener itself does not fail.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(said) = queue.recv() => server.hear(said).await,
                Some(_) = connections.join_next() => {}
                () = until(due) => {
                    let now = crate::clock::now();
                    if confirm_at.is_some_and(|at| at <= now) {
                        confirm_at = None;
                        server.membership.sweep().await;
                    }
                    server.settle(now).await;
                }
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

impl Server<'_> {
    async fn hear(&mut self, said: Said) {
        match said {
            Said::Hello { id, outgoing, record } => self.register(id, outgoing, record).await,
            Said::Message { id, message: RegistrarMsg::Alive } => self.refuse_claims_on(id),
            // A record may change: more addresses, another weight.
            Said::Message { id, message: RegistrarMsg::Register(record) } => {
                let is_own = self.directory.holder_of(&record.name) == Some(id);
                if is_own && self.directory.register(id, record.clone()) == Change::Joined {
                    self.announce(id, record).await;
                }
            }
            Said::Message { id, .. } | Said::Gone { id } => self.remove(id).await,
        }
    }

    async fn register(&mut self, id: ClientId, outgoing: Outgoing, record: NodeRecord) {
        match self.directory.register(id, record.clone()) {
            Change::Joined => self.welcome(id, outgoing, record).await,
            Change::Full => refuse(outgoing, FULL),
            Change::Held(ClientId::OWN) => refuse(outgoing, TAKEN),
            Change::Held(holder) => {
                let asked = self.clients.get(&holder).is_some_and(|client| client.send(&RegistrarMsg::Probe));
                let limit = if asked { PROBE_LIMIT } else { Duration::ZERO };
                let until = crate::clock::now() + limit;
                self.claims.push(Claim { id, outgoing, record, holder, until });
            }
        }
    }

    async fn welcome(&mut self, id: ClientId, outgoing: Outgoing, record: NodeRecord) {
        outgoing.send(&RegistrarMsg::Registered);
        for other in self.directory.others(id) {
            outgoing.send(&RegistrarMsg::Joined(other.clone()));
        }
        self.clients.insert(id, outgoing);
        self.announce(id, record).await;
    }

    async fn announce(&mut self, id: ClientId, record: NodeRecord) {
        self.tell_others(id, &RegistrarMsg::Joined(record.clone()));
        self.membership.joined(record).await;
    }

    async fn remove(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.claims.retain(|claim| claim.id != id);
        if let Some((name, incarnation)) = self.directory.remove(id) {
            self.say_left(id, name, incarnation).await;
        }
        let now = crate::clock::now();
        for claim in self.claims.iter_mut().filter(|claim| claim.holder == id) {
            claim.until = now;
        }
        self.settle(now).await;
    }

    async fn say_left(&mut self, id: ClientId, name: NodeName, incarnation: Incarnation) {
        self.tell_others(id, &RegistrarMsg::Left { name: name.clone(), incarnation });
        self.membership.left(&name, incarnation).await;
    }

    /// Grants the claims whose holder was silent.
    async fn settle(&mut self, now: Instant) {
        while let Some(due) = self.claims.iter().position(|claim| claim.until <= now) {
            let claim = self.claims.swap_remove(due);
            self.clients.remove(&claim.holder);
            if let Some((name, incarnation)) = self.directory.remove(claim.holder) {
                self.say_left(claim.holder, name, incarnation).await;
            }
            match self.directory.register(claim.id, claim.record.clone()) {
                Change::Joined => self.welcome(claim.id, claim.outgoing, claim.record).await,
                Change::Held(_) | Change::Full => refuse(claim.outgoing, TAKEN),
            }
        }
    }

    fn refuse_claims_on(&mut self, holder: ClientId) {
        while let Some(at) = self.claims.iter().position(|claim| claim.holder == holder) {
            refuse(self.claims.swap_remove(at).outgoing, TAKEN);
        }
    }

    fn tell_others(&mut self, id: ClientId, message: &RegistrarMsg) {
        // LIMIT: one that does not read loses its connection, and registers again when it reads.
        self.clients.retain(|client, outgoing| *client == id || outgoing.send(message));
    }
}

fn refuse(outgoing: Outgoing, why: u8) {
    outgoing.send(&RegistrarMsg::Refused(why));
    outgoing.detach();
}

/// One connection, from its handshake to its end; the error is why it never came to a registration.
async fn converse(
    id: ClientId,
    stream: TcpStream,
    place: Place,
    shaker: Rc<Shaker>,
    said: mpsc::Sender<Said>,
) -> Result<(), Reason> {
    let waiting = shaker.accept(stream).await.map_err(|failed| failed.reason)?;
    let mut acceptor = waiting.acceptor;
    let decided = acceptor.decide(Verdict::Accept { session: 1, epoch: 0 });
    let (welcome, _) = decided.map_err(|failure| failure.reason)?;
    let (mut incoming, outgoing) = split(waiting.stream, welcome, &[]);
    let first = tokio::time::timeout(shaker.deadline, incoming.next()).await;
    drop(place);
    let record = match first {
        Ok(Ok(RegistrarMsg::Register(record))) => record,
        Ok(Err(Over::Closed)) => return Err(Reason::Closed),
        Ok(_) => return Err(Reason::Malformed),
        Err(_) => return Err(Reason::Timeout),
    };
    if record.name != waiting.peer.name || record.incarnation != waiting.peer.incarnation {
        refuse(outgoing, BAD_RECORD);
        return Err(Reason::WrongPeer);
    }
    if said.send(Said::Hello { id, outgoing, record }).await.is_ok() {
        relay(id, &mut incoming, &said).await;
        // The server ends with its connections.
        let _ended = said.send(Said::Gone { id }).await;
    }
    Ok(())
}

async fn relay(id: ClientId, incoming: &mut Incoming, said: &mpsc::Sender<Said>) {
    while let Ok(message) = incoming.next().await {
        if said.send(Said::Message { id, message }).await.is_err() {
            return;
        }
    }
}
