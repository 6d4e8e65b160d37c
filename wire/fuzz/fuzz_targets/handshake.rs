//! Fuzzes both roles of the handshake: `make fuzz` (or `cargo fuzz run handshake` in `wire`).
//!
//! The bytes are first what a stranger says to each role, then a script of what happens to the messages of two honest nodes on
//! their way. Nobody gets a link by the first; by the second nobody whose messages, or whose peer's, were changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shard_wire::handshake::{
    Acceptor, ClusterName, DEFAULT_DEADLINE_NS, Dialer, Failure, Intent, Introduction, Keyring, LiveSession,
    Local, PROTOCOL, Step, Verdict,
};
use shard_wire::placement::Slot;
use shard_wire::{Incarnation, IncarnationKey, NodeName};

const COOKIE: &[u8] = b"0123456789abcdef0123456789abcdef";

fn local(name: &str, nonce: u8) -> Local {
    let name = NodeName::new(name).expect("a node name");
    let cluster = ClusterName::new("test").expect("a cluster name");
    let incarnation = Incarnation { start_nanos: 5, random: u64::from(nonce) };
    Local {
        introduction: Introduction {
            name,
            incarnation,
            cluster,
            flags: 0b101,
            max_frame_bytes: 1 << 20,
            heartbeat_ms: 1000,
            shards: 4,
            max_links: 64,
        },
        versions: PROTOCOL,
        keys: Keyring::new(COOKIE),
        channel_binding: [0; 32],
        nonce: [nonce; 32],
        deadline_ns: DEFAULT_DEADLINE_NS,
    }
}

fn intent(choice: u8) -> Intent {
    match choice % 3 {
        0 => Intent::Control { live: None, next: 1 },
        1 => Intent::Control { live: Some(LiveSession { number: 6, with: IncarnationKey(9) }), next: 7 },
        _ => Intent::Data { session: 7, slot: Slot { low: 3, high: 1 }, epoch: 2 },
    }
}

/// What a stranger says, in two pieces.
fn strange(bytes: &[u8], cut: usize) {
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let mut acceptor = Acceptor::new(local("b@h", 2));
    let (mut dialer, _) = Dialer::new(local("a@h", 1), None, intent(cut as u8));
    for piece in [first, second] {
        assert!(!matches!(acceptor.feed(0, piece), Ok(Step::Judge(..) | Step::Done(_))));
        assert!(!matches!(dialer.feed(0, piece), Ok(Step::Judge(..) | Step::Done(_))));
    }
}

struct Way<'a> {
    script: &'a [u8],
    is_changed: bool,
}

impl Way<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.script.split_first_chunk::<N>()?;
        self.script = rest;
        Some(*head)
    }

    /// What becomes of a message, and where it is cut in two.
    fn pass(&mut self, mut message: Vec<u8>) -> (Vec<u8>, usize) {
        let Some([what, at, value]) = self.take() else { return (message, 0) };
        let place = usize::from(at) % message.len().max(1);
        let before = message.clone();
        match what % 6 {
            0 => message.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= value),
            1 => message.truncate(place),
            2 => message.insert(place, value),
            3 => {
                let more = usize::from(value).min(self.script.len());
                let (bytes, rest) = self.script.split_at(more);
                message.extend_from_slice(bytes);
                self.script = rest;
            }
            _ => {}
        }
        self.is_changed |= message != before;
        (message, place)
    }
}

/// One step of one role, from a message that came in two pieces.
fn feed(
    (message, cut): (Vec<u8>, usize),
    mut feed: impl FnMut(&[u8]) -> Result<Step, Failure>,
) -> Result<Step, Failure> {
    let (first, second) = message.split_at(cut.min(message.len()));
    match feed(first)? {
        Step::Wait => feed(second),
        step if second.is_empty() => Ok(step),
        // A whole message was in the first piece, and something behind it: as if it had come at once.
        step => feed(second).map(|_| step),
    }
}

fn scripted(script: &[u8]) {
    let mut way = Way { script, is_changed: false };
    let choice = way.take::<1>().map_or(0, |[choice]| choice);
    let (mut dialer, hello) = Dialer::new(local("a@h", 1), None, intent(choice));
    let mut acceptor = Acceptor::new(local("b@h", 2));
    let Ok(Step::Send(challenge)) = feed(way.pass(hello), |bytes| acceptor.feed(0, bytes)) else { return };
    let Ok(Step::Send(proof)) = feed(way.pass(challenge), |bytes| dialer.feed(0, bytes)) else { return };
    let Ok(Step::Judge(..)) = feed(way.pass(proof), |bytes| acceptor.feed(0, bytes)) else { return };
    assert!(!way.is_changed, "a dialer has proven what it did not say or hear");
    let Ok((welcome, Some(_))) = acceptor.decide(Verdict::Accept { session: 7, epoch: 3 }) else {
        panic!("a verdict was due");
    };
    let length = welcome.len();
    let (message, cut) = way.pass(welcome);
    // What follows a welcome is the link's, not the handshake's.
    let is_longer = message.len() > length;
    if let Ok(Step::Done(link)) = feed((message, cut), |bytes| dialer.feed(0, bytes)) {
        assert!(!way.is_changed || is_longer, "an acceptor has proven what it did not say");
        assert_eq!((link.session, link.epoch), (7, 3));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.first().map_or(0, |first| usize::from(*first));
    strange(bytes, cut);
    scripted(bytes);
});
