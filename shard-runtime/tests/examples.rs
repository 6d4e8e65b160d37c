//! Every example is run, and checks itself what it shows.

use std::path::PathBuf;
use std::process::Command;

/// Where cargo puts examples: beside the folder of this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    folder.join("examples").join(name)
}

fn run(name: &str) {
    let program = program(name);
    let built = "build it with `cargo build -p shard-runtime --examples`; a run of all tests does";
    assert!(program.exists(), "there is no {}: {built}", program.display());
    let output = Command::new(program).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}:\n{out}\n{err}", output.status);
    assert!(!out.is_empty(), "{name} says nothing");
}

macro_rules! examples {
    ($($name:ident)*) => {
        /// What is tested here.
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*
    };
}

examples! {
    counter cron dedicated_thread hello http_service pool port pubsub supervision tcp_echo testing_a_service
    websocket_chat
}

#[test]
fn every_example_is_tested_and_short() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 100, "{} has {lines} lines, more than 100", path.display());
        found.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    found.sort();
    assert_eq!(found, TESTED);
}
