#![expect(
    unsafe_code,
    reason = "reads the time-stamp counter and the kernel's clocks; proven by the_system_clock_follows_the_kernel"
)]
//! The coarse clock of a node: ticks on the shards, nanoseconds for those who look.
//!
//! Owns: the choice of the source and the conversion. Invariants: C1 ticks never go back on one thread, and with a
//! constant, non-stop counter not between threads either. C2 `ns_at` is continuous over a `resync`: an error is slewed
//! away over the next second, only a clock that is far behind jumps, and only forward. C3 a reader never waits for the
//! writer: it reads the copy that is not being written.
//! Threads: `ticks` and the conversions on any; `resync` once a second by one thread (a second one at the same time does
//! nothing). Cost: `ticks` is one counter read (about 7 ns on a virtual machine) behind a branch that never changes;
//! a conversion is four loads and one wide multiplication.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Fraction bits of nanoseconds per tick.
const FRACTION_BITS: u32 = 32;
/// How long the first calibration watches both clocks.
const CALIBRATION: Duration = Duration::from_millis(5);
/// An error is corrected over this time, in nanoseconds: the distance between two resyncs.
const SLEW_NS: i64 = 1_000_000_000;
/// Further behind than this, the clock jumps forward, in nanoseconds.
const JUMP_NS: i64 = 1_000_000;

/// Where ticks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockKind {
    /// The processor's time-stamp counter.
    Tsc,
    /// The kernel's coarse monotonic clock, because the counter is not constant or stops; resolution 1 to 10 ms.
    Coarse,
    /// A clock that only moves when it is told to.
    Virtual,
}

#[derive(Clone, Debug)]
enum Source {
    Tsc,
    Coarse,
    Virtual(Arc<VirtualTime>),
}

/// A clock; clones share the conversion, so any thread can turn a shard's ticks into nanoseconds.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    params: Arc<ClockParams>,
}

/// A virtual clock's time.
#[derive(Debug)]
struct VirtualTime {
    ns: AtomicU64,
    /// What the wall clock is ahead of it, in nanoseconds since the Unix epoch.
    wall: AtomicI64,
}

/// The hand that moves a virtual clock.
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<VirtualTime>);

impl VirtualClock {
    /// Moves the clock forward by this many nanoseconds.
    pub fn advance(&self, ns: u64) {
        let now = self.0.ns.load(Ordering::Relaxed);
        self.set(now.saturating_add(ns));
    }

    /// Moves the clock forward to `now_ns`; an earlier time is ignored.
    pub fn set(&self, now_ns: u64) {
        self.0.ns.fetch_max(now_ns, Ordering::Relaxed);
    }

    /// Sets the wall clock, forward or back; it goes on with the virtual one.
    pub fn set_wall(&self, wall: SystemTime) {
        let now = i64::try_from(self.0.ns.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        self.0.wall.store(unix_ns(wall).saturating_sub(now), Ordering::Relaxed);
    }
}

/// A wall time as nanoseconds since the Unix epoch.
pub(crate) fn unix_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// The wall time that is so many nanoseconds after the Unix epoch.
pub(crate) fn from_unix_ns(ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(ns.unsigned_abs());
    if ns < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// The wall-independent time off a shard, for time-outs of blocking calls.
#[must_use]
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    Instant::now()
}

impl Clock {
    /// The machine's best clock, calibrated; takes about 5 ms.
    #[must_use]
    pub fn system() -> Self {
        if !tsc_is_reliable() {
            return Self { source: Source::Coarse, params: Arc::new(ClockParams::identity()) };
        }
        let first = Pair::read();
        let mut last = first;
        while last.mono_ns - first.mono_ns < CALIBRATION.as_nanos() as u64 {
            std::hint::spin_loop();
            last = Pair::read();
        }
        let rate = last.rate_since(first);
        Self { source: Source::Tsc, params: Arc::new(ClockParams::new(first, last, rate)) }
    }

    /// A clock that stands at `now_ns` until it is moved; its ticks are nanoseconds.
    #[must_use]
    pub fn new_virtual(now_ns: u64) -> (Self, VirtualClock) {
        let hand = Arc::new(VirtualTime { ns: AtomicU64::new(now_ns), wall: AtomicI64::new(0) });
        let clock =
            Self { source: Source::Virtual(Arc::clone(&hand)), params: Arc::new(ClockParams::identity()) };
        (clock, VirtualClock(hand))
    }

    /// Now, in ticks.
    #[must_use]
    #[inline]
    pub fn ticks(&self) -> u64 {
        match &self.source {
            Source::Tsc => tsc(),
            Source::Coarse => kernel_ns(libc::CLOCK_MONOTONIC_COARSE),
            Source::Virtual(hand) => hand.ns.load(Ordering::Relaxed),
        }
    }

    /// Now, by the wall clock: the system's, or for a virtual clock the Unix epoch and what passed since, unless it was set.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        match &self.source {
            Source::Virtual(hand) => {
                let ns = i64::try_from(hand.ns.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
                from_unix_ns(hand.wall.load(Ordering::Relaxed).saturating_add(ns))
            }
            Source::Tsc | Source::Coarse => SystemTime::now(),
        }
    }

    /// What the wall clock showed, or would have shown as it is set now, when the ticks stood at `ticks`.
    #[must_use]
    pub(crate) fn wall_at(&self, ticks: u64) -> SystemTime {
        if let Source::Virtual(hand) = &self.source {
            let ns = i64::try_from(ticks).unwrap_or(i64::MAX);
            return from_unix_ns(hand.wall.load(Ordering::Relaxed).saturating_add(ns));
        }
        let age = self.span_ns(self.ticks().saturating_sub(ticks));
        let now = unix_ns(self.wall());
        from_unix_ns(now.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)))
    }

    /// Now, in nanoseconds of the monotonic clock.
    #[must_use]
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.ns_at(self.ticks())
    }

    /// The nanosecond of the monotonic clock at which the ticks stood at `ticks`.
    #[must_use]
    #[inline]
    pub fn ns_at(&self, ticks: u64) -> u64 {
        self.params.read().ns_at(ticks)
    }

    /// A distance in ticks as nanoseconds.
    #[must_use]
    #[inline]
    pub fn span_ns(&self, ticks: u64) -> u64 {
        let ns = (u128::from(ticks) * u128::from(self.params.read().rate)) >> FRACTION_BITS;
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// A distance in nanoseconds as ticks, rounded down.
    #[must_use]
    pub fn ticks_in(&self, ns: u64) -> u64 {
        let ticks = (u128::from(ns) << FRACTION_BITS) / u128::from(self.params.read().rate.max(1));
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// Where the ticks come from.
    #[must_use]
    pub fn kind(&self) -> ClockKind {
        match self.source {
            Source::Tsc => ClockKind::Tsc,
            Source::Coarse => ClockKind::Coarse,
            Source::Virtual(_) => ClockKind::Virtual,
        }
    }

    /// Compares with the kernel's monotonic clock and corrects the conversion; call it once a second.
    ///
    /// Returns the error it found, in nanoseconds: positive if this clock was behind. Always 0 for a clock that has
    /// nothing to be compared with.
    pub fn resync(&self) -> i64 {
        match self.source {
            Source::Tsc => self.params.resync(Pair::read()),
            Source::Coarse | Source::Virtual(_) => 0,
        }
    }
}

/// The same instant on both clocks.
#[derive(Clone, Copy, Debug)]
struct Pair {
    ticks: u64,
    mono_ns: u64,
}

impl Pair {
    /// The tightest of a few attempts, so that an interruption between the reads does no harm.
    fn read() -> Self {
        let attempt = || {
            let before = tsc();
            let mono_ns = kernel_ns(libc::CLOCK_MONOTONIC);
            let width = tsc().wrapping_sub(before);
            (width, Self { ticks: before.wrapping_add(width / 2), mono_ns })
        };
        let mut best = attempt();
        for _ in 0..4 {
            let next = attempt();
            if next.0 < best.0 {
                best = next;
            }
        }
        best.1
    }

    /// Nanoseconds per tick since `first`, in fixed point.
    fn rate_since(self, first: Self) -> u64 {
        let ns = u128::from(self.mono_ns.saturating_sub(first.mono_ns));
        let ticks = u128::from(self.ticks.saturating_sub(first.ticks).max(1));
        u64::try_from((ns << FRACTION_BITS) / ticks).unwrap_or(u64::MAX).max(1)
    }
}

/// One state of the conversion: `ns = base_ns + (ticks - base_ticks) * slope`.
#[derive(Clone, Copy, Debug)]
struct Conversion {
    base_ticks: u64,
    base_ns: u64,
    /// Nanoseconds per tick while the last error is being corrected, in fixed point.
    slope: i64,
    /// Nanoseconds per tick, in fixed point.
    rate: u64,
}

impl Conversion {
    #[inline]
    fn ns_at(self, ticks: u64) -> u64 {
        // Ticks of before the last resync are as good as later ones.
        let distance = i128::from(ticks.wrapping_sub(self.base_ticks) as i64);
        let ns = i128::from(self.base_ns) + ((distance * i128::from(self.slope)) >> FRACTION_BITS);
        ns.clamp(0, i128::from(u64::MAX)) as u64
    }
}

#[derive(Debug, Default)]
struct Side {
    base_ticks: AtomicU64,
    base_ns: AtomicU64,
    slope: AtomicI64,
    rate: AtomicU64,
}

impl Side {
    fn store(&self, to: Conversion) {
        self.base_ticks.store(to.base_ticks, Ordering::Relaxed);
        self.base_ns.store(to.base_ns, Ordering::Relaxed);
        self.slope.store(to.slope, Ordering::Relaxed);
        self.rate.store(to.rate, Ordering::Relaxed);
    }

    #[inline]
    fn load(&self) -> Conversion {
        Conversion {
            base_ticks: self.base_ticks.load(Ordering::Relaxed),
            base_ns: self.base_ns.load(Ordering::Relaxed),
            slope: self.slope.load(Ordering::Relaxed),
            rate: self.rate.load(Ordering::Relaxed),
        }
    }
}

/// The conversion, kept twice: the lowest bit of the version tells which one is valid.
#[derive(Debug)]
struct ClockParams {
    version: AtomicU32,
    sides: [Side; 2],
    writing: AtomicBool,
    /// The first comparison: rates are taken over the whole time since.
    first: Pair,
}

impl ClockParams {
    fn new(first: Pair, now: Pair, rate: u64) -> Self {
        let params = Self {
            version: AtomicU32::new(0),
            sides: [Side::default(), Side::default()],
            writing: AtomicBool::new(false),
            first,
        };
        let slope = i64::try_from(rate).unwrap_or(i64::MAX);
        params.sides[0].store(Conversion { base_ticks: now.ticks, base_ns: now.mono_ns, slope, rate });
        params
    }

    /// Ticks are nanoseconds.
    fn identity() -> Self {
        let zero = Pair { ticks: 0, mono_ns: 0 };
        Self::new(zero, zero, 1 << FRACTION_BITS)
    }

    #[inline]
    fn read(&self) -> Conversion {
        loop {
            // ORDERING: pairs with the Release store of `version` in `write`: the copy it names is complete.
            let version = self.version.load(Ordering::Acquire);
            let seen = self.sides[(version & 1) as usize].load();
            // ORDERING: pairs with the Release fence in `write`: who saw a value of the next round sees its version.
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return seen;
            }
        }
    }

    fn write(&self, to: Conversion) {
        let version = self.version.load(Ordering::Relaxed);
        // ORDERING: pairs with the Acquire fence in `read`: the last version stands before this copy is touched.
        fence(Ordering::Release);
        self.sides[(version.wrapping_add(1) & 1) as usize].store(to);
        // ORDERING: pairs with the Acquire load in `read`.
        self.version.store(version.wrapping_add(1), Ordering::Release);
    }

    fn resync(&self, now: Pair) -> i64 {
        // ORDERING: Acquire and Release make what one writer left the next one's past.
        if self.writing.swap(true, Ordering::Acquire) {
            return 0;
        }
        let here = self.read().ns_at(now.ticks);
        let error = i128::from(now.mono_ns) - i128::from(here);
        let error = error.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        self.write(corrected(here, error, now, now.rate_since(self.first)));
        self.writing.store(false, Ordering::Release);
        error
    }
}

/// The conversion from here on: continuous, and right again after [`SLEW_NS`], unless it is far behind.
fn corrected(here_ns: u64, error_ns: i64, now: Pair, rate: u64) -> Conversion {
    let straight = i64::try_from(rate).unwrap_or(i64::MAX);
    if error_ns > JUMP_NS {
        return Conversion { base_ticks: now.ticks, base_ns: now.mono_ns, slope: straight, rate };
    }
    // Never slower than half speed: time goes on while a clock that was ahead waits for the kernel's.
    let error = i128::from(error_ns.max(-SLEW_NS / 2));
    let slope = i128::from(straight) + i128::from(straight) * error / i128::from(SLEW_NS);
    let slope = i64::try_from(slope).unwrap_or(i64::MAX);
    Conversion { base_ticks: now.ticks, base_ns: here_ns, slope, rate }
}

/// Whether the counter runs at one speed in all power states, by the kernel's judgement of the processor.
fn tsc_is_reliable() -> bool {
    if !cfg!(target_arch = "x86_64") {
        return false;
    }
    // A machine that does not tell gets the kernel's clock.
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| flags_promise_a_steady_counter(&text))
}

fn flags_promise_a_steady_counter(cpuinfo: &str) -> bool {
    let mut flags = cpuinfo.lines().filter(|line| line.starts_with("flags")).peekable();
    flags.peek().is_some()
        && flags.all(|line| {
            let has = |flag| line.split_ascii_whitespace().any(|word| word == flag);
            has("constant_tsc") && has("nonstop_tsc")
        })
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux leaves it enabled for programs.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc() -> u64 {
    kernel_ns(libc::CLOCK_MONOTONIC)
}

fn kernel_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result. Both clocks exist on every Linux; a failure would leave zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

#[cfg(all(test, not(feature = "loom")))]
#[path = "clock_tests.rs"]
mod tests;
