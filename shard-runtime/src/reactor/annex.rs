//! Threads for annexes, and what stands for them in the simulation.
//!
//! Invariants: Y1 an annex lives and dies on its thread, and gives its place back when it is gone. Y2 before it parks, the
//! thread stores its waker, sets its sleep flag and looks at the inbox again ([`Sleep`](crate::ring::Sleep)). Y3 in the
//! simulation an annex is one more logical shard, turned by whoever turns the others.
//! Cost: a thread; a park is one futex call.

use crate::error::{ExitReason, NodeError};
use crate::shard::{Inbound, Lease, Port, Shard, Turn, panic_message};
use crate::shared::NodeShared;
use crate::testing::Journal;
use std::cell::{OnceCell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// How long a thread whose process has ended sleeps at most: a home shard that stops does not wake it.
const VACANT_PARK: Duration = Duration::from_millis(100);

/// The shards and annexes of a simulated node.
#[derive(Default)]
pub(crate) struct Logical {
    shards: RefCell<Vec<Rc<Shard>>>,
    annexes: RefCell<Vec<(Lease, Rc<Shard>)>>,
    /// Where a test bed writes down what processes do.
    journal: OnceCell<Rc<Journal>>,
}

impl Logical {
    /// Ties the shards of a simulated node together, until [`Logical::dissolve`].
    pub(crate) fn of(shards: &[Rc<Shard>]) -> Rc<Self> {
        let logical = Rc::new(Self { shards: RefCell::new(shards.to_vec()), ..Self::default() });
        for shard in shards {
            shard.set_logical(&logical);
        }
        logical
    }

    /// Has all that processes do from now on written into a journal.
    pub(crate) fn keep_journal(&self, journal: Rc<Journal>) {
        if self.journal.set(journal).is_ok() {
            for shard in &*self.shards.borrow() {
                shard.begin_watch();
            }
        }
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.get().map(|journal| &**journal)
    }

    pub(crate) fn shard(&self, index: u16) -> Option<Rc<Shard>> {
        self.shards.borrow().get(usize::from(index)).cloned()
    }

    /// The annexes there are now.
    pub(crate) fn annexes(&self) -> Vec<Rc<Shard>> {
        self.annexes.borrow().iter().map(|(_, annex)| Rc::clone(annex)).collect()
    }

    /// Sends those home whose process has ended. Whether there were any.
    pub(crate) fn sweep(&self) -> bool {
        let over: Vec<(Lease, Rc<Shard>)> =
            self.annexes.borrow_mut().extract_if(.., |(_, annex)| annex.is_over()).collect();
        let any = !over.is_empty();
        for (lease, annex) in over {
            let next = annex.move_out();
            let node = Arc::clone(annex.node());
            drop(annex);
            hand_back(&node, lease, next);
        }
        any
    }

    /// Lets go of everything, so that nothing holds itself.
    pub(crate) fn dissolve(&self) {
        self.annexes.take();
        self.shards.take();
    }
}

/// Makes an annex and what runs it.
///
/// # Errors
/// The system refused a thread or memory.
pub(crate) fn launch(home: &Shard, lease: Lease) -> io::Result<()> {
    let (node, clock) = (Arc::clone(home.node()), home.clock().clone());
    if let Some(logical) = home.logical() {
        let annex = Rc::new(Shard::new_annex(node, &lease, clock).map_err(io::Error::other)?);
        annex.set_logical(logical);
        logical.annexes.borrow_mut().push((lease, annex));
        return Ok(());
    }
    // The kernel cuts thread names at 15 bytes.
    let name = format!("process-{}", lease.id as u32);
    crate::reactor::spawn_thread(&name, move || {
        crate::reactor::memory::set_affinity(node.annexes().cpus());
        match Shard::new_annex(Arc::clone(&node), &lease, clock) {
            Ok(annex) => run(annex, lease),
            Err(error) => refuse(&node, lease, error),
        }
    })
    .map(drop)
}

/// Runs an annex until its process has ended.
fn run(annex: Shard, lease: Lease) {
    let node = Arc::clone(annex.node());
    // What a process does is contained by its turn; this is for what the runtime itself gets wrong.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drive(&annex))) {
        annex.give_up(panic_message(panic.as_ref()));
    }
    let next = annex.move_out();
    drop(annex);
    hand_back(&node, lease, next);
}

fn drive(annex: &Shard) {
    let Some(port) = annex.node().port_arc(annex.index()) else { return };
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    while !annex.is_over() {
        if annex.turn() == Turn::Idle && !annex.is_over() {
            park(annex, &port, &waker);
        }
    }
}

/// Sleeps until somebody wakes the thread or its next deadline comes (Y2).
fn park(annex: &Shard, port: &Port, waker: &Waker) {
    let deadline = annex.next_deadline();
    port.cells.park_until.store(deadline.unwrap_or(0), Relaxed);
    annex.count(|cells| &cells.parks, 1);
    annex.publish_gauges();
    annex.publish_facts();
    port.waker.register(waker);
    if port.sleep().prepare_park(|| annex.is_work()) {
        let left = deadline.map(|deadline| deadline.saturating_sub(annex.clock().ticks()));
        let left = left.map(|ticks| Duration::from_nanos(annex.clock().span_ns(ticks)));
        match left.into_iter().chain(annex.is_vacant().then_some(VACANT_PARK)).min() {
            Some(left) => std::thread::park_timeout(left),
            None => std::thread::park(),
        }
        port.sleep().cancel_park();
    }
}

/// There is no annex after all.
fn refuse(node: &NodeShared, lease: Lease, error: NodeError) {
    let reason = ExitReason::custom(error);
    post_home(node, lease, move |home| home.annex_has_ended(lease.id, reason));
    if let Some(port) = node.port(lease.index) {
        port.inbox.close();
        while !port.inbox.is_finished() {
            port.inbox.drain(usize::MAX, drop);
        }
    }
    hand_back(node, lease, Some(node.annexes().first_generation(lease.index)));
}

/// The place is free, and the home shard knows.
fn hand_back(node: &NodeShared, lease: Lease, next: Option<u32>) {
    node.annexes().give_back(lease.index, next);
    post_home(node, lease, move |home| home.annex_is_gone(lease.id));
}

fn post_home(node: &NodeShared, lease: Lease, task: impl FnOnce(&Shard) + Send + 'static) {
    if let Some(port) = node.port(lease.home) {
        // A home shard that has stopped waits for nothing.
        let _stopped = port.post_reserved(Inbound::Task(Box::new(task)));
    }
}

/// Wakes the thread of an annex.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
