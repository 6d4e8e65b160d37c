//! Processes started on another node: two nodes of one OS process, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::{
    AskError, EnableError, LinkCounters, LogLevel, NodeEvent, Peers, Placement, RemoteSpawnError,
    RemoteSpawnOptions, SpawnId, Target, Unclaimed,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(60);

/// What a worker is made of.
#[message]
struct Job {
    number: u64,
    how: u8,
    rest: Vec<u8>,
}
/// Another type.
#[message]
struct Other {
    number: u64,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(&'static str);
#[message(local)]
struct Near;
#[message(reply = Told)]
struct Tell;
#[data]
struct Told {
    number: u64,
    parent: Pid,
    leader: Pid,
    env: String,
    length: u64,
    application: String,
}

/// What its tests see of the workers.
#[derive(Default)]
struct Board {
    started: AtomicU64,
    /// Workers that wait in `init` go on.
    go: AtomicBool,
    ended: RwLock<Vec<String>>,
}

impl Board {
    fn ended(&self) -> Vec<String> {
        self.ended.read().unwrap().clone()
    }
}

const PLAIN: u8 = 0;
const FAILS: u8 = 1;
const WAITS: u8 = 2;
const PANICS: u8 = 3;
const TRAPS: u8 = 4;

struct Worker {
    job: Job,
    board: Arc<Board>,
}

#[actor]
impl Worker {
    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        self.board.started.fetch_add(1, Ordering::SeqCst);
        match self.job.how {
            FAILS => return Err(Said("no work today").into()),
            WAITS => {
                while !self.board.go.load(Ordering::SeqCst) {
                    cx.sleep(Duration::from_millis(5)).await;
                }
            }
            TRAPS => cx.trap_exit(true),
            _ => {}
        }
        Ok(())
    }
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        let kind = reason.downcast_ref::<Unclaimed>().map_or("", |why| match why {
            Unclaimed::Late { .. } => "late: ",
            Unclaimed::Unwanted { .. } => "unwanted: ",
            Unclaimed::SessionEnded { .. } => "session: ",
            _ => "?",
        });
        self.board.ended.write().unwrap().push(format!("{kind}{reason}"));
    }
    #[handle]
    fn tell(&mut self, _: Tell, cx: &mut Context<'_>) -> Result<Told, ActorError> {
        let text = |key: &str| cx.env::<String>(key).map(|text| text.to_string());
        let number = cx.env::<u32>("LIMIT").map(|number| format!(" {number}"));
        let env = text("COLOUR").unwrap_or_default() + &number.unwrap_or_default();
        Ok(Told {
            number: self.job.number,
            parent: cx.parent(),
            leader: cx.leader(),
            env,
            length: self.job.rest.len() as u64,
            application: cx.application().unwrap_or_default().to_owned(),
        })
    }
    #[handle]
    fn near(&mut self, _: Near, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

/// Asks for workers.
struct Boss {
    tell: Sender<String>,
}

type Outcome = Result<Pid, RemoteSpawnError>;
#[message(local, reply = Outcome)]
struct Ask {
    node: &'static str,
    offer: &'static str,
    job: Job,
    options: RemoteSpawnOptions,
    /// Gives up after this.
    patience: Option<Duration>,
}

#[actor]
impl Boss {
    #[handle]
    async fn ask(&mut self, m: Ask, cx: &mut Context<'_>) -> Result<Outcome, ActorError> {
        let spawn = cx.spawn_on(m.node, m.offer, m.job, m.options);
        let Some(patience) = m.patience else { return Ok(spawn.await) };
        // Whichever is first; the other is dropped.
        let mut spawn = Box::pin(spawn);
        let mut sleep = Box::pin(cx.sleep(patience));
        let first = std::future::poll_fn(|task| {
            if let std::task::Poll::Ready(outcome) = spawn.as_mut().poll(task) {
                return std::task::Poll::Ready(Some(outcome));
            }
            sleep.as_mut().poll(task).map(|()| None)
        });
        match first.await {
            Some(outcome) => Ok(outcome),
            None => Err(Said("gave up").into()),
        }
    }
    #[handle]
    fn down(&mut self, m: Down, _cx: &mut Context<'_>) -> ActorResult {
        let is_pid = matches!(m.target, Target::Pid(_));
        let _nobody_listens = self.tell.send(format!("down {is_pid} {}", m.reason));
        Ok(())
    }
    #[handle]
    fn near(&mut self, _: Near, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
    fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<'_>) {
        let _nobody_listens = self.tell.send(format!("terminate {reason}"));
    }
}

struct Pair {
    one: Node,
    two: Node,
    events: [Receiver<NodeEvent>; 2],
    board: Arc<Board>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.board.go.store(true, Ordering::SeqCst);
        self.two.stop();
        self.one.stop();
    }
}

fn builder(name: &str, shards: u16) -> shard_runtime::NodeBuilder {
    Node::builder(name)
        .shards(shards)
        .listen("127.0.0.1:0")
        .cookie("unit test cookie")
        .log_level(LogLevel::Panic)
}

fn worker(board: &Arc<Board>) -> impl Fn(Job) -> Worker + Send + Sync + 'static {
    let board = Arc::clone(board);
    move |job| {
        assert!(job.how != PANICS, "the factory is told to");
        Worker { job, board: Arc::clone(&board) }
    }
}

fn pair_by(one: Node, board: Arc<Board>, address: String, two: shard_runtime::NodeBuilder) -> Pair {
    let first = one.subscribe_nodes().unwrap();
    let two = two.route("one@localhost", address).start().unwrap();
    let second = two.subscribe_nodes().unwrap();
    for events in [&first, &second] {
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    }
    let pair = Pair { one, two, events: [first, second], board };
    // Each shard hears of the session in its own time.
    let (_, probe) = boss(&pair.two, SpawnOptions::new().on_shard(0));
    until("the session is known", || {
        let outcome = ask(&pair.two, probe, "nothing", PLAIN, RemoteSpawnOptions::new());
        matches!(ask_of(outcome), AskError::NameUnknown)
    });
    pair.two.send(probe, Near).unwrap();
    pair
}

fn pair(shards: (u16, u16)) -> Pair {
    let board = Arc::new(Board::default());
    let only_two = Peers::only(["two@localhost"]);
    let one =
        builder("one@localhost", shards.0).enable_spawn("worker", only_two, worker(&board)).start().unwrap();
    let address = one.listen_address().unwrap().to_string();
    pair_by(one, board, address, builder("two@localhost", shards.1))
}

fn boss(node: &Node, options: SpawnOptions) -> (Receiver<String>, Pid) {
    let (tell, reports) = channel();
    (reports, node.spawn(move || Boss { tell }, options).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}

fn job(how: u8) -> Job {
    Job { number: 7, how, rest: Vec::new() }
}

fn request(offer: &'static str, how: u8, options: RemoteSpawnOptions) -> Ask {
    Ask { node: "one@localhost", offer, job: job(how), options, patience: None }
}

fn ask(node: &Node, boss: Pid, offer: &'static str, how: u8, options: RemoteSpawnOptions) -> Outcome {
    node.call_blocking_timeout(boss, request(offer, how, options), LIMIT).unwrap()
}

fn ask_of(outcome: Outcome) -> AskError {
    match outcome {
        Err(RemoteSpawnError::Ask { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn id_of(outcome: Outcome) -> SpawnId {
    match outcome {
        Err(RemoteSpawnError::Ask { id, .. }) => id,
        other => panic!("{other:?}"),
    }
}

fn lives(node: &Node, pid: Pid) -> bool {
    node.stats().process(pid.local).is_some()
}

fn count(node: &Node) -> u64 {
    let mut count = 0;
    node.stats().processes(|_| {
        count += 1;
        true
    });
    count
}

fn counters(node: &Node) -> LinkCounters {
    node.stats().peers()[0].counters
}

fn options() -> RemoteSpawnOptions {
    RemoteSpawnOptions::new()
}

#[test]
fn a_worker_is_started_with_its_arguments_name_place_parent_and_environment() {
    for shards in [(1, 1), (3, 2), (9, 8)] {
        let board = Arc::new(Board::default());
        let one = builder("one@localhost", shards.0)
            .enable_spawn("worker", Peers::anyone(), worker(&board))
            .start()
            .unwrap();
        let address = one.listen_address().unwrap().to_string();
        let two = builder("two@localhost", shards.1)
            .env("colour", "red".to_owned())
            .env("limit", 5_u32)
            .secret_env("key", "hidden".to_owned())
            .expose_env_remote_spawn(true);
        let pair = pair_by(one, board, address, two);
        for home in 0..shards.1.min(3) {
            let (_, boss) = boss(&pair.two, SpawnOptions::new().on_shard(home));
            let last = shards.0 - 1;
            let options = options().with_name("w").with_placement(Placement::Shard(last));
            let rest = vec![3; 500_000];
            let job = Job { number: u64::from(home), how: PLAIN, rest };
            let m = Ask { node: "one@localhost", offer: "worker", job, options, patience: None };
            let pid = pair.two.call_blocking_timeout(boss, m, LIMIT).unwrap().unwrap();
            assert_eq!((pair.one.whereis("w"), pid.local.shard()), (Some(pid), last));
            let told = pair.two.call_blocking(pid, Tell).unwrap();
            assert_eq!((told.number, told.length), (u64::from(home), 500_000));
            assert_eq!((told.parent, told.env.as_str()), (boss, "red 5"));
            assert_eq!(told.leader, pair.two.facts_blocking(boss, LIMIT).unwrap().leader);
            let facts = pair.one.facts_blocking(pid, LIMIT).unwrap();
            assert_eq!((facts.parent, facts.env.len()), (boss, 2));
            // It is claimed: it outlives whoever asked.
            pair.two.send(boss, Near).unwrap();
            until("the boss is gone", || !lives(&pair.two, boss));
            assert!(lives(&pair.one, pid));
            pair.one.send(pid, Near).unwrap();
            until("the name is free", || pair.one.whereis("w").is_none());
        }
        assert_eq!(counters(&pair.one).spawns_unclaimed, 0);
    }
}

#[test]
fn threads_outside_and_processes_with_threads_of_their_own_ask_too() {
    let pair = pair((2, 2));
    let pid = pair.two.spawn_on("one@localhost", "worker", job(PLAIN), options()).unwrap();
    assert_eq!(pair.two.call_blocking(pid, Tell).unwrap().parent.local, shard_runtime::wire::LocalId::CORE);
    let (_, alone) = boss(&pair.two, SpawnOptions::new().dedicated_thread());
    let pid = ask(&pair.two, alone, "worker", PLAIN, options().link_child().monitor()).unwrap();
    assert_eq!(pair.two.call_blocking(pid, Tell).unwrap().parent, alone);
    let facts = pair.one.facts_blocking(pid, LIMIT).unwrap();
    assert_eq!((facts.linked_by, facts.monitored_by), (vec![alone], vec![alone]));
    let outcome = pair.two.spawn_on("one@localhost", "nothing", job(PLAIN), options());
    assert_eq!(ask_of(outcome), AskError::NameUnknown);
    assert_eq!(counters(&pair.one).spawns_unclaimed, 0);
}

#[test]
fn links_and_monitors_are_made_with_the_process() {
    let pair = pair((2, 2));
    let (reports, boss_pid) = boss(&pair.two, SpawnOptions::new().on_shard(1));
    let watched = ask(&pair.two, boss_pid, "worker", PLAIN, options().monitor()).unwrap();
    pair.one.kill(watched);
    assert_eq!(reports.recv_timeout(LIMIT).unwrap(), "down true kill");
    // A parent's exit cannot be trapped, and its end ends the child.
    let child = ask(&pair.two, boss_pid, "worker", TRAPS, options().link_parent()).unwrap();
    until("it is linked", || pair.two.facts_blocking(boss_pid, LIMIT).unwrap().linked_by == [child]);
    let linked = ask(&pair.two, boss_pid, "worker", PLAIN, options().link_child()).unwrap();
    pair.one.kill(linked);
    assert_eq!(reports.recv_timeout(LIMIT).unwrap(), "terminate kill");
    until("the child is gone", || !lives(&pair.one, child));
}

#[test]
fn what_is_not_allowed_or_not_possible_is_refused_with_its_reason() {
    let pair = pair((2, 2));
    let (_, boss) = boss(&pair.two, SpawnOptions::new());
    let go = |offer, how, options| ask(&pair.two, boss, offer, how, options);
    assert_eq!(ask_of(go("nothing", PLAIN, options())), AskError::NameUnknown);
    let enable = |name: &str, peers| pair.one.enable_spawn(name, peers, worker(&pair.board));
    assert_eq!(enable("worker", Peers::anyone()), Err(EnableError::Taken("worker".into())));
    let near = |_: Near| Worker { job: job(PLAIN), board: Arc::default() };
    let local = pair.one.enable_spawn("near", Peers::anyone(), near);
    assert!(matches!(local, Err(EnableError::LocalArguments(_))));
    enable("nobody", Peers::nobody()).unwrap();
    enable("others", Peers::only(["three@localhost"])).unwrap();
    enable("denied", Peers::anyone().deny("two@localhost")).unwrap();
    for offer in ["nobody", "others", "denied"] {
        assert_eq!(ask_of(go(offer, PLAIN, options())), AskError::NotAllowed);
    }
    let other = |m: Other| Worker { job: Job { number: m.number, ..job(PLAIN) }, board: Arc::default() };
    pair.one.enable_spawn("other", Peers::anyone(), other).unwrap();
    assert!(matches!(go("other", PLAIN, options()), Err(RemoteSpawnError::WrongArguments)));
    assert!(counters(&pair.one).asks_refused > 3);
}

#[test]
fn what_does_not_start_says_why() {
    let pair = pair((2, 2));
    let (_, boss) = boss(&pair.two, SpawnOptions::new());
    let go = |offer, how, options| ask(&pair.two, boss, offer, how, options);
    match go("worker", FAILS, options()) {
        Err(RemoteSpawnError::Init { reason }) => assert_eq!(reason.to_string(), "no work today"),
        other => panic!("{other:?}"),
    }
    match go("worker", WAITS, options().with_init_timeout(Duration::from_millis(50))) {
        Err(RemoteSpawnError::Init { reason: ExitReason::InitTimeout { limit } }) => {
            assert_eq!(limit, Duration::from_millis(50));
        }
        other => panic!("{other:?}"),
    }
    match go("worker", PANICS, options()) {
        Err(RemoteSpawnError::Panicked { message }) => assert_eq!(message, "the factory is told to"),
        other => panic!("{other:?}"),
    }
    go("worker", PLAIN, options().with_name("w")).unwrap();
    match go("worker", PLAIN, options().with_name("w")) {
        Err(RemoteSpawnError::Taken { name }) => assert_eq!(name, "w"),
        other => panic!("{other:?}"),
    }
    let far = options().with_placement(Placement::Shard(7));
    assert!(matches!(go("worker", PLAIN, far), Err(RemoteSpawnError::NoShard)));
    assert_eq!(ask_of(go("worker", PLAIN, options().with_name("x".repeat(300)))), AskError::TooLarge);
    let to = |node, name: &str| pair.two.spawn_on(node, name, job(PLAIN), options());
    assert_eq!(ask_of(to("two@localhost", "worker")), AskError::OwnNode);
    assert_eq!(ask_of(to("three@localhost", "worker")), AskError::NotConnected);
    assert_eq!(ask_of(to("no node", "worker")), AskError::NotConnected);
    let local = pair.two.spawn_on("one@localhost", "worker", Near, options());
    assert!(matches!(local, Err(RemoteSpawnError::LocalArguments)));
    pair.one.deny_spawn("worker", "two@localhost").unwrap();
    assert_eq!(ask_of(go("worker", PLAIN, options())), AskError::NotAllowed);
    pair.one.disable_spawn("worker").unwrap();
    assert_eq!(ask_of(go("worker", PLAIN, options())), AskError::NameUnknown);
    assert_eq!(counters(&pair.one).spawns_unclaimed, 0);
}

#[test]
fn a_retry_gives_the_process_that_the_first_attempt_started() {
    let pair = pair((2, 2));
    let (_, boss) = boss(&pair.two, SpawnOptions::new().on_shard(1));
    let go = |options| ask(&pair.two, boss, "worker", WAITS, options);
    let outcome = go(options().with_deadline(Duration::from_millis(100)));
    let id = id_of(outcome);
    assert_eq!(
        ask_of(go(options().with_deadline(Duration::from_millis(100)).retry_of(id))),
        AskError::Timeout
    );
    pair.board.go.store(true, Ordering::SeqCst);
    let pid = go(options().retry_of(id)).unwrap();
    assert_eq!(go(options().retry_of(id)).unwrap(), pid);
    assert_eq!(pair.board.started.load(Ordering::SeqCst), 1, "it is the same request");
    // A wrong name under a known id is another request.
    pair.one.enable_spawn("again", Peers::anyone(), worker(&pair.board)).unwrap();
    let known = ask(&pair.two, boss, "again", PLAIN, options().retry_of(id));
    assert!(matches!(known, Err(RemoteSpawnError::Mismatch { .. })), "{known:?}");
    assert_eq!(pair.board.started.load(Ordering::SeqCst), 1);
    assert!(lives(&pair.one, pid));
}

#[test]
fn a_process_that_is_up_is_given_to_a_retry_and_ended_if_nobody_claims_it() {
    let board = Arc::new(Board::default());
    let one =
        builder("one@localhost", 2).enable_spawn("worker", Peers::anyone(), worker(&board)).start().unwrap();
    let relay = Relay::to(one.listen_address().unwrap().to_string());
    let pair = pair_by(one, board, relay.address.clone(), builder("two@localhost", 2));
    let (_, boss) = boss(&pair.two, SpawnOptions::new());
    // The link stands before anything is held up.
    assert_eq!(ask_of(ask(&pair.two, boss, "nothing", PLAIN, options())), AskError::NameUnknown);
    for claims in [true, false] {
        let started = pair.board.started.load(Ordering::SeqCst);
        // The answer is held up until the first attempt has given up.
        relay.hold(true);
        let soon = options().with_deadline(Duration::from_millis(150));
        let outcome = ask(&pair.two, boss, "worker", PLAIN, soon);
        let id = id_of(outcome);
        until("it runs", || pair.board.started.load(Ordering::SeqCst) == started + 1);
        relay.hold(false);
        if claims {
            let pid = ask(&pair.two, boss, "worker", PLAIN, options().retry_of(id)).unwrap();
            let again = ask(&pair.two, boss, "worker", PLAIN, options().retry_of(id)).unwrap();
            assert_eq!((pid, lives(&pair.one, pid)), (again, true));
            assert_eq!(pair.board.ended().len(), 0);
        } else {
            until("it is ended", || !pair.board.ended().is_empty());
            assert!(pair.board.ended()[0].starts_with("late: two@localhost"), "{:?}", pair.board.ended());
            let outcome = ask(&pair.two, boss, "worker", PLAIN, options().retry_of(id));
            assert!(matches!(outcome, Err(RemoteSpawnError::Unclaimed { .. })), "{outcome:?}");
        }
        assert_eq!(pair.board.started.load(Ordering::SeqCst), started + 1, "it was started once");
    }
    assert_eq!(counters(&pair.one).spawns_unclaimed, 1);
}

#[test]
fn who_does_not_wait_any_more_gets_no_process() {
    let pair = pair((2, 2));
    for is_killed in [false, true] {
        pair.board.go.store(false, Ordering::SeqCst);
        let ended = pair.board.ended().len();
        let started = pair.board.started.load(Ordering::SeqCst);
        let (_reports, boss) = boss(&pair.two, SpawnOptions::new());
        let patience = (!is_killed).then(|| Duration::from_millis(100));
        let m = Ask { patience, ..request("worker", WAITS, options()) };
        pair.two.send(boss, m).unwrap();
        until("its init runs", || pair.board.started.load(Ordering::SeqCst) == started + 1);
        if is_killed {
            pair.two.kill(boss);
        }
        until("the boss is gone", || !lives(&pair.two, boss));
        pair.board.go.store(true, Ordering::SeqCst);
        until("it is ended", || pair.board.ended().len() == ended + 1);
        let last = pair.board.ended()[ended].clone();
        assert!(last.starts_with("unwanted: two@localhost"), "{last}");
    }
    assert_eq!(counters(&pair.one).spawns_unclaimed, 2);
}

/// Passes bytes on, unless those of the listening node are held, until it is cut; then nothing connects any more.
struct Relay {
    streams: Arc<RwLock<Option<Vec<TcpStream>>>>,
    is_held: Arc<AtomicBool>,
    address: String,
}

impl Relay {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let streams = Arc::new(RwLock::new(Some(Vec::new())));
        let is_held = Arc::new(AtomicBool::new(false));
        let (known, held) = (Arc::clone(&streams), Arc::clone(&is_held));
        thread(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(&target) else { return };
                let mut known = known.write().unwrap();
                let Some(known) = known.as_mut() else { return };
                let ways = [
                    (near.try_clone().unwrap(), far.try_clone().unwrap(), None),
                    (far, near, Some(Arc::clone(&held))),
                ];
                for (mut from, mut to, held) in ways {
                    known.push(from.try_clone().unwrap());
                    thread(move || {
                        let mut buffer = vec![0; 1 << 16];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            while held.as_ref().is_some_and(|held| held.load(Ordering::SeqCst)) {
                                std::thread::yield_now();
                            }
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _closed = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { streams, is_held, address }
    }

    fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::SeqCst);
    }

    fn cut(&self) {
        for stream in self.streams.write().unwrap().take().unwrap() {
            let _closed = stream.shutdown(Shutdown::Both);
        }
        // The one that waits for a connection learns of it by the next.
        let _refused = TcpStream::connect(&self.address);
    }
}

fn thread(run: impl FnOnce() + Send + 'static) {
    let _runs = std::thread::Builder::new().spawn(run).unwrap();
}

/// The link is cut while `init` runs, and when the process is up and the answer is under way.
#[test]
fn a_link_that_is_cut_between_spawn_and_answer_leaves_no_orphan() {
    for is_up in [false, true] {
        let board = Arc::new(Board::default());
        let one = builder("one@localhost", 2)
            .enable_spawn("worker", Peers::anyone(), worker(&board))
            .start()
            .unwrap();
        let relay = Relay::to(one.listen_address().unwrap().to_string());
        let pair = pair_by(one, board, relay.address.clone(), builder("two@localhost", 2));
        let (_, boss) = boss(&pair.two, SpawnOptions::new().on_shard(1));
        // The link stands before anything is held up.
        assert_eq!(ask_of(ask(&pair.two, boss, "nothing", PLAIN, options())), AskError::NameUnknown);
        let before = count(&pair.one);
        let (tell, outcome) = channel();
        let two = pair.two.clone();
        let how = if is_up { PLAIN } else { WAITS };
        relay.hold(is_up);
        thread(move || {
            let options = options().with_deadline(LONG).with_init_timeout(LONG);
            let told = two.call_blocking_timeout(boss, request("worker", how, options), LONG);
            tell.send(told.unwrap()).unwrap();
        });
        until("it is begun", || pair.board.started.load(Ordering::SeqCst) == 1);
        if is_up {
            until("it is up", || counters(&pair.one).asks_done == 1);
        }
        relay.cut();
        relay.hold(false);
        let error = ask_of(outcome.recv_timeout(LIMIT).unwrap());
        assert_eq!(error, AskError::Disconnected);
        while !matches!(pair.events[0].recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
        pair.board.go.store(true, Ordering::SeqCst);
        until("it is ended", || pair.board.ended().len() == 1);
        let ended = pair.board.ended().remove(0);
        assert!(ended.starts_with("session: two@localhost"), "{ended}");
        until("nobody is left", || count(&pair.one) == before);
        assert_eq!(counters(&pair.one).spawns_unclaimed, 1);
    }
}
