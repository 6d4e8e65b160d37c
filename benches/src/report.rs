//! The report: medians, ratios, verdicts, as JSON objects and as a table.
//!
//! Pure: turns samples into rows and rows into text.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::machine::Machine;
use crate::reference::Verdict;
use crate::round::Rounds;
use crate::workload::{Basis, Better, Derived, OURS, Reference, Sample, Side, Workload};

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
    /// Peers that were not measured, and why.
    pub skipped: BTreeMap<&'static str, &'static str>,
    /// Where it was measured.
    pub machine: Machine,
}

/// A ratio, or our own figure, held against its reference.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// Key in `ratios`, or the label of an absolute limit.
    pub against: &'static str,
    /// What the three figures are.
    pub basis: Basis,
    /// Below this a change is a regression.
    pub floor: f64,
    /// What the finished crates should hold.
    pub target: f64,
    /// Worth an article.
    pub stretch: f64,
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
        let our_spread = Spread::of(&values(ours));
        let references = workload
            .references
            .iter()
            .filter_map(|reference| {
                let value = match reference.basis {
                    Basis::Ratio => ratios.get(reference.against).copied(),
                    Basis::Figure => our_spread.map(|spread| spread.median),
                };
                value.map(|value| judge(reference, workload.better, value))
            })
            .collect();
        let mut machine = machine.clone();
        machine.pinning = pinning(workload.sides);
        Self {
            workload: workload.name,
            unit: workload.unit,
            better: workload.better,
            rounds: rounds.sides.first().map_or(0, |(_, samples)| samples.len()),
            ours: our_spread,
            cpu_seconds: Spread::of(&ours.iter().map(|s| s.cpu_seconds).collect::<Vec<_>>())
                .map(|s| s.median),
            #[expect(clippy::cast_precision_loss, reason = "kibibytes of one process")]
            peak_rss_kib: Spread::of(&ours.iter().map(|s| s.peak_rss_kib as f64).collect::<Vec<_>>())
                .map(|s| s.median),
            peers,
            ratios,
            derived,
            references,
            skipped: rounds.left_out.iter().map(|side| (side.name, side.program.missing())).collect(),
            machine,
        }
    }

    /// Whether every reference of the row is at or above its floor.
    #[must_use]
    pub fn floors_held(&self) -> bool {
        self.references.iter().all(|judged| judged.floor_held)
    }
}

fn judge(reference: &Reference, better: Better, value: f64) -> Judged {
    let verdict = Verdict::of(reference, better, value);
    Judged {
        against: reference.against,
        basis: reference.basis,
        floor: reference.floor,
        target: reference.target,
        stretch: reference.stretch,
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

/// Columns of the table.
const COLUMNS: [&str; 11] =
    ["workload", "side", "median", "min", "max", "unit", "ratio", "floor", "target", "stretch", "verdict"];
/// Columns of words; all others hold numbers.
const WORDS: [usize; 4] = [0, 1, 5, 10];

type Line = [String; COLUMNS.len()];

/// One line for ours, one per peer, derived ratio, absolute limit and peer that was not measured.
fn lines(rows: &[Row]) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in rows {
        let better = match row.better {
            Better::Higher => "",
            Better::Lower => " (less is better)",
        };
        let mut name = row.workload.to_owned();
        let mut unit = || match std::mem::take(&mut name) {
            name if name.is_empty() => (name, row.unit.to_owned()),
            name => (name, format!("{}{better}", row.unit)),
        };
        let ours = row.ours.iter().map(|ours| (OURS, Some(*ours)));
        let peers = row.peers.iter().map(|(peer, spread)| (*peer, Some(*spread)));
        let derived = row.derived.keys().map(|label| (*label, None));
        let limits = row.references.iter().filter(|judged| judged.basis == Basis::Figure);
        let limits = limits.map(|judged| (judged.against, None));
        for (side, spread) in ours.chain(peers).chain(derived).chain(limits) {
            let (name, unit) = if spread.is_some() { unit() } else { Default::default() };
            let judged = row.references.iter().find(|judged| judged.against == side);
            lines.push(line([name, side.to_owned(), unit], spread, row.ratios.get(side).copied(), judged));
        }
        for (side, why) in &row.skipped {
            let mut skipped = line([String::new(), (*side).to_owned(), String::new()], None, None, None);
            if let Some(verdict) = skipped.last_mut() {
                (*why).clone_into(verdict);
            }
            lines.push(skipped);
        }
    }
    lines
}

fn line(words: [String; 3], spread: Option<Spread>, ratio: Option<f64>, judged: Option<&Judged>) -> Line {
    let [workload, side, unit] = words;
    let figure = |of: fn(Spread) -> f64| spread.map_or_else(String::new, |spread| number(of(spread)));
    let times = |value: f64| format!("{}x", number(value));
    let limit = |of: fn(&Judged) -> f64| match judged {
        Some(judged) if judged.basis == Basis::Ratio => times(of(judged)),
        Some(judged) => number(of(judged)),
        None => String::new(),
    };
    [
        workload,
        side,
        figure(|s| s.median),
        figure(|s| s.min),
        figure(|s| s.max),
        unit,
        ratio.map_or_else(String::new, times),
        limit(|j| j.floor),
        limit(|j| j.target),
        limit(|j| j.stretch),
        judged.map_or_else(String::new, |j| j.verdict.to_owned()),
    ]
}

/// The table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut all = vec![COLUMNS.map(String::from)];
    all.extend(lines(rows));
    layout(&all)
}

/// The table and what it rests on, in Markdown.
#[must_use]
pub fn markdown(rows: &[Row], conditions: &str) -> String {
    let mut text = format!("{conditions}\n\n| {} |\n", COLUMNS.join(" | "));
    let rules = (0..COLUMNS.len()).map(|column| if WORDS.contains(&column) { "---" } else { "---:" });
    text.push_str(&format!("| {} |\n", rules.collect::<Vec<_>>().join(" | ")));
    for line in lines(rows) {
        text.push_str(&format!("| {} |\n", line.join(" | ")));
    }
    text
}

/// First and last line of the part of a document that a report replaces.
const MARKS: [&str; 2] = ["<!-- runs: begin -->\n", "<!-- runs: end -->"];

/// The new text of a file that held `before`: the part between its marks replaced, or the whole if it has none.
#[must_use]
pub fn placed(before: &str, report: &str) -> String {
    let parts = before.split_once(MARKS[0]).and_then(|(head, rest)| Some((head, rest.split_once(MARKS[1])?)));
    match parts {
        Some((head, (_, tail))) => format!("{head}{}\n{report}\n{}{tail}", MARKS[0], MARKS[1]),
        None => report.to_owned(),
    }
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

fn layout(lines: &[Line]) -> String {
    let mut widths = [0usize; COLUMNS.len()];
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
            let _ = if WORDS.contains(&column) {
                write!(row, "{cell:<width$}  ")
            } else {
                write!(row, "{cell:>width$}  ")
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
    use crate::reference::{ERGO, ERGO_LOCAL_ONE, absolute, at_least};
    use crate::workload::Program;

    fn nothing(_: crate::workload::Run) -> Result<f64, crate::error::RunError> {
        Ok(1.0)
    }

    static SIDES: [Side; 3] =
        [side(OURS, Program::Runs), side("actix", Program::Runs), side("tonic", Program::Peers)];

    const fn side(name: &'static str, program: Program) -> Side {
        Side { name, pinning: "cpu 1", program, measure: nothing, partner: None }
    }

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
        Rounds { sides: vec![(&SIDES[0], list(ours)), (&SIDES[1], list(actix))], left_out: Vec::new() }
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

    static LATENCY: Workload = Workload {
        name: "late",
        about: "",
        unit: "us",
        better: Better::Lower,
        sides: &SIDES,
        derived: &[],
        references: &[absolute(1000.0, 200.0, 50.0)],
    };

    #[test]
    fn an_absolute_limit_judges_our_own_figure() {
        let row = Row::of(&LATENCY, &rounds(&[150.0], &[1.0]), &Machine::read());
        assert!(row.floors_held());
        let text = table(std::slice::from_ref(&row));
        let limit = text.lines().last().unwrap_or_default();
        let cells: Vec<&str> = limit.split_whitespace().collect();
        assert_eq!(cells, ["limit", "1000", "200", "50.0", "target", "held"], "{text}");
        assert!(!Row::of(&LATENCY, &rounds(&[1500.0], &[1.0]), &Machine::read()).floors_held());
    }

    #[test]
    fn a_peer_whose_program_is_not_built_is_named_and_nothing_fails() {
        let mut rounds = rounds(&[100.0], &[10.0]);
        rounds.left_out.push(&SIDES[2]);
        let row = Row::of(&WORKLOAD, &rounds, &Machine::read());
        assert!(row.floors_held() && !row.peers.contains_key("tonic"));
        let json = serde_json::to_value(&row).expect("a row is JSON");
        assert_eq!(json["skipped"]["tonic"], "peer not built: make peers");
        let text = table(&[row]);
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("tonic") && last.ends_with("peer not built: make peers"), "{text}");
    }

    #[test]
    fn markdown_has_as_many_cells_in_every_line() {
        let row = Row::of(&WORKLOAD, &rounds(&[10.0, 20.0], &[5.0, 5.0]), &Machine::read());
        let text = markdown(&[row], "measured here");
        let (first, table) = text.split_once("\n\n").expect("a table after the conditions");
        assert_eq!(first, "measured here");
        assert_eq!(table.lines().count(), 2 + 3, "{text}");
        assert!(table.lines().all(|line| line.matches('|').count() == COLUMNS.len() + 1), "{text}");
    }

    #[test]
    fn a_report_replaces_the_marked_part_of_a_document_and_nothing_else() {
        let page = "head\n<!-- runs: begin -->\nold\n<!-- runs: end -->\ntail\n";
        let new = placed(page, "new\n");
        assert_eq!(new, "head\n<!-- runs: begin -->\n\nnew\n\n<!-- runs: end -->\ntail\n");
        assert_eq!(placed(&new, "new\n"), new);
        assert_eq!(placed("", "new\n"), "new\n");
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
        assert_eq!(json["machine"]["pinning"], "ours: cpu 1; actix: cpu 1; tonic: cpu 1");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of(&[4.0, 1.0, 3.0, 2.0]).map(|s| s.median), Some(2.5));
        assert_eq!(Spread::of(&[]), None);
    }
}
