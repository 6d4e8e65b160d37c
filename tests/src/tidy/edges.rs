//! Who may depend on whom: the layers, and the purity of wire.
//!
//! Owns: the table of allowed edges between the crates of the workspace and the list of crates that wire may use.
//! What is not in a list fails.

use super::source::has_word;
use super::uses::imports;
use super::{Source, Violation};
use serde_json::Value;

/// Crates of the workspace that each crate may use, tests and build scripts included.
const EDGES: &[(&str, &[&str])] = &[
    ("shard-wire-macros", &[]),
    ("shard-wire", &["shard-wire-macros"]),
    ("shard-runtime-macros", &[]),
    ("shard-runtime", &["shard-wire", "shard-runtime-macros"]),
    ("shard-diag", &["shard-runtime", "shard-wire"]),
    ("shard-scenarios", &["shard-diag", "shard-runtime", "shard-wire"]),
    ("shard-benches", &["shard-wire", "shard-runtime", "shard-diag", "shard-scenarios"]),
    ("shard-tests", &["shard-wire", "shard-runtime", "shard-diag", "shard-scenarios", "shard-benches"]),
];

/// Crates that may depend on the io_uring engine: the one with the seam, the one that pins its behaviour, and the benches'
/// peer that does without our runtime.
const ENGINE: (&str, &[&str]) = ("glommio", &["shard-runtime", "shard-tests", "shard-benches"]);

/// Foreign crates that `shard-wire` may use in its product. None of them opens a socket, starts a thread or reads a clock.
const WIRE_MAY_USE: &[&str] = &[
    "bytecheck",
    "bytes",
    "hmac",
    "linkme",
    "lz4_flex",
    "rkyv",
    "schemars",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "thiserror",
];

/// Names of `std::net` that are plain values; all others open or look up something.
const NET_VALUES: &[&str] =
    &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"];

/// What wire's source must not name, and what to do instead.
const WIRE_MUST_NOT_NAME: &[(&str, &str)] = &[
    ("std::thread", "wire has no thread"),
    ("std::time::Instant", "the time is an argument"),
    ("std::time::SystemTime", "the time is an argument"),
    ("std::fs", "wire reads no file"),
    ("std::process", "wire starts nothing"),
];

/// Words that wire's source must not contain in code, wherever they come from.
const WIRE_FORBIDDEN_WORDS: &[&str] = &[
    "Instant",
    "SystemTime",
    "TcpStream",
    "tokio",
    "async_std",
    "smol",
    "futures",
    "getrandom",
    "rand",
    "async",
];

/// The edges of the workspace against the table. `metadata` is what `cargo metadata --no-deps` prints.
#[must_use]
pub fn edges(metadata: &Value) -> Vec<Violation> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut violations = Vec::new();
    for package in packages {
        let Some(name) = package["name"].as_str() else { continue };
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            violations.push(Violation::new(
                name,
                "is not in the layer table of tests/src/tidy/edges.rs: decide its layer first",
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().map_or(&[][..], Vec::as_slice) {
            let Some(on) = dependency["name"].as_str() else { continue };
            // The tests of a macro compile what it emits.
            let is_tested =
                name == "shard-runtime-macros" && on == "shard-runtime" && dependency["kind"] == "dev";
            if names.contains(&on) && !allowed.contains(&on) && !is_tested {
                violations.push(Violation::new(
                    name,
                    format!(
                        "must not depend on {on}: the layers are scenarios -> diag -> shard-runtime -> wire"
                    ),
                ));
            }
            if on == ENGINE.0 && !ENGINE.1.contains(&name) {
                violations.push(Violation::new(
                    name,
                    format!("must not depend on {on}: use the seam of shard-runtime"),
                ));
            }
            let product = dependency["kind"].is_null();
            if name == "shard-wire" && product && !names.contains(&on) && !WIRE_MAY_USE.contains(&on) {
                violations.push(Violation::new(name, format!("must not depend on {on}: wire is bytes only, and its list of crates is short on purpose")));
            }
        }
    }
    violations
}

/// Every manifest `(path, text)` of a member takes the workspace's lints and publishes nothing by accident.
#[must_use]
pub fn manifests(files: &[(String, String)]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in files {
        let dense: String = text.split_whitespace().collect();
        for (line, remedy) in [
            ("[lints]workspace=true", "take the workspace's lints: `[lints]`, `workspace = true`"),
            ("publish.workspace=true", "say `publish.workspace = true`"),
            ("rust-version.workspace=true", "say `rust-version.workspace = true`"),
        ] {
            if !dense.contains(line) {
                violations.push(Violation::new(path, remedy));
            }
        }
    }
    violations
}

/// Wire's source names no socket, thread, clock, randomness or runtime.
#[must_use]
pub fn wire_purity(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|s| s.path.starts_with("wire/src/")) {
        let imported = imports(&source.path, &source.code);
        for (path, remedy) in WIRE_MUST_NOT_NAME {
            let used = imported.iter().any(|i| i == path || i.starts_with(&format!("{path}::")));
            if used || has_word(&source.code, path) {
                violations.push(Violation::new(&source.path, format!("names {path}: {remedy}")));
            }
        }
        for import in imported.iter().filter_map(|import| import.strip_prefix("std::net")) {
            if !NET_VALUES.contains(&import.trim_start_matches(':')) {
                let what =
                    format!("imports std::net{import}: addresses are values, sockets are shard-runtime's");
                violations.push(Violation::new(&source.path, what));
            }
        }
        for word in WIRE_FORBIDDEN_WORDS {
            for at in source.places_of(word) {
                violations.push(Violation::new(
                    at,
                    format!("`{word}` in wire: time, randomness and I/O are arguments"),
                ));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::{edges, manifests, wire_purity};
    use crate::tidy::Source;
    use serde_json::json;

    #[test]
    fn an_edge_that_goes_up_is_seen() {
        let bad = json!({"packages": [
            {"name": "shard-wire", "dependencies": [{"name": "shard-runtime", "kind": null}, {"name": "tokio", "kind": null}]},
            {"name": "shard-runtime", "dependencies": [{"name": "shard-diag", "kind": "dev"}, {"name": "glommio", "kind": null}]},
            {"name": "shard-diag", "dependencies": [{"name": "shard-runtime", "kind": null}, {"name": "glommio", "kind": "dev"}]},
            {"name": "shard-extra", "dependencies": []},
        ]});
        let at: Vec<String> = edges(&bad).into_iter().map(|v| format!("{} {}", v.at, v.what)).collect();
        assert_eq!(at.len(), 5, "{at:#?}");
        assert!(at[0].starts_with("shard-wire must not depend on shard-runtime"));
        assert!(at[1].starts_with("shard-wire must not depend on tokio"));
        assert!(at[2].starts_with("shard-runtime must not depend on shard-diag"));
        assert!(at[3].starts_with("shard-diag must not depend on glommio"));
        assert!(at[4].starts_with("shard-extra is not in the layer table"));
    }

    #[test]
    fn a_manifest_without_the_workspace_s_lints_is_seen() {
        let good =
            "[package]\nrust-version.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";
        let file = |text: &str| [("x/Cargo.toml".to_owned(), text.to_owned())];
        assert_eq!(manifests(&file(good)), []);
        assert_eq!(manifests(&file("[package]\nname = \"x\"\n[lints.rust]\n")).len(), 3);
    }

    #[test]
    fn wire_may_test_with_anything() {
        let good = json!({"packages": [{"name": "shard-wire", "dependencies": [
            {"name": "proptest", "kind": "dev"}, {"name": "rkyv", "kind": null}]}]});
        assert_eq!(edges(&good), []);
    }

    #[test]
    fn a_clock_in_wire_is_seen_however_it_is_named() {
        let see = |code: &str| wire_purity(&[Source::new("wire/src/a.rs", code)]).len();
        assert_eq!(see("use std::time::Duration; // not Instant, \nconst S: &str = \"tokio\";"), 0);
        assert_eq!(see("use std::{net::Ipv4Addr, time::Duration};"), 0);
        assert_eq!(see("use std::net::{self, IpAddr};"), 1);
        assert_eq!(see("use std::net::*;"), 1);
        assert_eq!(see("fn f() { std::net::TcpStream::connect(x) }"), 1);
        assert_eq!(see("use std::time::{Duration, SystemTime};"), 2);
        assert_eq!(see("fn f() { std::thread::yield_now() }"), 1);
        assert_eq!(see("async fn f() {}"), 1);
        assert_eq!(wire_purity(&[Source::new("diag/src/a.rs", "use std::net::TcpStream;")]), []);
    }
}
