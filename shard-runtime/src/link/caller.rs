//! Callers on other nodes whose calls are being handled here.
//!
//! Owns: a slab of callers. A reference to one has bit 63 set, then a generation of 31 bits, then an index of 32.
//! Invariant: K1 an entry is taken out once, by the answer or the refusal; a second one finds nothing.

use crate::shard::REMOTE_CALLER;
use crate::trace::TraceContext;
use std::collections::HashMap;

/// Most calls of other nodes that may be open on one shard.
pub(crate) const MAX_CALLERS: usize = 1 << 20;
const GENERATIONS: u32 = (1 << 31) - 1;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Incarnation key of its node.
    pub(crate) key: u64,
    /// What its node calls the waiter.
    pub(crate) reference: u64,
    /// The process that was called: the answer's sender.
    pub(crate) callee: u64,
}

/// A caller, and the trace of its request.
pub(crate) type Asked = (Caller, Option<TraceContext>);

#[derive(Debug)]
struct Entry {
    generation: u32,
    caller: Option<Caller>,
    /// Node of the caller now, or of the last one.
    key: u64,
}

/// Open calls of other nodes.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Traces of open calls, by reference.
    traces: HashMap<u64, TraceContext>,
}

impl Callers {
    /// Notes a caller; `None` if too many calls are open.
    pub(crate) fn insert(&mut self, caller: Caller) -> Option<u64> {
        let index = match self.free.pop() {
            Some(index) => index,
            // LIMIT: open calls of other nodes.
            None if self.entries.len() >= MAX_CALLERS => return None,
            None => {
                self.entries.push(Entry { generation: 0, caller: None, key: 0 });
                self.entries.len() as u32 - 1
            }
        };
        let entry = self.entries.get_mut(index as usize)?;
        entry.caller = Some(caller);
        entry.key = caller.key;
        Some(reference_to(entry.generation, index))
    }

    /// The same, with the trace of its request.
    pub(crate) fn insert_asked(&mut self, (caller, trace): Asked) -> Option<u64> {
        let reference = self.insert(caller)?;
        if let Some(trace) = trace {
            self.traces.insert(reference, trace);
        }
        Some(reference)
    }

    /// How many are not answered.
    pub(crate) fn open(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    fn entry(&self, reference: u64) -> Option<&Entry> {
        let entry = self.entries.get(reference as u32 as usize)?;
        (entry.generation == (reference >> 32) as u32 & GENERATIONS).then_some(entry)
    }

    /// Who it is.
    pub(crate) fn find(&self, reference: u64) -> Option<Caller> {
        self.entry(reference)?.caller
    }

    /// Node of the caller, also after it was answered until its entry is used again.
    pub(crate) fn key_of(&self, reference: u64) -> u64 {
        let Some(entry) = self.entries.get(reference as u32 as usize) else { return 0 };
        let age = entry.generation.wrapping_sub((reference >> 32) as u32 & GENERATIONS) & GENERATIONS;
        if age == 0 || (age == 1 && entry.caller.is_none()) { entry.key } else { 0 }
    }

    /// Takes a caller out to answer it.
    pub(crate) fn take(&mut self, reference: u64) -> Option<Asked> {
        let caller = self.find(reference)?;
        let index = reference as u32;
        let entry = self.entries.get_mut(index as usize)?;
        entry.caller = None;
        entry.generation = entry.generation.wrapping_add(1) & GENERATIONS;
        self.free.push(index);
        let trace = if self.traces.is_empty() { None } else { self.traces.remove(&reference) };
        Some((caller, trace))
    }

    /// Forgets the callers of an incarnation whose session has ended.
    pub(crate) fn forget(&mut self, key: u64) {
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if entry.caller.is_some_and(|caller| caller.key == key) {
                self.traces.remove(&reference_to(entry.generation, index as u32));
                entry.caller = None;
                entry.generation = entry.generation.wrapping_add(1) & GENERATIONS;
                self.free.push(index as u32);
            }
        }
    }
}

fn reference_to(generation: u32, index: u32) -> u64 {
    REMOTE_CALLER | u64::from(generation) << 32 | u64::from(index)
}

#[cfg(test)]
mod tests {
    use super::{Caller, Callers};
    use crate::trace::TraceContext;

    #[test]
    fn a_trace_goes_with_its_caller() {
        let mut callers = Callers::default();
        let trace = TraceContext::new(1, 2, true);
        let caller = |key| Caller { key, reference: 5, callee: 1 };
        let asked = [(caller(7), trace), (caller(7), None), (caller(8), trace)];
        let references = asked.map(|asked| callers.insert_asked(asked).unwrap());
        assert_eq!(callers.take(references[0]), Some(asked[0]));
        assert_eq!(callers.take(references[1]), Some(asked[1]));
        callers.forget(8);
        assert_eq!(callers.take(references[2]), None);
        assert!(callers.traces.is_empty(), "none is left behind");
    }

    #[test]
    fn a_caller_is_answered_once() {
        let mut callers = Callers::default();
        let caller = |reference| Caller { key: 7, reference, callee: 1 };
        let first = callers.insert(caller(1)).unwrap();
        let second = callers.insert(Caller { key: 8, ..caller(2) }).unwrap();
        assert_eq!(callers.take(first), Some((caller(1), None)));
        assert_eq!(callers.take(first), None);
        let third = callers.insert(caller(3)).unwrap();
        assert_ne!(first, third);
        assert_eq!(callers.open(), 2);
        callers.forget(7);
        assert_eq!(callers.find(third), None);
        assert_eq!(callers.open(), 1);
        assert_eq!(callers.find(second).unwrap().reference, 2);
        assert_eq!(callers.find(u64::MAX), None);
    }
}
