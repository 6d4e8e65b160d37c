//! Hierarchical timer wheel of one shard.
//!
//! Owns: all armed timers, in a slab with intrusive lists. Not the clock: time is an argument.
//! Invariants: W1 a timer at level L shares all digits (base 64) of its tick above L with `elapsed`, and its digit L is
//! larger (at level 0: not smaller). W2 a bit in `occupied` is set exactly if that slot's list is not empty. W3 a key
//! matches its entry exactly while the timer is armed. So every timer at a lower level is due before every one above,
//! and the first set bit of the lowest occupied level is the next thing to look at.
//! Time: nanoseconds in, ticks of 2^20 ns (about 1 ms) inside. Deadlines are rounded up, so a timer is never early and
//! at most one tick late; timers of one tick fire in the order in which they were inserted. The wheel never goes back.
//! Threads: one shard. Cost: insert and cancel are O(1); each timer moves at most once per level, in practice once. The
//! slab grows by doubling and never shrinks; in a steady state nothing allocates.

use thiserror::Error;

/// Length of a tick as a power of two, in nanoseconds.
const TICK_SHIFT: u32 = 20;
/// Bits of a tick that one level looks at.
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Eight levels of six bits hold every tick of a 64-bit nanosecond count: no deadline is too far.
const LEVELS: usize = 8;
const _: () = assert!(LEVELS as u32 * LEVEL_BITS + TICK_SHIFT >= 64);
/// The first entries of the slab are the list heads.
const HEADS: usize = LEVELS * SLOTS;
const NIL: u32 = u32::MAX;

/// Timers that may be armed at once, unless configured otherwise: 16 Mi, which take 512 MiB.
pub const DEFAULT_TIMER_LIMIT: u32 = 1 << 24;

/// Names one armed timer; stale keys are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// The shard has as many armed timers as it may have.
///
/// A retry makes sense after some timers have fired or were cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the shard already has {limit} armed timers: cancel some, or raise the timer limit")]
pub struct TimerLimitReached {
    /// The limit, in timers.
    pub limit: u32,
}

/// What a bounded advance did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// Timers fired.
    pub fired: usize,
    /// Whether due timers may be left because `max` was reached.
    pub more: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Previous in the slot's circular list.
    prev: u32,
    /// Next in the slot's circular list, or in the free list.
    next: u32,
    generation: u32,
    tick: u64,
    token: u64,
}

/// The timers of one shard.
#[derive(Debug)]
pub struct Wheel {
    entries: Vec<Entry>,
    free: u32,
    armed: u32,
    limit: u32,
    /// All ticks before this one are over; timers of this tick may be waiting in level 0.
    elapsed: u64,
    occupied: [u64; LEVELS],
    /// One bit per level with any timer.
    levels: u32,
}

impl Wheel {
    /// An empty wheel that starts at `now_ns` and holds at most `limit` timers.
    #[must_use]
    pub fn new(now_ns: u64, limit: u32) -> Self {
        let head = |index: u32| Entry { prev: index, next: index, generation: 0, tick: 0, token: 0 };
        Self {
            entries: (0..HEADS as u32).map(head).collect(),
            free: NIL,
            armed: 0,
            limit: limit.min(NIL - HEADS as u32),
            elapsed: now_ns >> TICK_SHIFT,
            occupied: [0; LEVELS],
            levels: 0,
        }
    }

    /// Arms a timer; `token` comes back from [`advance`](Self::advance) once `deadline_ns` is reached.
    ///
    /// A deadline in the past fires at the next advance. One in the last millisecond of the 64-bit count never fires.
    ///
    /// # Errors
    /// [`TimerLimitReached`] when the wheel is full.
    #[inline]
    pub fn insert(&mut self, deadline_ns: u64, token: u64) -> Result<TimerKey, TimerLimitReached> {
        let tick = deadline_ns.div_ceil(1 << TICK_SHIFT).max(self.elapsed);
        let index = self.free;
        let index = if index == NIL {
            self.grow()?
        } else {
            self.free = self.entries[index as usize].next;
            index
        };
        self.armed += 1;
        let entry = &mut self.entries[index as usize];
        entry.tick = tick;
        entry.token = token;
        let generation = entry.generation;
        self.link(index, tick);
        Ok(TimerKey { index, generation })
    }

    #[cold]
    fn grow(&mut self) -> Result<u32, TimerLimitReached> {
        let index = self.entries.len() as u32;
        // LIMIT: the free list is empty here, so every entry is an armed timer.
        if self.armed >= self.limit {
            return Err(TimerLimitReached { limit: self.limit });
        }
        self.entries.push(Entry { prev: NIL, next: NIL, generation: 0, tick: 0, token: 0 });
        Ok(index)
    }

    /// Disarms a timer; `false` if it has fired or was cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> bool {
        match self.entries.get(key.index as usize) {
            Some(entry) if entry.generation == key.generation && key.index as usize >= HEADS => {
                self.unlink(key.index);
                self.release(key.index);
                true
            }
            _ => false,
        }
    }

    /// When the owner should call [`advance`](Self::advance) next, in nanoseconds; `None` if no timer is armed.
    ///
    /// Never later than the tick in which the earliest timer fires; earlier if that timer is far away and has to move
    /// down a level first, which happens at most once per level.
    #[must_use]
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        self.next_slot().map(|(_, tick)| tick.saturating_mul(1 << TICK_SHIFT))
    }

    /// Fires every timer that is due at `now_ns`, in the order of their ticks, and returns how many.
    pub fn advance(&mut self, now_ns: u64, fire: impl FnMut(u64)) -> usize {
        self.advance_up_to(now_ns, usize::MAX, fire).fired
    }

    /// The same, but stops after `max` timers, so that a crowd of them does not hold up the shard.
    ///
    /// Timers left over are due still, and come first at the next call. If `fire` panics, the timer it was given has
    /// been disarmed and all others are intact.
    pub fn advance_up_to(&mut self, now_ns: u64, max: usize, mut fire: impl FnMut(u64)) -> Advanced {
        let now = (now_ns >> TICK_SHIFT).max(self.elapsed);
        let mut fired = 0;
        while let Some((head, tick)) = self.next_slot() {
            if tick > now {
                break;
            }
            self.elapsed = tick;
            if head as usize >= SLOTS {
                self.cascade(head);
                continue;
            }
            loop {
                let index = self.entries[head as usize].next;
                if index == head {
                    break;
                }
                if fired == max {
                    return Advanced { fired, more: true };
                }
                let token = self.entries[index as usize].token;
                self.unlink(index);
                self.release(index);
                fired += 1;
                fire(token);
            }
        }
        self.elapsed = now;
        Advanced { fired, more: false }
    }

    /// Timers armed now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.armed as usize
    }

    /// Whether it holds as many timers as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.armed >= self.limit
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Head of the earliest occupied slot, and the tick at which it begins.
    #[inline]
    fn next_slot(&self) -> Option<(u32, u64)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let slot = self.occupied[level as usize].trailing_zeros();
        let shift = level * LEVEL_BITS;
        let above = self.elapsed >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS);
        Some((level << LEVEL_BITS | slot, above | u64::from(slot) << shift))
    }

    /// Moves the timers of a slot that has begun down to where they belong now, in order.
    fn cascade(&mut self, head: u32) {
        let mut index = self.entries[head as usize].next;
        self.entries[head as usize].next = head;
        self.entries[head as usize].prev = head;
        self.vacate(head);
        while index != head {
            let Entry { next, tick, .. } = self.entries[index as usize];
            self.link(index, tick);
            index = next;
        }
    }

    /// Appends an entry to the list of the slot for `tick`.
    #[inline]
    fn link(&mut self, index: u32, tick: u64) {
        debug_assert!(tick >= self.elapsed, "W1: a tick before the elapsed one has no slot");
        let level = (63 - ((self.elapsed ^ tick) | (SLOTS as u64 - 1)).leading_zeros()) / LEVEL_BITS;
        let slot = (tick >> (level * LEVEL_BITS)) as u32 & (SLOTS as u32 - 1);
        self.occupied[level as usize] |= 1 << slot;
        self.levels |= 1 << level;
        let head = level << LEVEL_BITS | slot;
        let last = self.entries[head as usize].prev;
        self.entries[head as usize].prev = index;
        self.entries[last as usize].next = index;
        let entry = &mut self.entries[index as usize];
        entry.prev = last;
        entry.next = head;
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, .. } = self.entries[index as usize];
        self.entries[prev as usize].next = next;
        self.entries[next as usize].prev = prev;
        // Only a list head can be on both sides of its last entry.
        if prev == next {
            self.vacate(prev);
        }
    }

    /// Clears the bit of a slot whose list has become empty.
    #[inline]
    fn vacate(&mut self, head: u32) {
        let level = (head >> LEVEL_BITS) as usize;
        self.occupied[level] &= !(1 << (head & (SLOTS as u32 - 1)));
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Returns an unlinked entry to the free list; its keys are stale from here on.
    #[inline]
    fn release(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        self.armed -= 1;
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
