//! Asks, answers and claims: what is written is read, and any bytes are safe to read.

use super::{Answer, AppFacts, Ask, Claim, EnvText, MAX_ENV, Place, Refusal, SpawnAsk};
use crate::relation::Reason;
use crate::{LocalId, WireError};
use proptest::prelude::*;

fn spawn() -> SpawnAsk<'static> {
    SpawnAsk {
        offer: "worker",
        register: "w-1",
        application: "shop",
        leader: (7, 9),
        place: Place::Key(u64::MAX),
        links_parent: true,
        mailbox: 5,
        init_ms: 250,
        log_level: 3,
        env: vec![
            ("A".to_owned(), EnvText::Text("böse".to_owned())),
            ("B".to_owned(), EnvText::Bool(true)),
            ("C".to_owned(), EnvText::I64(-4)),
            ("D".to_owned(), EnvText::U64(u64::MAX)),
            ("E".to_owned(), EnvText::F64(1.5)),
            ("F".to_owned(), EnvText::I32(-1)),
            ("G".to_owned(), EnvText::U32(u32::MAX)),
            ("H".to_owned(), EnvText::U16(u16::MAX)),
        ],
        args: &[1, 2, 3, 4, 5, 6, 7, 8],
    }
}

fn asks() -> Vec<Ask<'static>> {
    vec![
        Ask::Spawn(spawn()),
        Ask::Spawn(SpawnAsk { place: Place::Shard(3), args: &[], ..SpawnAsk::default() }),
        Ask::AppStart { name: "shop", mode: 2 },
        Ask::AppStop { name: "shop", force: true },
        Ask::AppInfo { name: "" },
    ]
}

fn answers() -> Vec<Answer> {
    let facts = AppFacts {
        name: "shop".to_owned(),
        description: "sells".to_owned(),
        version: "1".to_owned(),
        mode: 1,
        state: 2,
        weight: 3,
        tags: vec!["a".to_owned(), String::new()],
        processes: 4,
        uptime_ms: 5,
        starts: 6,
    };
    let reason = Some(Reason::Panic("oh".to_owned()));
    let mut all = vec![
        Answer::Started(LocalId(77)),
        Answer::Done,
        Answer::Facts(Box::new(facts)),
        Answer::Refused { why: Some(Refusal::Init), text: "no".to_owned(), reason },
    ];
    all.extend(Refusal::ALL.iter().map(|refusal| Answer::refused(*refusal)));
    all
}

#[test]
fn asks_round_trip_and_every_prefix_in_front_of_the_arguments_is_refused() {
    for ask in asks() {
        let bytes = ask.to_bytes().unwrap();
        assert_eq!(Ask::from_bytes(&bytes).as_ref(), Ok(&ask));
        let args = if let Ask::Spawn(spawn) = &ask { spawn.args.len() } else { 0 };
        for end in 0..bytes.len() - args {
            assert!(Ask::from_bytes(&bytes[..end]).is_err(), "{ask:?} at {end}");
        }
        if let Ask::Spawn(spawn) = &ask {
            assert_eq!((bytes.len() - spawn.args.len()) % 16, 0, "arguments are aligned");
        } else {
            let longer = [&bytes[..], &[0]].concat();
            assert!(matches!(Ask::from_bytes(&longer), Err(WireError::Trailing { .. })));
        }
    }
}

#[test]
fn answers_and_claims_round_trip_and_every_prefix_is_refused() {
    for answer in answers() {
        let mut bytes = answer.to_bytes();
        for end in 0..bytes.len() {
            assert!(Answer::from_bytes(&bytes[..end]).is_err(), "{answer:?} at {end}");
        }
        bytes.push(0);
        assert_eq!(Answer::from_bytes(&bytes), Ok(answer), "a newer version is longer");
    }
    for claim in [Claim::Keep, Claim::Drop] {
        let bytes = claim.to_bytes();
        assert_eq!(Claim::from_bytes(&bytes), Ok(claim));
        assert!(Claim::from_bytes(&bytes[..1]).is_err());
    }
    assert!(Claim::from_bytes(&[0, 1]).is_err() && Claim::from_bytes(&[1, 3]).is_err());
}

#[test]
fn what_cannot_be_is_refused_and_what_is_long_is_cut() {
    let long = "x".repeat(256);
    assert!(Ask::AppInfo { name: &long }.to_bytes().is_err());
    let env = vec![("K".to_owned(), EnvText::Bool(false)); MAX_ENV + 1];
    assert!(Ask::Spawn(SpawnAsk { env, ..SpawnAsk::default() }).to_bytes().is_err());
    for bytes in [&[0, 1][..], &[2, 4, 0, 0], &[1, 0], &[1, 5]] {
        assert!(matches!(Ask::from_bytes(bytes), Err(WireError::Invalid { .. })), "{bytes:?}");
    }
    let text = "ö".repeat(1000);
    let answer = Answer::Refused { why: None, text, reason: None };
    let Ok(Answer::Refused { why: None, text, .. }) = Answer::from_bytes(&answer.to_bytes()) else {
        panic!("not refused")
    };
    assert_eq!(text, "ö".repeat(256));
    let facts = AppFacts { tags: vec!["t".repeat(500); 100], ..AppFacts::default() };
    let Ok(Answer::Facts(facts)) = Answer::from_bytes(&Answer::Facts(Box::new(facts)).to_bytes()) else {
        panic!("not facts")
    };
    assert_eq!((facts.tags.len(), facts.tags[0].len()), (64, 128));
}

proptest! {
    #[test]
    fn any_bytes_are_safe_to_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        // What is read is written again and read as the same.
        if let Ok(ask) = Ask::from_bytes(&bytes) {
            // Fractions that are no numbers are not equal to themselves.
            let again = ask.to_bytes().unwrap();
            prop_assert_eq!(format!("{:?}", Ask::from_bytes(&again).unwrap()), format!("{ask:?}"));
        }
        if let Ok(answer) = Answer::from_bytes(&bytes) {
            prop_assert_eq!(Answer::from_bytes(&answer.to_bytes()), Ok(answer));
        }
        let _either = Claim::from_bytes(&bytes);
    }

    #[test]
    fn a_changed_byte_of_an_ask_is_safe_to_read(at in 0_usize..200, byte in any::<u8>()) {
        for ask in asks() {
            let mut bytes = ask.to_bytes().unwrap();
            let len = bytes.len();
            bytes[at % len] = byte;
            if let Ok(changed) = Ask::from_bytes(&bytes) {
                prop_assert!(changed.to_bytes().is_ok());
            }
        }
    }
}
