//! Applications: states that no end of a member slips past, order, modes, hooks with limits, stops that leave nothing behind.

use crate::world::{Act, ActAsync, Custom, Fail, Note, Puppet, Reports, Stop, World, both};
use shard_runtime::prelude::*;
use shard_runtime::{
    AppContext, AppError, AppFailure, AppInfo, AppMode, AppSpec, AppState, Application, Backoff, CoreEvent,
    LogLevel, Simulation, SimulationOptions, StderrSink,
};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

impl World {
    pub(crate) fn load(&mut self, app: impl Application) -> Result<(), AppError> {
        match self {
            Self::Simulated(sim) => sim.load_app(app),
            Self::Real(node) => node.load_app(app),
        }
    }

    pub(crate) fn start_app(&mut self, name: &str) -> Result<(), AppError> {
        match self {
            Self::Simulated(sim) => sim.start_app(name),
            Self::Real(node) => node.start_app(name),
        }
    }

    fn start_as(&mut self, name: &str, mode: AppMode) -> Result<(), AppError> {
        match self {
            Self::Simulated(sim) => sim.start_app_as(name, Some(mode)),
            Self::Real(node) => node.start_app_as(name, mode),
        }
    }

    pub(crate) fn stop_app(&mut self, name: &str) -> Result<(), AppError> {
        match self {
            Self::Simulated(sim) => sim.stop_app(name),
            Self::Real(node) => node.stop_app_with_timeout(name, Duration::from_secs(20)),
        }
    }

    fn force(&mut self, name: &str) -> Result<(), AppError> {
        match self {
            Self::Simulated(sim) => sim.stop_app_force(name),
            Self::Real(node) => node.stop_app_force(name),
        }
    }

    fn unload(&mut self, name: &str) -> Result<(), AppError> {
        match self {
            Self::Simulated(sim) => sim.unload_app(name),
            Self::Real(node) => node.unload_app(name),
        }
    }

    pub(crate) fn app(&self, name: &str) -> Option<AppInfo> {
        match self {
            Self::Simulated(sim) => sim.app(name),
            Self::Real(node) => node.app(name),
        }
    }

    fn until_state(&mut self, name: &str, state: AppState) {
        self.until("the application's state", |world| world.app(name).unwrap().state == state);
    }
}

/// What an application under test does in its hooks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    Fails,
    Panics,
    Hangs,
}

/// An application whose members are puppets and whose hooks report.
pub(crate) struct Trial {
    name: &'static str,
    spec: AppSpec,
    tell: Sender<String>,
    init: Does,
    start: Does,
    stop: Does,
}

impl Trial {
    /// One with these members, each on a shard of its own.
    pub(crate) fn new(name: &'static str, members: &[(&'static str, u16)]) -> (Self, Reports) {
        let (tell, reports) = channel();
        let mut spec = AppSpec::new();
        for (member, shard) in members {
            let options = SpawnOptions::named(*member).on_shard(*shard);
            spec = spec.member(puppet(member, &tell), options);
        }
        let nothing = Does::Nothing;
        (Self { name, spec, tell, init: nothing, start: nothing, stop: nothing }, Reports::of(reports))
    }

    pub(crate) fn spec(mut self, change: impl FnOnce(AppSpec) -> AppSpec) -> Self {
        self.spec = change(self.spec);
        self
    }

    async fn act(&self, hook: &str, does: Does, cx: &AppContext<'_>) -> ActorResult {
        let _nobody_listens = self.tell.send(format!("{} {hook} {}", self.name, cx.mode().name()));
        match does {
            Does::Nothing => {}
            Does::Fails => return Err(Custom("told to").into()),
            Does::Panics => panic!("told to"),
            Does::Hangs => {
                cx.sleep(Duration::from_secs(1_000_000)).await;
            }
        }
        Ok(())
    }
}

fn puppet(member: &'static str, tell: &Sender<String>) -> impl Fn() -> Member + Send + Sync + 'static {
    let tell = tell.clone();
    move || Member { name: member, inner: Puppet { tell: tell.clone(), note: member.into() } }
}

/// A puppet that says which one it is when it ends.
struct Member {
    name: &'static str,
    inner: Puppet,
}

#[actor]
impl Member {
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        let _nobody_listens = self.inner.tell.send(format!("{} ends {reason}", self.name));
    }
    #[handle]
    fn act(&mut self, m: Act, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx))
    }
    #[handle]
    async fn act_async(&mut self, m: ActAsync, cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok((m.0)(cx).await)
    }
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        let _nobody_listens = self.inner.tell.send(format!("{} note {}", self.name, m.0));
        Ok(())
    }
    #[handle]
    fn fail(&mut self, m: Fail, _cx: &mut Context<'_>) -> ActorResult {
        Err(Custom(m.0).into())
    }
    #[handle]
    fn stop(&mut self, _: Stop, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

impl Application for Trial {
    fn name(&self) -> &str {
        self.name
    }
    fn spec(&self) -> AppSpec {
        self.spec.clone()
    }
    async fn init(&mut self, cx: &AppContext<'_>) -> ActorResult {
        self.act("init", self.init, cx).await
    }
    async fn start(&mut self, cx: &AppContext<'_>) {
        let _ignored = self.act("start", self.start, cx).await;
    }
    async fn stop(&mut self, cx: &AppContext<'_>) {
        let _ignored = self.act("stop", self.stop, cx).await;
    }
    async fn terminate(&mut self, reason: &ExitReason, _cx: &AppContext<'_>) {
        let _nobody_listens = self.tell.send(format!("{} terminate {reason}", self.name));
    }
}

/// Ends in its `init`, or right after it.
struct Brief(bool);
#[actor]
impl Brief {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if self.0 {
            return Err(Custom("no start").into());
        }
        cx.send(cx.pid(), Stop)?;
        Ok(())
    }
    #[handle]
    fn stop(&mut self, _: Stop, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

/// The application of the process that runs it, its parent and leader.
fn family(cx: &mut Context<'_>) -> String {
    let is_core = |pid| if pid == cx.core() { "core" } else { "?" };
    format!("{} {} {}", cx.application().unwrap_or("none"), is_core(cx.parent()), is_core(cx.leader()))
}

both! {
    fn members_start_in_order_and_end_in_the_opposite_one(world, other) {
        let (trial, reports) = Trial::new("shop", &[("one", 0), ("two", other), ("three", 0)]);
        world.load(trial.spec(|spec| spec.description("sells").version("1.2").weight(7).tag("eu"))).unwrap();
        let info = world.app("shop").unwrap();
        assert_eq!((info.state, info.weight, &*info.version), (AppState::Loaded, 7, "1.2"));
        assert!(world.whereis("one").is_none(), "what is loaded does not run");
        world.start_app("shop").unwrap();
        let pids = ["one", "two", "three"].map(|name| world.whereis(name).unwrap());
        let info = world.app("shop").unwrap();
        assert_eq!(info.state, AppState::Running);
        assert_eq!(info.members, pids.map(|pid| pid.local), "in the order of their start");
        for pid in pids {
            assert_eq!(world.run(pid, family), "shop core core");
        }
        world.pass(Duration::from_secs(3));
        world.until("it has been running", |world| world.app("shop").unwrap().uptime > Duration::ZERO);
        world.stop_app("shop").unwrap();
        assert_eq!(world.app("shop").unwrap().state, AppState::Loaded);
        let all: Vec<_> = (0..7).map(|_| reports.next(world)).collect();
        assert_eq!(all[..2], ["shop init temporary", "shop start temporary"]);
        assert_eq!(
            all[2..],
            ["shop stop temporary", "three ends shutdown", "two ends shutdown", "one ends shutdown", "shop terminate shutdown"]
        );
        // It can be started again, and unloaded when it does not run.
        world.start_app("shop").unwrap();
        assert!(matches!(world.unload("shop"), Err(AppError::Running(_))));
        assert!(matches!(world.start_app("shop"), Err(AppError::Running(_))));
        assert_eq!(world.app("shop").unwrap().starts, 2);
        world.stop_app("shop").unwrap();
        assert!(matches!(world.stop_app("shop"), Err(AppError::NotRunning(_))));
        world.unload("shop").unwrap();
        assert!(world.app("shop").is_none());
        assert!(matches!(world.start_app("shop"), Err(AppError::Unknown(_))));
    }

    fn errors_of_a_specification_are_typed(world, other) {
        let _ = other;
        assert!(matches!(world.load(Trial::new("none", &[]).0), Err(AppError::Empty(name)) if &*name == "none"));
        assert!(matches!(world.load(Trial::new("", &[("m", 0)]).0), Err(AppError::BadName(_))));
        world.load(Trial::new("one", &[("m", 0)]).0).unwrap();
        assert!(matches!(world.load(Trial::new("one", &[("n", 0)]).0), Err(AppError::Taken(_))));
        struct Bad;
        impl Application for Bad {
            fn name(&self) -> &str {
                "bad"
            }
            fn spec(&self) -> AppSpec {
                panic!("no specification")
            }
        }
        assert!(matches!(world.load(Bad), Err(AppError::SpecPanicked(text)) if text.contains("no specification")));
        world.load(Trial::new("net", &[("m", 0)]).0.spec(AppSpec::needs_network)).unwrap();
        assert!(matches!(world.start_app("net"), Err(AppError::NeedsNetwork(_))));
        for unknown in [world.stop_app("ghost"), world.unload("ghost"), world.start_app("ghost"), world.force("ghost")] {
            assert!(matches!(unknown, Err(AppError::Unknown(_))), "{unknown:?}");
        }
    }

    fn weight_and_tags_change_at_run_time(world, other) {
        let _ = other;
        world.load(Trial::new("app", &[("m", 0)]).0.spec(|spec| spec.tag("a").role("front", "m"))).unwrap();
        match world {
            World::Simulated(sim) => {
                sim.set_app_weight("app", 0).unwrap();
                sim.add_app_tag("app", "b").unwrap();
                sim.remove_app_tag("app", "a").unwrap();
                assert!(sim.set_app_weight("ghost", 1).is_err());
            }
            World::Real(node) => {
                node.set_app_weight("app", 0).unwrap();
                node.add_app_tag("app", "b").unwrap();
                node.remove_app_tag("app", "a").unwrap();
                assert!(node.add_app_tag("ghost", "x").is_err());
            }
        }
        let info = world.app("app").unwrap();
        assert_eq!((info.weight, info.tags), (1, vec!["b".to_owned()]), "a weight is at least 1");
        assert_eq!(info.roles, [("front".to_owned(), "m".to_owned())]);
    }

    fn dependencies_start_first_and_cannot_be_stopped_before(world, other) {
        let _ = other;
        world.load(Trial::new("web", &[("web", 0)]).0.spec(|spec| spec.depends_on("store"))).unwrap();
        match world.start_app("web") {
            Err(AppError::Depends { application, on, must_be }) => {
                assert_eq!((&*application, &*on, must_be), ("web", "store", "loaded"));
            }
            other => panic!("{other:?}"),
        }
        world.load(Trial::new("store", &[("store", 0)]).0).unwrap();
        world.start_app("web").unwrap();
        assert_eq!(world.app("store").unwrap().state, AppState::Running);
        assert!(matches!(world.stop_app("store"), Err(AppError::NeededBy { by, .. }) if &*by == "web"));
        world.stop_app("web").unwrap();
        world.stop_app("store").unwrap();
        // A circle that came up at run time.
        world.load(Trial::new("a", &[("a", 0)]).0.spec(|spec| spec.depends_on("b"))).unwrap();
        world.load(Trial::new("b", &[("b", 0)]).0.spec(|spec| spec.depends_on("a"))).unwrap();
        assert!(matches!(world.start_app("a"), Err(AppError::Cycle { path }) if path == ["a", "b", "a"]));
    }

    fn a_temporary_application_ends_with_its_last_member(world, other) {
        let (trial, reports) = Trial::new("app", &[("one", 0), ("two", other)]);
        world.load(trial).unwrap();
        world.start_app("app").unwrap();
        let (one, two) = (world.whereis("one").unwrap(), world.whereis("two").unwrap());
        world.send(one, Fail("crash")).unwrap();
        world.until_gone(one);
        world.until("one is left", |world| world.app("app").unwrap().members == [two.local]);
        assert_eq!(world.app("app").unwrap().state, AppState::Running, "nothing happens");
        world.send(two, Stop).unwrap();
        world.until_state("app", AppState::Loaded);
        assert_eq!(world.app("app").unwrap().last_reason.as_deref(), Some("normal"));
        let all = reports.all();
        assert!(all.contains(&"app terminate normal".to_owned()), "{all:?}");
        assert!(!all.iter().any(|line| line.starts_with("app stop")), "no drain: nobody asked for a stop");
    }

    fn a_transient_application_ends_with_an_abnormal_end(world, other) {
        let (trial, _reports) = Trial::new("app", &[("one", 0), ("two", other), ("three", 0)]);
        world.load(trial.spec(|spec| spec.mode(AppMode::Transient))).unwrap();
        world.start_app("app").unwrap();
        let (one, two) = (world.whereis("one").unwrap(), world.whereis("two").unwrap());
        world.send(one, Stop).unwrap();
        world.until("two are left", |world| world.app("app").unwrap().members.len() == 2);
        assert_eq!(world.app("app").unwrap().state, AppState::Running);
        world.send(two, Fail("crash")).unwrap();
        world.until_state("app", AppState::Loaded);
        assert_eq!(world.app("app").unwrap().last_reason.as_deref(), Some("custom crash"));
        assert!(world.whereis("three").is_none());
        // A later run tells its own reason, not that of the one before.
        world.start_app("app").unwrap();
        world.stop_app("app").unwrap();
        assert_eq!(world.app("app").unwrap().last_reason.as_deref(), Some("shutdown"));
        // If all end normally it ends, too.
        world.start_app("app").unwrap();
        for name in ["one", "two", "three"] {
            world.send(world.whereis(name).unwrap(), Stop).unwrap();
        }
        world.until_state("app", AppState::Loaded);
        assert_eq!(world.app("app").unwrap().last_reason.as_deref(), Some("normal"));
    }

    fn a_permanent_application_ends_with_any_member(world, other) {
        let (trial, _reports) = Trial::new("app", &[("one", 0), ("two", other)]);
        world.load(trial).unwrap();
        world.start_as("app", AppMode::Permanent).unwrap();
        assert_eq!(world.app("app").unwrap().mode, AppMode::Permanent, "the start may choose");
        world.send(world.whereis("two").unwrap(), Stop).unwrap();
        world.until_state("app", AppState::Loaded);
        assert_eq!(world.app("app").unwrap().last_reason.as_deref(), Some("normal"));
        assert!(world.whereis("one").is_none());
    }

    fn a_member_that_ends_at_once_is_not_missed(world, other) {
        for round in 0..20 {
            let (trial, _reports) = Trial::new("app", &[]);
            let spec = move |spec: AppSpec| {
                spec.member(|| Brief(false), SpawnOptions::new().on_shard(other))
                    .member(|| Brief(false), SpawnOptions::new())
            };
            world.load(trial.spec(spec)).unwrap();
            world.start_app("app").unwrap();
            world.until_state("app", AppState::Loaded);
            assert_eq!(world.app("app").unwrap().processes, 0, "round {round}");
            world.unload("app").unwrap();
        }
    }

    fn a_member_that_does_not_start_ends_the_others(world, other) {
        let (trial, reports) = Trial::new("app", &[("one", 0), ("two", other)]);
        let options = SpawnOptions::named("bad").on_shard(other);
        world.load(trial.spec(|spec| spec.member(|| Brief(true), options))).unwrap();
        match world.start_app("app") {
            Err(AppError::Member { member, reason, .. }) => {
                assert_eq!((&*member, reason.to_string().as_str()), ("bad", "custom no start"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(world.app("app").unwrap().state, AppState::Loaded);
        assert!(world.whereis("one").is_none() && world.whereis("two").is_none());
        let all = reports.all();
        assert_eq!(all[0], "app init temporary");
        assert!(all.contains(&"one ends kill".to_owned()) && all.contains(&"two ends kill".to_owned()), "{all:?}");
        assert_eq!(all.last().unwrap(), "app terminate custom no start");
        // A name that is taken is told, too.
        let (_holder, _) = world.puppet(0, SpawnOptions::named("taken"));
        world.load(Trial::new("late", &[("taken", 0)]).0).unwrap();
        assert!(matches!(world.start_app("late"), Err(AppError::Member { member, .. }) if &*member == "taken"));
    }

    fn an_init_that_fails_panics_or_hangs_starts_nothing(world, other) {
        let _ = other;
        for (name, does) in [("fails", Does::Fails), ("panics", Does::Panics), ("hangs", Does::Hangs)] {
            let (mut trial, reports) = Trial::new(name, &[("one", 0)]);
            trial.init = does;
            world.load(trial.spec(|spec| spec.init_timeout(Duration::from_millis(300)))).unwrap();
            let started = world.start_app(name);
            let is_right = match (&started, does) {
                (Err(AppError::Init { reason, .. }), Does::Fails) => reason.downcast_ref() == Some(&Custom("told to")),
                (Err(AppError::Init { reason, .. }), Does::Panics) => matches!(reason, ExitReason::Panic(_)),
                (Err(AppError::InitTimeout { limit, .. }), Does::Hangs) => *limit == Duration::from_millis(300),
                _ => false,
            };
            assert!(is_right, "{started:?}");
            assert_eq!(world.app(name).unwrap().state, AppState::Loaded);
            assert!(world.whereis("one").is_none());
            assert_eq!(reports.all(), [format!("{name} init temporary")], "`terminate` is not called");
        }
    }

    fn hooks_that_hang_are_cut_off_and_the_application_goes_on(world, other) {
        let _ = other;
        let (mut trial, reports) = Trial::new("app", &[("one", 0)]);
        (trial.start, trial.stop) = (Does::Hangs, Does::Hangs);
        let limit = Duration::from_millis(300);
        world.load(trial.spec(|spec| spec.start_timeout(limit).stop_timeout(limit))).unwrap();
        world.start_app("app").unwrap();
        world.until("the hook runs", |_| true);
        assert_eq!(world.app("app").unwrap().state, AppState::Running, "a late `start` is not fatal");
        world.stop_app("app").unwrap();
        let all = reports.all();
        assert_eq!(all[all.len() - 3..], ["app stop temporary", "one ends shutdown", "app terminate shutdown"]);
        // A panic of a hook is no more than that.
        let (mut trial, reports) = Trial::new("panics", &[("one", 0)]);
        (trial.start, trial.stop) = (Does::Panics, Does::Panics);
        world.load(trial).unwrap();
        world.start_app("panics").unwrap();
        world.stop_app("panics").unwrap();
        assert_eq!(reports.all().last().unwrap(), "panics terminate shutdown");
    }

    fn a_whole_tree_belongs_to_its_application_and_ends_with_it(world, other) {
        let (trial, _reports) = Trial::new("app", &[("one", 0)]);
        let (tell, reports) = channel();
        world.load(trial).unwrap();
        world.start_app("app").unwrap();
        let one = world.whereis("one").unwrap();
        let tell_child = tell.clone();
        // A child on another shard, which spawns one of its own; neither is linked to its parent.
        let grown = world.run_async(one, move |cx| Box::pin(async move {
            let child = move || Puppet { tell: tell_child, note: String::new() };
            let child = cx.spawn_wait(child, SpawnOptions::named("child").on_shard(other)).await.unwrap();
            format!("{:?}", cx.call(child, Act(Box::new(move |cx| {
                let grandchild = cx.spawn(move || Puppet { tell, note: String::new() }, SpawnOptions::named("grandchild"));
                format!("{} {}", grandchild.is_ok(), cx.application().unwrap_or("none"))
            }))).await)
        }));
        assert_eq!(grown.unwrap(), r#"Ok("true app")"#);
        assert_eq!(world.app("app").unwrap().processes, 3);
        let (child, grandchild) = (world.whereis("child").unwrap(), world.whereis("grandchild").unwrap());
        assert_eq!(world.process(grandchild).unwrap().application, world.process(one).unwrap().application);
        // What a process outside spawns does not.
        let (stranger, _) = world.puppet(other, SpawnOptions::new());
        assert_eq!(world.process(stranger).unwrap().application, 0);
        world.stop_app("app").unwrap();
        assert_eq!(world.app("app").unwrap().processes, 0, "orphans are told to end, too");
        world.until_gone(child);
        world.until_gone(grandchild);
        let all: Vec<_> = reports.try_iter().collect();
        assert_eq!(all, ["terminate shutdown", "terminate shutdown"]);
        assert!(world.process(stranger).is_some());
    }

    fn a_process_that_ends_gives_its_place_back(world, other) {
        world.load(Trial::new("app", &[("one", other)]).0).unwrap();
        world.start_app("app").unwrap();
        let one = world.whereis("one").unwrap();
        for _ in 0..10 {
            let spawned = world.run(one, |cx| {
                let tell = channel().0;
                let taken = cx.spawn(|| Puppet { tell: channel().0, note: String::new() }, SpawnOptions::named("one"));
                let child = cx.spawn(move || Puppet { tell, note: String::new() }, SpawnOptions::new()).unwrap();
                cx.kill(child);
                format!("{}", taken.is_err())
            });
            assert_eq!(spawned, "true");
        }
        world.until("children have gone", |world| world.app("app").unwrap().processes == 1);
    }

    fn what_does_not_end_in_time_is_killed(world, other) {
        let (trial, _reports) = Trial::new("app", &[("one", 0)]);
        let stubborn = SpawnOptions::named("stubborn").on_shard(other).trap_exit();
        world.load(trial.spec(|spec| spec.stop_timeout(Duration::from_millis(300)))).unwrap();
        world.start_app("app").unwrap();
        let one = world.whereis("one").unwrap();
        let (tell, reports) = channel();
        world.run_async(one, move |cx| Box::pin(async move {
            cx.spawn_wait(move || Puppet { tell, note: String::new() }, stubborn).await.unwrap();
            String::new()
        })).unwrap();
        let stubborn = world.whereis("stubborn").unwrap();
        world.stop_app("app").unwrap();
        world.until_gone(stubborn);
        let all: Vec<_> = reports.try_iter().collect();
        assert!(all.first().unwrap().starts_with("exit pid shutdown"), "it was told first: {all:?}");
        assert_eq!(all.last().unwrap(), "terminate kill");
    }

    fn nothing_is_spawned_in_an_application_that_stops(world, other) {
        let (mut trial, reports) = Trial::new("app", &[("one", 0), ("two", other)]);
        trial.stop = Does::Hangs;
        world.load(trial.spec(|spec| spec.stop_timeout(Duration::from_secs(15)))).unwrap();
        world.start_app("app").unwrap();
        let two = world.whereis("two").unwrap();
        match world {
            World::Simulated(sim) => {
                sim.begin_stop_app("app");
                sim.run();
            }
            World::Real(node) => {
                let stopped = node.stop_app_with_timeout("app", Duration::from_millis(50));
                assert!(matches!(stopped, Err(AppError::Stopping(_))), "it goes on: {stopped:?}");
            }
        }
        world.until_state("app", AppState::Stopping);
        let refused = world.run(two, |cx| {
            let spawned = cx.spawn(|| Puppet { tell: channel().0, note: String::new() }, SpawnOptions::new());
            format!("{}", spawned.unwrap_err())
        });
        assert_eq!(refused, "the application `app` is being stopped");
        assert!(matches!(world.start_app("app"), Err(AppError::Stopping(_))));
        assert!(matches!(world.unload("app"), Err(AppError::Stopping(_))));
        // Force cuts the drain short.
        world.force("app").unwrap();
        assert_eq!(world.app("app").unwrap().state, AppState::Loaded);
        let all = reports.all();
        assert!(all.contains(&"two ends kill".to_owned()), "{all:?}");
        assert_eq!(all.last().unwrap(), "app terminate shutdown");
    }

    fn members_inherit_the_environment_of_node_and_application(world, other) {
        let (trial, _reports) = Trial::new("app", &[]);
        let options = SpawnOptions::named("one").on_shard(other).with_env("depth", 3_u32);
        let (tell, _keep) = channel();
        let member = puppet("one", &tell);
        world.load(trial.spec(|spec| {
            spec.env("region", "eu").env("depth", 2_u32).secret_env("key", String::from("hunter2")).member(member, options)
        })).unwrap();
        world.start_app("app").unwrap();
        let one = world.whereis("one").unwrap();
        let seen = world.run(one, |cx| {
            format!("{:?} {:?} {:?}", cx.env::<&str>("region"), cx.env::<u32>("depth"), cx.env::<String>("key"))
        });
        assert_eq!(seen, r#"Some("eu") Some(3) Some("hunter2")"#, "the process over its application");
        let shown = world.app("app").unwrap();
        assert!(!format!("{shown:?}").contains("hunter2"), "a secret does not print");
    }
}

/// A simulated node with a policy.
fn policy(failure: AppFailure) -> Simulation {
    let mut env = shard_runtime::Env::default();
    env.set("region", "us");
    let options = SimulationOptions::new().on_app_failure(failure).env(env);
    Simulation::with_options("core@localhost", 2, 5, LogLevel::Panic, Box::<StderrSink>::default(), options)
        .unwrap()
}

fn permanent(sim: &mut Simulation) -> Reports {
    let (trial, reports) = Trial::new("app", &[("one", 1)]);
    sim.load_app(trial.spec(|spec| spec.mode(AppMode::Permanent))).unwrap();
    sim.start_app("app").unwrap();
    reports
}

#[test]
fn a_dead_permanent_application_is_restarted_with_back_off() {
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let mut sim = policy(AppFailure::Restart(backoff));
    let _reports = permanent(&mut sim);
    for wait in [1, 2, 4] {
        let one = sim.whereis("one").unwrap();
        sim.send(one, Fail("crash")).unwrap();
        sim.run();
        assert!(sim.whereis("one").is_none());
        sim.advance(Duration::from_millis(wait * 1000 - 100));
        assert_eq!(sim.app("app").unwrap().state, AppState::Loaded, "not before {wait} s");
        sim.advance(Duration::from_millis(200));
        assert_eq!(sim.app("app").unwrap().state, AppState::Running);
    }
    // Having run for the longest wait, it begins at the first one again.
    sim.advance(Duration::from_secs(61));
    sim.send(sim.whereis("one").unwrap(), Stop).unwrap();
    sim.run();
    sim.advance(Duration::from_millis(1100));
    assert_eq!(sim.app("app").unwrap().state, AppState::Running);
    // A stop that somebody asks for is no failure.
    sim.stop_app("app").unwrap();
    sim.advance(Duration::from_secs(600));
    assert_eq!(sim.app("app").unwrap().state, AppState::Loaded);
    assert!(sim.stop_wanted().is_none());
}

#[test]
fn a_dead_permanent_application_stops_the_node_if_told_so() {
    let mut sim = policy(AppFailure::StopNode);
    let _reports = permanent(&mut sim);
    sim.send(sim.whereis("one").unwrap(), Fail("crash")).unwrap();
    sim.run();
    let (name, reason) = sim.stop_wanted().unwrap();
    assert_eq!((name.as_str(), reason.to_string().as_str()), ("app", "custom crash"));

    let mut sim = policy(AppFailure::Ignore);
    let _reports = permanent(&mut sim);
    sim.send(sim.whereis("one").unwrap(), Fail("crash")).unwrap();
    sim.advance(Duration::from_secs(600));
    assert_eq!(sim.app("app").unwrap().state, AppState::Loaded);
    assert!(sim.stop_wanted().is_none());
}

#[test]
fn processes_of_the_node_inherit_its_environment() {
    let mut sim = policy(AppFailure::Ignore);
    let (tell, _keep) = channel();
    let pid = sim.spawn(1, move || Puppet { tell, note: String::new() }, &SpawnOptions::new()).unwrap();
    let seen = sim.call(pid, Act(Box::new(|cx| format!("{:?}", cx.env::<&str>("region"))))).unwrap();
    assert_eq!(seen, r#"Some("us")"#);
}

#[test]
fn a_thousand_starts_and_stops_miss_nothing() {
    // Members that crash while others start, stops in every state: at the end nothing is left and the states agree.
    for seed in 0..200_u64 {
        let mut sim = Simulation::new("core@localhost", 2, seed).unwrap();
        let (trial, _reports) = Trial::new("app", &[("one", 0), ("two", 1)]);
        let options = SpawnOptions::new().on_shard((seed % 2) as u16);
        let brief = seed % 3 == 0;
        sim.load_app(trial.spec(|spec| {
            let spec = spec.mode(AppMode::Transient);
            if brief { spec.member(|| Brief(false), options) } else { spec }
        }))
        .unwrap();
        for round in 0..5_u64 {
            sim.begin_start_app("app");
            if (seed + round) % 2 == 0 {
                sim.run();
            }
            if let Some(two) = sim.whereis("two").filter(|_| (seed + round) % 4 == 0) {
                let _gone = sim.send(two, Fail("crash"));
            }
            sim.begin_stop_app("app");
            sim.advance(Duration::from_millis(200));
            assert_eq!(sim.app("app").unwrap().state, AppState::Loaded, "seed {seed}, round {round}");
            assert_eq!(sim.app("app").unwrap().processes, 0, "seed {seed}, round {round}");
            assert!(sim.whereis("one").is_none() && sim.whereis("two").is_none());
        }
    }
}

#[test]
fn the_core_event_is_typed() {
    // The types of the node's own event are public and can be matched.
    let event = CoreEvent::AppLoaded { name: "a".into() };
    assert!(matches!(event, CoreEvent::AppLoaded { ref name } if name == "a"));
}
