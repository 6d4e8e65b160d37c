//! The journal of a test bed: what processes have done, in the order in which they did it.
//!
//! Written by the shards of a simulated node, read by assertions. A message moves to its receiver when it is sent, so the
//! journal keeps its type only, and a copy if the test has asked for copies of that type before (`Bed::watch`): any other way
//! would ask all messages to be `Clone`.
//! Invariants: J1 numbers go up and are never used twice. J2 no borrow is held while code of the user's runs.

use super::records::Record;
use shard_wire::{Message, Vtable};
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Records that a journal holds.
const MAX_RECORDS: usize = 1 << 20;

/// How to copy and how to show the messages of one type.
#[derive(Clone, Copy)]
struct Watch {
    of: TypeId,
    copy: fn(&dyn Any) -> Option<Rc<dyn Any>>,
    show: fn(&dyn Any) -> String,
}

/// A copy of a message, and how it is shown.
#[derive(Clone)]
pub(crate) struct Copy {
    value: Rc<dyn Any>,
    show: fn(&dyn Any) -> String,
}

/// A message in a record: its type, and a copy of it if there is one.
#[derive(Clone)]
pub(crate) struct Copied {
    type_name: &'static str,
    type_id: TypeId,
    copy: Option<Copy>,
}

impl Copied {
    pub(crate) fn of(vtable: &'static Vtable, copy: Option<Copy>) -> Self {
        Self { type_name: vtable.type_name(), type_id: vtable.type_id(), copy }
    }

    pub(super) fn type_name(&self) -> &'static str {
        self.type_name
    }

    pub(super) fn is<M: Message>(&self) -> bool {
        self.type_id == TypeId::of::<M>()
    }

    pub(super) fn get<M: Message>(&self) -> Option<&M> {
        self.copy.as_ref()?.value.downcast_ref()
    }
}

impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.copy {
            Some(copy) => f.write_str(&(copy.show)(&*copy.value)),
            None => f.write_str(self.type_name),
        }
    }
}

/// What processes have done.
#[derive(Default)]
pub(crate) struct Journal {
    records: RefCell<Vec<(u64, Record)>>,
    /// The next record's number.
    next: Cell<u64>,
    /// Records that were not kept because there was no place.
    lost: Cell<u64>,
    /// What is done now is done by the test itself.
    is_aside: Cell<bool>,
    /// When it was begun, by the clock of the node.
    begun: Duration,
    watches: RefCell<Vec<Watch>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("records", &self.records.borrow().len()).finish_non_exhaustive()
    }
}

impl Journal {
    pub(super) fn new(begun: Duration) -> Self {
        Self { begun, ..Self::default() }
    }

    /// Adds what `make` returns, which gets the time since the journal was begun.
    pub(crate) fn put(&self, now: Duration, make: impl FnOnce(Duration) -> Record) -> Option<u64> {
        if self.is_aside.get() {
            return None;
        }
        // LIMIT: records of a journal.
        if self.records.borrow().len() >= MAX_RECORDS {
            self.lost.set(self.lost.get() + 1);
            return None;
        }
        let record = make(now.saturating_sub(self.begun));
        let number = self.next.replace(self.next.get() + 1);
        self.records.borrow_mut().push((number, record));
        Some(number)
    }

    /// Takes back what has turned out not to happen.
    pub(crate) fn take_back(&self, number: u64) {
        let mut records = self.records.borrow_mut();
        // It is among the last.
        let taken = records.iter().rposition(|(at, _)| *at == number).map(|index| records.remove(index));
        drop(records);
        drop(taken);
    }

    /// Runs what the test does itself.
    pub(super) fn aside<R>(&self, act: impl FnOnce() -> R) -> R {
        let before = self.is_aside.replace(true);
        let result = act();
        self.is_aside.set(before);
        result
    }

    /// Has messages of a type copied from now on.
    pub(super) fn watch<M: Message + Clone + fmt::Debug>(&self) {
        let watch = Watch {
            of: TypeId::of::<M>(),
            copy: |message| {
                message.downcast_ref::<M>().map(|message| Rc::new(message.clone()) as Rc<dyn Any>)
            },
            show: |message| {
                message.downcast_ref::<M>().map_or_else(String::new, |message| format!("{message:?}"))
            },
        };
        let mut watches = self.watches.borrow_mut();
        if !watches.iter().any(|known| known.of == watch.of) {
            watches.push(watch);
        }
    }

    /// A copy of a message, if its type is watched.
    pub(crate) fn copy(&self, message: &dyn Any) -> Option<Copy> {
        let of = message.type_id();
        let watch = self.watches.borrow().iter().find(|watch| watch.of == of).copied()?;
        Some(Copy { value: (watch.copy)(message)?, show: watch.show })
    }

    /// The number that the next record gets.
    pub(super) fn next(&self) -> u64 {
        self.next.get()
    }

    /// How many records were not kept.
    pub(super) fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// Copies of the records of one kind, with their numbers.
    pub(super) fn of_kind<R>(&self, pick: impl Fn(&Record) -> Option<R>) -> Vec<(u64, R)> {
        let records = self.records.borrow();
        records.iter().filter_map(|(number, record)| Some((*number, pick(record)?))).collect()
    }

    /// All records, as text.
    pub(super) fn lines(&self) -> Vec<String> {
        self.records.borrow().iter().map(|(_, record)| record.to_string()).collect()
    }

    /// Forgets all records.
    pub(super) fn clear(&self) {
        self.lost.set(0);
        let records = self.records.take();
        drop(records);
    }
}
