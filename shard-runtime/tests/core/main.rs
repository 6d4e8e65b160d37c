//! What the core of a node promises, on both reactors: one file per section of the semantics page.

mod accounting;
mod applications;
mod behaviors;
mod conformance_behaviors;
mod conformance_messaging;
mod conformance_processes;
mod conformance_relations;
mod cron;
mod dedicated;
mod events;
mod logging;
mod mailboxes;
mod node_events;
mod processes;
mod relations;
mod sending;
mod shutdown;
mod supervision;
mod testing;
mod traces;
mod views;
mod world;
