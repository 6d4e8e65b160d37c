//! Answers what a process's shard knows of it, also while its handler is suspended.

use crate::actor::Priority;
use crate::mailbox::Meta;
use crate::process::{Bond, Extension, Flags, OnFull, Trap};
use crate::shard::Shard;
use crate::stats::ProcessFacts;
use crate::symbol::Symbol;
use shard_wire::{Alias, LocalId};
use std::sync::atomic::Ordering::Relaxed;

impl Shard {
    /// What is known of a process of this shard.
    pub(crate) fn facts(&self, local: u64) -> Option<ProcessFacts> {
        let record = self.live_record(local)?;
        let (identity, flags) = (self.identity(record), record.flags());
        let mut facts = ProcessFacts {
            pid: self.pid(local),
            parent: self.pid(identity.parent.load(Relaxed)),
            leader: self.pid(identity.leader.load(Relaxed)),
            links: Vec::new(),
            linked_by: Vec::new(),
            monitors: Vec::new(),
            monitored_by: Vec::new(),
            aliases: Vec::new(),
            events: Vec::new(),
            env: Vec::new(),
            env_shown: Vec::new(),
            queues: [record.depth(), 0, 0, 0],
            mailbox_limit: None,
            on_full: OnFull::default(),
            fallback: None,
            traps_exits: false,
            splits_handles: flags & Flags::SPLIT != 0,
            send_priority: Priority::Normal,
            awaited: self.waiters.calls_of(record.slot()).len(),
        };
        if flags & Flags::BOUNDED != 0 {
            let bound = self.table.bound(LocalId(local).slot());
            facts.mailbox_limit = Some(bound.limit());
            facts.on_full = bound.policy();
            let (name, tag) = bound.fallback();
            facts.fallback = (name != 0).then(|| (self.text_of(name), self.text_of(tag)));
        }
        if let Some(far) = self.far_of(record) {
            (facts.parent, facts.leader) = (far.parent, far.leader);
        }
        self.with_existing_extension(record, |extension| {
            self.add_extension(&mut facts, extension);
            Some(())
        });
        if flags & Flags::DEDICATED != 0 {
            self.add_annex(&mut facts, record.annex());
        }
        Some(facts)
    }

    fn add_extension(&self, facts: &mut ProcessFacts, extension: &Extension) {
        for tie in extension.relations.own() {
            let target = self.target_of(tie.subject);
            match tie.bond {
                Bond::Link => facts.links.push(target),
                Bond::Monitor => facts.monitors.push(target),
            }
        }
        for watch in extension.relations.watchers() {
            let consumer = self.consumer_of(&watch);
            match watch.tie.bond {
                Bond::Link => facts.linked_by.push(consumer),
                Bond::Monitor => facts.monitored_by.push(consumer),
            }
        }
        facts.aliases = extension.aliases.iter().map(|&id| Alias { node: facts.pid.node, id }).collect();
        facts.events = extension.events.iter().map(|&event| self.text_of(event)).collect();
        facts.env = extension.env.keys();
        facts.env_shown = extension.env.shown(self.node.plan().expose_env);
        let length = |queue: usize| extension.queues[queue].len();
        facts.queues[1..].copy_from_slice(&[
            length(Extension::SYSTEM),
            length(Extension::URGENT),
            length(Extension::LOG),
        ]);
        facts.traps_exits = extension.trap != Trap::Off;
        facts.send_priority = match extension.send_queue {
            Meta::SYSTEM => Priority::High,
            Meta::URGENT => Priority::Max,
            _ => Priority::Normal,
        };
    }

    /// A process on a thread of its own has its queues and its waits there.
    fn add_annex(&self, facts: &mut ProcessFacts, index: u16) {
        let (Some(port), Some(there)) = (self.node.port(index), self.node.annexes().facts(index)) else {
            return;
        };
        let length = |queue: usize| there.queues[queue].load(Relaxed);
        facts.queues = [
            port.table.published(facts.pid.local.slot()).record.depth(),
            length(Extension::SYSTEM),
            length(Extension::URGENT),
            length(Extension::LOG),
        ];
        facts.awaited = there.awaited.load(Relaxed) as usize;
    }

    fn text_of(&self, symbol: u32) -> String {
        self.node.symbols().text(Symbol(symbol)).unwrap_or("").to_owned()
    }
}
