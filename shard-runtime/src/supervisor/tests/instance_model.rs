//! What must have come of a history under simple one for one. As `child_model`, but by instance: each is owed a start, up
//! or leaving, and gone otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{ChildSpec, OnExceed, Reason, Request, SupervisorSpec};
use super::child_model::{Kind, Verdict, too_many, wants_restart};
use super::world::{Fact, Why};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Owed,
    Up,
    /// With the request that asked for this one instance, if one did.
    Leaving(Option<u64>),
}

struct Instance {
    template: String,
    fate: Fate,
    waiter: Option<u64>,
}

struct Model<'a> {
    spec: &'a SupervisorSpec,
    templates: Vec<ChildSpec>,
    leaving: BTreeMap<String, (u64, bool)>,
    instances: BTreeMap<u64, Instance>,
    /// Starts that were asked for and have not begun, in order.
    asked: Vec<(u64, String)>,
    begun: Option<u64>,
    spent: Vec<(String, u64)>,
    ready: bool,
    verdict: Verdict,
}

/// Judges a history. In the verdict, what is up is named by number.
pub(super) fn judge(spec: &SupervisorSpec, templates: &[ChildSpec], facts: &[(u64, Fact)]) -> Verdict {
    let mut model = Model {
        spec,
        templates: templates.to_vec(),
        leaving: BTreeMap::new(),
        instances: BTreeMap::new(),
        asked: Vec::new(),
        begun: None,
        spent: Vec::new(),
        ready: false,
        verdict: Verdict::default(),
    };
    for (time, fact) in facts {
        model.follow(*time, fact);
    }
    let mut verdict = model.verdict;
    for (number, instance) in model.instances {
        let set = if instance.fate == Fate::Up { &mut verdict.up } else { &mut verdict.unsettled };
        set.insert(number.to_string());
    }
    verdict.unsettled.extend(model.asked.into_iter().map(|(_, name)| name));
    verdict
}

impl Model<'_> {
    fn follow(&mut self, now: u64, fact: &Fact) {
        match fact {
            Fact::Ready => self.ready = true,
            Fact::Foreign(why) => self.end(why),
            Fact::Begun { child, name } => {
                self.begun = Some(*child);
                if !self.instances.contains_key(child) {
                    let (id, template) = self.asked.remove(0);
                    assert_eq!(template, *name, "instances start in the order they are asked for");
                    let instance = Instance { template, fate: Fate::Owed, waiter: Some(id) };
                    self.instances.insert(*child, instance);
                }
            }
            Fact::Up { child, .. } => {
                self.begun = None;
                let instance = self.instances.get_mut(child).expect("it has begun");
                if instance.fate == Fate::Owed && self.verdict.ended.is_none() {
                    instance.fate = Fate::Up;
                    if let Some(id) = instance.waiter.take() {
                        self.verdict.answers.insert(id, "Started");
                    }
                }
            }
            Fact::StartFailed { child, why, .. } => {
                self.begun = None;
                self.gone(now, *child, why, true);
            }
            Fact::Down { child, why, .. } => self.gone(now, *child, why, false),
            Fact::Asked { id, what, .. } => {
                if let Err(kind) = self.asked(*id, what) {
                    self.verdict.answers.insert(*id, kind);
                }
            }
        }
    }

    fn gone(&mut self, now: u64, number: u64, why: &Why, failed: bool) {
        let instance = self.instances.get_mut(&number).expect("it was there");
        match (instance.fate, instance.waiter.take()) {
            (Fate::Leaving(_), _) => self.drop_instance(number),
            _ if self.verdict.ended.is_some() => self.drop_instance(number),
            (_, Some(id)) if failed => {
                self.verdict.answers.insert(id, "StartFailed");
                self.drop_instance(number);
            }
            _ => self.decide(now, number, why),
        }
    }

    fn decide(&mut self, now: u64, number: u64, why: &Why) {
        let name = &self.instances[&number].template;
        let template = self.templates.iter().find(|template| template.name() == name).expect("known").clone();
        if !wants_restart(template.strategy.unwrap_or(self.spec.strategy), why) {
            self.drop_instance(number);
            return;
        }
        let own = template.own_budget();
        let key = own.map_or_else(String::new, |_| number.to_string());
        let (limit, period) = own.unwrap_or((self.spec.intensity, self.spec.period));
        self.spent.push((key.clone(), now));
        if !too_many(&self.spent, &key, now, limit, period.as_nanos()) {
            self.verdict.restarts += 1;
            self.instances.get_mut(&number).expect("it was there").fate = Fate::Owed;
        } else if template.on_exceed == OnExceed::Disable {
            self.drop_instance(number);
        } else {
            self.instances.remove(&number);
            self.end(&Why::exceeded(limit, period, why.clone()));
        }
    }

    fn end(&mut self, why: &Why) {
        if self.verdict.ended.is_some() {
            return;
        }
        self.verdict.ended = Some(why.clone());
        let waiters = self.instances.values_mut().filter_map(|instance| instance.waiter.take());
        let refused: Vec<_> = waiters.chain(self.asked.drain(..).map(|(id, _)| id)).collect();
        self.verdict.answers.extend(refused.into_iter().map(|id| (id, "StrategyActive")));
        let begun = self.begun;
        self.instances.retain(|&number, instance| instance.fate != Fate::Owed || begun == Some(number));
    }

    fn asked(&mut self, id: u64, what: &Request<u32>) -> Result<(), Kind> {
        if self.verdict.ended.is_some() || !self.ready {
            return Err("StrategyActive");
        }
        match what {
            Request::StartChild { name, .. } => {
                self.known(name)?;
                if self.verdict.disabled.contains(&**name) {
                    return Err("ChildDisabled");
                }
                self.asked.push((id, name.to_string()));
                Ok(())
            }
            Request::AddChild { spec, .. } => {
                if self.templates.iter().any(|template| template.name() == spec.name()) {
                    return Err("ChildDuplicate");
                }
                self.templates.push(spec.clone());
                Err("Done")
            }
            Request::EnableChild { name } => {
                self.known(name)?;
                self.verdict.disabled.remove(&**name);
                Err("Done")
            }
            Request::DisableChild { name } => self.asked_away(id, name, false),
            Request::RemoveChild { name } => self.asked_away(id, name, true),
            Request::TerminateInstance { child } => self.asked_terminate(id, child.number()),
        }
    }

    fn asked_away(&mut self, id: u64, name: &str, remove: bool) -> Result<(), Kind> {
        self.known(name)?;
        self.verdict.disabled.insert(name.to_owned());
        self.leaving.insert(name.to_owned(), (id, remove));
        let (refused, kept) = self.asked.drain(..).partition(|(_, template)| template == name);
        self.asked = kept;
        let refused: Vec<(u64, String)> = refused;
        self.verdict.answers.extend(refused.into_iter().map(|(id, _)| (id, "ChildDisabled")));
        let concerned = self.instances.iter().filter(|(_, instance)| instance.template == name);
        let concerned: Vec<_> = concerned.map(|(&number, _)| number).collect();
        for number in concerned {
            self.send_away(number, None, "ChildDisabled");
        }
        self.answer_leaving(name);
        Ok(())
    }

    fn asked_terminate(&mut self, id: u64, number: u64) -> Result<(), Kind> {
        let instance = self.instances.get(&number).ok_or("InstanceUnknown")?;
        if matches!(instance.fate, Fate::Leaving(_)) {
            return Err("StrategyActive");
        }
        self.send_away(number, Some(id), "InstanceUnknown");
        Ok(())
    }

    /// Makes an instance leave, at once if it has no process and is not getting one.
    fn send_away(&mut self, number: u64, request: Option<u64>, refusal: Kind) {
        let begun = self.begun == Some(number);
        let instance = self.instances.get_mut(&number).expect("it was there");
        if let Some(id) = instance.waiter.take() {
            self.verdict.answers.insert(id, refusal);
        }
        if matches!(instance.fate, Fate::Leaving(_)) {
            return;
        }
        let lives = begun || instance.fate == Fate::Up;
        instance.fate = Fate::Leaving(request);
        if !lives {
            self.drop_instance(number);
        }
    }

    fn drop_instance(&mut self, number: u64) {
        let Some(instance) = self.instances.remove(&number) else { return };
        if let Fate::Leaving(Some(id)) = instance.fate {
            self.verdict.answers.insert(id, "Done");
        }
        self.answer_leaving(&instance.template);
    }

    fn answer_leaving(&mut self, name: &str) {
        if self.instances.values().any(|instance| instance.template == name) {
            return;
        }
        if let Some((id, remove)) = self.leaving.remove(name) {
            self.verdict.answers.insert(id, "Done");
            if remove {
                self.templates.retain(|template| template.name() != name);
                self.verdict.disabled.remove(name);
            }
        }
    }

    fn known(&self, name: &str) -> Result<(), Kind> {
        if self.templates.iter().all(|template| template.name() != name) {
            return Err("ChildUnknown");
        }
        if self.leaving.contains_key(name) { Err("StrategyActive") } else { Ok(()) }
    }
}

/// The names of templates that a verdict may call disabled.
pub(super) fn names(specs: &[super::super::SpecSnapshot]) -> BTreeSet<String> {
    specs.iter().filter(|spec| spec.disabled).map(|spec| spec.name.to_string()).collect()
}
