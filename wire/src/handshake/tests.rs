//! Both roles against each other and against a hostile middle.

use proptest::prelude::*;

use super::message::message_length;
use super::{
    Acceptor, ClusterName, CookiePolicyError, Dialer, Established, Failure, Intent, Introduction, Keyring,
    LiveSession, Local, MAX_MESSAGE_BYTES, PROTOCOL, PeerKeys, Reason, Source, Step, Verdict, VersionRange,
    cookie_policy, is_plain_hello, is_tls, refusal,
};
use crate::placement::Slot;
use crate::{Incarnation, IncarnationKey, NodeName};
use std::rc::Rc;

const ACCEPT: Verdict = Verdict::Accept { session: 7, epoch: 3 };
const CONTROL: Intent = Intent::Control { live: None, next: 1 };
const COOKIE: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";

fn local(name: &str, nonce: u8) -> Local {
    Local {
        introduction: Introduction {
            name: NodeName::new(name).unwrap(),
            incarnation: Incarnation { start_nanos: 5, random: u64::from(nonce) },
            cluster: ClusterName::new("test").unwrap(),
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
        deadline_ns: super::DEFAULT_DEADLINE_NS,
    }
}

struct Run {
    /// Hello, Challenge, Proof, Welcome as they were sent, as far as it got.
    messages: Vec<Vec<u8>>,
    dialer: Result<Box<Established>, Failure>,
    acceptor: Result<Box<Established>, Failure>,
}

/// Runs both roles, letting `tamper` change each message on its way.
fn run(a: Local, b: Local, intent: Intent, verdict: Verdict, tamper: impl Fn(usize, &mut Vec<u8>)) -> Run {
    let closed = || Failure::local(Reason::Closed);
    let mut messages = Vec::new();
    let mut pass = |index: usize, message: Vec<u8>| {
        messages.push(message.clone());
        let mut message = message;
        tamper(index, &mut message);
        message
    };
    let (mut dialer, hello) = Dialer::new(a, None, intent);
    let mut acceptor = Acceptor::new(b);
    let outcome = || {
        let send = |step| match step {
            Step::Send(bytes) => Ok(bytes),
            _ => Err(closed()),
        };
        // A refusal reaches the other side; whoever merely waits sees the connection close.
        let told = |refused: &Failure, result: Result<Step, Failure>| match result {
            Err(failure) => failure,
            Ok(_) if refused.reply.is_empty() => closed(),
            Ok(_) => closed(),
        };
        let hello = pass(0, hello);
        let challenge = match acceptor.feed(0, &hello).and_then(send) {
            Ok(bytes) => pass(1, bytes),
            Err(e) => return (Err(told(&e, dialer.feed(0, &e.reply))), Err(e)),
        };
        let proof = match dialer.feed(0, &challenge).and_then(send) {
            Ok(bytes) => pass(2, bytes),
            Err(e) => {
                let other = told(&e, acceptor.feed(0, &e.reply));
                return (Err(e), Err(other));
            }
        };
        match acceptor.feed(0, &proof) {
            Ok(Step::Judge(..)) => {}
            Ok(_) => return (Err(closed()), Err(closed())),
            Err(e) => return (Err(told(&e, dialer.feed(0, &e.reply))), Err(e)),
        }
        let (welcome, accepted) = acceptor.decide(verdict).unwrap();
        let welcome = pass(3, welcome);
        let dialed = match dialer.feed(0, &welcome) {
            Ok(Step::Done(link)) => Ok(link),
            Ok(_) => Err(closed()),
            Err(e) => Err(e),
        };
        (dialed, accepted.ok_or_else(closed))
    };
    let (dialer, acceptor) = outcome();
    Run { messages, dialer, acceptor }
}

fn honest(intent: Intent) -> Run {
    run(local("a@h", 1), local("b@h", 2), intent, ACCEPT, |_, _| {})
}

#[test]
fn both_sides_agree_on_who_what_and_which_session() {
    let live = Some(LiveSession { number: 6, with: IncarnationKey(9) });
    let slot = Slot { low: 3, high: 1 };
    for intent in [CONTROL, Intent::Control { live, next: 7 }, Intent::Data { session: 7, slot, epoch: 2 }] {
        let run = honest(intent);
        let (dialer, acceptor) = (run.dialer.unwrap(), run.acceptor.unwrap());
        assert_eq!(dialer.peer, local("b@h", 2).introduction);
        assert_eq!(acceptor.peer, local("a@h", 1).introduction);
        for link in [&dialer, &acceptor] {
            assert_eq!((link.intent, link.version, link.session, link.epoch), (intent, 1, 7, 3));
        }
        assert!(run.messages.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES));
    }
}

#[test]
fn the_largest_introduction_fits_one_message() {
    let mut big = local(&format!("a@{}", "h".repeat(253)), 1);
    let mut other = local("b@h", 2);
    big.introduction.cluster = ClusterName::new(&"c".repeat(64)).unwrap();
    other.introduction.cluster = big.introduction.cluster.clone();
    assert!(run(big, other, CONTROL, ACCEPT, |_, _| {}).dialer.is_ok());
}

#[test]
fn each_mismatch_has_its_own_reason_on_both_sides() {
    type Change = fn(&mut Local, &mut Local);
    let cases: [(Reason, Change); 7] = [
        (Reason::WrongCookie, |_, b| b.keys = Keyring::new(OTHER)),
        (Reason::WrongCookie, |a, b| {
            // Too short for an id of their own: the proof itself fails.
            a.keys = Keyring::new(b"one");
            b.keys = Keyring::new(b"two");
        }),
        (Reason::ClusterMismatch, |_, b| b.introduction.cluster = ClusterName::new("prod").unwrap()),
        (Reason::SelfConnect, |a, b| b.introduction = a.introduction.clone()),
        (Reason::SelfConnect, |a, b| b.nonce = a.nonce),
        (Reason::Version, |_, b| b.versions = VersionRange { lowest: 2, highest: 3 }),
        (Reason::BadProof, |_, b| b.channel_binding = [1; 32]),
    ];
    for (reason, change) in cases {
        let (mut a, mut b) = (local("a@h", 1), local("b@h", 2));
        change(&mut a, &mut b);
        let run = run(a, b, CONTROL, ACCEPT, |_, _| {});
        let (dialer, acceptor) = (run.dialer.unwrap_err(), run.acceptor.unwrap_err());
        assert_eq!((dialer.reason, dialer.source_end), (reason, Source::Unproven));
        assert_eq!((acceptor.reason, acceptor.source_end), (reason, Source::Local));
    }
}

#[test]
fn a_refusal_after_authentication_is_proven_and_no_link_stands() {
    let run = run(local("a@h", 1), local("b@h", 2), CONTROL, Verdict::Refuse(Reason::NameInUse), |_, _| {});
    let failure = run.dialer.unwrap_err();
    assert_eq!((failure.reason, failure.source_end), (Reason::NameInUse, Source::Proven));
    assert!(run.acceptor.is_err());
}

#[test]
fn a_neighbouring_version_is_spoken_and_the_best_one_is_chosen() {
    for (a, b, best) in [((1, 2), (2, 3), 2), ((2, 3), (2, 3), 3), ((3, 4), (2, 3), 3)] {
        let (mut x, mut y) = (local("a@h", 1), local("b@h", 2));
        x.versions = VersionRange { lowest: a.0, highest: a.1 };
        y.versions = VersionRange { lowest: b.0, highest: b.1 };
        assert_eq!(run(x, y, CONTROL, ACCEPT, |_, _| {}).dialer.unwrap().version, best);
    }
}

#[test]
fn a_downgrade_in_the_middle_is_refused() {
    let wide = |name, nonce| Local { versions: VersionRange { lowest: 1, highest: 2 }, ..local(name, nonce) };
    // The highest version of Hello sits behind the prefix and the lowest.
    let run = run(wide("a@h", 1), wide("b@h", 2), CONTROL, ACCEPT, |index, message| {
        if index == 0 {
            message[10] = 1;
        }
    });
    assert_eq!(run.dialer.unwrap_err().reason, Reason::Version);
    assert!(run.acceptor.is_err());
}

#[test]
fn keys_rotate_without_a_pause() {
    for (a, b) in [
        (Keyring::new(COOKIE).with_previous(OTHER), Keyring::new(OTHER)),
        (Keyring::new(OTHER), Keyring::new(COOKIE).with_previous(OTHER)),
        (Keyring::new(COOKIE).with_previous(OTHER), Keyring::new(OTHER).with_previous(COOKIE)),
    ] {
        let (mut x, mut y) = (local("a@h", 1), local("b@h", 2));
        (x.keys, y.keys) = (a, b);
        assert!(run(x, y, CONTROL, ACCEPT, |_, _| {}).dialer.is_ok());
    }
}

/// Gives the nodes whose names begin with `k` keys of their own.
#[derive(Debug)]
struct KeysOfK;

impl PeerKeys for KeysOfK {
    fn keys_of(&self, peer: &NodeName) -> Option<Keyring> {
        peer.as_str().starts_with('k').then(|| Keyring::new(OTHER))
    }
}

/// What an acceptor with keys for some peers says to this dialer's proof.
fn met_by_keys_of_k(dialer: Local) -> Result<Step, Reason> {
    let mut acceptor = Acceptor::new(local("b@h", 2)).with_peer_keys(Rc::new(KeysOfK));
    let (mut dialer, hello) = Dialer::new(dialer, None, CONTROL);
    let Step::Send(challenge) = acceptor.feed(0, &hello).map_err(|failure| failure.reason)? else {
        panic!("no challenge")
    };
    let Ok(Step::Send(proof)) = dialer.feed(0, &challenge) else { panic!("no proof") };
    acceptor.feed(0, &proof).map_err(|failure| failure.reason)
}

#[test]
fn a_peer_with_keys_of_its_own_is_accepted_with_these_alone_and_nobody_else_is() {
    let with = |name, cookie| Local { keys: Keyring::new(cookie), ..local(name, 1) };
    assert!(matches!(met_by_keys_of_k(with("k@h", OTHER)), Ok(Step::Judge(..))));
    assert!(matches!(met_by_keys_of_k(with("a@h", COOKIE)), Ok(Step::Judge(..))));
    assert_eq!(met_by_keys_of_k(with("k@h", COOKIE)), Err(Reason::WrongCookie));
    assert_eq!(met_by_keys_of_k(with("a@h", OTHER)), Err(Reason::WrongCookie));
}

#[test]
fn every_byte_of_the_introduction_is_covered_so_flags_cannot_be_taken_away() {
    // Hello: prefix 8, versions 4, key ids 8, nonce 32, start 8, random 8, then the flags.
    let run = run(local("a@h", 1), local("b@h", 2), CONTROL, ACCEPT, |index, message| {
        if index == 0 {
            message[68..76].fill(0);
        }
    });
    assert_eq!(run.acceptor.unwrap_err().reason, Reason::BadProof);
    assert_eq!(run.dialer.unwrap_err().reason, Reason::BadProof);
}

#[test]
fn the_first_bytes_tell_plain_text_from_tls() {
    let hello = &honest(CONTROL).messages[0];
    assert!(is_plain_hello(hello) && is_plain_hello(&hello[..1]) && !is_plain_hello(&[]));
    assert!(!is_plain_hello(b"SHRG") && !is_tls(hello));
    let client_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    assert!(is_tls(&client_hello) && is_tls(&client_hello[..1]) && !is_plain_hello(&client_hello));
    assert_eq!(acceptor_error(&client_hello), Reason::TlsUnexpected);
    let (mut dialer, _) = Dialer::new(local("a@h", 1), None, CONTROL);
    let told = dialer.feed(0, &refusal(Reason::Plaintext)).unwrap_err();
    assert_eq!((told.reason, told.source_end), (Reason::Plaintext, Source::Unproven));
}

#[test]
fn every_flipped_bit_of_every_message_is_refused() {
    let lengths: Vec<usize> = honest(CONTROL).messages.iter().map(Vec::len).collect();
    for (target, length) in lengths.into_iter().enumerate() {
        for bit in 0..length * 8 {
            let run = run(local("a@h", 1), local("b@h", 2), CONTROL, ACCEPT, |index, message| {
                if index == target {
                    message[bit / 8] ^= 1 << (bit % 8);
                }
            });
            assert!(run.dialer.is_err(), "message {target}, bit {bit}");
            // Welcome is the acceptor's own last word; everything before it must be intact.
            assert!(target == 3 || run.acceptor.is_err(), "message {target}, bit {bit}");
        }
    }
}

#[test]
fn every_prefix_waits_and_then_times_out() {
    let messages = honest(CONTROL).messages;
    for (target, message) in messages.iter().enumerate() {
        for cut in 0..message.len() {
            let run = run(local("a@h", 1), local("b@h", 2), CONTROL, ACCEPT, |index, message| {
                if index == target {
                    message.truncate(cut);
                }
            });
            assert_eq!(run.dialer.unwrap_err().reason, Reason::Closed, "message {target}, {cut} bytes");
        }
    }
    let mut acceptor = Acceptor::new(local("b@h", 2));
    assert_eq!(acceptor.feed(0, &messages[0][..9]), Ok(Step::Wait));
    assert_eq!(acceptor.on_time(super::DEFAULT_DEADLINE_NS - 1), Ok(()));
    let late = acceptor.feed(super::DEFAULT_DEADLINE_NS, &messages[0][9..]).unwrap_err();
    assert_eq!(late.reason, Reason::Timeout);
    // It stays failed.
    assert!(acceptor.feed(0, &messages[0]).is_err());
}

#[test]
fn bytes_arrive_one_by_one_and_those_behind_the_handshake_are_given_back() {
    let (mut dialer, hello) = Dialer::new(local("a@h", 1), Some(NodeName::new("b@h").unwrap()), CONTROL);
    let mut acceptor = Acceptor::new(local("b@h", 2));
    let mut last = Step::Wait;
    for byte in hello {
        assert_eq!(std::mem::replace(&mut last, acceptor.feed(0, &[byte]).unwrap()), Step::Wait);
    }
    let Step::Send(challenge) = last else { panic!("no challenge") };
    let Ok(Step::Send(proof)) = dialer.feed(0, &challenge) else { panic!("no proof") };
    assert!(matches!(acceptor.feed(0, &proof), Ok(Step::Judge(..))));
    let (mut welcome, _) = acceptor.decide(ACCEPT).unwrap();
    assert!(acceptor.decide(ACCEPT).is_err());
    welcome.extend([1, 2, 3]);
    let Ok(Step::Done(link)) = dialer.feed(0, &welcome) else { panic!("no link") };
    assert_eq!(link.unread, [1, 2, 3]);
}

#[test]
fn nothing_recorded_can_be_replayed() {
    let old = honest(CONTROL).messages;
    // Against a fresh acceptor: the recorded proof answers another nonce.
    let mut acceptor = Acceptor::new(local("b@h", 3));
    assert!(matches!(acceptor.feed(0, &old[0]), Ok(Step::Send(_))));
    assert_eq!(acceptor.feed(0, &old[2]).unwrap_err().reason, Reason::BadProof);
    // Against a fresh dialer: the recorded Welcome proves another transcript.
    let (mut dialer, _) = Dialer::new(local("a@h", 4), None, CONTROL);
    assert!(matches!(dialer.feed(0, &old[1]), Ok(Step::Send(_))));
    assert_eq!(dialer.feed(0, &old[3]).unwrap_err().reason, Reason::BadProof);
}

#[test]
fn nothing_can_be_reflected() {
    // A node's own Hello sent back to its acceptor, and its own Proof sent back as if it were an answer.
    let (mut dialer, hello) = Dialer::new(local("a@h", 1), None, CONTROL);
    let mut own = Acceptor::new(local("a@h", 1));
    assert_eq!(own.feed(0, &hello).unwrap_err().reason, Reason::SelfConnect);
    assert_eq!(dialer.feed(0, &hello).unwrap_err().reason, Reason::Malformed);
    // The dialer's mac in a Welcome: another role, another key.
    let messages = honest(CONTROL).messages;
    let run = run(local("a@h", 1), local("b@h", 2), CONTROL, ACCEPT, |index, message| {
        if index == 3 {
            let at = message.len() - 32;
            message[at..].copy_from_slice(&messages[2][8..]);
        }
    });
    assert_eq!(run.dialer.unwrap_err().reason, Reason::BadProof);
}

#[test]
fn a_stranger_gets_no_proof_and_no_early_bytes_are_taken() {
    let messages = honest(CONTROL).messages;
    let mut acceptor = Acceptor::new(local("b@h", 2));
    let mut both = messages[0].clone();
    both.extend_from_slice(&messages[2]);
    assert_eq!(acceptor.feed(0, &both).unwrap_err().reason, Reason::Malformed);
    let mut acceptor = Acceptor::new(local("b@h", 2));
    assert_eq!(acceptor.feed(0, &messages[2]).unwrap_err().reason, Reason::Malformed);
    let http = acceptor_error(b"GET / HTTP/1.1\r\n");
    assert_eq!(http, Reason::BadMagic);
    let mut huge = messages[0].clone();
    huge[6..8].copy_from_slice(&u16::MAX.to_le_bytes());
    assert_eq!(acceptor_error(&huge), Reason::TooLarge);
}

fn acceptor_error(bytes: &[u8]) -> Reason {
    Acceptor::new(local("b@h", 2)).feed(0, bytes).unwrap_err().reason
}

#[test]
fn another_node_at_the_address_is_refused() {
    let (mut dialer, hello) = Dialer::new(local("a@h", 1), Some(NodeName::new("c@h").unwrap()), CONTROL);
    let mut acceptor = Acceptor::new(local("b@h", 2));
    let Ok(Step::Send(challenge)) = acceptor.feed(0, &hello) else { panic!("no challenge") };
    let failure = dialer.feed(0, &challenge).unwrap_err();
    assert_eq!(failure.reason, Reason::WrongPeer);
    assert_eq!(acceptor.feed(0, &failure.reply).unwrap_err().reason, Reason::WrongPeer);
}

#[test]
fn reasons_keep_their_numbers_and_names() {
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(reason.code()), index + 1);
        assert_eq!(Reason::from_code(reason.code()), Some(reason));
        assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    }
    assert_eq!(Reason::from_code(0), None);
}

#[test]
fn cookies_are_judged_by_exposure() {
    assert_eq!(cookie_policy(b"x", true, false), Ok(()));
    assert_eq!(cookie_policy(b"", true, true), Err(CookiePolicyError::Empty));
    assert_eq!(cookie_policy(b"x", false, true), Err(CookiePolicyError::TooShort { have: 1 }));
    assert_eq!(cookie_policy(COOKIE, false, false), Err(CookiePolicyError::Plaintext));
    assert_eq!(cookie_policy(COOKIE, false, true), Ok(()));
    assert_eq!(cookie_policy(&[b'x'; 64], false, true), Err(CookiePolicyError::Regular { distinct: 1 }));
    assert_eq!(cookie_policy(&[0xff; 32], true, true), Ok(()), "on loopback it is the operator's affair");
    // Short cookies leave no fingerprint.
    assert_eq!((Keyring::new(b"a").current.id(), Keyring::new(b"b").current.id()), (0, 0));
    assert_ne!(Keyring::new(COOKIE).current.id(), Keyring::new(OTHER).current.id());
    assert!(!format!("{:?}", Keyring::new(COOKIE)).contains("dialer"));
}

proptest! {
    #[test]
    fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), framed in any::<bool>(), kind in 0u8..7) {
        if framed && bytes.len() >= 8 {
            bytes[..6].copy_from_slice(&[b'S', b'H', b'R', b'D', 1, kind]);
            let length = u16::try_from(bytes.len()).unwrap().to_le_bytes();
            bytes[6..8].copy_from_slice(&length);
            prop_assert_eq!(message_length(*bytes.first_chunk().unwrap()), Ok(bytes.len()));
        }
        let acceptor = Acceptor::new(local("b@h", 2)).feed(0, &bytes);
        prop_assert!(!matches!(acceptor, Ok(Step::Judge(..) | Step::Done(_))));
        let dialer = Dialer::new(local("a@h", 1), None, CONTROL).0.feed(0, &bytes);
        prop_assert!(!matches!(dialer, Ok(Step::Judge(..) | Step::Done(_))));
    }
}
