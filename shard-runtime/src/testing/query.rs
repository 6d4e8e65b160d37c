//! Assertions on the journal: what is looked for, filters, and how often it must be there.

use std::fmt;
use std::marker::PhantomData;

/// Records that a failed assertion lists.
const MAX_LISTED: usize = 50;

/// A place in the journal: [`Bed::mark`](super::Bed::mark).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark(pub(super) u64);

/// What a test looks for among what processes have done. Each filter makes it narrower; [`once`](Query::once),
/// [`times`](Query::times), [`at_least`](Query::at_least) and [`none`](Query::none) say how often it must be there, and return
/// what was found. It sees what had happened when it was made.
///
/// One that fails panics with what was looked for and what there is of that kind; what the filters let pass is marked.
#[must_use = "nothing is asserted until `once`, `times`, `at_least` or `none` says how often"]
pub struct Query<R, M = ()> {
    lines: Vec<Line<R>>,
    wanted: String,
    of: PhantomData<fn() -> M>,
}

struct Line<R> {
    number: u64,
    record: R,
    is_kept: bool,
}

impl<R, M> fmt::Debug for Query<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Query").field(&self.wanted).finish()
    }
}

impl<R: fmt::Display, M> Query<R, M> {
    pub(super) fn new(wanted: String, records: Vec<(u64, R)>) -> Self {
        let line = |(number, record)| Line { number, record, is_kept: true };
        Self { lines: records.into_iter().map(line).collect(), wanted, of: PhantomData }
    }

    /// Keeps what the filter lets pass; `said` is how a failed assertion names it.
    pub(super) fn filter(mut self, said: impl fmt::Display, passes: impl Fn(&R) -> bool) -> Self {
        if !self.wanted.is_empty() {
            self.wanted.push_str(", ");
        }
        self.wanted.push_str(&said.to_string());
        for line in &mut self.lines {
            line.is_kept = line.is_kept && passes(&line.record);
        }
        self
    }

    /// The records that have passed so far.
    pub(super) fn kept(&self) -> impl Iterator<Item = &R> {
        self.lines.iter().filter(|line| line.is_kept).map(|line| &line.record)
    }

    /// Only what was done after a mark.
    pub fn since(mut self, mark: Mark) -> Self {
        self.lines.retain(|line| line.number >= mark.0);
        self.wanted.push_str(", since the mark");
        self
    }

    /// Only what the predicate holds for.
    #[track_caller]
    pub fn that(self, holds: impl Fn(&R) -> bool) -> Self {
        let place = std::panic::Location::caller();
        self.filter(format_args!("that passes the predicate at {place}"), holds)
    }

    /// It happened exactly once. Returns the record.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn once(self) -> R {
        self.check(self.found() == 1, "once");
        let mut found = self.all();
        match found.pop() {
            Some(record) => record,
            None => unreachable!("one was counted"),
        }
    }

    /// It happened exactly so often. Returns the records in order.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn times(self, times: usize) -> Vec<R> {
        self.check(self.found() == times, format_args!("{times} times"));
        self.all()
    }

    /// It happened so often or more. Returns the records in order.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn at_least(self, times: usize) -> Vec<R> {
        self.check(self.found() >= times, format_args!("at least {times} times"));
        self.all()
    }

    /// It never happened.
    ///
    /// # Panics
    /// It did.
    #[track_caller]
    pub fn none(self) {
        self.check(self.found() == 0, "never");
    }

    /// What was found, in order, however much that is.
    #[must_use]
    pub fn all(self) -> Vec<R> {
        self.lines.into_iter().filter(|line| line.is_kept).map(|line| line.record).collect()
    }

    fn found(&self) -> usize {
        self.kept().count()
    }

    #[track_caller]
    fn check(&self, holds: bool, often: impl fmt::Display) {
        assert!(holds, "expected {often}: {}; found {}{}", self.wanted, self.found(), self.listed());
    }

    /// All of this kind, as lines; what the filters let pass is marked.
    fn listed(&self) -> String {
        if self.lines.is_empty() {
            return "; nothing of this kind happened".to_owned();
        }
        let left_out = self.lines.len().saturating_sub(MAX_LISTED);
        let head = if left_out > 0 {
            format!("; all of this kind ({left_out} earlier ones are left out):")
        } else {
            "; all of this kind:".to_owned()
        };
        let line = |line: &Line<R>| format!("\n {} {}", if line.is_kept { '*' } else { ' ' }, line.record);
        std::iter::once(head).chain(self.lines.iter().skip(left_out).map(line)).collect()
    }
}
