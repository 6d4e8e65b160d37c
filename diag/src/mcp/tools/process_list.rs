//! `process_list`: processes by filter and rank. Reads memory only, also while every shard is stuck.
//!
//! Invariants: Q1 one sweep; strings are built for rows of the answer only. Q2 ties are broken by id, so two calls on
//! an unchanged node agree. Cost: one visit per process, memory for `limit` rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::mcp::args::{Args, Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::ProcessShort;
use crate::mcp::tool::{Answer, Call, Items, ROWS_MAX, Tool, at_once, output_of};
use crate::snapshot::{SECOND_NS, drain, liveness, utilization};
use crate::source::{ProcessCells, ProcessRow, ProcessState};
use crate::top::key_of;

const KEYS: &[&str] = &[
    "mailbox",
    "mailbox_latency",
    "running_time",
    "init_time",
    "wakeups",
    "uptime",
    "messages_in",
    "messages_out",
    "drain",
    "utilization",
    "liveness",
    "state_time",
];

pub(super) const TOOL: Tool = Tool {
    name: "process_list",
    title: "Processes",
    help: "Processes of a node by filter and rank. Use sort_by with a small limit to find the busiest, the slowest or \
           the most loaded; kind finds supervisors, pools and routers, parent their children. Works while shards are \
           stuck: look at State and CallbackElapsed.",
    params: &[
        Param::int("limit", 0, ROWS_MAX, 100, "Most rows to return; 0 is 10000."),
        Param::optional("application", Shape::Text, "Application, exactly."),
        Param::optional("behavior", Shape::Text, "Part of the behavior type."),
        Param::optional("state", Shape::Text, "init, sleep, running, wait response, terminated or zombee."),
        Param::optional("name", Shape::Text, "Part of the registered name."),
        Param::optional("kind", Shape::Text, "Kind, exactly: actor, supervisor, pool and so on."),
        Param::optional("parent", Shape::Text, "Pid or name of the parent."),
        Param::bound("shard", "Index of the shard."),
        Param::bound("min_messages_in", "Least messages received."),
        Param::bound("min_messages_out", "Least messages sent."),
        Param::bound("min_mailbox", "Least messages waiting."),
        Param::bound("min_wakeups", "Least wake-ups."),
        Param::optional(
            "min_mailbox_latency_ms",
            Shape::Number,
            "Least age of the oldest waiting message, ms.",
        ),
        Param::optional("min_running_time_ms", Shape::Number, "Least handler time, ms."),
        Param::optional("min_init_time_ms", Shape::Number, "Least duration of init, ms."),
        Param::optional("min_state_time_ms", Shape::Number, "Least time in the current state, ms."),
        Param::bound("min_uptime", "Least seconds since spawn."),
        Param::bound("max_uptime", "Most seconds since spawn."),
        Param::optional("exclude_system", Shape::Flag, "Leave out processes of the framework."),
        Param::optional("sort_by", Shape::Choice(KEYS), "Rank; largest first unless order is asc."),
        Param::optional("order", Shape::Choice(&["desc", "asc"]), "Direction of sort_by; default desc."),
    ],
    output: output_of::<Items<ProcessShort>>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

/// A number of a process, in the unit of its record.
type Field = fn(&ProcessCells) -> u64;

/// The filters of one call.
struct Filter<'a> {
    args: &'a Args,
    state: Option<ProcessState>,
    parent: Option<u64>,
    name: Option<&'a str>,
    application: Option<&'a str>,
    behavior: Option<&'a str>,
    kind: Option<&'a str>,
    exclude_system: bool,
    /// Lower bounds.
    least: Vec<(Field, f64)>,
}

impl<'a> Filter<'a> {
    fn new(call: &'a Call) -> Result<Self, ToolError> {
        let args = &call.args;
        let mut least: Vec<(Field, f64)> = Vec::new();
        let counts: [(&str, Field); 5] = [
            ("min_messages_in", |c| c.messages_in),
            ("min_messages_out", |c| c.messages_out),
            ("min_mailbox", |c| c.mailbox),
            ("min_wakeups", |c| c.wakeups),
            ("min_uptime", |c| c.uptime_ns / SECOND_NS),
        ];
        let millis: [(&str, Field); 4] = [
            ("min_mailbox_latency_ms", |c| c.oldest_ns),
            ("min_running_time_ms", |c| c.running_ns),
            ("min_init_time_ms", |c| c.init_ns),
            ("min_state_time_ms", |c| c.state_ns),
        ];
        least.extend(counts.iter().filter_map(|(name, field)| Some((*field, args.number(name)?))));
        least.extend(millis.iter().filter_map(|(name, field)| Some((*field, args.number(name)? * 1e6))));
        Ok(Self {
            args,
            state: args.text("state").map(state_of).transpose()?,
            parent: args.text("parent").map(|text| call.desk.resolve("parent", text)).transpose()?,
            name: args.text("name"),
            application: args.text("application"),
            behavior: args.text("behavior"),
            kind: args.text("kind"),
            exclude_system: args.flag("exclude_system"),
            least,
        })
    }

    fn passes(&self, row: &ProcessRow<'_>) -> bool {
        let c = &row.cells;
        self.state.is_none_or(|state| state == c.state)
            && self.parent.is_none_or(|parent| parent == c.parent)
            && !(self.exclude_system && c.system)
            && self.args.int("shard").is_none_or(|shard| shard == u64::from(c.shard))
            && self.args.int("max_uptime").is_none_or(|most| c.uptime_ns / SECOND_NS <= most)
            && self.least.iter().all(|(field, bound)| field(c) as f64 >= *bound)
            && self.application.is_none_or(|application| application == row.application)
            && self.kind.is_none_or(|kind| kind == row.kind)
            && self.name.is_none_or(|part| row.name.contains(part))
            && self.behavior.is_none_or(|part| row.behavior.contains(part))
    }
}

fn state_of(text: &str) -> Result<ProcessState, ToolError> {
    let word = text.to_ascii_lowercase().replace('_', " ");
    let word = if word == "zombie" { "zombee" } else { word.as_str() };
    let states = [
        ProcessState::Init,
        ProcessState::Sleep,
        ProcessState::Running,
        ProcessState::WaitResponse,
        ProcessState::Terminated,
        ProcessState::Zombee,
    ];
    states.into_iter().find(|state| state.text() == word).ok_or_else(|| {
        let known = states.map(ProcessState::text).join(", ");
        ToolError::argument("state", format!("is {text:?}, must be one of {known}"))
    })
}

/// Rank of a process; an unsorted list is by id, smallest first.
fn rank(sort_by: Option<&str>, c: &ProcessCells) -> u64 {
    match sort_by {
        Some("mailbox") => c.mailbox,
        Some("mailbox_latency") => c.oldest_ns,
        Some("running_time") => c.running_ns,
        Some("init_time") => c.init_ns,
        Some("wakeups") => c.wakeups,
        Some("uptime") => c.uptime_ns,
        Some("messages_in") => c.messages_in,
        Some("messages_out") => c.messages_out,
        Some("drain") => key_of(drain(c)),
        Some("utilization") => key_of(utilization(c)),
        Some("liveness") => key_of(liveness(c).unwrap_or(0.0)),
        Some("state_time") => c.state_ns,
        _ => 0,
    }
}

/// A process that may be in the answer: its numbers as they were ranked.
struct Candidate {
    cells: ProcessCells,
    behavior: &'static str,
    kind: &'static str,
}

fn run(call: &Call) -> Result<Answer, ToolError> {
    let filter = Filter::new(call)?;
    let limit = match call.args.int("limit") {
        Some(0) => ROWS_MAX,
        Some(limit) => limit,
        None => 100,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let sort_by = call.args.text("sort_by");
    let ascending = call.args.text("order") == Some("asc");
    let node = call.desk.source.identity();
    let (mut total, mut matched) = (0, 0);
    let mut best: BinaryHeap<(Reverse<u64>, u64)> = BinaryHeap::new();
    let mut rows = std::collections::HashMap::new();
    call.desk.source.for_each_process(&mut |row| {
        total += 1;
        if !filter.passes(row) {
            return;
        }
        matched += 1;
        let key = rank(sort_by, &row.cells);
        let key = if ascending { u64::MAX - key } else { key };
        let place = (Reverse(key), row.cells.id);
        if best.len() == limit {
            match best.peek() {
                Some(worst) if place < *worst => {
                    if let Some((_, id)) = best.pop() {
                        rows.remove(&id);
                    }
                }
                _ => return,
            }
        }
        best.push(place);
        rows.insert(row.cells.id, Candidate { cells: row.cells, behavior: row.behavior, kind: row.kind });
    });
    let mut items = Vec::with_capacity(best.len());
    for (_, id) in best.into_sorted_vec() {
        let Some(Candidate { cells, behavior, kind }) = rows.remove(&id) else { continue };
        // A process that ended since the sweep has no strings any more and is left out.
        call.desk.source.process(id, &mut |row| {
            let ranked = ProcessRow { cells, name: row.name, application: row.application, behavior, kind };
            items.push(ProcessShort::new(&ranked, &node));
        });
    }
    Answer::of(&Items::cut(items, total, matched))
}
