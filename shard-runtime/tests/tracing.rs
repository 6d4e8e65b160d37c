//! The log to and from `tracing`.

use shard_runtime::prelude::*;
use shard_runtime::{LogLevel, LogLevels, LogRecord, LogSource, MemorySink, Simulation, TracingSink};
use std::fmt::Debug;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

const LIMIT: Duration = Duration::from_secs(20);

#[message(local)]
struct Sell(u32);

#[message(local)]
struct Say(&'static str);

struct Shop;

#[actor]
impl Shop {
    #[handle]
    fn say(&mut self, m: Say, cx: &mut Context<'_>) -> ActorResult {
        cx.log().with("order", 7).info(m.0);
        Ok(())
    }

    #[handle]
    fn sell(&mut self, m: Sell, cx: &mut Context<'_>) -> ActorResult {
        let request = tracing::info_span!("request", id = 3, user = tracing::field::Empty);
        request.record("user", "me");
        let _inside = request.enter();
        tracing::warn!(order = m.0, "sold");
        tracing::debug!("below the level");
        cx.set_log_level(Some(LogLevel::Error));
        tracing::warn!("below the level of the process");
        Ok(())
    }
}

fn simulation() -> (Simulation, MemorySink) {
    let memory = MemorySink::new(100);
    let log = Box::new(memory.clone());
    (Simulation::with_log("log@localhost", 1, 1, LogLevel::Info, log).unwrap(), memory)
}

fn lines(sim: &Simulation, memory: &MemorySink) -> Vec<LogRecord> {
    assert!(sim.flush_log(LIMIT));
    memory.records()
}

#[test]
fn events_are_lines_of_the_process_whose_handler_runs_and_else_of_the_node() {
    let (mut sim, memory) = simulation();
    let shop = sim.spawn(0, || Shop, &SpawnOptions::named("shop")).unwrap();
    tracing::subscriber::with_default(Registry::default().with(sim.tracing_layer()), || {
        sim.send(shop, Sell(7)).unwrap();
        sim.run();
        tracing::error!(target: "elsewhere", "outside");
        tracing::debug!("below the level of the node");
    });
    let mut lines = lines(&sim, &memory);
    // Lines of different threads have no order.
    lines.sort_by_key(|line| line.level);
    let [sold, outside] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((sold.level, &*sold.text, sold.pid), (LogLevel::Warning, "sold", Some(shop)));
    assert!(matches!(&sold.source, LogSource::Process { name: Some(name), .. } if &**name == "shop"));
    let fields: Vec<_> = sold.fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
    assert_eq!(fields, [("target", "tracing"), ("id", "3"), ("user", "me"), ("order", "7")]);
    assert_eq!(
        (outside.level, &*outside.text, &outside.source),
        (LogLevel::Error, "outside", &LogSource::Node)
    );
    assert_eq!(outside.fields, [("target", "elsewhere".to_owned())]);
    assert_eq!(sim.counters().log, [0, 0, 0, 1, 0, 0], "the line of the process is counted on its shard");
}

/// Keeps what it hears as one text.
struct Ear(Sender<String>);

struct Heard(String);

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut heard = Heard(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut heard);
        // The test may be over.
        let _unheard = self.0.send(heard.0);
    }
}

#[test]
fn lines_are_events_of_the_subscriber_and_do_not_come_back() {
    let (mut sim, memory) = simulation();
    let (ear, heard): (_, Receiver<String>) = channel();
    // The log thread has no subscriber of its own.
    tracing::subscriber::set_global_default(Registry::default().with(sim.tracing_layer()).with(Ear(ear)))
        .unwrap();
    sim.logger_add("tracing", TracingSink::default(), LogLevels::ALL).unwrap();
    let shop = sim.spawn(0, || Shop, &SpawnOptions::named("shop")).unwrap();
    sim.send(shop, Say("from the log")).unwrap();
    sim.run();
    let line = heard.recv_timeout(LIMIT).unwrap();
    assert!(
        line.starts_with("INFO shard_runtime message=from the log node=\"log@localhost\" pid=\"<"),
        "{line}"
    );
    assert!(line.contains("name=\"shop\"") && line.contains("fields=\"order=7\""), "{line}");
    assert_eq!(lines(&sim, &memory).len(), 1);
}
