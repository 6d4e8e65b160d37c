//! Words that may stand in few places, or nowhere.
//!
//! Owns: the allow-lists for glommio, tokio and sleeping, and the words for unfinished work. A list only shrinks.

use super::uses::imports;
use super::{Source, Violation};

/// The seam, the file that pins the behaviour we rely on, and the peer of the benches that does without our runtime.
const GLOMMIO: &[&str] = &[
    "shard-runtime/src/reactor/",
    "tests/tests/pins.rs",
    "benches/src/peer/glommio_tasks.rs",
    "benches/src/peer/bare_sockets.rs",
];

/// The two threads that are not shards, programs, and test code.
const TOKIO: &[&str] = &[
    "shard-runtime/src/control/",
    "shard-runtime/src/control.rs",
    "shard-runtime/src/registrar/etcd.rs",
    "shard-runtime/tests/",
    "diag/",
    "scenarios/src/bin/",
    "tests/",
    "benches/",
];

/// The one poll of the harness, which says why.
const SLEEP: &[&str] = &["tests/src/harness/eventually.rs"];

/// The word glommio, outside the seam.
#[must_use]
pub fn seam(sources: &[Source]) -> Vec<Violation> {
    outside(sources, "glommio", GLOMMIO, "only shard-runtime/src/reactor may name it: use the seam's names")
}

/// The word tokio, where a shard could meet it.
#[must_use]
pub fn tokio(sources: &[Source]) -> Vec<Violation> {
    outside(sources, "tokio", TOKIO, "tokio lives on the control and the diagnostics thread only")
}

/// Sleeping instead of waiting for a condition.
#[must_use]
pub fn sleeps(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|s| !allowed(s, SLEEP)) {
        let named = source.places_of("thread::sleep");
        let imported = imports(&source.path, &source.code).iter().any(|i| i == "std::thread::sleep");
        let at = named.into_iter().chain(imported.then(|| source.path.clone()));
        violations.extend(at.map(|at| {
            Violation::new(at, "a sleep is not synchronisation: wait for a condition with a deadline (`eventually` in tests)")
        }));
    }
    violations
}

/// Unfinished work and tests that do not run.
#[must_use]
pub fn leftovers(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        for ((number, line), text) in (1_usize..).zip(source.code.lines()).zip(source.text.lines()) {
            let dense: String = line.split_whitespace().collect();
            for (mark, remedy) in [
                ("todo!(", "write it, or leave the item out"),
                ("unimplemented!(", "write it, or leave the item out"),
                (
                    "#[ignore",
                    "a test that does not run proves nothing: repair or remove it, or say which command runs it (`: make NAME\"`)",
                ),
            ] {
                let runs_elsewhere = mark == "#[ignore" && text.contains(": make ");
                if dense.contains(mark) && !runs_elsewhere {
                    violations.push(Violation::new(
                        format!("{}:{number}", source.path),
                        format!("`{mark}`: {remedy}"),
                    ));
                }
            }
        }
    }
    violations
}

fn allowed(source: &Source, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| source.path == *place || (place.ends_with('/') && source.path.starts_with(place)))
}

fn outside(sources: &[Source], word: &str, places: &[&str], remedy: &str) -> Vec<Violation> {
    let candidates = sources.iter().filter(|s| !allowed(s, places));
    candidates
        .flat_map(|s| s.places_of(word))
        .map(|at| Violation::new(at, format!("`{word}`: {remedy}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{leftovers, seam, sleeps, tokio};
    use crate::tidy::Source;

    fn at(path: &str, code: &str) -> [Source; 1] {
        [Source::new(path, code)]
    }

    #[test]
    fn glommio_outside_the_seam_is_seen() {
        assert_eq!(
            seam(&at("shard-runtime/src/link/reader.rs", "// x\nuse glommio::net::TcpStream;"))[0].at,
            "shard-runtime/src/link/reader.rs:2"
        );
        assert_eq!(seam(&at("shard-runtime/src/reactor/ring.rs", "use glommio::Task;")), []);
        assert_eq!(seam(&at("shard-runtime/src/link/reader.rs", "//! glommio\nlet x = \"glommio\";")), []);
        assert_eq!(seam(&at("shard-runtime/src/reactor.rs", "use glommio::Task;")).len(), 1);
    }

    #[test]
    fn tokio_on_a_shard_is_seen() {
        assert_eq!(tokio(&at("shard-runtime/src/shard/pump.rs", "use tokio::sync::mpsc;")).len(), 1);
        assert_eq!(tokio(&at("scenarios/src/lib.rs", "fn f() { tokio::task::yield_now(); }")).len(), 1);
        assert_eq!(tokio(&at("shard-runtime/src/control/thread.rs", "use tokio::sync::mpsc;")), []);
        assert_eq!(tokio(&at("shard-runtime/src/control_link.rs", "use tokio::sync::mpsc;")).len(), 1);
    }

    #[test]
    fn a_sleep_is_seen_also_when_imported() {
        assert_eq!(sleeps(&at("diag/tests/a.rs", "std::thread::sleep(d);")).len(), 1);
        assert_eq!(sleeps(&at("diag/tests/a.rs", "use std::thread::{self, sleep};")).len(), 1);
        assert_eq!(sleeps(&at("tests/src/harness/eventually.rs", "thread::sleep(d);")), []);
    }

    #[test]
    fn unfinished_work_is_seen() {
        let code = "fn f() { todo!() }\nfn g() { unimplemented!(\"x\") }\n#[ignore = \"slow\"]\n# [ignore]\n// todo!()\n";
        assert_eq!(leftovers(&at("a.rs", code)).len(), 4);
        assert_eq!(leftovers(&at("a.rs", "#[ignore = \"takes an hour: make soak\"]\n")), []);
    }
}
