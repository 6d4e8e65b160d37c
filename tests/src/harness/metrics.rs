//! Reads Prometheus text into a map, so that a test can ask for one number.
//!
//! Owns: the grammar of samples, labels and their escapes; `# HELP` and `# TYPE` are checked for form and remembered.
//! A page that is not well formed is an error, because a scraper would refuse it too.

use std::collections::BTreeMap;
use std::fmt;

/// Sorted labels of one series.
type Labels = BTreeMap<String, String>;

/// One page of metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    samples: BTreeMap<String, BTreeMap<Labels, f64>>,
    kinds: BTreeMap<String, String>,
}

/// A line that is not Prometheus text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not prometheus text: {}", self.line, self.what)
    }
}

impl std::error::Error for MetricsError {}

impl Metrics {
    /// Reads a page.
    ///
    /// # Errors
    /// Names the first line that is malformed or repeats a series.
    pub fn parse(text: &str) -> Result<Self, MetricsError> {
        let mut metrics = Self::default();
        for (line, content) in (1..).zip(text.lines()) {
            metrics.read_line(content.trim()).map_err(|what| MetricsError { line, what })?;
        }
        Ok(metrics)
    }

    fn read_line(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.split_whitespace();
            if words.next() == Some("TYPE") {
                let (Some(name), Some(kind)) = (words.next(), words.next()) else {
                    return Err("a TYPE without a kind");
                };
                self.kinds.insert(name.to_owned(), kind.to_owned());
            }
            return Ok(());
        }
        if line.is_empty() {
            return Ok(());
        }
        let end = line.find(['{', ' ', '\t']).ok_or("no value")?;
        let (name, rest) = line.split_at(end);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':'))
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
        {
            return Err("the name is malformed");
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest)?,
            None => (Labels::new(), rest),
        };
        let mut words = rest.split_whitespace();
        let value = match words.next().ok_or("no value")? {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            word => word.parse().map_err(|_| "the value is no number")?,
        };
        let stamp = words.next().is_none_or(|stamp| stamp.parse::<i64>().is_ok());
        if !stamp || words.next().is_some() {
            return Err("something follows the value");
        }
        match self.samples.entry(name.to_owned()).or_default().insert(labels, value) {
            None => Ok(()),
            Some(_) => Err("the series was there before"),
        }
    }

    /// Value of the series with exactly these labels, in any order.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Labels>();
        self.samples.get(name)?.get(&labels).copied()
    }

    /// Sum over all series of this name that have at least these labels; `None` if there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has =
            |series: &Labels| labels.iter().all(|(n, v)| series.get(*n).is_some_and(|value| value == v));
        let found = self.samples.get(name)?.iter().filter(|(series, _)| has(series)).map(|(_, value)| *value);
        found.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// Values of one label over all series of this name, sorted, each once.
    #[must_use]
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let series = self.samples.get(name).into_iter().flat_map(BTreeMap::keys);
        let mut values: Vec<String> = series.filter_map(|labels| labels.get(label).cloned()).collect();
        values.sort();
        values.dedup();
        values
    }

    /// Names of all series, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// What the page says about a family: `counter`, `gauge`, `histogram`, ...
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&str> {
        self.kinds.get(name).map(String::as_str)
    }
}

/// Labels up to the closing brace, and what follows it.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once('=').ok_or("a label without a value")?;
        let quoted = after.trim_start().strip_prefix('"').ok_or("the value of a label is not quoted")?;
        let (value, after) = read_value(quoted)?;
        if labels.insert(name.trim().to_owned(), value).is_some() {
            return Err("a label comes twice");
        }
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.starts_with('}') => rest,
            None => return Err("labels are not separated"),
        };
    }
}

fn read_value(quoted: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('"' | '\\'))) => c,
                _ => return Err("an unknown escape in a label"),
            }),
            _ => value.push(c),
        }
    }
    Err("the value of a label is not closed")
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    const PAGE: &str = r#"# HELP up Whether it is { "up".
# TYPE up gauge
up 1
# TYPE sent_total counter
sent_total{node="b@h",kind="a,}b"} 2.5e1 1700000000000
sent_total{ kind = "q\"\\\n" , node="c@h", } 7
lat_bucket{le="+Inf"} +Inf

x:y NaN
"#;

    #[test]
    fn values_are_found_by_labels_in_any_order() {
        let page = Metrics::parse(PAGE).unwrap();
        assert_eq!(page.get("up", &[]), Some(1.0));
        assert_eq!(page.get("sent_total", &[("kind", "a,}b"), ("node", "b@h")]), Some(25.0));
        assert_eq!(page.get("sent_total", &[("node", "c@h"), ("kind", "q\"\\\n")]), Some(7.0));
        assert_eq!(page.get("sent_total", &[("node", "c@h")]), None);
        assert_eq!(page.get("lat_bucket", &[("le", "+Inf")]), Some(f64::INFINITY));
        assert!(page.get("x:y", &[]).unwrap().is_nan());
        assert_eq!((page.kind("sent_total"), page.kind("x:y")), (Some("counter"), None));
        assert_eq!(page.names().collect::<Vec<_>>(), ["lat_bucket", "sent_total", "up", "x:y"]);
    }

    #[test]
    fn sums_and_labels_go_over_all_series() {
        let page = Metrics::parse(PAGE).unwrap();
        assert_eq!(page.sum("sent_total", &[]), Some(32.0));
        assert_eq!(page.sum("sent_total", &[("node", "b@h")]), Some(25.0));
        assert_eq!(page.sum("sent_total", &[("node", "d@h")]), None);
        assert_eq!(page.label_values("sent_total", "node"), ["b@h", "c@h"]);
    }

    #[test]
    fn malformed_lines_are_refused_by_number() {
        for bad in [
            "up",
            "up x",
            "1up 1",
            "up{a=\"b\" 1",
            "up{a=b} 1",
            "up{a=\"b\"c=\"d\"} 1",
            "up{a=\"\\x\"} 1",
            "up 1 2 3",
            "up{a=\"b\",a=\"c\"} 1",
            "# TYPE up",
            "ok 2",
        ] {
            let error = Metrics::parse(&format!("ok 1\n{bad}\n")).unwrap_err();
            assert_eq!(error.line, 2, "{bad}");
        }
    }
}
