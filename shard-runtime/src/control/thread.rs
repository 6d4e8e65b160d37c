//! The control thread of a node: its start, its three steps, its end.
//!
//! Steps: `open` once the shards are up, `goodbye` before they stop, `end` after they have. Between goodbye and end the
//! thread lives on, so that the watchdog still looks after the shards.

use crate::control::answer::Pending;
use crate::control::diag::DiagPort;
use crate::control::driver::Driver;
use crate::control::embedded::Embedded;
use crate::control::event::NodeEvent;
use crate::control::input::{INPUT_QUEUE, Input, ORDER_QUEUE, Order, Sink, Step};
use crate::control::poster::Poster;
use crate::control::routes::Routes;
use crate::control::settings::Network;
use crate::control::shake::{RouteKeys, Shaker};
use crate::control::watchdog::Watchdog;
use crate::error::{NodeError, RegistrarError};
use crate::link::Request;
use crate::registrar::{Registrar, RegistrarState};
use crate::shard::LogLevel;
use crate::shared::NodeShared;
use shard_wire::session::ControlMsg;
use shard_wire::session::{SessionConfig, SessionCore};
use std::collections::{HashMap, HashSet};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet, spawn_local};

/// How long the start of a node waits for its registrar.
const REGISTER_LIMIT: Duration = Duration::from_secs(8);
/// How long a stop waits for goodbyes to be written, and then for the thread.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// Events that may wait for a subscriber.
const EVENT_QUEUE: usize = 4096;
/// Inputs handled before the clock is looked at again.
const BATCH: usize = 64;

/// What the rest of the node holds of its control thread.
#[derive(Debug)]
pub(crate) struct ControlThread {
    steps: mpsc::UnboundedSender<Step>,
    network: Option<(mpsc::Sender<Order>, DiagPort)>,
    routes: Option<Arc<Routes>>,
    registrar: String,
    thread: RwLock<Option<JoinHandle<()>>>,
}

/// The receiving ends of the loop.
struct Queues {
    inputs: mpsc::Receiver<Input>,
    requests: mpsc::UnboundedReceiver<Request>,
    orders: mpsc::Receiver<Order>,
    steps: mpsc::UnboundedReceiver<Step>,
}

impl ControlThread {
    /// Starts the thread of a node. It accepts and registers nothing before [`ControlThread::open`].
    ///
    /// # Errors
    /// The system refused the thread or its event queue.
    pub(crate) fn start(node: &Arc<NodeShared>, network: Option<Network>) -> Result<Self, NodeError> {
        let (steps, step_queue) = mpsc::unbounded_channel();
        let (orders, order_queue) = mpsc::channel(ORDER_QUEUE);
        let (sink, requests) = mpsc::unbounded_channel();
        let port = network.is_some().then(|| (orders.clone(), DiagPort::new(orders)));
        let routes = network.as_ref().map(|network| Arc::clone(&network.routes));
        let spec = network.as_ref().and_then(|network| network.registrar.as_ref());
        let registrar = spec.map(|spec| spec.address().to_owned()).unwrap_or_default();
        if let Some(network) = &network {
            node.net().listening(network.address, network.routes.own().tls.is_some());
            node.set_control(Box::new(Sink(sink)));
        }
        let thread_error = |source| NodeError::Thread { thread: "control".into(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(thread_error)?;
        let body_node = Arc::clone(node);
        let thread = crate::reactor::spawn_thread("control", move || {
            let node = Arc::clone(&body_node);
            let run = move || {
                let local = LocalSet::new();
                match network {
                    Some(network) => {
                        local.block_on(&runtime, run(node, network, requests, order_queue, step_queue))
                    }
                    None => local.block_on(&runtime, watch(node, step_queue)),
                }
                drop(local);
                // A look-up of a host name may still hang on a thread of its own.
                runtime.shutdown_background();
            };
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                body_node.log().node(LogLevel::Panic, || {
                    "the control thread panicked: this node is cut off; stop it and report the fault"
                        .to_owned()
                });
            }
        })
        .map_err(thread_error)?;
        Ok(Self { steps, network: port, routes, registrar, thread: RwLock::new(Some(thread)) })
    }

    /// Accepts peers and registers the node; waits until the registrar has answered.
    ///
    /// # Errors
    /// The registrar refused the node, or could not be reached.
    pub(crate) fn open(&self) -> Result<(), NodeError> {
        let (answer, outcome) = sync_channel(1);
        if self.steps.send(Step::Open(answer)).is_err() || self.network.is_none() {
            return Ok(());
        }
        let outcome = outcome.recv_timeout(REGISTER_LIMIT);
        let unreachable = || RegistrarError::Unreachable { address: self.registrar.clone() };
        outcome.unwrap_or_else(|_| Err(unreachable())).map_err(NodeError::Registrar)
    }

    /// Tells all peers that this node takes nothing new.
    pub(crate) fn leave(&self) {
        // It may have ended by itself.
        let _ended = self.steps.send(Step::Leave);
    }

    /// Deregisters, says goodbye to all peers and waits until that is written, up to a limit. `is_settled`: all that this
    /// node has accepted is answered.
    pub(crate) fn goodbye(&self, is_settled: bool) {
        let (answer, done) = sync_channel(1);
        if self.network.is_some() && self.steps.send(Step::Goodbye(answer, is_settled)).is_ok() {
            // A peer that does not read is not waited for any longer.
            let _late: Result<(), RecvTimeoutError> = done.recv_timeout(STOP_LIMIT);
        }
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        // It may have ended by itself.
        let _ended = self.steps.send(Step::End);
        let thread = self.thread.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It waits for nothing and nobody, so it ends; a panic was caught inside.
            let _caught = thread.join();
        }
    }

    /// Sessions that begin and end from now on, after those that stand.
    pub(crate) fn subscribe(&self) -> Option<Receiver<NodeEvent>> {
        let (orders, _) = self.network.as_ref()?;
        let (sender, receiver) = sync_channel(EVENT_QUEUE);
        orders.try_send(Order::Subscribe(sender)).ok().map(|()| receiver)
    }

    /// The node's routes; `None` without a network.
    pub(crate) fn routes(&self) -> Option<&Routes> {
        self.routes.as_deref()
    }

    pub(crate) fn diag_port(&self) -> Option<DiagPort> {
        self.network.as_ref().map(|(_, port)| port.clone())
    }
}

/// The loop of a node without a network: its shards still need the watchdog.
async fn watch(node: Arc<NodeShared>, mut steps: mpsc::UnboundedReceiver<Step>) {
    let epoch = crate::clock::now();
    let now_ns = || crate::clock::now().saturating_duration_since(epoch).as_nanos() as u64;
    let mut watchdog = Watchdog::new(node);
    loop {
        watchdog.look(now_ns());
        let left = watchdog.next_ns().saturating_sub(now_ns());
        if let Ok(None | Some(Step::End)) =
            tokio::time::timeout(Duration::from_nanos(left), steps.recv()).await
        {
            return;
        }
    }
}

async fn run(
    node: Arc<NodeShared>,
    network: Network,
    requests: mpsc::UnboundedReceiver<Request>,
    orders: mpsc::Receiver<Order>,
    steps: mpsc::UnboundedReceiver<Step>,
) {
    let (inputs, input_queue) = mpsc::channel(INPUT_QUEUE);
    let epoch = crate::clock::now();
    let shaker = |channel, peer_keys| {
        Rc::new(Shaker {
            own: network.own.clone(),
            how: Arc::clone(network.routes.own()),
            peer_keys,
            deadline: network.handshake_deadline,
            channel,
            epoch,
        })
    };
    let links = shaker([0; 32], Some(Rc::new(RouteKeys(Arc::clone(&network.routes)))));
    let registrar = network.registrar.as_ref().map(|spec| {
        let shaker = shaker(*b"shard-runtime registrar v1 \0\0\0\0\0", None);
        Box::new(Embedded::new(spec.address().to_owned(), shaker, Arc::clone(&node))) as Box<dyn Registrar>
    });
    let mut config = SessionConfig::new(network.own.clone(), network.seed);
    config.timing = network.timing;
    config.allow_peers = network.allow_peers.clone();
    let driver = Driver {
        core: SessionCore::new(config),
        shaker: Rc::clone(&links),
        inputs: inputs.clone(),
        poster: Poster::new(Arc::clone(&node)),
        watchdog: Watchdog::new(Arc::clone(&node)),
        pending: Pending::default(),
        links: HashMap::new(),
        sessions: HashMap::new(),
        dials: HashMap::new(),
        routes: Arc::clone(&network.routes),
        found: HashMap::new(),
        options: network.links,
        subscribers: Vec::new(),
        agent: None,
        served: HashMap::new(),
        flushing: Vec::new(),
        armed_ns: None,
        is_leaving: false,
        said: HashSet::new(),
        node: Arc::clone(&node),
    };
    let queues = Queues { inputs: input_queue, requests, orders, steps };
    let listener = TcpListener::from_std(network.listener);
    let life =
        Life { listener: listener.ok(), acceptor: None, registrar, record: network.record, opening: None };
    drive(driver, queues, life, links, inputs).await;
}

/// What begins at `open` and ends at `goodbye`.
struct Life {
    listener: Option<TcpListener>,
    acceptor: Option<AbortHandle>,
    registrar: Option<Box<dyn Registrar>>,
    record: crate::registrar::NodeRecord,
    opening: Option<SyncSender<Result<(), RegistrarError>>>,
}

async fn drive(
    mut driver: Driver,
    mut queues: Queues,
    mut life: Life,
    links: Rc<Shaker>,
    inputs: mpsc::Sender<Input>,
) {
    loop {
        let due_ns = driver.arm();
        let due = links.epoch.checked_add(Duration::from_nanos(due_ns)).unwrap_or_else(|| far(links.epoch));
        let registrar = &mut life.registrar;
        tokio::select! {
            step = queues.steps.recv() => match step {
                Some(Step::Open(answer)) => {
                    if let Some(listener) = life.listener.take() {
                        let serve = crate::control::accept::serve(
                            listener, Rc::clone(&links), Arc::clone(&driver.node), inputs.clone());
                        life.acceptor = Some(spawn_local(serve).abort_handle());
                    }
                    life.open(&mut driver, answer);
                }
                Some(Step::Leave) => driver.leave(),
                Some(Step::Goodbye(answer, is_settled)) => life.goodbye(&mut driver, answer, is_settled),
                Some(Step::End) | None => return,
            },
            Some(input) = queues.inputs.recv() => {
                driver.on_input(input);
                for _ in 0..BATCH {
                    let Ok(input) = queues.inputs.try_recv() else { break };
                    driver.on_input(input);
                }
            }
            Some(request) = queues.requests.recv() => {
                // Who subscribes and then asks for something is to hear of it.
                for _ in 0..BATCH {
                    let Ok(order) = queues.orders.try_recv() else { break };
                    driver.on_order(order);
                }
                driver.on_request(request);
                for _ in 0..BATCH {
                    let Ok(request) = queues.requests.try_recv() else { break };
                    driver.on_request(request);
                }
            }
            Some(order) = queues.orders.recv() => driver.on_order(order),
            event = async {
                match registrar {
                    Some(registrar) => poll_fn(|task| registrar.poll_event(task)).await,
                    None => pending().await,
                }
            } => life.on_registrar(&mut driver, event),
            () = tokio::time::sleep_until(due.into()) => {}
        }
        driver.tick();
    }
}

fn far(from: Instant) -> Instant {
    from + Duration::from_secs(1 << 30)
}

impl Life {
    fn open(&mut self, driver: &mut Driver, answer: SyncSender<Result<(), RegistrarError>>) {
        for peer in driver.routes.kept() {
            driver.connect(&peer);
        }
        driver.run_commands();
        match &mut self.registrar {
            Some(registrar) => {
                self.opening = Some(answer);
                registrar.register(self.record.clone());
                let state = RegistrarState {
                    is_configured: true,
                    address: registrar.address(),
                    ..RegistrarState::default()
                };
                driver.node.net().set_registrar(state);
            }
            // Whoever starts the node may have given up.
            None => {
                let _unheard = answer.try_send(Ok(()));
            }
        }
    }

    fn on_registrar(&mut self, driver: &mut Driver, event: crate::registrar::RegistrarEvent) {
        if let Some(outcome) = driver.on_registrar(event, self.registrar.as_deref())
            && let Some(opening) = self.opening.take()
        {
            let _unheard = opening.try_send(outcome);
        }
    }

    fn goodbye(&mut self, driver: &mut Driver, answer: SyncSender<()>, is_settled: bool) {
        self.registrar = None;
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.abort();
        }
        if is_settled {
            driver.tell_all(&ControlMsg::Settled);
        }
        driver.core.goodbye(driver.now_ns(), "the node stops");
        driver.run_commands();
        let flushing = std::mem::take(&mut driver.flushing);
        spawn_local(async move {
            for writer in flushing {
                // Each ends within its own limit; a writer that was aborted is done too.
                let _aborted = writer.await;
            }
            let _unheard = answer.try_send(());
        });
    }
}
