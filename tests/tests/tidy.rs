//! The repository keeps its own rules: one test per rule, applied to the tree.
//!
//! The rules, their lists and their bad samples are in `tests/src/tidy`.

use shard_tests::tidy::{self, Tree, Violation, assert_none};

fn tree() -> Tree {
    Tree::of_this_repository().expect("the repository can be read")
}

#[track_caller]
fn check(rule: impl Fn(&Tree) -> Vec<Violation>) {
    let tree = tree();
    assert!(tree.sources().len() > 10, "the tree was not found: {} Rust files", tree.sources().len());
    assert_none(&rule(&tree));
}

#[test]
fn crates_depend_downwards_only() {
    check(|tree| tidy::edges(&tree.metadata().expect("cargo describes the workspace")));
}

#[test]
fn members_take_the_workspace_s_lints() {
    check(|tree| {
        let apart = |path: &str| path.starts_with("wire/fuzz/") || path.starts_with("benches/peers/");
        let member = |path: &&String| path.ends_with("/Cargo.toml") && !apart(path);
        let manifests = tree.paths().iter().filter(member);
        let files: Vec<(String, String)> =
            manifests.filter_map(|path| Some((path.clone(), tree.text(path)?))).collect();
        assert!(files.len() >= 8, "{files:?}");
        tidy::manifests(&files)
    });
}

#[test]
fn wire_has_no_socket_thread_or_clock() {
    check(|tree| tidy::wire_purity(tree.sources()));
}

#[test]
fn only_the_seam_names_glommio() {
    check(|tree| tidy::seam(tree.sources()));
}

#[test]
fn tokio_never_meets_a_shard() {
    check(|tree| tidy::tokio(tree.sources()));
}

#[test]
fn hot_modules_use_nothing_that_costs() {
    check(|tree| tidy::hot_modules(tree.sources()));
}

#[test]
fn nothing_sleeps_to_synchronise() {
    check(|tree| tidy::sleeps(tree.sources()));
}

#[test]
fn nothing_is_left_unfinished_or_ignored() {
    check(|tree| tidy::leftovers(tree.sources()));
}

#[test]
fn files_stay_within_their_length() {
    check(|tree| tidy::lengths(tree.sources()));
}

#[test]
fn files_begin_with_a_header() {
    check(|tree| tidy::headers(tree.sources()));
}

#[test]
fn unsafe_code_is_registered_and_proven() {
    check(|tree| {
        tidy::unsafe_register(tree.sources(), &tree.text("ARCHITECTURE.md").expect("ARCHITECTURE.md"))
    });
}

#[test]
fn the_map_points_at_what_exists() {
    check(|tree| tidy::paths_exist(&tree.text("ARCHITECTURE.md").expect("ARCHITECTURE.md"), tree.paths()));
}

#[test]
fn the_conformance_table_names_tests_that_exist() {
    check(|tree| {
        let table = tree.text(tidy::CONFORMANCE).expect(tidy::CONFORMANCE);
        tidy::conformance(&table, tree.sources(), tree.paths())
    });
}

/// Holds by default while there is no dashboard; a dashboard without a list of names is a violation.
#[test]
fn dashboards_ask_for_metrics_that_exist() {
    check(|tree| {
        let dashboards = tree.paths().iter().filter(|path| path.starts_with("grafana/"));
        let files: Vec<(String, String)> =
            dashboards.filter_map(|path| Some((path.clone(), tree.text(path)?))).collect();
        tidy::metric_names(&files, &tree.text("diag/src/metrics/names.rs").unwrap_or_default())
    });
}
