//! Machines and settings that do not let a node start: a status and a remedy, never a panic.

use crate::nodes::SOON;
use shard_tests::harness::{NodeSpec, Restriction, TempDir};

/// Status and words of a node that ends by itself.
fn ending(arguments: &[&str], restriction: Option<Restriction>) -> (Option<i32>, String) {
    let logs = TempDir::new("start").expect("a folder");
    let mut spec = NodeSpec::node("node", logs.path()).expect("node builds");
    spec = spec.with_arguments(["--radar-addr", "", "--mcp-addr", ""]).with_arguments(arguments);
    if let Some(restriction) = restriction {
        spec = spec.with_restriction(restriction);
    }
    let mut node = spec.start().expect("started");
    let status = node.wait(SOON).expect("a child").expect("it ends by itself");
    let text = node.stdout() + &node.stderr();
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    (status.code(), text)
}

#[test]
fn without_io_uring_a_node_names_the_profile_that_allows_it() {
    for command in ["run", "doctor"] {
        let (status, text) = ending(&[command], Some(Restriction::DenyIoUring));
        assert_eq!(status, Some(78), "{command}: {text}");
        assert!(text.contains("io_uring is denied (EPERM) by a seccomp profile"), "{command}: {text}");
        assert!(text.contains("--security-opt seccomp="), "{command}: {text}");
    }
}

#[test]
fn without_lockable_memory_a_node_names_the_limit_to_set() {
    for command in ["run", "doctor"] {
        let (status, text) = ending(&[command], Some(Restriction::LockedMemory { bytes: 64 << 10 }));
        assert_eq!(status, Some(78), "{command}: {text}");
        assert!(text.contains("the limit of locked memory is 65536 bytes"), "{command}: {text}");
        assert!(text.contains("`ulimit -l 512`"), "{command}: {text}");
    }
}

#[test]
fn bad_settings_are_named() {
    for (arguments, words) in [
        (["--name", "nobody"], "`nobody` is not a node name"),
        (["--shards", "many"], "--shards (SHARDS)"),
        (["--scenarios", "chaos"], "there is no scenario \"chaos\"; known are messaging"),
        (["--no-such", "x"], "--no-such"),
    ] {
        let (status, text) = ending(&arguments, None);
        assert_eq!(status, Some(64), "{text}");
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_healthy_machine_passes_the_doctor() {
    let (status, text) = ending(&["doctor"], None);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("io_uring") && text.contains("memlock") && !text.contains("FAIL"), "{text}");
}
