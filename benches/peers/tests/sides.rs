//! The program `peers` keeps its contract with `runs`: the sides on the common list, each of which does its work.

use std::collections::BTreeSet;
use std::process::Command;

fn peers(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_peers")).args(args).output().expect("peers starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_sides_are_those_that_runs_knows() {
    let (ok, list, errors) = peers(&["--list"]);
    assert!(ok, "{errors}");
    let mine: BTreeSet<(&str, &str)> = list.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(mine, shard_benches::outside::sides().collect());
}

#[test]
fn every_side_does_its_work_and_prints_a_sample() {
    for (workload, side) in shard_benches::outside::sides() {
        let (ok, line, errors) = peers(&["--child", workload, side, "--divide", "1000"]);
        assert!(ok, "{workload} {side}: {errors}");
        let sample: shard_benches::workload::Sample =
            serde_json::from_str(line.lines().last().unwrap_or_default()).expect("the last line is a sample");
        assert!(sample.value > 0.0, "{workload} {side}: {line}");
    }
}

#[test]
fn wrong_names_are_refused_with_a_reason() {
    let (ok, _, errors) = peers(&["--child", "network_1_1", "nobody", "--divide", "1"]);
    assert!(!ok && errors.contains("nobody"), "{errors}");
    let (ok, _, errors) = peers(&["--help"]);
    assert!(!ok && errors.contains("--list"), "{errors}");
}
