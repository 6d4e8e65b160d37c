//! The largest (or smallest) N of a sweep.
//!
//! Invariants: T1 at most N entries. T2 an entry is replaced only by a strictly larger key, so ties keep the earlier
//! one. Cost: one comparison per candidate; strings are fetched for winners only, by whoever reads the list.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A bounded list of the largest keys, each with the local id it belongs to.
#[derive(Debug)]
pub(crate) struct Top {
    limit: usize,
    seen: u64,
    heap: BinaryHeap<Reverse<(u64, Reverse<u64>, u64)>>,
}

impl Top {
    /// A list of at most `limit` entries.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, seen: 0, heap: BinaryHeap::with_capacity(limit.min(512)) }
    }

    /// Offers a key; later offers lose ties.
    pub(crate) fn offer(&mut self, key: u64, id: u64) {
        self.seen += 1;
        let entry = Reverse((key, Reverse(self.seen), id));
        if self.heap.len() < self.limit {
            self.heap.push(entry);
        } else if let Some(mut least) = self.heap.peek_mut()
            && least.0.0 < key
        {
            *least = entry;
        }
    }

    /// Winners, largest key first.
    pub(crate) fn into_sorted(self) -> Vec<(u64, u64)> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse((key, _, id))| (key, id)).collect()
    }
}

/// A key that orders non-negative numbers as they are ordered; anything else counts as zero.
pub(crate) fn key_of(value: f64) -> u64 {
    if value > 0.0 { value.to_bits() } else { 0 }
}

/// The number behind [`key_of`].
pub(crate) fn value_of(key: u64) -> f64 {
    f64::from_bits(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_largest_and_the_earlier_of_equals() {
        let mut top = Top::new(2);
        for (key, id) in [(5, 1), (7, 2), (5, 3), (5, 4), (9, 5), (7, 6)] {
            top.offer(key, id);
        }
        assert_eq!(top.into_sorted(), vec![(9, 5), (7, 2)]);
    }

    #[test]
    fn an_empty_list_stays_empty() {
        let mut top = Top::new(0);
        top.offer(1, 1);
        assert!(top.into_sorted().is_empty());
    }

    #[test]
    fn float_keys_keep_their_order() {
        let values = [0.0, 1e-9, 0.5, 0.999, 1.0, 12.5, 1e12];
        for pair in values.windows(2) {
            assert!(key_of(pair[0]) < key_of(pair[1]));
            assert_eq!(value_of(key_of(pair[1])), pair[1]);
        }
        assert_eq!(key_of(f64::NAN), 0);
    }
}
