//! What an HTTP connection is at: read by its task when its server closes, and by whoever counts how it ended.
//!
//! Invariant: Q1 a request is under way from its head to the last byte of its answer's body that is handed on, and counts once as
//! answered, as abandoned by its client, or as cut off.

use crate::io::web::websocket;
use crate::shard::on_shard;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What a connection is at.
#[derive(Default)]
pub(super) struct Progress {
    /// Requests that are under way.
    under_way: Cell<usize>,
    /// Bytes have come since the last answer.
    pub(super) has_begun: Cell<bool>,
    /// The peer takes nothing of what is to be written.
    pub(super) is_stalled: Cell<bool>,
    /// The last answer was given though the body of its request was not read.
    pub(super) leaves_unread: Cell<bool>,
    /// Its server has ended.
    is_cut: Cell<bool>,
    /// What it becomes after its response.
    pub(super) upgrade: RefCell<Option<websocket::Upgrade>>,
}

impl Progress {
    /// Whether nothing was asked that is not answered.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.get() == 0 && !self.is_stalled.get()
    }
}

/// A request that is under way.
pub(super) struct Turn {
    progress: Rc<Progress>,
    is_answered: bool,
}

impl Turn {
    pub(super) fn begin(progress: &Rc<Progress>) -> Self {
        progress.under_way.set(progress.under_way.get() + 1);
        progress.leaves_unread.set(false);
        Self { progress: Rc::clone(progress), is_answered: false }
    }

    /// There is an answer, whose body keeps this until it is written.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.progress.under_way.set(self.progress.under_way.get().saturating_sub(1));
        self.progress.has_begun.set(false);
        if !self.is_answered && !self.progress.is_cut.get() {
            on_shard(|shard| shard.count(|cells| &cells.io_abandoned, 1));
        }
    }
}

/// Counts the end of a connection, also if its server ends before it.
pub(super) struct Served {
    progress: Rc<Progress>,
    is_over: bool,
}

impl Served {
    pub(super) fn new(progress: &Rc<Progress>) -> Self {
        Self { progress: Rc::clone(progress), is_over: false }
    }

    /// It has ended by itself.
    pub(super) fn end(mut self, is_ordinary: bool) {
        self.is_over = true;
        on_shard(|shard| shard.count_io_end(is_ordinary));
    }

    /// It has become something else, which counts its own end.
    pub(super) fn pass_on(mut self) {
        self.is_over = true;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.progress.is_cut.set(true);
        let (cut, is_idle) = (self.progress.under_way.get() as u64, self.progress.is_idle());
        on_shard(|shard| {
            shard.count(|cells| &cells.io_cut, cut);
            shard.count_io_end(is_idle);
        });
    }
}
