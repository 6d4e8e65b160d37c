//! The report: medians, ratios, verdicts, as JSON objects and as a table.
//!
//! Pure: turns samples into rows and rows into text.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::machine::Machine;
use crate::reference::Verdict;
use crate::round::Rounds;
use crate::workload::{Better, Derived, OURS, Reference, Sample, Side, Workload};

/// Median and range of one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Median over the rounds.
    pub median: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
}

impl Spread {
    /// Of `values`; `None` when there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(lower, upper), min, max })
    }
}

/// One workload, ours and all peers.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Name of the workload.
    pub workload: &'static str,
    /// Unit of all figures.
    pub unit: &'static str,
    /// Direction.
    pub better: Better,
    /// Rounds that count.
    pub rounds: usize,
    /// Ours.
    #[serde(flatten)]
    pub ours: Option<Spread>,
    /// Median CPU seconds of our child process, set-up included.
    pub cpu_seconds: Option<f64>,
    /// Median of the highest resident set of our child process, in KiB.
    pub peak_rss_kib: Option<f64>,
    /// The peers' figures in the same rounds.
    pub peers: BTreeMap<&'static str, Spread>,
    /// Median over the rounds of how many times better ours is; above 1 always means ours is better.
    pub ratios: BTreeMap<&'static str, f64>,
    /// How the ratios to systems that did not run here came about, by their key in `ratios`.
    pub derived: BTreeMap<&'static str, String>,
    /// The ratios to hold, and whether they are.
    pub references: Vec<Judged>,
    /// Where it was measured.
    pub machine: Machine,
}

/// A ratio held against its reference.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// Key in `ratios`.
    pub against: &'static str,
    /// Below this a change is a regression.
    pub floor: f64,
    /// What the finished crates should hold.
    pub target: f64,
    /// In words.
    pub verdict: &'static str,
    /// Whether the floor is held.
    pub floor_held: bool,
}

impl Row {
    /// Makes the row of `workload`.
    #[must_use]
    pub fn of(workload: &'static Workload, rounds: &Rounds, machine: &Machine) -> Self {
        let ours = samples_of(rounds, OURS);
        let mut peers = BTreeMap::new();
        let mut ratios = BTreeMap::new();
        for (side, samples) in rounds.sides.iter().filter(|(side, _)| side.name != OURS) {
            if let Some(spread) = Spread::of(&values(samples)) {
                peers.insert(side.name, spread);
            }
            let each: Vec<f64> = ours
                .iter()
                .zip(samples)
                .map(|(our, their)| workload.better.ratio(our.value, their.value))
                .collect();
            if let Some(spread) = Spread::of(&each) {
                ratios.insert(side.name, spread.median);
            }
        }
        let mut derived = BTreeMap::new();
        for absent in workload.derived {
            let ratio = match absent {
                Derived::Chain { peer, recorded_peer, recorded_absent, .. } => {
                    ratios.get(peer).map(|ratio| ratio * recorded_peer / recorded_absent)
                }
                Derived::Recorded { figure, .. } => {
                    Spread::of(&values(ours)).map(|spread| workload.better.ratio(spread.median, *figure))
                }
            };
            if let Some(ratio) = ratio {
                ratios.insert(absent.label(), ratio);
                derived.insert(absent.label(), absent.explanation());
            }
        }
        let references = workload
            .references
            .iter()
            .filter_map(|reference| ratios.get(reference.against).map(|ratio| judge(reference, *ratio)))
            .collect();
        let mut machine = machine.clone();
        machine.pinning = pinning(workload.sides);
        Self {
            workload: workload.name,
            unit: workload.unit,
            better: workload.better,
            rounds: rounds.sides.first().map_or(0, |(_, samples)| samples.len()),
            ours: Spread::of(&values(ours)),
            cpu_seconds: Spread::of(&ours.iter().map(|s| s.cpu_seconds).collect::<Vec<_>>())
                .map(|s| s.median),
            #[expect(clippy::cast_precision_loss, reason = "kibibytes of one process")]
            peak_rss_kib: Spread::of(&ours.iter().map(|s| s.peak_rss_kib as f64).collect::<Vec<_>>())
                .map(|s| s.median),
            peers,
            ratios,
            derived,
            references,
            machine,
        }
    }

    /// Whether every reference of the row is at or above its floor.
    #[must_use]
    pub fn floors_held(&self) -> bool {
        self.references.iter().all(|judged| judged.floor_held)
    }
}

fn judge(reference: &Reference, ratio: f64) -> Judged {
    let verdict = Verdict::of(reference, ratio);
    Judged {
        against: reference.against,
        floor: reference.floor,
        target: reference.target,
        verdict: verdict.word(),
        floor_held: verdict != Verdict::BelowFloor,
    }
}

fn samples_of<'a>(rounds: &'a Rounds, name: &str) -> &'a [Sample] {
    rounds.sides.iter().find(|(side, _)| side.name == name).map_or(&[], |(_, samples)| samples.as_slice())
}

fn values(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

fn pinning(sides: &[Side]) -> String {
    sides.iter().map(|side| format!("{}: {}", side.name, side.pinning)).collect::<Vec<_>>().join("; ")
}

/// The table: one line for ours, one per peer or derived ratio.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        ["workload", "side", "median", "min", "max", "unit", "ratio", "floor", "target", "verdict"]
            .map(String::from),
    ];
    for row in rows {
        let better = match row.better {
            Better::Higher => "",
            Better::Lower => " (less is better)",
        };
        let mut name = row.workload.to_owned();
        if let Some(ours) = row.ours {
            lines.push(line(
                std::mem::take(&mut name),
                OURS,
                Some(ours),
                &format!("{}{better}", row.unit),
                None,
                None,
            ));
        }
        for (peer, spread) in &row.peers {
            let unit = if name.is_empty() { row.unit.to_owned() } else { format!("{}{better}", row.unit) };
            lines.push(line(
                std::mem::take(&mut name),
                peer,
                Some(*spread),
                &unit,
                row.ratios.get(peer).copied(),
                judged(row, peer),
            ));
        }
        for label in row.derived.keys() {
            lines.push(line(
                String::new(),
                label,
                None,
                "",
                row.ratios.get(label).copied(),
                judged(row, label),
            ));
        }
    }
    layout(&lines)
}

fn judged<'a>(row: &'a Row, key: &str) -> Option<&'a Judged> {
    row.references.iter().find(|judged| judged.against == key)
}

fn line(
    workload: String,
    side: &str,
    spread: Option<Spread>,
    unit: &str,
    ratio: Option<f64>,
    judged: Option<&Judged>,
) -> [String; 10] {
    let figure = |of: fn(Spread) -> f64| spread.map_or_else(String::new, |spread| number(of(spread)));
    let times = |value: f64| format!("{}x", number(value));
    [
        workload,
        side.to_owned(),
        figure(|s| s.median),
        figure(|s| s.min),
        figure(|s| s.max),
        unit.to_owned(),
        ratio.map_or_else(String::new, times),
        judged.map_or_else(String::new, |j| times(j.floor)),
        judged.map_or_else(String::new, |j| times(j.target)),
        judged.map_or_else(String::new, |j| j.verdict.to_owned()),
    ]
}

/// Three significant digits, and never an exponent.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn layout(lines: &[[String; 10]]) -> String {
    let mut widths = [0usize; 10];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, (width, cell)) in widths.iter().zip(line).enumerate() {
            let width = *width;
            // Numbers stand to the right, words to the left. Writing to a string cannot fail.
            let _ = match column {
                2..=4 | 6..=8 => write!(row, "{cell:>width$}  "),
                _ => write!(row, "{cell:<width$}  "),
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{ERGO, ERGO_LOCAL_ONE, at_least};

    fn nothing(_: crate::workload::Run) -> Result<f64, crate::error::RunError> {
        Ok(1.0)
    }

    static SIDES: [Side; 2] = [
        Side { name: OURS, pinning: "cpu 1", measure: nothing, partner: None },
        Side { name: "actix", pinning: "cpu 1", measure: nothing, partner: None },
    ];
    static WORKLOAD: Workload = Workload {
        name: "w",
        about: "",
        unit: "M msg/s",
        better: Better::Higher,
        sides: &SIDES,
        derived: &[ERGO_LOCAL_ONE],
        references: &[at_least("actix", 2.0, 4.0, 6.0), at_least(ERGO, 15.0, 30.0, 50.0)],
    };

    fn rounds(ours: &[f64], actix: &[f64]) -> Rounds {
        let list = |values: &[f64]| values.iter().map(|value| Sample::of(*value)).collect();
        Rounds { sides: vec![(&SIDES[0], list(ours)), (&SIDES[1], list(actix))] }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_of_the_rounds() {
        // The ratio of the medians would be 2.
        let row = Row::of(&WORKLOAD, &rounds(&[10.0, 20.0, 90.0], &[10.0, 5.0, 30.0]), &Machine::read());
        assert_eq!(row.ours, Some(Spread { median: 20.0, min: 10.0, max: 90.0 }));
        assert_eq!(row.ratios.get("actix"), Some(&3.0));
        let ergo = row.ratios.get(ERGO).copied().unwrap_or(0.0);
        assert!((ergo - 3.0 * 33.5 / 4.38).abs() < 1e-9);
        assert!(row.derived.get(ERGO).is_some_and(|text| text.starts_with("derived")));
        assert!(row.floors_held());
        assert_eq!(row.references[0].verdict, "floor held");
    }

    #[test]
    fn a_ratio_below_its_floor_is_said_and_fails_the_row() {
        let row = Row::of(&WORKLOAD, &rounds(&[10.0], &[10.0]), &Machine::read());
        assert!(!row.floors_held());
        let text = table(&[row]);
        assert!(text.contains("BELOW FLOOR"), "{text}");
    }

    #[test]
    fn the_json_has_the_agreed_shape() {
        let row = Row::of(&WORKLOAD, &rounds(&[10.0, 20.0], &[5.0, 5.0]), &Machine::read());
        let json = serde_json::to_value(&row).expect("a row is JSON");
        for key in
            ["workload", "unit", "better", "rounds", "median", "min", "max", "peers", "ratios", "machine"]
        {
            assert!(json.get(key).is_some(), "{key} is missing in {json}");
        }
        assert_eq!(json["better"], "higher");
        assert_eq!(json["median"], 15.0);
        assert_eq!(json["peers"]["actix"]["median"], 5.0);
        assert_eq!(json["machine"]["pinning"], "ours: cpu 1; actix: cpu 1");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of(&[4.0, 1.0, 3.0, 2.0]).map(|s| s.median), Some(2.5));
        assert_eq!(Spread::of(&[]), None);
    }
}
