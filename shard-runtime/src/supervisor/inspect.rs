//! A supervisor's answer to an inspect request: the keys that playbooks read.

use super::event::Phase;
use super::snapshot::{ChildState, Snapshot};
use super::spec::{Strategy, SupervisorType};
use crate::actor::Inspect;
use crate::error::ExitReason;
use shard_wire::Pid;

/// Reports a snapshot. The item `history` adds the last restarts.
pub(super) fn report(snapshot: &Snapshot<Pid, ExitReason>, out: &mut Inspect) {
    let kind = match snapshot.kind {
        SupervisorType::OneForOne => "One For One",
        SupervisorType::AllForOne => "All For One",
        SupervisorType::RestForOne => "Rest For One",
        SupervisorType::SimpleOneForOne => "Simple One For One",
    };
    let strategy = match snapshot.strategy {
        Strategy::Transient => "Transient",
        Strategy::Temporary => "Temporary",
        Strategy::Permanent => "Permanent",
    };
    let phase = match snapshot.phase {
        Phase::Created => "created",
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Stopping => "stopping",
        Phase::ShuttingDown => "shutting down",
        Phase::Ended => "ended",
    };
    out.set_base("type", kind);
    out.set_base("strategy", strategy);
    out.set_base("intensity", snapshot.intensity);
    out.set_base("period", snapshot.period.as_secs_f64());
    out.set_base("keep_order", snapshot.keep_order);
    out.set_base("auto_shutdown", snapshot.auto_shutdown);
    out.set_base("phase", phase);
    // Restarts within the period now, which count against the intensity; all of them ever are the total.
    out.set_base("restarts_count", snapshot.intensity_used);
    out.set_base("restarts_total", snapshot.restarts_count);
    if let Some(last) = snapshot.history.last() {
        out.set_base("last_restart_child", &last.name);
        out.set_base("last_restart_reason", &last.reason);
    }
    if snapshot.kind == SupervisorType::SimpleOneForOne {
        out.set_base("specs_total", snapshot.specs_total);
        out.set_base("specs_disabled", snapshot.specs_disabled);
        out.set_base("instances_total", snapshot.children_total);
    } else {
        out.set_base("children_total", snapshot.children_total);
        out.set_base("children_running", snapshot.children_running);
        out.set_base("children_disabled", snapshot.specs_disabled);
    }
    for spec in &snapshot.specs {
        out.set(&format!("child:{}:restarts", spec.name), spec.restarts);
        if spec.disabled {
            out.set(&format!("child:{}:disabled", spec.name), true);
        }
    }
    for child in &snapshot.children {
        let state = match child.state {
            ChildState::Running => child.pid.map_or_else(String::new, |pid| pid.to_string()),
            other => format!("{other:?}"),
        };
        out.set(&format!("child:{}:{}", child.name, child.id.number()), state);
    }
    if out.items().iter().any(|item| item == "history") {
        out.set("history", snapshot.history.len());
        for (n, record) in snapshot.history.iter().enumerate() {
            let seconds = record.time_ns as f64 / 1e9;
            out.set(&format!("history:{n}"), format_args!("{seconds:.3} {} {}", record.name, record.reason));
        }
    }
}
