//! A random supervisor and the random things that happen to it, all from one seed, so that a run can be repeated, cut down
//! and told.

use std::time::Duration;

use super::super::{Backoff, ChildSpec, OnExceed, Shutdown, Strategy, SupervisorSpec, SupervisorType};
use super::world::Why;

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One thing that may happen. What it means is decided by the moment; a choice that there is not is no event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    StartSucceeds,
    StartFails(WhyChoice),
    Ends(u64, WhyChoice),
    Obeys(u64),
    TimerDue,
    /// That many things happen that are due.
    Rests(u64),
    TimePasses(u64),
    Foreign(WhyChoice),
    Start(u64),
    Add(u64),
    Remove(u64),
    Enable(u64),
    Disable(u64),
    Terminate(u64),
}

/// A reason, by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct WhyChoice(u64);

impl WhyChoice {
    pub(super) fn reason(self) -> Why {
        match self.0 % 7 {
            0 => Why::Normal,
            1 => Why::Shutdown,
            2 => Why::Kill,
            n => Why::Boom(u8::try_from(n).unwrap_or(0)),
        }
    }
}

/// A supervisor and what happens to it.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) spec: SupervisorSpec,
    pub(super) children: Vec<ChildSpec>,
    pub(super) happenings: Vec<Happening>,
    pub(super) seed: u64,
}

/// The names there are, and one more.
const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "z"];

pub(super) fn name(choice: u64) -> &'static str {
    NAMES[usize::try_from(choice % 7).unwrap_or(0)]
}

impl Scene {
    pub(super) fn from_seed(seed: u64) -> Self {
        let mut random = Random(seed);
        let spec = supervisor(&mut random);
        let count = usize::try_from(1 + random.below(5)).unwrap_or(1);
        let children = NAMES[..count].iter().map(|name| child(name, spec.kind, &mut random)).collect();
        let length = 5 + random.below(50);
        let up = if random.one_in(5) { 0 } else { count };
        let happenings = std::iter::repeat_n(Happening::StartSucceeds, up);
        let happenings = happenings.chain((0..length).map(|_| happening(&mut random))).collect();
        Self { spec, children, happenings, seed }
    }
}

fn strategy(random: &mut Random) -> Strategy {
    [Strategy::Transient, Strategy::Temporary, Strategy::Permanent]
        [usize::try_from(random.below(3)).unwrap_or(0)]
}

fn backoff(random: &mut Random) -> Backoff {
    let first = Duration::from_millis(1 + random.below(300));
    Backoff::new(first, first + Duration::from_millis(random.below(2_000))).jitter(0.5)
}

fn supervisor(random: &mut Random) -> SupervisorSpec {
    let kind = match random.below(4) {
        0 => SupervisorType::OneForOne,
        1 => SupervisorType::AllForOne,
        2 => SupervisorType::RestForOne,
        _ => SupervisorType::SimpleOneForOne,
    };
    let limit = u16::try_from(random.below(6)).unwrap_or(0);
    let mut spec = SupervisorSpec::new(kind)
        .strategy(strategy(random))
        .intensity(limit, Duration::from_millis(random.below(3_000)));
    if random.one_in(2) {
        spec = spec.keep_order();
    }
    if random.one_in(2) {
        spec = spec.disable_auto_shutdown();
    }
    if random.one_in(3) {
        spec = spec.backoff(backoff(random));
    }
    if random.one_in(2) { spec.handle_children() } else { spec }
}

fn child(name: &str, kind: SupervisorType, random: &mut Random) -> ChildSpec {
    let mut child = ChildSpec::new(name);
    if random.one_in(3) {
        child = child.restart(strategy(random));
    }
    if random.one_in(8) {
        child = child.significant();
    }
    let group = matches!(kind, SupervisorType::AllForOne | SupervisorType::RestForOne);
    if !group && random.one_in(3) {
        let limit = 1 + u16::try_from(random.below(3)).unwrap_or(0);
        child = child.intensity(limit, Duration::from_millis(random.below(2_000)));
        if random.one_in(2) {
            child = child.on_exceed(OnExceed::Disable);
        }
    }
    if !group && random.one_in(3) {
        child = child.preserve_mailbox();
    }
    if random.one_in(6) {
        child = child.backoff(backoff(random));
    }
    match random.below(6) {
        0 => child.shutdown(Shutdown::Kill),
        1 => child.shutdown(Shutdown::Infinity),
        n => child.shutdown(Shutdown::Graceful(Duration::from_millis(n * 100))),
    }
}

fn happening(random: &mut Random) -> Happening {
    let (choice, why) = (random.next(), WhyChoice(random.next()));
    match random.below(32) {
        0..=4 => Happening::StartSucceeds,
        5 => Happening::StartFails(why),
        6..=9 => Happening::Ends(choice, why),
        10 | 11 => Happening::Obeys(choice),
        12..=17 => Happening::Rests(choice % 12),
        18 | 19 => Happening::TimerDue,
        20 | 21 => Happening::TimePasses(choice % 3_000),
        22 if choice % 6 == 0 => Happening::Foreign(why),
        24 => Happening::Add(choice),
        25 => Happening::Remove(choice),
        26 => Happening::Enable(choice),
        27 => Happening::Disable(choice),
        28 => Happening::Terminate(choice),
        _ => Happening::Start(choice),
    }
}
