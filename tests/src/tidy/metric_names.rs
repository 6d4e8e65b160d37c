//! Dashboards and alerts ask only for metrics that exist.
//!
//! Owns: how a metric's name is found in a query. The names are those in `diag/src/metrics/names.rs`, as string
//! literals; a histogram's three series count as its name.

use super::Violation;
use super::register::quoted;

/// Prefix of every metric of a node.
const PREFIX: &str = "ergo_";

/// Every metric named in the files `(path, text)` is a literal in `names`, the text of the list of names.
#[must_use]
pub fn metric_names(files: &[(String, String)], names: &str) -> Vec<Violation> {
    let known: Vec<String> = quoted(&names.replace('"', "`"));
    let exists = |name: &str| known.iter().any(|k| k == name);
    let mut violations = Vec::new();
    for (path, text) in files {
        for name in words(text) {
            let series = ["_bucket", "_sum", "_count"].iter().filter_map(|s| name.strip_suffix(s));
            if !exists(name) && !series.into_iter().any(exists) {
                violations.push(Violation::new(path, format!("asks for `{name}`, which no node exports")));
            }
        }
    }
    violations
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::metric_names;

    #[test]
    fn a_metric_that_nobody_exports_is_seen() {
        let names = "pub const A: &str = \"ergo_processes_total\";\nconst L: Desc = Desc { name: \"ergo_latency_seconds\" };";
        let file = |text: &str| [("grafana/a.json".to_owned(), text.to_owned())];
        assert_eq!(
            metric_names(
                &file("rate(ergo_processes_total[1m]) + ergo_latency_seconds_bucket{le=\\\"1\\\"}"),
                names
            ),
            []
        );
        assert_eq!(metric_names(&file("sum(ergo_process_total)"), names).len(), 1);
    }
}
