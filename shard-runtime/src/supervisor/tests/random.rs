//! Ten thousand random scenes. After every event the world checks what must hold of each action; whenever nothing is
//! under way, everything seen is compared with the model's verdict. A scene that fails is cut down and told.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::{ChildSpec, Event, Outcome, Phase, Request, Shutdown, SupervisorError, SupervisorType};
use super::child_model::{self, Kind, Verdict};
use super::instance_model;
use super::scene::{Happening, Scene, name};
use super::world::{Answer, Fact, Why, World};

const SCENES: u64 = 10_000;

/// More than any scene of this length can need to come to rest.
const REST_LIMIT: usize = 5_000;

#[test]
fn ten_thousand_random_scenes_agree_with_the_model() {
    for seed in 0..SCENES {
        check(&Scene::from_seed(seed));
    }
}

#[test]
fn a_scene_replays_to_the_letter() {
    for seed in (0..SCENES).step_by(500) {
        let mut runs = [Vec::new(), Vec::new()];
        for run in &mut runs {
            play(&Scene::from_seed(seed), run);
        }
        assert_eq!(runs[0], runs[1]);
    }
}

/// A model that is never asked a hard question proves nothing.
#[test]
fn the_scenes_reach_every_answer_and_every_kind_of_end() {
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..SCENES / 10 {
        let scene = Scene::from_seed(seed);
        let mut told = Vec::new();
        let world = play(&scene, &mut told);
        let kind = scene.spec.kind;
        let ended = world.ended.as_ref().map_or("lives", |why| match why {
            Why::Normal | Why::Shutdown => "ends ordinarily",
            Why::Kill | Why::Boom(_) => "fails",
            Why::Exceeded(..) => "exceeds",
        });
        let restarts = world.snapshot().restarts_count;
        let lines = told.iter().filter_map(|line| line.trim_start().strip_prefix("-> "));
        let first_words = lines.filter_map(|line| line.split(' ').next()).map(str::to_owned);
        let kinds = world.answers.values().map(|answer| format!("{kind} {}", self::kind(answer)));
        let seen: BTreeSet<_> = first_words
            .chain(kinds)
            .chain([format!("{kind} {ended}"), format!("{kind} with {} restarts", restarts.min(4))])
            .collect();
        for thing in seen {
            *reached.entry(thing).or_default() += 1;
        }
    }
    for kind in ["one for one", "all for one", "rest for one", "simple one for one"] {
        let common = ["lives", "ends ordinarily", "fails", "exceeds", "with 4 restarts", "Started", "Done"];
        let refused = ["ChildUnknown", "ChildDisabled", "ChildDuplicate", "StrategyActive", "StartFailed"];
        let own = if kind.starts_with("simple") { "InstanceUnknown" } else { "ChildRunning" };
        for thing in common.into_iter().chain(refused).chain([own]) {
            let count = reached.get(&format!("{kind} {thing}")).copied().unwrap_or(0);
            assert!(count >= 5, "{kind}: {count} scenes of {reached:#?} reached {thing}");
        }
    }
    for action in ["start", "abort", "exit", "kill", "ready", "started", "terminated", "end"] {
        assert!(reached.get(action).is_some_and(|&count| count > 10), "{action} is hardly ever wanted");
    }
}

fn check(scene: &Scene) {
    let Some(mut fault) = fault(scene) else { return };
    let mut scene = scene.clone();
    let mut place = 0;
    while place < scene.happenings.len() {
        let mut shorter = scene.clone();
        shorter.happenings.remove(place);
        match self::fault(&shorter) {
            Some(same) => (scene, fault, place) = (shorter, same, 0),
            None => place += 1,
        }
    }
    let (what, told) = fault;
    panic!(
        "seed {}: {what}\n{:#?}\n{:#?}\nevents:\n{}",
        scene.seed,
        scene.spec,
        scene.children,
        told.join("\n")
    );
}

/// What goes wrong in a scene, and its events.
fn fault(scene: &Scene) -> Option<(String, Vec<String>)> {
    let mut told = Vec::new();
    let played = catch_unwind(AssertUnwindSafe(|| play(scene, &mut told)));
    let panic = played.map(drop).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    Some((text.unwrap_or_default(), told))
}

fn play(scene: &Scene, told: &mut Vec<String>) -> World {
    let mut world = World::new(scene.spec.clone(), scene.children.clone());
    world.feed(Event::Init);
    let mut seen = 0;
    for &happening in &scene.happenings {
        happen(&mut world, happening, &scene.children);
        tell(&mut world, &mut seen, told);
        if world.is_quiet() {
            compare(scene, &world);
        }
    }
    for _ in 0..REST_LIMIT {
        if world.is_quiet() {
            break;
        }
        rest(&mut world, &scene.children);
        tell(&mut world, &mut seen, told);
    }
    assert!(world.is_quiet(), "it never comes to rest");
    compare(scene, &world);
    world
}

fn tell(world: &mut World, seen: &mut usize, told: &mut Vec<String>) {
    for (time, fact) in &world.facts[*seen..] {
        told.push(format!("{:>6} ms  {fact:?}", time / 1_000_000));
    }
    *seen = world.facts.len();
    told.extend(world.take().into_iter().map(|line| format!("             -> {line}")));
}

fn happen(world: &mut World, happening: Happening, children: &[ChildSpec]) {
    world.random = world.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    let pick = |all: &[u32], choice: u64| {
        usize::try_from(choice).ok().and_then(|choice| all.get(choice % all.len().max(1)).copied())
    };
    match happening {
        Happening::StartSucceeds if world.begun.is_some() => world.start_ok(),
        Happening::StartFails(why) if world.begun.is_some() => world.start_fails(why.reason()),
        Happening::Ends(choice, why) => {
            let living: Vec<_> = world.live.keys().copied().collect();
            if let Some(pid) = pick(&living, choice) {
                world.exits(pid, why.reason());
            }
        }
        Happening::Obeys(choice) => {
            if let Some(pid) = pick(&world.told(), choice) {
                world.obeys(pid);
            }
        }
        Happening::TimerDue if !world.timers.is_empty() => {
            world.next_timer();
        }
        Happening::Rests(steps) => (0..steps).for_each(|_| rest(world, children)),
        Happening::TimePasses(ms) => world.pass(std::time::Duration::from_millis(ms)),
        Happening::Foreign(why) => world.foreign(why.reason()),
        Happening::Start(choice) => {
            world.start_with(name(choice), u32::try_from(choice % 1_000).unwrap_or(0));
        }
        Happening::Add(choice) => {
            world.add(ChildSpec::new(name(choice)));
        }
        Happening::Remove(choice) => {
            world.remove(name(choice));
        }
        Happening::Enable(choice) => {
            world.enable(name(choice));
        }
        Happening::Disable(choice) => {
            world.disable(name(choice));
        }
        Happening::Terminate(choice) => {
            let ever: Vec<_> = world.first_args.keys().copied().collect();
            let choice = usize::try_from(choice).unwrap_or(0) % ever.len().max(1);
            if let Some(&child) = ever.get(choice) {
                world.ask(Request::TerminateInstance { child });
            }
        }
        Happening::StartSucceeds | Happening::StartFails(_) | Happening::TimerDue => {}
    }
}

/// Does one thing that is due. Every fifth process ignores its exit, if that is followed by a kill.
fn rest(world: &mut World, children: &[ChildSpec]) {
    let deaf = |world: &World, pid: &u32| {
        let live = &world.live[pid];
        let rule = children.iter().find(|child| *child.name() == *live.name).map(|child| child.shutdown);
        pid.is_multiple_of(5)
            && !live.killed
            && matches!(rule.map(Option::unwrap_or_default), Some(Shutdown::Graceful(_)))
    };
    if world.begun.as_ref().is_some_and(|begun| begun.aborted) {
        world.start_fails(Why::Kill);
    } else if world.begun.is_some() {
        world.start_ok();
    } else if let Some(&pid) = world.told().iter().find(|pid| !deaf(world, pid)) {
        world.obeys(pid);
    } else if !world.timers.is_empty() {
        world.next_timer();
    }
}

fn compare(scene: &Scene, world: &World) {
    let simple = scene.spec.kind == SupervisorType::SimpleOneForOne;
    let snapshot = world.snapshot();
    let seen = Verdict {
        up: world
            .live
            .values()
            .map(|live| if simple { live.child.number().to_string() } else { live.name.to_string() })
            .collect(),
        unsettled: BTreeSet::new(),
        disabled: instance_model::names(&snapshot.specs),
        ended: world.ended.clone(),
        restarts: snapshot.restarts_count,
        answers: world.answers.iter().map(|(&id, answer)| (id, kind(answer))).collect(),
    };
    let judge = if simple { instance_model::judge } else { child_model::judge };
    let mut verdict = judge(&scene.spec, &scene.children, &world.facts);
    if verdict.ended.is_some() {
        verdict.unsettled.clear();
        verdict.disabled.clone_from(&seen.disabled);
        verdict.up.clear();
    }
    assert_eq!(seen, verdict, "what is seen is not what the model says");
    assert!(world.open.is_empty(), "unanswered: {:?}", world.open);
    let phase = if world.ended.is_some() { Phase::Ended } else { Phase::Running };
    assert_eq!(snapshot.phase, phase, "a stuck phase");
    let last = snapshot.history.last().map(|record| (&record.reason, &*record.name));
    let ends = |fact: &(u64, Fact)| match &fact.1 {
        Fact::Down { name, why, .. } | Fact::StartFailed { name, why, .. } => {
            Some((why.clone(), name.clone()))
        }
        _ => None,
    };
    let known = last.is_none_or(|(why, name)| {
        world.facts.iter().filter_map(ends).any(|(of, whose)| of == *why && whose == name)
    });
    assert!(known, "the history names an end that there was not");
}

fn kind(answer: &Answer) -> Kind {
    match answer {
        Ok(Outcome::Started { .. }) => "Started",
        Ok(Outcome::Done) => "Done",
        Err(SupervisorError::ChildUnknown { .. }) => "ChildUnknown",
        Err(SupervisorError::ChildRunning { .. }) => "ChildRunning",
        Err(SupervisorError::ChildDisabled { .. }) => "ChildDisabled",
        Err(SupervisorError::ChildDuplicate { .. }) => "ChildDuplicate",
        Err(SupervisorError::InstanceUnknown) => "InstanceUnknown",
        Err(SupervisorError::NoInstances { .. }) => "NoInstances",
        Err(SupervisorError::StrategyActive { .. }) => "StrategyActive",
        Err(SupervisorError::StartFailed { .. }) => "StartFailed",
        Err(SupervisorError::InvalidSpec { .. }) => "InvalidSpec",
    }
}
