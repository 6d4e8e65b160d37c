//! Samples of one page, by family.
//!
//! Invariants: G1 a sample belongs to a family of the list and has exactly its labels; anything else is left out and,
//! in a debug build, a panic. G2 a label value is at most 128 bytes and has no control characters.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::names::{FAMILIES, Family, Kind};

/// Longest label value in bytes.
const LABEL_BYTES_MAX: usize = 128;

/// Samples under way.
pub(super) struct Page {
    families: BTreeMap<&'static str, (&'static Family, Vec<Metric>)>,
}

impl Page {
    /// A page with every family and no sample.
    pub(super) fn new() -> Self {
        Self { families: FAMILIES.iter().map(|family| (family.name, (family, Vec::new()))).collect() }
    }

    /// Adds a sample of a counter or a gauge; `labels` in the order of the family.
    pub(super) fn put(&mut self, name: &'static str, labels: &[&str], value: f64) {
        self.add(name, labels, |kind, metric| match kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Kind::Histogram => debug_assert!(false, "{name} is a histogram"),
        });
    }

    /// Adds a histogram: one count per bound, and one more for what is above the last; `sum` is that of all values.
    pub(super) fn put_histogram(
        &mut self,
        name: &'static str,
        labels: &[&str],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        self.add(name, labels, |kind, metric| {
            debug_assert_eq!(kind, Kind::Histogram, "{name}");
            let mut below = 0;
            let mut buckets = Vec::with_capacity(bounds.len());
            for (bound, count) in bounds.iter().zip(counts) {
                below += count;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(below);
                buckets.push(bucket);
            }
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets);
            histogram.set_sample_count(counts.iter().sum());
            histogram.set_sample_sum(sum);
            metric.set_histogram(histogram);
        });
    }

    fn add(&mut self, name: &'static str, labels: &[&str], fill: impl FnOnce(Kind, &mut Metric)) {
        let Some((family, samples)) = self.families.get_mut(name) else {
            debug_assert!(false, "{name} is not in the list of families");
            return;
        };
        debug_assert_eq!(family.labels.len(), labels.len(), "labels of {name}");
        let mut pairs = Vec::with_capacity(labels.len());
        for (label, text) in family.labels.iter().zip(labels) {
            let mut pair = LabelPair::default();
            pair.set_name(String::from(*label));
            pair.set_value(clean(text));
            pairs.push(pair);
        }
        let mut metric = Metric::from_label(pairs);
        fill(family.kind, &mut metric);
        samples.push(metric);
    }

    /// The families that have a sample.
    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        let mut out = Vec::with_capacity(self.families.len());
        for (family, samples) in self.families.into_values() {
            if samples.is_empty() {
                continue;
            }
            let mut proto = MetricFamily::default();
            proto.set_name(String::from(family.name));
            proto.set_help(String::from(family.help));
            proto.set_field_type(match family.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            proto.set_metric(samples);
            out.push(proto);
        }
        out
    }
}

/// Cuts a long value and ends it with a hash of the whole; escapes control characters.
fn clean(text: &str) -> String {
    let plain: String = if text.chars().any(char::is_control) {
        text.chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
            .collect()
    } else {
        String::from(text)
    };
    if plain.len() <= LABEL_BYTES_MAX {
        return plain;
    }
    let hash = plain.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let end = plain.floor_char_boundary(LABEL_BYTES_MAX - 17);
    format!("{}#{hash:016x}", plain.get(..end).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_labels_are_bounded_and_distinct() {
        let (one, two) = (clean(&"ä".repeat(100)), clean(&"ä".repeat(101)));
        assert!(one.len() <= LABEL_BYTES_MAX && two.len() <= LABEL_BYTES_MAX && one != two);
        assert_eq!(clean("a\nb"), "a\\nb");
        assert_eq!(clean("plain"), "plain");
    }
}
