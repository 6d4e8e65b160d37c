//! What the registrar says, put to use: who is dialled, and what tools are told.
//!
//! Invariant: F1 a registrar never ends a session: what left is only no longer dialled.

use crate::control::driver::Driver;
use crate::error::RegistrarError;
use crate::registrar::{NodeRecord, Registrar, RegistrarEvent, RegistrarRole, RegistrarState};
use crate::shard::LogLevel;
use shard_wire::{Incarnation, NodeName};

impl Driver {
    /// Takes an event of the registrar; returns the outcome of the registration, if this is it.
    pub(super) fn on_registrar(
        &mut self,
        event: RegistrarEvent,
        registrar: Option<&dyn Registrar>,
    ) -> Option<Result<(), RegistrarError>> {
        let net = self.node.net();
        let mut state = net.registrar();
        let outcome = match event {
            RegistrarEvent::Registered { role } => {
                (state.role, state.down) = (role, None);
                let what = if role == RegistrarRole::Server { "serving" } else { "registered with" };
                self.log(LogLevel::Info, || format!("{what} the registrar at {}", state.address));
                Some(Ok(()))
            }
            RegistrarEvent::Refused(error) => {
                (state.role, state.down) = (RegistrarRole::None, Some(error.to_string()));
                self.log(LogLevel::Error, || error.to_string());
                Some(Err(error))
            }
            RegistrarEvent::Lost(error) => {
                if state.down.is_none() {
                    self.log(LogLevel::Warning, || format!("{error}; links stay, trying again"));
                }
                (state.role, state.down) = (RegistrarRole::None, Some(error.to_string()));
                None
            }
            RegistrarEvent::Joined(record) => {
                self.on_joined(record);
                None
            }
            RegistrarEvent::Left { name, incarnation } => {
                self.on_left(&name, incarnation);
                None
            }
        };
        self.run_commands();
        if let Some(registrar) = registrar {
            state = RegistrarState { nodes: registrar.nodes(), ..state };
        }
        self.node.net().set_registrar(state);
        outcome
    }

    fn on_joined(&mut self, record: NodeRecord) {
        if record.cluster != self.shaker.own.cluster.as_str() || record.name == *self.node.node_name() {
            return;
        }
        let (name, incarnation) = (record.name.clone(), record.incarnation);
        self.log_of(&name, LogLevel::Debug, || {
            format!("the registrar knows {name} at {}", record.addresses.join(", "))
        });
        self.found.insert(name.clone(), record);
        self.connect(&name);
        self.core.on_record(self.now_ns(), &name, incarnation);
    }

    fn on_left(&mut self, name: &NodeName, incarnation: Incarnation) {
        if self.found.get(name).is_none_or(|record| record.incarnation != incarnation) {
            return;
        }
        self.found.remove(name);
        // It is not dialled in vain; a session that stands is judged by its own heartbeats.
        if !self.sessions.contains_key(name) && !self.routes.is_kept(name) {
            self.core.disconnect(self.now_ns(), name);
        }
    }
}
