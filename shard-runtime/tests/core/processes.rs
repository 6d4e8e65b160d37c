//! A process from spawn to end: states, init, options, reasons, family, environment, placement.

use crate::world::{Act, Custom, Fail, Never, Note, Panic, Puppet, Stop, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{CallError, Placement, ProcessState, SpawnError};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// `init` does as it is told.
struct Starter {
    how: How,
    tell: Sender<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Well,
    Slowly(Duration),
    Failing,
    Panicking,
    Never,
}

#[actor]
impl Starter {
    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        match self.how {
            How::Well => {}
            How::Slowly(time) => cx.sleep(time).await,
            How::Failing => return Err(Custom("init").into()),
            How::Panicking => panic!("told to"),
            How::Never => std::future::pending().await,
        }
        self.tell.send("up".into())?;
        Ok(())
    }
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        let _nobody_listens = self.tell.send(format!("terminate {reason}"));
    }
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.tell.send(format!("note {}", m.0))?;
        Ok(())
    }
}

/// Has a puppet start a starter and say what came of it.
fn start(world: &mut World, parent: Pid, how: How, options: SpawnOptions) -> (String, Vec<String>) {
    let (tell, told) = channel();
    let said = world.run_async(parent, move |cx| {
        Box::pin(async move {
            match cx.spawn_wait(move || Starter { how, tell }, options).await {
                Ok(_) => "started".to_owned(),
                Err(error) => error.to_string(),
            }
        })
    });
    (said.unwrap(), told.try_iter().collect())
}

both! {
    fn a_spawner_learns_whether_init_succeeded(world, other) {
        let (parent, reports) = world.puppet(0, SpawnOptions::new().trap_exit());
        let there = || SpawnOptions::new().on_shard(other).link_child();
        let (said, told) = start(world, parent, How::Well, there());
        assert_eq!((said.as_str(), told), ("started", vec!["up".to_owned()]));
        let (said, told) = start(world, parent, How::Slowly(Duration::from_millis(20)), there());
        assert_eq!((said.as_str(), told), ("started", vec!["up".to_owned()]));
        let (said, told) = start(world, parent, How::Failing, there().with_name("failing"));
        assert_eq!((said.as_str(), told), ("the process did not start: custom init", vec!["terminate custom init".to_owned()]));
        assert_eq!(world.whereis("failing"), None);
        let (said, _) = start(world, parent, How::Panicking, there());
        assert_eq!(said, "the process did not start: panic: told to");
        let (said, told) = start(world, parent, How::Never, there().with_init_timeout(Duration::from_millis(50)));
        assert_eq!(said, "the process did not start: init was not done within 50ms");
        assert_eq!(told, ["terminate init was not done within 50ms"]);
        // A failed start is told once, by the spawn: no exit signal comes.
        world.run(parent, |_| String::new());
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn messages_wait_for_init_and_a_kill_ends_it(world, other) {
        let (tell, told) = channel();
        let (parent, _reports) = world.puppet(other, SpawnOptions::new());
        world.run(parent, move |cx| {
            let how = How::Never;
            let pid = cx.spawn(move || Starter { how, tell }, SpawnOptions::named("starting")).unwrap();
            cx.send(pid, Note(1)).unwrap();
            String::new()
        });
        let pid = world.whereis("starting").unwrap();
        world.until("it waits in init", |world| {
            world.process(pid).is_some_and(|process| process.state == ProcessState::Init)
        });
        world.kill(pid);
        world.until_gone(pid);
        assert_eq!(told.recv().unwrap(), "terminate kill");
        assert_eq!(told.try_recv().ok(), None);
    }

    fn states_are_published(world, other) {
        let (sleeper, _reports) = world.puppet(other, SpawnOptions::new());
        let (caller, _caller_reports) = world.puppet(0, SpawnOptions::new());
        let is = |world: &World, pid, state| world.process(pid).is_some_and(|process| process.state == state);
        world.until("it sleeps", |world| is(world, sleeper, ProcessState::Sleep));
        world.send(caller, crate::world::ActAsync(Box::new(move |cx| Box::pin(async move {
            format!("{:?}", cx.call_timeout(sleeper, Never, Duration::from_secs(3600)).await)
        })))).unwrap();
        world.until("it waits", |world| is(world, caller, ProcessState::WaitResponse));
        assert_eq!(world.facts(caller).awaited, 1);
        world.kill(caller);
        world.until_gone(caller);
    }

    fn a_wait_can_be_cancelled(world, other) {
        let (callee, _reports) = world.puppet(other, SpawnOptions::new());
        let (caller, reports) = world.puppet(0, SpawnOptions::new());
        world.send(caller, crate::world::ActAsync(Box::new(move |cx| Box::pin(async move {
            let said = cx.call_timeout(callee, Never, Duration::from_secs(3600)).await;
            assert_eq!(said, Err(CallError::Canceled));
            cx.send(cx.pid(), Note(7)).unwrap();
            String::new()
        })))).unwrap();
        world.until("it waits", |world| {
            world.process(caller).is_some_and(|process| process.state == ProcessState::WaitResponse)
        });
        world.cancel_waits(caller);
        assert_eq!(reports.next(world), "note 7");
    }

    fn a_kill_of_a_waiting_process_is_immediate(world, other) {
        for waits in [true, false] {
            let (pid, reports) = world.puppet(other, SpawnOptions::new());
            if waits {
                world.send(pid, Never).unwrap();
                world.until("it waits", |world| world.process(pid).is_some_and(|process| process.messages_in == 1 && process.mailbox == 0));
            }
            world.kill(pid);
            world.until_gone(pid);
            assert_eq!(reports.next(world), "terminate kill");
        }
    }

    fn a_process_that_signals_itself_ends_with_the_message_in_hand(world, other) {
        let (pid, reports) = world.puppet(other, SpawnOptions::new());
        world.send(pid, Act(Box::new(|cx| {
            cx.send(cx.pid(), Note(1)).unwrap();
            cx.kill(cx.pid());
            String::new()
        }))).unwrap();
        assert_eq!(reports.next(world), "terminate kill");
        world.until_gone(pid);
        assert_eq!(reports.all(), Vec::<String>::new());
    }

    fn parent_leader_and_environment_are_inherited(world, other) {
        let top = SpawnOptions::new().with_env("Limit", 7_u32).with_env("token", String::from("secret"));
        let (top, _reports) = world.puppet(0, top);
        let said = world.run_async(top, move |cx| Box::pin(async move {
            let (tell, _) = channel();
            let options = SpawnOptions::named("middle").on_shard(other).with_env("token", 9_u8).with_leader(cx.pid());
            cx.spawn_wait(move || Puppet { tell, note: String::new() }, options).await.unwrap();
            cx.set_env("limit", 8_u32);
            format!("{:?} {:?}", cx.env::<u32>("LIMIT"), cx.env::<String>("limit"))
        })).unwrap();
        assert_eq!(said, "Some(8) None");
        let middle = world.whereis("middle").unwrap();
        let said = world.run(middle, move |cx| {
            let (tell, _) = channel();
            cx.spawn(move || Puppet { tell, note: String::new() }, SpawnOptions::named("leaf")).unwrap();
            format!("{:?} {:?} {:?} {}", cx.env::<u32>("limit"), cx.env::<u8>("token"), cx.remove_env("nothing"), cx.parent() == top)
        });
        assert_eq!(said, "Some(7) Some(9) false true");
        let leaf = world.whereis("leaf").unwrap();
        let facts = world.facts(leaf);
        assert_eq!((facts.parent, facts.leader, facts.env), (middle, top, vec!["LIMIT".to_owned(), "TOKEN".to_owned()]));
        let core = world.facts(top);
        assert_eq!((core.parent, core.leader), (core.parent, core.parent));
        assert_eq!(core.parent.local, shard_runtime::wire::LocalId::CORE);
    }

    fn a_process_starts_where_its_placement_says(world, other) {
        let shards = other + 1;
        let (parent, _reports) = world.puppet(other, SpawnOptions::new());
        let place = move |world: &mut World, placement: Placement| {
            let said = world.run_async(parent, move |cx| Box::pin(async move {
                let (tell, _) = channel();
                let options = SpawnOptions::new().with_placement(placement);
                match cx.spawn_wait(move || Puppet { tell, note: String::new() }, options).await {
                    Ok(pid) => pid.local.shard().to_string(),
                    Err(error) => error.to_string(),
                }
            }));
            said.unwrap()
        };
        assert_eq!(place(world, Placement::Caller), other.to_string());
        assert_eq!(place(world, Placement::Shard(0)), "0");
        assert_eq!(place(world, Placement::Shard(shards)), format!("there is no shard {shards} on this node; it has {shards}"));
        let key = Placement::by_key(&"order-17");
        assert_eq!(place(world, key), place(world, key));
        let least: Vec<String> = (0..20).map(|_| place(world, Placement::LeastLoaded)).collect();
        for shard in 0..shards {
            assert!(least.contains(&shard.to_string()), "{least:?}");
        }
        let said = world.run(parent, move |cx| {
            let (tell, _) = channel();
            let options = SpawnOptions::new().on_shard(if other == 0 { 1 } else { 0 });
            format!("{:?}", cx.spawn(move || Puppet { tell, note: String::new() }, options).is_err_and(|error| matches!(error, SpawnError::OtherShard)))
        });
        assert_eq!(said, "true");
    }

    fn an_end_drops_what_is_queued_and_says_so(world, other) {
        let (pid, reports) = world.puppet(other, SpawnOptions::new());
        let before = world.counters();
        world.send(pid, Never).unwrap();
        for n in 0..5 {
            world.send(pid, Note(n)).unwrap();
        }
        world.until("all are queued", |world| world.process(pid).is_some_and(|process| process.mailbox == 5));
        world.kill(pid);
        assert_eq!(reports.next(world), "terminate kill");
        world.until_gone(pid);
        // It is gone before what it had is dropped, so that nothing can be sent to it meanwhile.
        world.until("all is counted", |world| {
            let after = world.counters();
            (after.mailbox_lost - before.mailbox_lost, after.interrupted - before.interrupted) == (5, 1)
        });
        assert!(world.send(pid, Note(9)).is_err());
    }

    fn the_node_sends_exits_that_can_be_trapped(world, other) {
        let (pid, reports) = world.puppet(other, SpawnOptions::new());
        assert_eq!(world.exit(pid, ExitReason::custom(Custom("node"))), Ok(()));
        assert_eq!(reports.next(world), "terminate custom node");
        world.until_gone(pid);
        assert_eq!(world.exit(pid, ExitReason::Shutdown), Err(shard_runtime::LinkError::NoProcess));
        // The node's core process is the parent of what it spawned: its exit is not trapped.
        let (pid, reports) = world.puppet(other, SpawnOptions::new().trap_exit());
        assert_eq!(world.exit(pid, ExitReason::Shutdown), Ok(()));
        assert_eq!(reports.next(world), "terminate shutdown");
    }

    fn each_reason_reaches_terminate(world, other) {
        for (n, text) in ["terminate custom boom", "terminate panic: told to", "terminate normal", "terminate custom exit", "terminate shutdown"].iter().enumerate() {
            let (pid, reports) = world.puppet(other, SpawnOptions::new());
            match n {
                0 => world.send(pid, Fail("boom")).unwrap(),
                1 => world.send(pid, Panic).unwrap(),
                2 => world.send(pid, Stop).unwrap(),
                _ => {
                    let (killer, _) = world.puppet(0, SpawnOptions::new());
                    world.run(killer, move |cx| {
                        let reason = if n == 3 { ExitReason::custom(Custom("exit")) } else { ExitReason::Shutdown };
                        format!("{:?}", cx.exit(pid, reason))
                    });
                }
            }
            assert_eq!(reports.next(world), *text);
            world.until_gone(pid);
        }
    }
}
