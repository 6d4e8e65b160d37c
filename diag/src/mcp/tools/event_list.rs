//! `event_list`: events by filter and rank. Reads memory only, also while every shard is stuck.

use std::cmp::Reverse;

use crate::mcp::args::{Param, Shape};
use crate::mcp::error::ToolError;
use crate::mcp::records::EventInfo;
use crate::mcp::tool::{Answer, Call, Items, ROWS_MAX, Tool, at_once, output_of};
use crate::snapshot::EVENT_STATES;
use crate::source::EventRow;

pub(super) const TOOL: Tool = Tool {
    name: "event_list",
    title: "Events",
    help: "Events that processes of a node have registered, by filter and rank. UtilizationState tells what use is made \
           of each; Lost counts what full mailboxes refused.",
    params: &[
        Param::int("limit", 0, ROWS_MAX, 100, "Most rows to return; 0 is 10000."),
        Param::optional("name", Shape::Text, "Part of the event's name."),
        Param::optional("producer", Shape::Text, "Part of the producer's pid or registered name."),
        Param::optional("notify", Shape::Flag, "Whether the producer is told of subscribers."),
        Param::optional("open", Shape::Flag, "Whether anybody may publish it."),
        Param::optional("has_buffer", Shape::Flag, "Whether publications are kept for later subscribers."),
        Param::bound("min_subscribers", "Least subscribers."),
        Param::bound("max_subscribers", "Most subscribers."),
        Param::bound("min_published", "Least publications."),
        Param::bound("max_published", "Most publications."),
        Param::bound("min_local_sent", "Least messages to processes of this node."),
        Param::bound("min_remote_sent", "Least messages to peers."),
        Param::bound("stale_sec", "Published once, and not for so many seconds."),
        Param::optional("utilization_state", Shape::Choice(&EVENT_STATES), "What use is made of it."),
        Param::optional(
            "sort_by",
            Shape::Choice(&["subscribers", "published", "local_sent", "remote_sent"]),
            "Rank, largest first; by name without it.",
        ),
    ],
    output: output_of::<Items<EventInfo>>,
    idempotent: true,
    run: |call| at_once(run(&call)),
};

/// A number of an event.
type Field = fn(&EventRow) -> u64;

fn run(call: &Call) -> Result<Answer, ToolError> {
    let args = &call.args;
    let least: [(&str, Field); 4] = [
        ("min_subscribers", |row| row.subscribers),
        ("min_published", |row| row.published),
        ("min_local_sent", |row| row.local_sent),
        ("min_remote_sent", |row| row.remote_sent),
    ];
    let most: [(&str, Field); 2] =
        [("max_subscribers", |row| row.subscribers), ("max_published", |row| row.published)];
    let same = |name: &str, is: bool| !args.has(name) || args.flag(name) == is;
    let is_stale = |row: &EventRow| {
        args.int("stale_sec").is_none_or(|limit| {
            let age = row.last_published.map(|last| last.elapsed().unwrap_or_default().as_secs());
            age.is_some_and(|age| age >= limit)
        })
    };
    let mut rows = call.desk.source.events();
    let total = rows.len() as u64;
    let part = args.text("name").unwrap_or_default();
    rows.retain(|row| {
        row.name.contains(part)
            && same("notify", row.notify)
            && same("open", row.open)
            && same("has_buffer", row.buffer > 0)
            && least.iter().all(|(name, field)| args.int(name).is_none_or(|bound| field(row) >= bound))
            && most.iter().all(|(name, field)| args.int(name).is_none_or(|bound| field(row) <= bound))
            && args.text("utilization_state").is_none_or(|state| state == row.utilization)
            && is_stale(row)
            && args.text("producer").is_none_or(|part| EventInfo::is_of(call, row, part))
    });
    match args.text("sort_by") {
        Some("subscribers") => rows.sort_by_key(|row| Reverse(row.subscribers)),
        Some("published") => rows.sort_by_key(|row| Reverse(row.published)),
        Some("local_sent") => rows.sort_by_key(|row| Reverse(row.local_sent)),
        Some("remote_sent") => rows.sort_by_key(|row| Reverse(row.remote_sent)),
        _ => {}
    }
    let matched = rows.len() as u64;
    let limit = match args.int("limit").unwrap_or(100) {
        0 => ROWS_MAX,
        limit => limit,
    };
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Answer::of(&Items::cut(rows.iter().map(|row| EventInfo::of(call, row)).collect(), total, matched))
}
