//! How many handshakes may be under way at once, in all and per source address.
//!
//! Invariant: A1 a place is given back when its [`Place`] is dropped. Threads: one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Handshakes under way at once.
pub(super) const MAX_PENDING: usize = 128;
/// Handshakes under way from one source address.
pub(super) const MAX_PER_SOURCE: usize = 8;
/// The same for the loopback address, which all nodes of a host share.
pub(super) const MAX_PER_LOOPBACK: usize = 64;

#[derive(Debug, Default)]
struct Pending {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// Counts handshakes under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission(Rc<RefCell<Pending>>);

/// A place among the handshakes under way.
#[derive(Debug)]
pub(super) struct Place {
    admission: Admission,
    source: IpAddr,
}

impl Admission {
    /// A place, if there is one.
    pub(super) fn enter(&self, source: IpAddr) -> Option<Place> {
        let mut pending = self.0.borrow_mut();
        let limit = if source.is_loopback() { MAX_PER_LOOPBACK } else { MAX_PER_SOURCE };
        // LIMIT: handshakes under way.
        if pending.all >= MAX_PENDING || pending.by_source.get(&source).is_some_and(|count| *count >= limit) {
            return None;
        }
        pending.all += 1;
        *pending.by_source.entry(source).or_default() += 1;
        Some(Place { admission: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pending = self.admission.0.borrow_mut();
        pending.all = pending.all.saturating_sub(1);
        if let Some(count) = pending.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                pending.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, MAX_PENDING, MAX_PER_SOURCE};
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn places_are_bounded_per_source_and_in_all_and_come_back() {
        let admission = Admission::default();
        let source = |n: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        let mut places: Vec<_> = (0..MAX_PER_SOURCE).map(|_| admission.enter(source(1)).unwrap()).collect();
        assert!(admission.enter(source(1)).is_none());
        places.pop();
        places.push(admission.enter(source(1)).unwrap());
        for n in 2..=(MAX_PENDING / MAX_PER_SOURCE) as u8 {
            places.extend((0..MAX_PER_SOURCE).map(|_| admission.enter(source(n)).unwrap()));
        }
        assert_eq!(places.len(), MAX_PENDING);
        assert!(admission.enter(source(200)).is_none());
        drop(places);
        assert!(admission.enter(source(1)).is_some());
        assert_eq!(admission.0.borrow().by_source.len(), 0, "the last place was given back at once");
    }
}
