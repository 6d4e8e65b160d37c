//! What must have come of a history, for the three types with declared children. Written from the rules, not from the
//! machine: it knows no processes, timers, tickets or phases, and works everything out from the first fact on. A child is
//! away, owed a start, up, doomed (to end and be started again) or leaving (to end for an operator); a group is stopping
//! exactly while a doomed child is alive.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    ChildSpec, OnExceed, Reason, Request, Strategy, SupervisorError, SupervisorSpec, SupervisorType,
};
use super::world::{Fact, Why};

/// The name of a request's outcome.
pub(super) type Kind = &'static str;

/// What a history amounts to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) up: BTreeSet<String>,
    pub(super) unsettled: BTreeSet<String>,
    pub(super) disabled: BTreeSet<String>,
    pub(super) ended: Option<Why>,
    pub(super) restarts: u64,
    pub(super) answers: BTreeMap<u64, Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Away,
    Owed,
    Up,
    Doomed { alive: bool },
    Leaving { request: u64, remove: bool },
}

struct Model<'a> {
    spec: &'a SupervisorSpec,
    children: Vec<(ChildSpec, Fate)>,
    begun: Option<String>,
    once_up: BTreeSet<String>,
    waiting: BTreeMap<String, (u64, Kind)>,
    spent: Vec<(String, u64)>,
    ready: bool,
    verdict: Verdict,
}

/// Judges a history.
pub(super) fn judge(spec: &SupervisorSpec, children: &[ChildSpec], facts: &[(u64, Fact)]) -> Verdict {
    let mut model = Model {
        spec,
        children: children.iter().map(|child| (child.clone(), Fate::Owed)).collect(),
        begun: None,
        once_up: BTreeSet::new(),
        waiting: BTreeMap::new(),
        spent: Vec::new(),
        ready: false,
        verdict: Verdict::default(),
    };
    for (time, fact) in facts {
        model.follow(*time, fact);
    }
    let mut verdict = model.verdict;
    for (child, fate) in model.children {
        match fate {
            Fate::Away => continue,
            Fate::Up => verdict.up.insert(child.name().to_owned()),
            Fate::Owed | Fate::Doomed { .. } | Fate::Leaving { .. } => {
                verdict.unsettled.insert(child.name().to_owned())
            }
        };
    }
    verdict
}

/// Whether `times` of a budget are too many at `now`: counted afresh over the whole history.
pub(super) fn too_many(spent: &[(String, u64)], key: &str, now: u64, limit: u16, period_ns: u128) -> bool {
    let recent = spent.iter().filter(|(of, time)| of == key && u128::from(now - time) <= period_ns);
    recent.count() > usize::from(limit)
}

/// Whether the rule of a strategy wants a restart.
pub(super) fn wants_restart(strategy: Strategy, why: &Why) -> bool {
    match strategy {
        Strategy::Permanent => true,
        Strategy::Temporary => false,
        Strategy::Transient => !matches!(why, Why::Normal | Why::Shutdown),
    }
}

impl Model<'_> {
    fn follow(&mut self, now: u64, fact: &Fact) {
        match fact {
            Fact::Begun { name, .. } => self.begun = Some(name.clone()),
            Fact::Ready => self.ready = true,
            Fact::Foreign(why) => self.end(why),
            Fact::Up { name, .. } => {
                self.begun = None;
                self.once_up.insert(name.clone());
                if self.fate(name) == Some(Fate::Owed) {
                    self.set(name, Fate::Up);
                    if let Some((id, _)) = self.waiting.remove(name) {
                        self.verdict.answers.insert(id, "Started");
                    }
                }
            }
            Fact::StartFailed { name, why, .. } => {
                self.begun = None;
                self.gone(now, name, why, true);
            }
            Fact::Down { name, why, .. } => self.gone(now, name, why, false),
            Fact::Asked { id, what, refused } => {
                if let Err(kind) = self.asked(*id, what, refused.as_ref()) {
                    self.verdict.answers.insert(*id, kind);
                }
            }
        }
    }

    fn gone(&mut self, now: u64, name: &str, why: &Why, failed: bool) {
        let fate = self.fate(name);
        if let Some(Fate::Doomed { .. }) = fate
            && self.verdict.ended.is_none()
        {
            self.set(name, Fate::Doomed { alive: false });
            self.release_doomed();
            return;
        }
        self.set(name, Fate::Away);
        if let Some(Fate::Leaving { request, remove }) = fate {
            self.verdict.answers.insert(request, "Done");
            self.forget_if(remove, name);
            self.lonely(why);
        } else if self.verdict.ended.is_some() {
            // It was to end.
        } else if failed && let Some((id, origin)) = self.waiting.remove(name) {
            self.verdict.answers.insert(id, "StartFailed");
            self.forget_if(origin == "added", name);
            if origin == "restarting" {
                self.decide(now, name, why);
            } else {
                self.lonely(why);
            }
        } else if failed && !self.ready && !self.once_up.contains(name) {
            self.end(why);
        } else {
            self.decide(now, name, why);
        }
    }

    fn decide(&mut self, now: u64, name: &str, why: &Why) {
        let child = self.child(name).clone();
        if !wants_restart(child.strategy.unwrap_or(self.spec.strategy), why) {
            if child.significant {
                self.end(why);
            } else {
                self.lonely(why);
            }
            return;
        }
        let own = child.own_budget();
        let key = own.map_or("", |_| name);
        let (limit, period) = own.unwrap_or((self.spec.intensity, self.spec.period));
        self.spent.push((key.to_owned(), now));
        if too_many(&self.spent, key, now, limit, period.as_nanos()) {
            let exceeded = Why::exceeded(limit, period, why.clone());
            if child.on_exceed == OnExceed::Disable {
                self.verdict.disabled.insert(name.to_owned());
                self.lonely(&exceeded);
            } else {
                self.end(&exceeded);
            }
            return;
        }
        self.verdict.restarts += 1;
        let failed = self.children.iter().position(|(child, _)| child.name() == name).expect("known");
        match self.spec.kind {
            SupervisorType::AllForOne => self.doom(0),
            SupervisorType::RestForOne => self.doom(failed),
            SupervisorType::OneForOne | SupervisorType::SimpleOneForOne => self.set(name, Fate::Owed),
        }
    }

    fn doom(&mut self, from: usize) {
        for (child, fate) in &mut self.children[from..] {
            let begun = self.begun.as_deref() == Some(child.name());
            match *fate {
                Fate::Leaving { .. } => {}
                _ if self.verdict.disabled.contains(child.name()) => {}
                Fate::Up | Fate::Doomed { alive: true } => *fate = Fate::Doomed { alive: true },
                Fate::Away | Fate::Owed | Fate::Doomed { alive: false } => {
                    *fate = Fate::Doomed { alive: begun }
                }
            }
        }
        self.release_doomed();
    }

    fn release_doomed(&mut self) {
        if self.children.iter().all(|(_, fate)| *fate != Fate::Doomed { alive: true }) {
            for (_, fate) in &mut self.children {
                if matches!(fate, Fate::Doomed { .. }) {
                    *fate = Fate::Owed;
                }
            }
        }
    }

    fn lonely(&mut self, why: &Why) {
        let stays = !self.spec.auto_shutdown || self.spec.strategy == Strategy::Permanent;
        if !stays && self.children.iter().all(|(_, fate)| *fate == Fate::Away) {
            self.end(why);
        }
    }

    fn end(&mut self, why: &Why) {
        if self.verdict.ended.is_none() {
            self.verdict.ended = Some(why.clone());
            for (id, _) in std::mem::take(&mut self.waiting).into_values() {
                self.verdict.answers.insert(id, "StrategyActive");
            }
        }
    }

    fn asked(&mut self, id: u64, what: &Request<u32>, refused: Option<&SupervisorError>) -> Result<(), Kind> {
        let group = self.spec.kind != SupervisorType::OneForOne;
        let moving = |fate: &Fate| matches!(fate, Fate::Owed | Fate::Doomed { .. });
        if self.verdict.ended.is_some()
            || !self.ready
            || (group && self.children.iter().any(|(_, fate)| moving(fate)))
        {
            return Err("StrategyActive");
        }
        match what {
            Request::TerminateInstance { .. } => Err("NoInstances"),
            Request::AddChild { spec, .. } => {
                if self.fate(spec.name()).is_some() {
                    return Err("ChildDuplicate");
                }
                self.children.push((spec.clone(), Fate::Owed));
                self.waiting.insert(spec.name().to_owned(), (id, "added"));
                Ok(())
            }
            Request::StartChild { name, .. } => self.asked_start(id, name, refused),
            Request::EnableChild { name } => {
                self.not_leaving(name)?;
                if !self.verdict.disabled.remove(&**name) {
                    return Err("Done");
                }
                self.spent.retain(|(of, _)| **of != **name);
                self.set(name, Fate::Owed);
                self.waiting.insert(name.to_string(), (id, "stopped"));
                Ok(())
            }
            Request::DisableChild { name } => self.asked_away(id, name, false),
            Request::RemoveChild { name } => self.asked_away(id, name, true),
        }
    }

    fn asked_start(&mut self, id: u64, name: &str, refused: Option<&SupervisorError>) -> Result<(), Kind> {
        let fate = self.not_leaving(name)?;
        if self.verdict.disabled.contains(name) {
            return Err("ChildDisabled");
        }
        let origin = match fate {
            Fate::Away => "stopped",
            Fate::Up | Fate::Doomed { .. } | Fate::Leaving { .. } => return Err("ChildRunning"),
            Fate::Owed => {
                // Whether a back-off is over is not ours to know; both answers are right then.
                let backoff = self.child(name).backoff.or(self.spec.backoff).is_some();
                let claimed = self.begun.as_deref() == Some(name) || self.waiting.contains_key(name);
                if claimed || !backoff || refused.is_some() {
                    return Err("ChildRunning");
                }
                "restarting"
            }
        };
        self.set(name, Fate::Owed);
        self.waiting.insert(name.to_owned(), (id, origin));
        Ok(())
    }

    fn asked_away(&mut self, id: u64, name: &str, remove: bool) -> Result<(), Kind> {
        let fate = self.not_leaving(name)?;
        self.verdict.disabled.insert(name.to_owned());
        if let Some((waiter, _)) = self.waiting.remove(name) {
            self.verdict.answers.insert(waiter, "ChildDisabled");
        }
        if fate == Fate::Up || self.begun.as_deref() == Some(name) {
            self.set(name, Fate::Leaving { request: id, remove });
            return Ok(());
        }
        self.set(name, Fate::Away);
        self.forget_if(remove, name);
        self.lonely(&Why::Shutdown);
        Err("Done")
    }

    fn not_leaving(&self, name: &str) -> Result<Fate, Kind> {
        match self.fate(name) {
            None => Err("ChildUnknown"),
            Some(Fate::Leaving { .. }) => Err("StrategyActive"),
            Some(fate) => Ok(fate),
        }
    }

    fn forget_if(&mut self, remove: bool, name: &str) {
        if remove {
            self.children.retain(|(child, _)| child.name() != name);
            self.verdict.disabled.remove(name);
            self.once_up.remove(name);
            self.spent.retain(|(of, _)| of != name);
        }
    }

    fn child(&self, name: &str) -> &ChildSpec {
        &self.children.iter().find(|(child, _)| child.name() == name).expect("known").0
    }

    fn fate(&self, name: &str) -> Option<Fate> {
        self.children.iter().find(|(child, _)| child.name() == name).map(|&(_, fate)| fate)
    }

    fn set(&mut self, name: &str, fate: Fate) {
        if let Some((_, place)) = self.children.iter_mut().find(|(child, _)| child.name() == name) {
            *place = fate;
        }
    }
}
