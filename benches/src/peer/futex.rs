//! What the kernel needs to wake a sleeping thread on another core: the floor of every parked receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::thread::futex;

use crate::error::RunError;
use crate::machine::{join, pinned_thread};
use crate::timing::{Stopwatch, micros, quantile, spin_for};
use crate::workload::Run;

/// Time between wakes: long enough for the sleeper to halt its core.
pub const GAP: Duration = Duration::from_micros(100);
/// Wakes per run.
pub const WAKES: u64 = 3000;

/// One way from the wake to the first instruction of the woken thread; p50 in microseconds.
///
/// # Errors
/// When threads cannot be started or pinned.
pub fn one_way(run: Run) -> Result<f64, RunError> {
    let wakes = run.scale.of(WAKES);
    let origin = Stopwatch::start();
    let word = Arc::new(AtomicU32::new(0));
    let sent_at = Arc::new(AtomicU64::new(0));
    let (sleeper_word, sleeper_sent) = (Arc::clone(&word), Arc::clone(&sent_at));
    let sleeper = pinned_thread("futex-sleeper", 1, move || {
        let mut waits = Vec::new();
        for turn in 1..=wakes {
            let before = u32::try_from(turn - 1).map_err(RunError::work)?;
            // ORDERING: pairs with the Release store of the waker: the time stamp is written before the word.
            while sleeper_word.load(Ordering::Acquire) == before {
                // The answer does not matter: the loop looks at the word again.
                let _ = futex::wait(&sleeper_word, futex::Flags::PRIVATE, before, None);
            }
            waits.push(origin.nanos().saturating_sub(sleeper_sent.load(Ordering::Relaxed)));
        }
        Ok(waits)
    })?;
    let waker = pinned_thread("futex-waker", 0, move || {
        for turn in 1..=wakes {
            spin_for(GAP);
            let turn = u32::try_from(turn).map_err(RunError::work)?;
            sent_at.store(origin.nanos(), Ordering::Relaxed);
            word.store(turn, Ordering::Release);
            futex::wake(&word, futex::Flags::PRIVATE, 1)
                .map_err(|errno| RunError::Io { what: "waking a futex", source: errno.into() })?;
        }
        Ok(())
    })?;
    join(waker)?;
    let mut waits = join(sleeper)?;
    micros(quantile(&mut waits, 0.5))
}
