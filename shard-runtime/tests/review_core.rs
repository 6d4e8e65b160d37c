//! Corners of the core where users' code, bounds and ends meet: nothing hangs, overflows, leaks or hits a stranger.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits with a deadline, and for a scene on a thread of its own"
)]

use shard_runtime::prelude::*;
use shard_runtime::testing::Bed;
use shard_runtime::{Addressed, Alias, Backoff, Child, Node, Pool, SendReason, Shutdown, Simulation};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Runs a scene that would never end if it were wrong.
fn within(limit: Duration, scene: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let thread = std::thread::spawn(move || {
        scene();
        done.send(()).unwrap();
    });
    match ended.recv_timeout(limit) {
        Ok(()) => thread.join().unwrap(),
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the scene hangs"),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[message(local)]
struct Note(u32);
#[message(local)]
struct Hold;
#[message(local)]
struct Stick;
#[message(local, reply = u32)]
struct Ask;

/// Waits for ever at `Hold`; counts notes.
struct Slow(Arc<AtomicUsize>);

#[actor]
impl Slow {
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.0.fetch_add(m.0 as usize, SeqCst);
        Ok(())
    }
    #[handle]
    async fn hold(&mut self, _: Hold, cx: &mut Context<'_>) -> ActorResult {
        cx.sleep(Duration::from_millis(50)).await;
        Ok(())
    }
    #[handle]
    async fn stick(&mut self, _: Stick, cx: &mut Context<'_>) -> ActorResult {
        cx.sleep(Duration::from_secs(3600)).await;
        Ok(())
    }
    #[handle]
    fn ask(&mut self, _: Ask, _cx: &mut Context<'_>) -> Result<u32, ActorError> {
        Ok(7)
    }
}

#[message(local)]
struct Flood {
    to: Pid,
    count: u32,
}
#[message(local)]
struct Press(Pid);
#[message(local)]
struct Asker {
    pool: Pid,
    tell: Pid,
}
#[message(local)]
struct Told(Result<u32, CallError>);

#[derive(Default)]
struct Client {
    refused: u32,
    expired: Arc<AtomicUsize>,
}

#[actor]
impl Client {
    #[handle]
    fn flood(&mut self, m: Flood, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..m.count {
            let sent = cx.send_with(m.to, Note(1), Priority::High);
            self.refused += u32::from(sent.is_err());
        }
        Ok(())
    }
    #[handle]
    async fn press(&mut self, m: Press, cx: &mut Context<'_>) -> ActorResult {
        for _ in 0..2 {
            let sent = cx.send_wait(m.0, Note(1), Duration::from_millis(10)).await;
            if matches!(&sent, Err(error) if error.reason == SendReason::Expired) {
                self.expired.fetch_add(1, SeqCst);
            }
        }
        Ok(())
    }
    #[handle]
    async fn ask_for(&mut self, m: Asker, cx: &mut Context<'_>) -> ActorResult {
        let answer = cx.call(m.pool, Ask).await;
        cx.send(m.tell, Told(answer))?;
        Ok(())
    }
}

#[test]
fn a_pool_whose_workers_are_full_in_a_higher_queue_waits_for_that_queue() {
    within(Duration::from_secs(60), || {
        let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let pool = move || Pool::of(move || Slow(Arc::clone(&counted))).size(1).worker_mailbox(1);
        let pool = node.spawn(0, pool, &SpawnOptions::new()).unwrap();
        let client = node.spawn(0, Client::default, &SpawnOptions::new()).unwrap();
        node.run();
        node.send(pool, Hold).unwrap();
        node.run();
        node.send(client, Flood { to: pool, count: 3 }).unwrap();
        node.run();
        assert_eq!(count.load(SeqCst), 0, "the worker holds");
        node.advance(Duration::from_secs(2));
        assert_eq!(count.load(SeqCst), 3);
    });
}

#[test]
fn a_wait_for_room_is_for_the_queue_that_the_sender_uses() {
    within(Duration::from_secs(60), || {
        let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, expired) = (Arc::clone(&count), Arc::new(AtomicUsize::new(0)));
        let slow = node.spawn(0, move || Slow(counted), &SpawnOptions::new().with_mailbox(1)).unwrap();
        let told = Arc::clone(&expired);
        let client = move || Client { refused: 0, expired: told };
        let options = SpawnOptions::new().with_send_priority(Priority::High);
        let client = node.spawn(0, client, &options).unwrap();
        node.run();
        node.send(slow, Hold).unwrap();
        node.run();
        node.send(client, Press(slow)).unwrap();
        node.run();
        node.advance(Duration::from_millis(20));
        assert_eq!(expired.load(SeqCst), 1, "System is full for longer than the sender waits");
        node.advance(Duration::from_secs(1));
        assert_eq!(count.load(SeqCst), 1);
    });
}

#[test]
fn two_full_mailboxes_that_fall_back_to_each_other_refuse() {
    within(Duration::from_secs(60), || {
        let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let mut pids = Vec::new();
        for (name, other) in [("left", "right"), ("right", "left")] {
            let counted = Arc::clone(&count);
            let options = SpawnOptions::named(name).with_mailbox(1).with_fallback(other, "tag");
            pids.push(node.spawn(0, move || Slow(counted), &options).unwrap());
        }
        for pid in &pids {
            node.send(*pid, Hold).unwrap();
        }
        node.run();
        node.send(pids[0], Note(1)).unwrap();
        node.send(pids[0], Note(1)).unwrap(); // in the other one, as a `Fallback`
        let error = node.send(pids[0], Note(5)).unwrap_err();
        assert_eq!(error.reason, SendReason::MailboxFull);
        assert_eq!(error.into_inner().0, 5);
    });
}

#[derive(Clone)]
#[message(local)]
struct Bomb(Arc<AtomicBool>);
impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0.load(SeqCst) || std::thread::panicking(), "told to");
    }
}
#[message(local)]
struct Tick(Bomb);

struct Ticker;

#[actor]
impl Ticker {
    #[handle]
    fn tick(&mut self, m: Tick, cx: &mut Context<'_>) -> ActorResult {
        cx.send_every("nobody", m.0, Duration::from_millis(10))?;
        Ok(())
    }
}

#[test]
fn a_repeated_message_whose_drop_panics_ends_nothing_but_itself() {
    let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let ticker = node.spawn(0, || Ticker, &SpawnOptions::new()).unwrap();
    let client = node.spawn(0, Client::default, &SpawnOptions::new()).unwrap();
    node.send(ticker, Tick(Bomb(Arc::clone(&armed)))).unwrap();
    node.run();
    node.kill(ticker);
    armed.store(true, SeqCst);
    node.advance(Duration::from_millis(50));
    assert_eq!(node.counters().panics, 1);
    assert!(node.process(client).is_some());
    armed.store(false, SeqCst);
}

/// Fails to start as often as it is told to.
struct Heir {
    fails: Arc<AtomicUsize>,
    count: Arc<AtomicUsize>,
}

#[actor]
impl Heir {
    async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        cx.yield_now().await;
        if self.fails.load(SeqCst) == 0 {
            return Ok(());
        }
        self.fails.fetch_sub(1, SeqCst);
        Err(std::io::Error::other("not yet").into())
    }
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.count.fetch_add(m.0 as usize, SeqCst);
        Ok(())
    }
    #[handle]
    async fn hold(&mut self, _: Hold, cx: &mut Context<'_>) -> ActorResult {
        cx.sleep(Duration::from_millis(50)).await;
        panic!("told to")
    }
}

/// Its factory panics as often as it is told to.
fn heir(
    factory: &Arc<AtomicUsize>,
    fails: &Arc<AtomicUsize>,
    count: &Arc<AtomicUsize>,
) -> impl Fn() -> Heir + Send + Sync + use<> {
    let (factory, fails, count) = (Arc::clone(factory), Arc::clone(fails), Arc::clone(count));
    move || {
        if factory.load(SeqCst) > 0 {
            factory.fetch_sub(1, SeqCst);
            panic!("the factory was told to");
        }
        Heir { fails: Arc::clone(&fails), count: Arc::clone(&count) }
    }
}

fn preserving(name: &str) -> ChildSpec {
    ChildSpec::new(name).preserve_mailbox()
}

#[test]
fn a_preserved_mailbox_outlasts_starts_that_fail() {
    for (panics, errors) in [(1, 0), (0, 1), (2, 1)] {
        let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
        let [factory, fails, count] = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
        let make = heir(&factory, &fails, &count);
        let tree = || Supervisor::new(SupervisorSpec::one_for_one()).child(preserving("heir"), make);
        node.spawn(0, tree, &SpawnOptions::new()).unwrap();
        node.run();
        let first = node.whereis("heir").unwrap();
        node.send(first, Hold).unwrap();
        node.run();
        for _ in 0..3 {
            node.send(first, Note(1)).unwrap();
        }
        factory.store(panics, SeqCst);
        fails.store(errors, SeqCst);
        node.advance(Duration::from_secs(1));
        assert_ne!(node.whereis("heir").unwrap(), first);
        assert_eq!(count.load(SeqCst), 3, "{panics} panics of the factory, {errors} errors of init");
        assert_eq!(node.counters().mailbox_lost, 0);
    }
}

#[test]
fn nothing_is_kept_for_a_supervisor_that_has_gone() {
    let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
    let [factory, fails, count] = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
    let make = heir(&factory, &fails, &count);
    let tree = || Supervisor::new(SupervisorSpec::one_for_one()).child(preserving("heir"), make);
    let tree = node.spawn(0, tree, &SpawnOptions::new()).unwrap();
    node.run();
    let first = node.whereis("heir").unwrap();
    node.send(first, Hold).unwrap();
    node.run();
    for _ in 0..3 {
        node.send(first, Note(1)).unwrap();
    }
    node.kill(tree);
    assert!(node.process(first).is_none(), "it is linked to its supervisor");
    assert_eq!(node.counters().mailbox_lost, 3);
}

#[test]
fn a_start_that_is_given_up_does_not_kill_a_stranger_of_its_name() {
    for seed in 0..16 {
        let mut node = Simulation::new("review@localhost", 2, seed).unwrap();
        let stranger = node.spawn(1, Client::default, &SpawnOptions::named("taken")).unwrap();
        let child = Child::new(Client::default).options(SpawnOptions::new().on_shard(1));
        let tree = move || {
            Supervisor::new(SupervisorSpec::one_for_one())
                .child_with(ChildSpec::new("taken").shutdown(Shutdown::Kill), child)
        };
        let root = node.spawn(0, Root::default, &SpawnOptions::new()).unwrap();
        node.send(root, Plant(Box::new(tree))).unwrap();
        node.run();
        assert!(node.process(stranger).is_some(), "seed {seed}");
    }
}

#[message(local)]
struct Plant(Box<dyn FnOnce() -> Supervisor + Send>);

/// Starts a supervisor and ends it at once.
#[derive(Default)]
struct Root;

#[actor]
impl Root {
    #[handle]
    async fn plant(&mut self, m: Plant, cx: &mut Context<'_>) -> ActorResult {
        let tree = cx.spawn(m.0, SpawnOptions::new())?;
        cx.yield_now().await;
        cx.exit(tree, ExitReason::Shutdown)?;
        Ok(())
    }
}

#[test]
fn a_caller_whose_pool_ends_while_it_waits_for_room_is_told() {
    let mut bed = Bed::new(1).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let pool = move || Pool::of(move || Slow(Arc::clone(&count))).size(1).worker_mailbox(1);
    let pool = bed.spawn(pool, SpawnOptions::new()).unwrap();
    let client = bed.spawn(Client::default, SpawnOptions::new()).unwrap();
    bed.send(pool, Hold);
    bed.send(pool, Note(1));
    let probe = bed.probe();
    bed.send(client, Asker { pool, tell: probe.pid() });
    bed.sent::<Told>().none();
    bed.kill(pool);
    bed.ended().of(pool).because(|reason| matches!(reason, ExitReason::Kill)).once();
    bed.sent::<Told>().from(client).to(&probe).once();
    assert_eq!(bed.expect::<Told>(&probe).message.0, Err(CallError::Killed));
}

#[message(local)]
struct Block(std::sync::mpsc::Receiver<()>);

struct Blocker(Arc<AtomicBool>);

#[actor]
impl Blocker {
    #[handle]
    fn block(&mut self, m: Block, _cx: &mut Context<'_>) -> ActorResult {
        self.0.store(true, SeqCst);
        m.0.recv()?;
        Ok(())
    }
    #[handle]
    fn note(&mut self, _: Note, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

#[test]
fn a_send_that_a_full_inbox_refuses_takes_no_place() {
    let node = Node::builder("review-places@localhost").shards(1).inbox_limit(2).start().unwrap();
    let blocked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&blocked);
    let pid = node.spawn(move || Blocker(seen), SpawnOptions::new().with_mailbox(8)).unwrap();
    let (go, gate) = channel();
    node.send(pid, Block(gate)).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !blocked.load(SeqCst) {
        assert!(std::time::Instant::now() < deadline, "the handler does not run");
        std::thread::yield_now();
    }
    let refusals: Vec<_> =
        (0..32).filter_map(|_| node.send(pid, Note(1)).err()).map(|error| error.reason).collect();
    assert!(refusals.len() >= 28, "{refusals:?}");
    assert!(refusals.iter().all(|reason| *reason == SendReason::Overloaded), "{refusals:?}");
    go.send(()).unwrap();
    node.stop();
}

#[message(local)]
struct Fall;

/// Ends at `Fall`; tells who listens how urgent its sends are.
struct Herald(Arc<AtomicUsize>);

#[actor]
impl Herald {
    async fn init(&mut self, _cx: &mut Context<'_>) -> ActorResult {
        self.0.fetch_add(1, SeqCst);
        Ok(())
    }
    fn terminate(&mut self, _: &ExitReason, cx: &mut Context<'_>) {
        let _nobody = cx.send("listener", Note(2));
    }
    #[handle]
    fn fall(&mut self, _: Fall, cx: &mut Context<'_>) -> ActorResult {
        cx.send_after("listener", Note(1), Duration::from_millis(10))?;
        Err(ActorError::new(ExitReason::custom(std::io::Error::other("told to"))))
    }
}

#[test]
fn a_bound_of_a_supervisor_loses_none_of_its_timers() {
    let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    let tree = move || {
        let pause = Backoff::new(Duration::from_millis(100), Duration::from_millis(100));
        let spec = SupervisorSpec::one_for_one().backoff(pause);
        ["a", "b", "c"].into_iter().fold(Supervisor::new(spec), |tree, name| {
            let counted = Arc::clone(&counted);
            tree.child(ChildSpec::new(name), move || Herald(Arc::clone(&counted)))
        })
    };
    node.spawn(0, tree, &SpawnOptions::new().with_mailbox(1)).unwrap();
    node.run();
    for name in ["a", "b", "c"] {
        node.send(name, Fall).unwrap();
    }
    node.advance(Duration::from_secs(1));
    assert_eq!(starts.load(SeqCst), 6);
}

#[test]
fn what_is_sent_later_or_at_the_end_has_the_priority_of_its_sender() {
    let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let listener = Arc::clone(&heard);
    let listener = node.spawn(0, move || Slow(listener), &SpawnOptions::named("listener")).unwrap();
    let options = SpawnOptions::new().with_send_priority(Priority::High);
    let herald = node.spawn(0, || Herald(Arc::default()), &options).unwrap();
    node.run();
    node.send(listener, Hold).unwrap();
    node.send(herald, Fall).unwrap();
    node.advance(Duration::from_millis(20));
    assert_eq!(heard.load(SeqCst), 0, "the listener holds");
    let queues = node.facts(listener).unwrap().queues;
    assert_eq!((queues[0], queues[1]), (0, 2), "Main and System");
}

#[message(local, reply = Alias)]
struct Enlist;
#[message(local, reply = Vec<u32>)]
struct Notes;

/// Notes what comes, bare or addressed.
#[derive(Default)]
struct Clerk(Vec<u32>);

#[actor]
impl Clerk {
    #[handle]
    fn enlist(&mut self, _: Enlist, cx: &mut Context<'_>) -> Result<Alias, ActorError> {
        Ok(cx.create_alias()?)
    }
    #[handle]
    fn note(&mut self, m: Note, _cx: &mut Context<'_>) -> ActorResult {
        self.0.push(m.0);
        Ok(())
    }
    #[handle]
    fn addressed(&mut self, m: Addressed<Note>, _cx: &mut Context<'_>) -> ActorResult {
        self.0.push(m.message.0 + 100);
        Ok(())
    }
    #[handle]
    fn notes(&mut self, _: Notes, _cx: &mut Context<'_>) -> Result<Vec<u32>, ActorError> {
        Ok(std::mem::take(&mut self.0))
    }
}

#[test]
fn a_sender_outside_keeps_order_and_address_whatever_it_sends_by() {
    let node = Node::builder("review-order@localhost").shards(2).start().unwrap();
    let blocked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&blocked);
    let blocker = node.spawn(move || Blocker(seen), SpawnOptions::new().on_shard(0)).unwrap();
    let plain = node.spawn(Clerk::default, SpawnOptions::named("plain").on_shard(1)).unwrap();
    let split = node.spawn(Clerk::default, SpawnOptions::named("split").on_shard(1).split_handle()).unwrap();
    let aliases = [plain, split].map(|pid| node.call_blocking(pid, Enlist).unwrap());
    let (go, gate) = channel();
    node.send(blocker, Block(gate)).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !blocked.load(SeqCst) {
        assert!(std::time::Instant::now() < deadline, "the handler does not run");
        std::thread::yield_now();
    }
    for (alias, pid, name) in [(aliases[0], plain, "plain"), (aliases[1], split, "split")] {
        node.send(alias, Note(1)).unwrap();
        node.send(pid, Note(2)).unwrap();
        node.send(name, Note(3)).unwrap();
        node.send((name, "review-order@localhost"), Note(4)).unwrap();
    }
    assert_eq!(node.call_blocking(plain, Notes).unwrap(), [1, 2, 3, 4]);
    assert_eq!(node.call_blocking(split, Notes).unwrap(), [101, 2, 103, 104]);
    go.send(()).unwrap();
    node.stop();
}

#[test]
fn a_pool_with_a_stuck_worker_waits_for_the_others_however_long() {
    within(Duration::from_secs(60), || {
        let mut node = Simulation::new("review@localhost", 1, 1).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let pool = move || Pool::of(move || Slow(Arc::clone(&counted))).size(2).worker_mailbox(1);
        let pool = node.spawn(0, pool, &SpawnOptions::new()).unwrap();
        node.run();
        node.send(pool, Stick).unwrap();
        node.run();
        for _ in 0..70_000 {
            node.send(pool, Note(1)).unwrap();
        }
        node.run();
        assert_eq!(count.load(SeqCst), 69_999, "one waits at the worker that is stuck");
    });
}
