//! Events of the node: they are there before anything else, anybody may publish them, and `core` tells what happens.

use crate::applications::Trial;
use crate::world::{Fail, Note, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{CoreEvent, EventError, LinkError, LogLevel};
use std::sync::mpsc::{Sender, channel};

/// Writes down what the event `core` says.
struct Witness {
    tell: Sender<String>,
}

#[actor]
impl Witness {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.subscribe::<CoreEvent>("core")?;
        Ok(())
    }
    #[handle]
    fn core(&mut self, event: Event<CoreEvent>, _cx: &mut Context<'_>) -> ActorResult {
        let text = match &*event {
            CoreEvent::AppLoaded { name } => format!("loaded {name}"),
            CoreEvent::AppStarted { name, mode } => format!("started {name} {mode}"),
            CoreEvent::AppStopping { name, reason } => format!("stopping {name} {reason}"),
            CoreEvent::AppStopped { name, mode, reason } => format!("stopped {name} {mode} {reason}"),
            CoreEvent::AppUnloaded { name } => format!("unloaded {name}"),
            CoreEvent::NodeConnected { name } => format!("connected {name}"),
            CoreEvent::NodeDisconnected { name } => format!("disconnected {name}"),
            other => format!("{other:?}"),
        };
        let _nobody_listens = self.tell.send(text);
        Ok(())
    }
}

both! {
    fn the_core_event_tells_what_happens_to_applications(world, other) {
        world.load(Trial::new("app", &[("one", other)]).0).unwrap();
        // Who comes later gets what was kept.
        let (tell, heard) = channel();
        world.spawn(other, move || Witness { tell }, SpawnOptions::new()).unwrap();
        world.start_app("app").unwrap();
        world.send(world.whereis("one").unwrap(), Fail("crash")).unwrap();
        let mut lines = Vec::new();
        world.until("all is told", |_| {
            lines.extend(heard.try_iter());
            lines.len() == 4
        });
        assert_eq!(lines, ["loaded app", "started app temporary", "stopping app normal", "stopped app temporary normal"]);
        let producers: Vec<_> = match world {
            World::Simulated(sim) => sim.events(),
            World::Real(node) => node.stats().events(),
        };
        let core = producers.iter().find(|event| &*event.name == "core").unwrap();
        assert_eq!((core.options.buffer, core.options.open), (1000, false));
    }

    fn nobody_publishes_or_takes_the_core_event(world, other) {
        let (puppet, _) = world.puppet(other, SpawnOptions::new());
        let tried = world.run(puppet, |cx| {
            let event = CoreEvent::AppLoaded { name: "forged".into() };
            let published = cx.publish_by_name("core", event);
            let taken = cx.register_event::<Note>("core", EventOptions::new()).map(|_| ());
            let removed = cx.unregister_event("core");
            format!("{published:?} {taken:?} {removed:?}")
        });
        let refused = (EventError::NotOwner, EventError::Taken, EventError::NotOwner);
        assert_eq!(tried, format!("Err({:?}) Err({:?}) Err({:?})", refused.0, refused.1, refused.2));
    }

    fn the_process_behind_it_cannot_be_ended(world, other) {
        let (puppet, _) = world.puppet(other, SpawnOptions::new());
        let mut steward = puppet;
        steward.local = match world {
            World::Simulated(sim) => sim.events(),
            World::Real(node) => node.stats().events(),
        }.iter().find(|event| &*event.name == "core").unwrap().producer;
        world.kill(steward);
        let _told = world.exit(steward, ExitReason::Kill);
        let exited = world.run(puppet, move |cx| {
            cx.kill(steward);
            format!("{:?}", cx.exit(steward, ExitReason::Shutdown).err().map(|error: LinkError| error.to_string()))
        });
        assert_eq!(exited, "None", "it hears of it, and stays");
        world.load(Trial::new("app", &[("one", 0)]).0).unwrap();
        world.start_app("app").unwrap();
        world.stop_app("app").unwrap();
    }
}

fn node() -> shard_runtime::NodeBuilder {
    Node::builder("events@localhost").shards(2).log_level(LogLevel::Panic)
}

#[test]
fn events_of_the_node_are_open_and_there_before_applications() {
    /// Publishes in its `init`.
    struct Early;
    #[actor]
    impl Early {
        fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
            cx.publish_by_name("news", Note(7))?;
            Ok(())
        }
    }
    struct App;
    impl shard_runtime::Application for App {
        fn name(&self) -> &str {
            "early"
        }
        fn spec(&self) -> shard_runtime::AppSpec {
            shard_runtime::AppSpec::new().member(|| Early, SpawnOptions::new().on_shard(1))
        }
    }
    let started = node().event::<Note>("news", 4).app(App).start().unwrap();
    let mut world = World::Real(started);
    let (subscriber, reports) = world.puppet(1, SpawnOptions::new());
    // Another process publishes, too; the subscriber gets what was kept first.
    let subscribed = world.run(subscriber, |cx| format!("{:?}", cx.subscribe::<Note>("news").is_ok()));
    assert_eq!(subscribed, "true");
    let (other, _) = world.puppet(0, SpawnOptions::new());
    assert_eq!(world.run(other, |cx| format!("{}", cx.publish_by_name("news", Note(8)).is_ok())), "true");
    assert_eq!(reports.next(&mut world), "news #1 note 7");
    assert_eq!(reports.next(&mut world), "news #2 note 8");
}

#[test]
fn an_event_that_cannot_be_registered_is_an_error_of_the_start() {
    let twice = node().event::<Note>("news", 1).event::<Note>("news", 1).start();
    match twice {
        Err(NodeError::Event { name, source }) => {
            assert_eq!((name.as_str(), source), ("news", EventError::Taken))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_core_event_tells_of_sessions() {
    let start =
        |name: &str| Node::builder(name).listen("127.0.0.1:0").cookie("a secret").log_level(LogLevel::Panic);
    let one = start("one@localhost").start().unwrap();
    let (tell, heard) = channel();
    one.spawn(move || Witness { tell }, SpawnOptions::new()).unwrap();
    let at = one.listen_address().unwrap().to_string();
    let two = start("two@localhost").route("one@localhost", at).start().unwrap();
    let next = || heard.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert_eq!(next(), "connected two@localhost");
    two.stop();
    assert_eq!(next(), "disconnected two@localhost");
}
