//! The embedded registrar without sockets.

use super::directory::{Change, ClientId, Directory, View};
use super::message::{MAX_BYTES, RegistrarMsg};
use super::{NodeRecord, RegistrarEvent};
use crate::error::RegistrarError;
use proptest::prelude::*;
use shard_wire::{Incarnation, NodeName};

fn record(name: &str, life: u64) -> NodeRecord {
    let name = NodeName::new(name).unwrap();
    let incarnation = Incarnation { start_nanos: life, random: 7 };
    NodeRecord::new(name, incarnation, "demo", 2, vec!["127.0.0.1:4".into(), "host:65535".into()]).unwrap()
}

fn samples() -> Vec<RegistrarMsg> {
    let RegistrarMsg::Register(own) = RegistrarMsg::Register(record("a@h", 1)) else { unreachable!() };
    vec![
        RegistrarMsg::Register(own.clone()),
        RegistrarMsg::Registered,
        RegistrarMsg::Refused(1),
        RegistrarMsg::Joined(own.clone()),
        RegistrarMsg::Left { name: own.name, incarnation: own.incarnation },
        RegistrarMsg::Probe,
        RegistrarMsg::Alive,
    ]
}

#[test]
fn messages_read_back_and_every_cut_is_refused() {
    for message in samples() {
        let bytes = message.encode().unwrap();
        assert_eq!(RegistrarMsg::decode(&bytes).unwrap(), message);
        for cut in 0..bytes.len() {
            assert!(RegistrarMsg::decode(&bytes[..cut]).is_err(), "{message:?} cut at {cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(RegistrarMsg::decode(&longer).is_err());
    }
    assert!(RegistrarMsg::decode(&[1; MAX_BYTES + 1]).is_err());
}

#[test]
fn bad_addresses_are_refused() {
    let name = NodeName::new("a@h").unwrap();
    let incarnation = Incarnation { start_nanos: 1, random: 1 };
    let make = |addresses: Vec<String>| NodeRecord::new(name.clone(), incarnation, "", 1, addresses);
    for bad in ["", "host", "host:", ":1", "host:0", "host:65536", "ho\nst:1"] {
        assert!(matches!(make(vec![bad.to_owned()]), Err(RegistrarError::BadRecord(_))), "{bad:?}");
    }
    assert!(make(Vec::new()).is_err() && make(vec!["h:1".to_owned(); 9]).is_err());
    assert!(make(vec!["h:1".to_owned(); 8]).is_ok());
}

#[test]
fn a_name_has_one_holder_until_its_connection_ends() {
    let mut directory = Directory::default();
    let (first, second) = (ClientId(1), ClientId(2));
    assert_eq!(directory.register(first, record("a@h", 1)), Change::Joined);
    assert_eq!(directory.register(second, record("a@h", 2)), Change::Held(first));
    assert_eq!(
        directory.register(second, record("a@h", 1)),
        Change::Joined,
        "the same life on a new connection"
    );
    assert_eq!(directory.remove(first), None, "its record has moved");
    assert_eq!(directory.others(ClientId::OWN).count(), 1);
    assert_eq!(directory.others(second).count(), 0);
    let gone = record("a@h", 1);
    assert_eq!(directory.remove(second), Some((gone.name.clone(), gone.incarnation)));
    assert_eq!(directory.holder_of(&gone.name), None);
}

#[test]
fn a_view_reports_each_record_once_and_keeps_what_it_knew_until_swept() {
    let mut view = View::default();
    let (a, b) = (record("a@h", 1), record("b@h", 1));
    assert_eq!(view.joined(a.clone()), Some(RegistrarEvent::Joined(a.clone())));
    assert_eq!(view.joined(a.clone()), None);
    assert_eq!(view.joined(b.clone()), Some(RegistrarEvent::Joined(b.clone())));
    view.doubt();
    assert_eq!(view.joined(a.clone()), None, "confirmed");
    let gone = RegistrarEvent::Left { name: b.name.clone(), incarnation: b.incarnation };
    assert_eq!(view.sweep(), vec![gone]);
    assert_eq!(view.sweep(), vec![]);
    let reborn = record("a@h", 2);
    assert_eq!(view.joined(reborn.clone()), Some(RegistrarEvent::Joined(reborn.clone())));
    assert_eq!(view.left(&a.name, a.incarnation), None, "an earlier life");
    assert!(view.left(&reborn.name, reborn.incarnation).is_some());
    assert_eq!(view.left(&reborn.name, reborn.incarnation), None);
}

proptest! {
    #[test]
    fn garbage_is_refused_or_reads_back_the_same(mut bytes in proptest::collection::vec(any::<u8>(), 2..300), kind in 0u8..9) {
        bytes[0] = 1;
        bytes[1] = kind;
        if let Ok(message) = RegistrarMsg::decode(&bytes) {
            prop_assert_eq!(message.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn one_flipped_byte_never_panics(at in 0usize..80, to in any::<u8>()) {
        for message in samples() {
            let mut bytes = message.encode().unwrap();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            let _refused_or_another = RegistrarMsg::decode(&bytes);
        }
    }
}
