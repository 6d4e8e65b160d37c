//! Applications of another node, and nodes that stop as planned: two nodes of one OS process, real sockets.

use shard_runtime::prelude::*;
use shard_runtime::{
    AppMode, AppSpec, AppState, Application, AskError, DeliveryError, LinkOptions, LogLevel, NodeEvent,
    Peers, RemoteAppError, RemoteSpawnError, RemoteSpawnOptions, SendReason, StopPlan,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[message(reply = u64)]
struct Work {
    n: u64,
    waits: bool,
}
#[message]
struct Note {
    n: u64,
}
#[message]
struct Nothing {
    n: u64,
}

#[derive(Default)]
struct Board {
    begun: AtomicU64,
    go: AtomicBool,
    notes: AtomicU64,
}

struct Server(Arc<Board>);

#[actor]
impl Server {
    #[handle]
    async fn work(&mut self, m: Work, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        while m.waits && !self.0.go.load(Ordering::SeqCst) {
            cx.sleep(Duration::from_millis(2)).await;
        }
        Ok(m.n + 1)
    }
    #[handle]
    fn note(&mut self, _: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.0.notes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

type Said = Vec<String>;
/// Does what it is told to the other node, once.
#[message(local, reply = Said)]
struct Try {
    to: To,
}
#[derive(Clone, Copy)]
enum To {
    Pid(Pid),
    Name(&'static str),
}
/// Calls until a call fails, and says why.
#[message(local)]
struct Hammer {
    to: Pid,
    tell: Sender<(u64, CallError)>,
}
#[message(local, reply = Said)]
struct Apps;

struct Client;

fn said<T>(outcome: Result<T, impl std::fmt::Debug>) -> String {
    outcome.map_or_else(|error| format!("{error:?}"), |_| "Ok".to_owned())
}

impl Client {
    async fn letter(cx: &Context<'_>, to: To) -> String {
        let sent = match to {
            To::Pid(pid) => cx.send_important(pid, Note { n: 1 }, LIMIT).await,
            To::Name(name) => cx.send_important((name, "one@localhost"), Note { n: 1 }, LIMIT).await,
        };
        match sent {
            Err(DeliveryError::Refused(error)) => format!("{:?}", error.reason),
            other => said(other),
        }
    }
}

#[actor]
impl Client {
    #[handle]
    async fn attempt(&mut self, m: Try, cx: &mut Context<'_>) -> Result<Said, ActorError> {
        let reason = |error: SendError<Note>| error.reason;
        let (call, send) = match m.to {
            To::Pid(pid) => {
                (cx.call(pid, Work { n: 1, waits: false }).await, cx.send(pid, Note { n: 1 }).map_err(reason))
            }
            To::Name(name) => {
                let to = (name, "one@localhost");
                (cx.call(to, Work { n: 1, waits: false }).await, cx.send(to, Note { n: 1 }).map_err(reason))
            }
        };
        let letter = Self::letter(cx, m.to).await;
        let spawn = cx.spawn_on("one@localhost", "nothing", Nothing { n: 1 }, RemoteSpawnOptions::new());
        let spawn = match spawn.await {
            Err(RemoteSpawnError::Ask { why, .. }) => format!("{why:?}"),
            other => said(other),
        };
        Ok(vec![said(call), said(send), letter, spawn])
    }
    #[handle]
    async fn post(&mut self, m: Letter, cx: &mut Context<'_>) -> Result<Said, ActorError> {
        Ok(vec![Self::letter(cx, To::Pid(m.to)).await])
    }
    #[handle]
    async fn hammer(&mut self, m: Hammer, cx: &mut Context<'_>) -> ActorResult {
        let mut done = 0;
        loop {
            match cx.call(m.to, Work { n: done, waits: false }).await {
                Ok(answer) => assert_eq!(answer, done + 1),
                Err(error) => {
                    m.tell.send((done, error))?;
                    return Ok(());
                }
            }
            done += 1;
        }
    }
    #[handle]
    async fn apps(&mut self, _: Apps, cx: &mut Context<'_>) -> Result<Said, ActorError> {
        let one = "one@localhost";
        Ok(vec![
            said(cx.app_info_on(one, "shop", LIMIT).await),
            said(cx.start_app_on(one, "shop", AppMode::Permanent, LIMIT).await),
            said(cx.stop_app_on(one, "shop", false, LIMIT).await),
        ])
    }
}

fn builder(name: &str) -> shard_runtime::NodeBuilder {
    Node::builder(name).shards(2).listen("127.0.0.1:0").cookie("unit test cookie").log_level(LogLevel::Panic)
}

struct Pair {
    one: Node,
    two: Node,
    events: Receiver<NodeEvent>,
    client: Pid,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.two.stop();
        self.one.stop();
    }
}

fn pair(one: shard_runtime::NodeBuilder, two: shard_runtime::NodeBuilder) -> Pair {
    let one = one.start().unwrap();
    let first = one.subscribe_nodes().unwrap();
    let two = two.route("one@localhost", one.listen_address().unwrap().to_string()).start().unwrap();
    let events = two.subscribe_nodes().unwrap();
    for events in [&first, &events] {
        while !matches!(events.recv_timeout(LIMIT).unwrap(), NodeEvent::Up { .. }) {}
    }
    let client = two.spawn(|| Client, SpawnOptions::new().on_shard(1)).unwrap();
    let pair = Pair { one, two, events, client };
    until("the session is known", || attempt(&pair, To::Name("nobody"))[1] != "NotConnected");
    until("on every shard", || {
        let asked = pair.two.app_info_on("one@localhost", "nothing", LIMIT);
        asked != Err(AskError::NotConnected.into())
    });
    pair
}

fn attempt(pair: &Pair, to: To) -> Said {
    pair.two.call_blocking_timeout(pair.client, Try { to }, LIMIT).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}

fn server(node: &Node, name: &str, board: &Arc<Board>) -> Pid {
    let board = Arc::clone(board);
    node.spawn(move || Server(board), SpawnOptions::named(name)).unwrap()
}

const ALL_STOPPING: [&str; 4] = ["Send(NodeStopping)", "NodeStopping", "NodeStopping", "NodeStopping"];

#[test]
fn a_node_that_stops_refuses_what_is_new_and_finishes_what_it_has_accepted() {
    let pair = pair(builder("one@localhost"), builder("two@localhost"));
    let board = Arc::new(Board::default());
    let pid = server(&pair.one, "server", &board);
    assert_eq!(attempt(&pair, To::Pid(pid)), ["Ok", "Ok", "Ok", "NameUnknown"]);
    assert_eq!(attempt(&pair, To::Name("server")), ["Ok", "Ok", "Ok", "NameUnknown"]);
    // A call whose handler waits, and behind it messages that were acknowledged.
    let before = board.notes.load(Ordering::SeqCst);
    let (two, one) = (pair.two.clone(), pair.one.clone());
    let call = thread(move || two.call_blocking_timeout(pid, Work { n: 41, waits: true }, LIMIT));
    until("the call is handled", || board.begun.load(Ordering::SeqCst) == 3);
    let letters: Vec<_> = (0..4)
        .map(|_| {
            let client = pair.two.spawn(|| Client, SpawnOptions::new()).unwrap();
            let two = pair.two.clone();
            thread(move || two.call_blocking_timeout(client, Letter { to: pid }, LIMIT))
        })
        .collect();
    for letter in letters {
        assert_eq!(letter.recv_timeout(LIMIT).unwrap().unwrap(), ["Ok"]);
    }
    let stop = thread(move || one.stop_with(StopPlan::new().deadline(LIMIT)));
    until("everything new is refused", || attempt(&pair, To::Pid(pid)) == ALL_STOPPING);
    assert_eq!(attempt(&pair, To::Name("server")), ALL_STOPPING);
    assert_eq!(board.notes.load(Ordering::SeqCst), before, "the handler still waits");
    board.go.store(true, Ordering::SeqCst);
    assert_eq!(call.recv_timeout(LIMIT).unwrap(), Ok(42));
    assert!(stop.recv_timeout(LIMIT).unwrap().is_clean());
    assert!(board.notes.load(Ordering::SeqCst) >= before + 4, "what was acknowledged was handled");
    while !matches!(pair.events.recv_timeout(LIMIT).unwrap(), NodeEvent::Down { .. }) {}
    // It is known that it stopped, until it is back.
    until("all shards know", || attempt(&pair, To::Pid(pid)) == ALL_STOPPING);
    assert_eq!(attempt(&pair, To::Name("server")), ALL_STOPPING);
}

/// Sends one important message.
#[message(local, reply = Said)]
struct Letter {
    to: Pid,
}

fn thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = channel();
    let _runs = std::thread::Builder::new()
        .spawn(move || {
            let _nobody_waits = tell.send(run());
        })
        .unwrap();
    told
}

#[test]
fn callers_that_never_rest_hear_of_a_stop_and_of_nothing_else() {
    for round in 0..5 {
        let pair = pair(builder("one@localhost"), builder("two@localhost"));
        let board = Arc::new(Board::default());
        let pid = server(&pair.one, "server", &board);
        let (tell, told) = channel();
        for shard in [0, 1, 0, 1, 0, 1] {
            let client = pair.two.spawn(|| Client, SpawnOptions::new().on_shard(shard)).unwrap();
            pair.two.send(client, Hammer { to: pid, tell: tell.clone() }).unwrap();
        }
        until("all call", || board.begun.load(Ordering::SeqCst) > 500);
        if round % 2 == 0 {
            assert!(pair.one.stop_with(StopPlan::new()).is_clean());
        } else {
            pair.one.stop();
        }
        let mut done = 0;
        for _ in 0..6 {
            let (count, error) = told.recv_timeout(LIMIT).unwrap();
            assert_eq!(error, CallError::Send(SendReason::NodeStopping), "round {round}");
            done += count;
        }
        assert_eq!(board.begun.load(Ordering::SeqCst), done, "all that was handled was answered");
    }
}

struct Shop;
struct Clerk;

#[actor]
impl Clerk {
    #[handle]
    fn note(&mut self, _: Note, _cx: &mut Context<'_>) -> ActorResult {
        Err(ActorError::normal())
    }
}

impl Application for Shop {
    fn name(&self) -> &str {
        "shop"
    }
    fn spec(&self) -> AppSpec {
        AppSpec::new()
            .description("sells")
            .version("1.2")
            .tag("blue")
            .weight(3)
            .member(|| Clerk, SpawnOptions::named("clerk"))
    }
}

#[test]
fn applications_of_another_node_are_started_described_and_stopped_by_who_may() {
    let pair = pair(builder("one@localhost"), builder("two@localhost"));
    let (one, two) = (&pair.one, &pair.two);
    let node = "one@localhost";
    let ask = RemoteAppError::Ask;
    let start = |mode: Option<AppMode>| two.start_app_on(node, "shop", mode, LIMIT);
    let stop = |force| two.stop_app_on(node, "shop", force, LIMIT);
    let info = || two.app_info_on(node, "shop", LIMIT);
    assert_eq!(start(None), Err(ask(AskError::NameUnknown)));
    one.enable_app_start("shop", Peers::only(["two@localhost"])).unwrap();
    assert_eq!(start(None), Err(RemoteAppError::Unknown));
    assert_eq!(info(), Err(RemoteAppError::Unknown));
    one.load_app(Shop).unwrap();
    assert_eq!(info().unwrap().state, Some(AppState::Loaded));
    for mode in [AppMode::Temporary, AppMode::Transient, AppMode::Permanent] {
        start(Some(mode)).unwrap();
        assert_eq!(start(Some(mode)), Err(RemoteAppError::Running));
        let shop = info().unwrap();
        assert_eq!((shop.mode, shop.state), (Some(mode), Some(AppState::Running)));
        assert_eq!(
            (shop.name.as_str(), shop.description.as_str(), shop.version.as_str()),
            ("shop", "sells", "1.2")
        );
        assert_eq!((shop.weight, shop.tags, shop.processes), (3, vec!["blue".to_owned()], 1));
        assert!(one.whereis("clerk").is_some());
        if mode == AppMode::Temporary {
            // Who may start may not stop.
            assert_eq!(stop(false), Err(ask(AskError::NameUnknown)));
            one.enable_app_stop("shop", Peers::anyone()).unwrap();
        }
        stop(mode == AppMode::Transient).unwrap();
        assert_eq!(stop(false), Err(RemoteAppError::NotRunning));
        assert_eq!(one.app("shop").unwrap().state, AppState::Loaded);
    }
    start(None).unwrap();
    assert_eq!(info().unwrap().mode, Some(AppMode::Temporary), "that of its specification");
    stop(false).unwrap();
    // From a process.
    assert_eq!(two.call_blocking_timeout(pair.client, Apps, LIMIT).unwrap(), ["Ok"; 3]);
    one.deny_app_start("shop", "two@localhost").unwrap();
    one.deny_app_stop("shop", "two@localhost").unwrap();
    assert_eq!(start(None), Err(ask(AskError::NotAllowed)));
    assert_eq!(stop(false), Err(ask(AskError::NotAllowed)));
    assert_eq!(info(), Err(ask(AskError::NotAllowed)));
    one.disable_app_start("shop").unwrap();
    one.disable_app_stop("shop").unwrap();
    assert_eq!(info(), Err(ask(AskError::NameUnknown)));
    assert_eq!(stop(true), Err(ask(AskError::NameUnknown)));
    assert_eq!(two.stop_app_on("two@localhost", "shop", true, LIMIT), Err(ask(AskError::OwnNode)));
    assert_eq!(two.app_info_on(node, &"x".repeat(300), LIMIT), Err(ask(AskError::TooLarge)));
}

#[test]
fn a_node_of_an_older_version_is_not_asked() {
    let old = builder("one@localhost").links(LinkOptions::new().unnumbered());
    let pair = pair(old, builder("two@localhost"));
    let board = Arc::new(Board::default());
    let pid = server(&pair.one, "server", &board);
    assert_eq!(attempt(&pair, To::Pid(pid)), ["Ok", "Ok", "Unsupported", "Unsupported"]);
    let asked = pair.two.app_info_on("one@localhost", "shop", LIMIT);
    assert_eq!(asked, Err(AskError::Unsupported.into()));
}
