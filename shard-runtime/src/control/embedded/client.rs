//! A node as a client of the embedded registrar.

use crate::control::embedded::connection::{Incoming, Outgoing, Over, split};
use crate::control::embedded::membership::{CONFIRM, End, Membership};
use crate::control::shake::Failed;
use crate::error::RegistrarError;
use crate::registrar::{FULL, RegistrarEvent, RegistrarMsg, RegistrarRole, TAKEN};
use shard_wire::handshake::{Intent, Reason, Source};
use std::future::pending;

impl Membership {
    /// Connects, registers, and listens until the connection ends.
    pub(super) async fn follow(&mut self, was_registered: &mut bool) -> End {
        let (mut incoming, outgoing) = match self.connect(*was_registered).await {
            Ok(connection) => connection,
            Err(end) => return end,
        };
        outgoing.send(&RegistrarMsg::Register(self.own.clone()));
        let limit = tokio::time::timeout(self.shaker.deadline, incoming.next());
        match limit.await {
            Ok(Ok(RegistrarMsg::Registered)) => {}
            Ok(Ok(RegistrarMsg::Refused(why))) => return End::Refused(self.refusal(why)),
            Ok(Err(Over::Closed)) => return End::Lost(self.closed()),
            Ok(_) => return End::Lost(RegistrarError::Protocol { address: self.address.clone() }),
            Err(_) => return End::Lost(self.unreachable()),
        }
        *was_registered = true;
        self.say(RegistrarEvent::Registered { role: RegistrarRole::Client }).await;
        self.listen(&mut incoming, &outgoing).await
    }

    async fn listen(&mut self, incoming: &mut Incoming, outgoing: &Outgoing) -> End {
        let mut confirm = Some(Box::pin(tokio::time::sleep(CONFIRM)));
        loop {
            let message = tokio::select! {
                message = incoming.next() => message,
                () = async {
                    match &mut confirm {
                        Some(confirm) => confirm.as_mut().await,
                        None => pending().await,
                    }
                } => {
                    confirm = None;
                    self.sweep().await;
                    continue;
                }
            };
            match message {
                Ok(RegistrarMsg::Joined(record)) => self.joined(record).await,
                Ok(RegistrarMsg::Left { name, incarnation }) => self.left(&name, incarnation).await,
                Ok(RegistrarMsg::Probe) => {
                    outgoing.send(&RegistrarMsg::Alive);
                }
                // It can still be the answer to the registration of a life that has been replaced.
                Ok(RegistrarMsg::Refused(why)) => return End::Refused(self.refusal(why)),
                Ok(_) | Err(Over::Garbage) => {
                    return End::Lost(RegistrarError::Protocol { address: self.address.clone() });
                }
                Err(Over::Closed) => return End::Lost(self.closed()),
            }
        }
    }

    async fn connect(&self, was_registered: bool) -> Result<(Incoming, Outgoing), End> {
        let mut last = End::Lost(self.unreachable());
        let Ok(addresses) = tokio::net::lookup_host(&self.address).await else { return Err(last) };
        for address in addresses {
            let intent = Intent::Control { live: None, next: 1 };
            match self.shaker.dial(address, None, intent, &self.shaker.how).await {
                Ok((stream, established)) => return Ok(split(stream, Vec::new(), &established.unread)),
                Err(failed) => last = self.judge(failed, was_registered),
            }
        }
        Err(last)
    }

    /// Whether a failed handshake may be tried again.
    fn judge(&self, Failed { reason, source }: Failed, was_registered: bool) -> End {
        let error = RegistrarError::Handshake { address: self.address.clone(), reason };
        match reason {
            Reason::Unreachable | Reason::Timeout | Reason::Closed | Reason::Busy => {
                End::Lost(self.unreachable())
            }
            // Nothing there that could be waited for: the operator must change something.
            Reason::WrongCookie
            | Reason::ClusterMismatch
            | Reason::Version
            | Reason::BadMagic
            | Reason::TlsUnexpected => End::Refused(error),
            // Later it may be the other end's, which will be replaced.
            reason if reason.is_credential() && !was_registered => End::Refused(error),
            Reason::NameInUse if source == Source::Proven => {
                End::Refused(RegistrarError::NameTaken { name: self.own.name.clone() })
            }
            _ => End::Lost(error),
        }
    }

    fn refusal(&self, why: u8) -> RegistrarError {
        match why {
            TAKEN => RegistrarError::NameTaken { name: self.own.name.clone() },
            FULL => RegistrarError::Full,
            _ => RegistrarError::BadRecord("the registrar does not accept it"),
        }
    }

    fn closed(&self) -> RegistrarError {
        RegistrarError::Closed { address: self.address.clone() }
    }
}
