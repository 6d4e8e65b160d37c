//! What the core of a node promises, on both reactors: one file per section of the semantics page.

mod accounting;
mod behaviors;
mod mailboxes;
mod processes;
mod relations;
mod sending;
mod supervision;
mod world;
