//! What other nodes ask of this one's applications: to start, stop or describe one that they may.
//!
//! Invariant: P1 the steward decides and does it, as for a program of this node; here is only who may, and the answer.

use crate::actor::{mode_code, mode_of, state_code};
use crate::app::{AppInfo, Asked as Done, Start, Stop, plan};
use crate::error::AppError;
use crate::link::Session;
use crate::link::host::Asked;
use crate::shard::{Shard, with_current};
use shard_wire::ask::{Answer, AppFacts, Ask, Refusal};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// An ask that the steward works on.
struct Case {
    session: Arc<Session>,
    id: u64,
    /// The shard that answers it.
    home: u16,
    /// Tick until which the asker waits.
    until: u64,
}

impl Case {
    fn answer(self, shard: &Shard, answer: Answer) {
        shard.tell(self.home, move |home| home.answer_ask(&self.session, self.id, &answer));
    }

    fn left(&self, shard: &Shard) -> Duration {
        Duration::from_nanos(shard.clock().span_ns(self.until.saturating_sub(shard.now_ticks())))
    }
}

impl Shard {
    pub(super) fn on_app_ask(&self, asked: &Asked, ask: &Ask<'_>) {
        let case = Case {
            session: Arc::clone(&asked.session),
            id: asked.id,
            home: self.index(),
            until: asked.until,
        };
        if let Err(refusal) = self.begin_app_ask(case, ask) {
            self.answer_ask(&asked.session, asked.id, &Answer::refused(refusal));
        }
    }

    fn begin_app_ask(&self, case: Case, ask: &Ask<'_>) -> Result<(), Refusal> {
        let (name, stops) = match ask {
            Ask::AppStart { name, .. } | Ask::AppInfo { name } => (*name, false),
            Ask::AppStop { name, .. } => (*name, true),
            Ask::Spawn(_) => return Err(Refusal::Malformed),
        };
        if self.node().is_stopping() {
            return Err(Refusal::Stopping);
        }
        let peers = self.node().offers().app(stops, name).ok_or(Refusal::NameUnknown)?;
        let asker = case.session.peer.name.as_str();
        if !peers.allows(asker) {
            return Err(Refusal::NotAllowed);
        }
        match ask {
            Ask::AppStart { mode, .. } => {
                let mode = match mode {
                    0 => None,
                    code => Some(mode_of(*code).ok_or(Refusal::Malformed)?),
                };
                let start = match plan(self.node().apps(), name) {
                    Ok(names) => names.into_iter().map(|name| Start { name, mode }).collect(),
                    Err(error) => {
                        case.answer(self, refusal_of(&error));
                        return Ok(());
                    }
                };
                self.tell(0, move |shard| shard.start_next(case, start));
            }
            Ask::AppStop { force, .. } => {
                let stop = Stop { name: name.into(), force: *force, with_all: false };
                self.tell(0, move |shard| shard.stop_for(case, stop));
            }
            Ask::AppInfo { .. } | Ask::Spawn(_) => {
                let clock = self.node().clock();
                let uptime = |since| clock.span_ns(clock.ticks().saturating_sub(since));
                let info = self.node().apps().info(name, uptime).ok_or(Refusal::AppUnknown)?;
                case.answer(self, Answer::Facts(Box::new(facts_of(&info))));
            }
        }
        Ok(())
    }

    /// Starts what is to be started, one after the other; on the steward's shard.
    fn start_next(&self, case: Case, mut left: VecDeque<Start>) {
        let Some(start) = left.pop_front() else { return case.answer(self, Answer::Done) };
        self.ask_steward(start, case.left(self), move |asked| {
            with_current(|shard| {
                let Some(shard) = shard else { return };
                match asked {
                    Ok(()) => shard.start_next(case, left),
                    Err(error) => case.answer(shard, refusal_of(&error)),
                }
            });
        });
    }

    fn stop_for(&self, case: Case, stop: Stop) {
        self.ask_steward(stop, case.left(self), move |asked: Done| {
            with_current(|shard| {
                let Some(shard) = shard else { return };
                case.answer(shard, asked.map_or_else(|error| refusal_of(&error), |()| Answer::Done));
            });
        });
    }
}

fn refusal_of(error: &AppError) -> Answer {
    let why = match error {
        AppError::Unknown(_) => Refusal::AppUnknown,
        AppError::Running(_) => Refusal::AppRunning,
        AppError::NotRunning(_) => Refusal::AppNotRunning,
        AppError::Stopping(_) => Refusal::AppStopping,
        AppError::NodeStopping => Refusal::Stopping,
        AppError::Timeout { .. } => Refusal::Late,
        AppError::NeededBy { .. } | AppError::Depends { .. } | AppError::Cycle { .. } => Refusal::AppDepends,
        _ => Refusal::AppFailed,
    };
    Answer::Refused { why: Some(why), text: error.to_string(), reason: None }
}

fn facts_of(info: &AppInfo) -> AppFacts {
    AppFacts {
        name: info.name.as_ref().to_owned(),
        description: info.description.clone(),
        version: info.version.clone(),
        mode: mode_code(info.mode),
        state: state_code(info.state),
        weight: info.weight,
        tags: info.tags.clone(),
        processes: info.processes,
        uptime_ms: u64::try_from(info.uptime.as_millis()).unwrap_or(u64::MAX),
        starts: info.starts,
    }
}
