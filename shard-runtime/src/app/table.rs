//! The applications of a node as every thread sees them.
//!
//! Owns: a place per loaded application, with the number of its processes; the snapshots that readers see.
//! Invariants: T1 a place's symbol is set by the steward alone and stays until the application is unloaded and empty. T2 who
//! enters counts itself first and looks at the gate then; who closes the gate closes it first and reads the count then: so a
//! count of zero behind a closed gate stays zero. Threads: all; no lock.

use crate::app::{AppInfo, AppState};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::Duration;

/// Applications of one node.
pub(super) const MAX_APPS: usize = 256;

#[derive(Debug, Default)]
struct Place {
    /// 0: free.
    symbol: AtomicU32,
    is_closed: AtomicBool,
    processes: AtomicU64,
}

/// The applications of a node.
#[derive(Debug)]
pub(crate) struct Apps {
    places: Box<[Place]>,
    /// Places ever used.
    high: AtomicU32,
    infos: papaya::HashMap<Arc<str>, Arc<AppInfo>>,
}

impl Default for Apps {
    fn default() -> Self {
        Self {
            places: (0..MAX_APPS).map(|_| Place::default()).collect(),
            high: AtomicU32::new(0),
            infos: papaya::HashMap::new(),
        }
    }
}

impl Apps {
    fn place(&self, symbol: u32) -> Option<&Place> {
        let used = self.high.load(Relaxed) as usize;
        self.places.iter().take(used).find(|place| place.symbol.load(Relaxed) == symbol)
    }

    /// Takes a place for an application; `false` if all are taken. For the steward.
    pub(super) fn claim(&self, symbol: u32) -> bool {
        let free = |place: &&Place| place.symbol.load(Relaxed) == 0;
        let Some((index, place)) = self.places.iter().enumerate().find(|(_, place)| free(place)) else {
            return false;
        };
        place.is_closed.store(true, SeqCst);
        place.symbol.store(symbol, Relaxed);
        self.high.fetch_max(index as u32 + 1, Relaxed);
        true
    }

    /// Gives a place back, unless processes of it are left.
    pub(super) fn release(&self, symbol: u32) {
        if let Some(place) = self.place(symbol)
            && place.processes.load(SeqCst) == 0
        {
            place.symbol.store(0, Relaxed);
        }
    }

    /// Whether processes may be spawned in an application.
    pub(super) fn set_closed(&self, symbol: u32, closed: bool) {
        if let Some(place) = self.place(symbol) {
            // ORDERING: T2.
            place.is_closed.store(closed, SeqCst);
        }
    }

    /// Processes that belong to an application.
    pub(crate) fn processes(&self, symbol: u32) -> u64 {
        // ORDERING: T2.
        self.place(symbol).map_or(0, |place| place.processes.load(SeqCst))
    }

    /// A process is about to be spawned in an application; `false` if it may not. Who was let in and is not spawned leaves.
    pub(crate) fn enter(&self, symbol: u32) -> bool {
        let Some(place) = self.place(symbol) else { return true };
        // ORDERING: T2.
        place.processes.fetch_add(1, SeqCst);
        if place.is_closed.load(SeqCst) {
            place.processes.fetch_sub(1, SeqCst);
            return false;
        }
        true
    }

    /// A process of an application has gone. Whether it was the last one of an application that is being stopped.
    pub(crate) fn leave(&self, symbol: u32) -> bool {
        let Some(place) = self.place(symbol) else { return false };
        // ORDERING: T2.
        place.processes.fetch_sub(1, SeqCst) == 1 && place.is_closed.load(SeqCst)
    }

    /// Shows an application as it is now.
    pub(super) fn show(&self, info: AppInfo) {
        self.infos.pin().insert(Arc::clone(&info.name), Arc::new(info));
    }

    /// Shows an application no more.
    pub(super) fn hide(&self, name: &str) {
        self.infos.pin().remove(name);
    }

    /// One application. `now` and `span` are the node's clock.
    pub(crate) fn info(&self, name: &str, uptime: impl Fn(u64) -> u64) -> Option<AppInfo> {
        let found = Arc::clone(self.infos.pin().get(name)?);
        Some(self.fill(&found, uptime))
    }

    /// All applications, by name.
    pub(crate) fn infos(&self, uptime: impl Fn(u64) -> u64) -> Vec<AppInfo> {
        let mut found: Vec<_> = self.infos.pin().values().map(|info| self.fill(info, &uptime)).collect();
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// How many are loaded, and how many of those run.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let infos = self.infos.pin();
        let running = infos.values().filter(|info| info.state == AppState::Running).count();
        (infos.len() as u64, running as u64)
    }

    fn fill(&self, info: &AppInfo, uptime: impl Fn(u64) -> u64) -> AppInfo {
        let mut info = info.clone();
        info.processes = self.processes(info.symbol);
        if matches!(info.state, AppState::Running | AppState::Stopping) && info.since > 0 {
            info.uptime = Duration::from_nanos(uptime(info.since));
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::{Apps, MAX_APPS};

    #[test]
    fn a_closed_application_lets_nobody_in_and_tells_of_its_last_process() {
        let apps = Apps::default();
        assert!(apps.claim(7) && apps.claim(9));
        assert!(!apps.enter(7), "closed until it is started");
        apps.set_closed(7, false);
        assert!(apps.enter(7) && apps.enter(7));
        assert!(!apps.leave(7), "one is left");
        apps.set_closed(7, true);
        assert!(!apps.enter(7));
        assert_eq!((apps.processes(7), apps.processes(9)), (1, 0));
        assert!(apps.leave(7), "the last one of a closed application");
        apps.release(7);
        assert!(apps.enter(7), "what is not loaded has no gate");
        assert_eq!(apps.processes(7), 0);
    }

    #[test]
    fn places_are_reused_and_bounded() {
        let apps = Apps::default();
        for symbol in 1..=MAX_APPS as u32 {
            assert!(apps.claim(symbol));
        }
        assert!(!apps.claim(1000));
        apps.release(17);
        assert!(apps.claim(1000));
    }
}
