//! The log to and from `tracing`: a logger that hands records to the subscriber of the OS process, and a layer that takes its events.
//!
//! Invariant: B1 what came from the log does not come back to it: the layer leaves out what has the logger's target.
//! Cost: an event that is kept allocates its fields on the thread that writes it; one below the level is not formatted.

use crate::node::Node;
use crate::reactor::sim::Simulation;
use crate::shard::{LogLevel, with_current};
use crate::shared::NodeShared;
use crate::tap::{LogRecord, LogSink, LogSource, Writer};
use shard_wire::NodeName;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Weak};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The target of what comes from a node's log.
const TARGET: &str = "shard_runtime";

/// Hands records to the subscriber of the OS process, as events with the target `shard_runtime`. Needs the feature `tracing`.
///
/// Fields: `node`; for a process `pid`, `name` and `behavior`; `peer` for the network, `application` for an application; `panic`
/// is set for the level that `tracing` does not have; values of the record are in `fields`, as `key=value`. The time is that
/// of the log thread, a moment after the record's own.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct TracingSink {}

impl LogSink for TracingSink {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        let (mut pid, mut title, mut actor, mut other, mut application) = (None, None, None, None, None);
        match &record.source {
            LogSource::Node => {}
            LogSource::Network { peer } => other = peer.as_ref().map(NodeName::as_str),
            LogSource::Application { name } => application = Some(&**name),
            LogSource::Process { pid: id, name, behavior } => {
                pid = Some(id.short(node.crc()).to_string());
                (title, actor) = (name.as_deref(), Some(*behavior));
            }
        }
        let fields = (!record.fields.is_empty()).then(|| joined(&record.fields));
        let panic = (record.level == LogLevel::Panic).then_some(true);
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: TARGET,
                    Level::$level,
                    node = node.as_str(),
                    pid,
                    name = title,
                    behavior = actor,
                    peer = other,
                    application,
                    panic,
                    fields,
                    "{}",
                    record.text
                )
            };
        }
        match record.level {
            LogLevel::Trace => event!(TRACE),
            LogLevel::Debug => event!(DEBUG),
            LogLevel::Info => event!(INFO),
            LogLevel::Warning => event!(WARN),
            LogLevel::Error | LogLevel::Panic => event!(ERROR),
            LogLevel::Disabled => {}
        }
    }
}

fn joined(fields: &[(&'static str, String)]) -> String {
    let mut text = String::new();
    for (key, value) in fields {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _never = write!(text, "{space}{key}={value}");
    }
    text
}

/// A layer that writes events to a node's log: as the process whose handler runs on this thread, with its level, else as the node.
/// Needs the feature `tracing`. What it returns from [`Node::tracing_layer`] goes into a registry of `tracing-subscriber`.
///
/// The event's `target` and the values of its spans become fields. Events of a node's own log are left out. When the node has
/// stopped, nothing is written. A logger of the node that writes events itself would hear them again: keep those from this layer.
#[derive(Clone, Debug)]
pub struct LogLayer {
    node: Weak<NodeShared>,
}

impl LogLayer {
    fn new(node: &Arc<NodeShared>) -> Self {
        Self { node: Arc::downgrade(node) }
    }
}

/// What a span was given.
struct SpanValues(Vec<(&'static str, String)>);

/// Values of an event or a span, and the text of an event.
#[derive(Default)]
struct Values {
    text: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.text = value.to_owned();
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut values = Values::default();
        attributes.record(&mut values);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(SpanValues(values.fields));
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        record.record(&mut values);
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<SpanValues>()
        {
            known.0.append(&mut values.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(node) = self.node.upgrade().filter(|_| metadata.target() != TARGET) else { return };
        let level = level_of(*metadata.level());
        let values = || {
            let mut values = Values::default();
            values.fields.push(("target", metadata.target().to_owned()));
            for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
                if let Some(known) = span.extensions().get::<SpanValues>() {
                    values.fields.extend(known.0.iter().cloned());
                }
            }
            event.record(&mut values);
            values
        };
        with_current(|shard| match shard.filter(|shard| Arc::ptr_eq(shard.node(), &node)) {
            Some(shard) if shard.is_logged(level) => {
                let Values { text, fields } = values();
                shard.log_own(level, text, fields);
            }
            None if node.log().is_on(level) => {
                let Values { text, fields } = values();
                node.log().outside(level, Writer::Node, text, fields);
            }
            _ => {}
        });
    }
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::TRACE => LogLevel::Trace,
        Level::DEBUG => LogLevel::Debug,
        Level::INFO => LogLevel::Info,
        Level::WARN => LogLevel::Warning,
        Level::ERROR => LogLevel::Error,
    }
}

macro_rules! layers {
    ($owner:ty) => {
        impl $owner {
            /// A layer for a registry of `tracing-subscriber` that writes events to this node's log. Needs the feature `tracing`.
            #[must_use]
            pub fn tracing_layer(&self) -> LogLayer {
                LogLayer::new(self.shared())
            }
        }
    };
}

layers!(Node);
layers!(Simulation);
