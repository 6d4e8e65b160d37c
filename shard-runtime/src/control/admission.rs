//! How many handshakes may be under way at once, in all and per source address, and how many may fail.
//!
//! Invariants: A1 a place is given back when its [`Place`] is dropped. A2 a source address whose handshakes fail again and
//! again is not listened to until its window is over; reasons that honest nodes give rise to do not count. Threads: one.

use shard_wire::handshake::Reason;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Handshakes under way at once.
pub(super) const MAX_PENDING: usize = 128;
/// Handshakes under way from one source address.
pub(super) const MAX_PER_SOURCE: usize = 8;
/// The same for the loopback address, which all nodes of a host share.
pub(super) const MAX_PER_LOOPBACK: usize = 64;
/// Failed handshakes of one source address within [`WINDOW`].
pub(super) const MAX_FAILED: u32 = 32;
/// The same for the loopback address.
pub(super) const MAX_FAILED_LOOPBACK: u32 = 1024;
/// From the first failed handshake of a source address until its failures are forgotten.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Source addresses whose failures are counted.
const MAX_SOURCES: usize = 4096;

#[derive(Debug, Default)]
struct Pending {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
    failed: HashMap<IpAddr, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
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
    pub(super) fn enter(&self, source: IpAddr, now: Instant) -> Option<Place> {
        let mut pending = self.0.borrow_mut();
        let limit = if source.is_loopback() { MAX_PER_LOOPBACK } else { MAX_PER_SOURCE };
        // LIMIT: handshakes under way.
        if pending.all >= MAX_PENDING || pending.by_source.get(&source).is_some_and(|count| *count >= limit) {
            return None;
        }
        let most = if source.is_loopback() { MAX_FAILED_LOOPBACK } else { MAX_FAILED };
        // LIMIT: failed handshakes of one source.
        if pending.failed.get(&source).is_some_and(|failed| failed.count >= most && !failed.is_over(now)) {
            return None;
        }
        pending.all += 1;
        *pending.by_source.entry(source).or_default() += 1;
        Some(Place { admission: self.clone(), source })
    }

    /// A handshake of this source has failed.
    pub(super) fn failed(&self, source: IpAddr, reason: Reason, now: Instant) {
        let is_garbage =
            matches!(reason, Reason::BadMagic | Reason::Malformed | Reason::TooLarge | Reason::Timeout);
        let counts = is_garbage || reason.is_credential();
        if !counts {
            return;
        }
        let mut pending = self.0.borrow_mut();
        let failed = &mut pending.failed;
        // LIMIT: sources whose failures are counted. Beyond it only the handshakes under way are bounded.
        if failed.len() >= MAX_SOURCES && !failed.contains_key(&source) {
            failed.retain(|_, failures| !failures.is_over(now));
            if failed.len() >= MAX_SOURCES {
                return;
            }
        }
        let failures = failed.entry(source).or_insert(Failures { count: 0, since: now });
        if failures.is_over(now) {
            *failures = Failures { count: 0, since: now };
        }
        failures.count = failures.count.saturating_add(1);
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
    use super::{Admission, MAX_FAILED, MAX_PENDING, MAX_PER_SOURCE, MAX_SOURCES, WINDOW};
    use shard_wire::handshake::Reason;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    fn source(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits((10 << 24) + n))
    }

    #[test]
    fn places_are_bounded_per_source_and_in_all_and_come_back() {
        let admission = Admission::default();
        let now = crate::clock::now();
        let enter = |n| admission.enter(source(n), now);
        let mut places: Vec<_> = (0..MAX_PER_SOURCE).map(|_| enter(1).unwrap()).collect();
        assert!(enter(1).is_none());
        places.pop();
        places.push(enter(1).unwrap());
        for n in 2..=(MAX_PENDING / MAX_PER_SOURCE) as u32 {
            places.extend((0..MAX_PER_SOURCE).map(|_| enter(n).unwrap()));
        }
        assert_eq!(places.len(), MAX_PENDING);
        assert!(enter(200).is_none());
        drop(places);
        assert!(enter(1).is_some());
        assert_eq!(admission.0.borrow().by_source.len(), 0, "the last place was given back at once");
    }

    #[test]
    fn a_source_that_fails_again_and_again_is_not_listened_to_for_a_while() {
        let admission = Admission::default();
        let now = crate::clock::now();
        for _ in 0..MAX_FAILED - 1 {
            admission.failed(source(1), Reason::WrongCookie, now);
        }
        for _ in 0..MAX_FAILED {
            admission.failed(source(1), Reason::Duplicate, now);
        }
        assert!(admission.enter(source(1), now).is_some(), "a lost race is no failure");
        admission.failed(source(1), Reason::BadMagic, now);
        let late = now + WINDOW - Duration::from_nanos(1);
        assert!(admission.enter(source(1), late).is_none());
        assert!(admission.enter(source(2), late).is_some(), "others are not concerned");
        assert!(admission.enter(source(1), now + WINDOW).is_some());
        admission.failed(source(1), Reason::BadMagic, now + WINDOW);
        assert!(admission.enter(source(1), now + WINDOW).is_some(), "the count begins anew");
    }

    #[test]
    fn the_table_of_failures_is_bounded() {
        let admission = Admission::default();
        let now = crate::clock::now();
        for n in 0..2 * MAX_SOURCES as u32 {
            admission.failed(source(n), Reason::BadMagic, now);
        }
        assert_eq!(admission.0.borrow().failed.len(), MAX_SOURCES);
        admission.failed(source(1 << 20), Reason::BadMagic, now + WINDOW);
        assert_eq!(admission.0.borrow().failed.len(), 1);
    }
}
