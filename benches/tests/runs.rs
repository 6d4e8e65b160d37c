//! The program `runs` keeps its contract: every side of every workload does its work, and the report has its shape.

use std::process::Command;

fn runs(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_runs")).args(args).output().expect("runs starts");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Workload names in the order of `--list`, and how many sides each has.
fn workloads() -> Vec<(String, usize)> {
    let (ok, list, errors) = runs(&["--list"]);
    assert!(ok, "{errors}");
    let sides = |line: &str| line.rsplit_once(": ").map_or(0, |(_, sides)| sides.split(", ").count());
    let name = |line: &str| line.split_whitespace().next().map(|name| (name.to_owned(), sides(line)));
    list.lines().filter_map(name).collect()
}

#[test]
fn every_side_of_every_workload_does_its_work_and_is_reported() {
    let json = tempfile_path("all");
    let mut args = vec!["--divide", "1000", "--rounds", "1", "--json", json.as_str()];
    let workloads = workloads();
    for (name, _) in &workloads {
        args.extend(["--only", name]);
    }
    let (ok, table, errors) = runs(&args);
    assert!(ok, "{errors}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&json).expect("the report was written"))
            .expect("the report is JSON");
    std::fs::remove_file(&json).expect("the report can be removed");
    let rows = report.as_array().expect("the report is an array");
    assert!(errors.contains("instruments is left out"), "{errors}");
    let measured: Vec<_> = workloads.iter().filter(|(name, _)| name != "instruments").collect();
    assert_eq!(rows.len(), measured.len());
    for (row, (name, sides)) in rows.iter().zip(measured) {
        assert_eq!(row["workload"], name.as_str());
        assert!(table.contains(name.as_str()), "{name} is not in the table");
        let peers = row["peers"].as_object().expect("peers are an object");
        let skipped = row["skipped"].as_object().expect("what was skipped is an object");
        assert!(skipped.values().all(|why| why == "peer not built: make peers"), "{name}: {skipped:?}");
        let ours = usize::from(row.get("median").is_some());
        assert_eq!(ours + peers.len() + skipped.len(), *sides, "{name}");
        for (peer, spread) in peers {
            assert!(spread["median"].as_f64().is_some_and(|median| median > 0.0), "{name}: {peer} {spread}");
        }
        if row.get("median").is_some() {
            for peer in peers.keys() {
                assert!(
                    row["ratios"][peer].as_f64().is_some_and(|ratio| ratio > 0.0),
                    "{name}: no ratio to {peer}"
                );
            }
        }
    }
}

#[test]
fn wrong_names_and_too_few_rounds_are_refused_with_a_reason() {
    let (ok, _, errors) = runs(&["--only", "nothing_like_this"]);
    assert!(!ok && errors.contains("nothing_like_this"), "{errors}");
    let (ok, _, errors) = runs(&["--child", "burst_3m", "nobody"]);
    assert!(!ok && errors.contains("nobody"), "{errors}");
    let (ok, _, errors) = runs(&["--child", "instruments", "no_instruments"]);
    assert!(!ok && errors.contains("make bare"), "{errors}");
    let (ok, _, errors) = runs(&["--only", "instruments"]);
    assert!(!ok && errors.contains("make bare"), "{errors}");
    let (ok, _, errors) = runs(&["--rounds", "4"]);
    assert!(!ok && errors.contains("at least 5 rounds"), "{errors}");
}

fn tempfile_path(name: &str) -> String {
    std::env::temp_dir()
        .join(format!("shard-benches-{}-{name}.json", std::process::id()))
        .to_string_lossy()
        .into_owned()
}
