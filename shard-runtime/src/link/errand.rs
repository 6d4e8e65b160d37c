//! What is asked of another node, put together: to start a process, and what concerns applications.
//!
//! Invariant: E1 a process that was started is claimed only when its asker runs on with its pid, linked as it wanted.

use crate::actor::{RemoteSpawnOptions, Target};
use crate::error::{AskError, RemoteAppError, RemoteSpawnError, SpawnId};
use crate::link::Session;
use crate::link::ask::{Errand, Told};
use crate::link::letter::body_of;
use crate::link::reason::reason_of_wire;
use crate::process::{Bond, Flags};
use crate::shard::Shard;
use crate::symbol::Symbol;
use shard_wire::ask::{Answer, Ask, Claim, EnvText, MAX_ENV, Refusal, SpawnAsk};
use shard_wire::{LocalId, Message, MessageKey, Pid, vtable};
use std::sync::Arc;
use std::time::Duration;

/// What a process has that one it starts elsewhere inherits.
struct Legacy {
    leader: Pid,
    application: String,
    log_level: u8,
    env: Result<Vec<(String, EnvText)>, String>,
}

impl Shard {
    /// Starts a process on another node, on behalf of the current one.
    pub(crate) async fn spawn_far<M: Message>(
        &self,
        node: &str,
        offer: &str,
        args: M,
        options: RemoteSpawnOptions,
    ) -> Result<Pid, RemoteSpawnError> {
        let why = |why, id| RemoteSpawnError::Ask { why, id: SpawnId(id) };
        let id = self.ask_id(options.id).map_err(|error| why(error, 0))?;
        let asked = self.spawn_body((node, offer), &args, &options)?;
        // What is sent is the archive.
        drop(args);
        let (answer, session) =
            self.ask_far(id, node, asked, options.deadline).await.map_err(|error| why(error, id))?;
        let pid = started(answer, &session, id, &options.name)?;
        let wanted = [(options.links, Bond::Link), (options.monitors, Bond::Monitor)];
        for (_, bond) in wanted.into_iter().filter(|(wants, _)| *wants) {
            let bound = self.at_home(move |home| home.bind(bond, &Target::Pid(pid)));
            if let Some(Err(error)) = bound {
                self.claim_far(id, session, Claim::Drop);
                return Err(RemoteSpawnError::Relation(error));
            }
        }
        self.claim_far(id, session, Claim::Keep);
        Ok(pid)
    }

    /// The key of the arguments, in the newest version that the node reads, and the request.
    pub(crate) fn spawn_body<M: Message>(
        &self,
        (node, offer): (&str, &str),
        args: &M,
        options: &RemoteSpawnOptions,
    ) -> Result<(MessageKey, Vec<u8>), RemoteSpawnError> {
        use crate::error::SendReason;
        let not_asked = |why| RemoteSpawnError::Ask { why, id: SpawnId(0) };
        let older = vtable::<M>().wire_ops().and_then(|ops| self.older_at(node, ops));
        let (key, args) = body_of(args, older).map_err(|reason| match reason {
            SendReason::LocalOnly => RemoteSpawnError::LocalArguments,
            SendReason::TooLarge => not_asked(AskError::TooLarge),
            _ => RemoteSpawnError::Encode,
        })?;
        let from = self.current_id();
        let legacy = self.at_home(move |home| home.legacy_of(from));
        let legacy = legacy.ok_or_else(|| not_asked(AskError::Stopping))?;
        let env = legacy.env.map_err(|key| RemoteSpawnError::Env { key })?;
        let log_level = options.log_level.map_or(legacy.log_level, |level| level as u8 + 1);
        let spawn = SpawnAsk {
            offer,
            register: &options.name,
            application: &legacy.application,
            leader: (legacy.leader.node.0, legacy.leader.local.0),
            place: options.place(),
            links_parent: options.links_parent,
            mailbox: options.mailbox,
            init_ms: options.init.map_or(0, millis),
            log_level,
            env,
            args: &args,
        };
        let body = Ask::Spawn(spawn).to_bytes().map_err(|_| not_asked(AskError::TooLarge))?;
        Ok((key, body))
    }

    fn legacy_of(&self, local: u64) -> Legacy {
        let (_, leader) = self.family_of_current();
        let symbol = self.application_of(local);
        let application = self.node().symbols().text(Symbol(symbol)).unwrap_or_default().to_owned();
        let level = self.live_record(local).and_then(|record| Flags::level_of(record.flags()));
        let env = if self.node().plan().expose_env_remote_spawn {
            let env = if local == LocalId::CORE.0 { self.node().env().clone() } else { self.env_of(local) };
            env.texts(MAX_ENV)
        } else {
            Ok(Vec::new())
        };
        Legacy { leader, application, log_level: level.map_or(0, |level| level as u8 + 1), env }
    }

    /// Asks another node something about an application.
    pub(crate) async fn ask_app(
        &self,
        node: &str,
        ask: &Ask<'_>,
        within: Duration,
    ) -> Result<Answer, RemoteAppError> {
        let body = ask.to_bytes().map_err(|_| AskError::TooLarge)?;
        let id = self.ask_id(None)?;
        app_answer(self.ask_far(id, node, (MessageKey(0), body), within).await)
    }

    /// Asks from outside of any process: `done` is told on this shard.
    pub(crate) fn ask_from_outside(
        &self,
        node: Box<str>,
        (key, body): (MessageKey, Vec<u8>),
        id: u64,
        within: Duration,
        done: impl FnOnce(&Self, Told) + 'static,
    ) {
        let from = LocalId::CORE.0;
        self.ask_far_with(
            Errand { id, node, from, key, until: 0, waiter: 0, trace: None, body },
            within,
            done,
        );
    }
}

/// The process that was started, or why there is none.
pub(crate) fn started(
    answer: Answer,
    session: &Arc<Session>,
    id: u64,
    name: &str,
) -> Result<Pid, RemoteSpawnError> {
    let id = SpawnId(id);
    let ask = |why| RemoteSpawnError::Ask { why, id };
    let (why, text, reason) = match answer {
        Answer::Started(local) if local.shard() < session.shards => {
            return Ok(Pid { node: shard_wire::IncarnationKey(session.key), local });
        }
        Answer::Refused { why: Some(why), text, reason } => (why, text, reason),
        Answer::Refused { why: None, .. } | Answer::Started(_) | Answer::Done | Answer::Facts(_) => {
            return Err(ask(AskError::Malformed));
        }
    };
    Err(match why {
        Refusal::WrongArguments => RemoteSpawnError::WrongArguments,
        Refusal::Undecodable => RemoteSpawnError::Undecodable,
        Refusal::Init => match reason {
            Some(reason) => RemoteSpawnError::Init { reason: reason_of_wire(reason) },
            None => ask(AskError::Malformed),
        },
        Refusal::Panicked => RemoteSpawnError::Panicked { message: text },
        Refusal::Limit => RemoteSpawnError::Limit { text },
        Refusal::Taken => RemoteSpawnError::Taken { name: name.to_owned() },
        Refusal::BadName => RemoteSpawnError::BadName,
        Refusal::NoShard => RemoteSpawnError::NoShard,
        Refusal::AppStopping => RemoteSpawnError::AppStopping,
        Refusal::Mismatch => RemoteSpawnError::Mismatch { id },
        Refusal::Unclaimed => RemoteSpawnError::Unclaimed { id },
        other => ask(ask_error(other)),
    })
}

/// What came of an ask about an application.
pub(crate) fn app_answer(told: Told) -> Result<Answer, RemoteAppError> {
    let (answer, _) = told?;
    let Answer::Refused { why, text, .. } = answer else { return Ok(answer) };
    Err(match why {
        Some(Refusal::AppUnknown) => RemoteAppError::Unknown,
        Some(Refusal::AppRunning) => RemoteAppError::Running,
        Some(Refusal::AppNotRunning) => RemoteAppError::NotRunning,
        Some(Refusal::AppStopping) => RemoteAppError::Stopping,
        Some(Refusal::AppDepends) => RemoteAppError::Depends(text),
        Some(Refusal::AppFailed) => RemoteAppError::Failed(text),
        Some(Refusal::Late) => RemoteAppError::Late,
        Some(other) => ask_error(other).into(),
        None => AskError::Malformed.into(),
    })
}

fn ask_error(refusal: Refusal) -> AskError {
    match refusal {
        Refusal::NameUnknown => AskError::NameUnknown,
        Refusal::NotAllowed => AskError::NotAllowed,
        Refusal::Stopping => AskError::NodeStopping,
        Refusal::Expired => AskError::Timeout,
        Refusal::Overloaded => AskError::Overloaded,
        _ => AskError::Malformed,
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}
