//! What a node does for others, and what it asks of them, from outside of any process.

use crate::actor::{Actor, RemoteApp, RemoteSpawnOptions, done, facts, mode_code};
use crate::app::AppMode;
use crate::error::{AskError, EnableError, RemoteAppError, RemoteSpawnError, SpawnId};
use crate::link::{Offer, Peers, Told, app_answer, started};
use crate::node::handle::must_not_block;
use crate::node::{Node, NodeBuilder};
use crate::oneshot::{self, RecvError};
use crate::shard::{Inbound, Shard};
use shard_wire::ask::{Answer, Ask, Claim};
use shard_wire::{LocalId, Message, MessageKey, Pid, vtable};
use std::sync::Arc;
use std::time::Duration;

/// How much longer than its answer may take a blocked thread waits.
const GRACE: Duration = Duration::from_secs(1);

/// What a node does for others.
impl Node {
    /// Offers a process to other nodes under a name: those on the list may start it with
    /// [`Context::spawn_on`](crate::Context::spawn_on) and arguments of type `M`, or of a version that it replaces. The factory runs on the process's shard; an
    /// error is for `init` to return.
    ///
    /// Who is not on the list is refused; an empty list allows nobody.
    ///
    /// # Errors
    /// The name is taken, empty or too long; the type of the arguments is local; a name on the list is none.
    pub fn enable_spawn<A: Actor, M: Message>(
        &self,
        name: &str,
        peers: Peers,
        factory: impl Fn(M) -> A + Send + Sync + 'static,
    ) -> Result<(), EnableError> {
        self.shared().offers().enable_spawn(offer(name, peers, factory)?)
    }

    /// Offers a process no more. Those that run, and those that are being started, go on.
    ///
    /// # Errors
    /// Nothing is offered under the name.
    pub fn disable_spawn(&self, name: &str) -> Result<(), EnableError> {
        self.shared().offers().disable_spawn(name)
    }

    /// Denies a process to a node, for as long as the offer stands.
    ///
    /// # Errors
    /// Nothing is offered under the name, or the node's name is none.
    pub fn deny_spawn(&self, name: &str, node: &str) -> Result<(), EnableError> {
        self.shared().offers().deny_spawn(name, node)
    }

    /// Lets the nodes on the list start an application, and ask about it. It need not be loaded yet.
    ///
    /// # Errors
    /// That is enabled already; the name is empty or too long; a name on the list is none.
    pub fn enable_app_start(&self, app: &str, peers: Peers) -> Result<(), EnableError> {
        self.shared().offers().enable_app(false, app, peers)
    }

    /// Lets no node start an application any more.
    ///
    /// # Errors
    /// It was not enabled.
    pub fn disable_app_start(&self, app: &str) -> Result<(), EnableError> {
        self.shared().offers().disable_app(false, app)
    }

    /// Denies the start of an application to a node.
    ///
    /// # Errors
    /// The start is not enabled, or the node's name is none.
    pub fn deny_app_start(&self, app: &str, node: &str) -> Result<(), EnableError> {
        self.shared().offers().deny_app(false, app, node)
    }

    /// Lets the nodes on the list stop an application.
    ///
    /// # Errors
    /// As for [`Node::enable_app_start`].
    pub fn enable_app_stop(&self, app: &str, peers: Peers) -> Result<(), EnableError> {
        self.shared().offers().enable_app(true, app, peers)
    }

    /// Lets no node stop an application any more.
    ///
    /// # Errors
    /// It was not enabled.
    pub fn disable_app_stop(&self, app: &str) -> Result<(), EnableError> {
        self.shared().offers().disable_app(true, app)
    }

    /// Denies the stop of an application to a node.
    ///
    /// # Errors
    /// The stop is not enabled, or the node's name is none.
    pub fn deny_app_stop(&self, app: &str, node: &str) -> Result<(), EnableError> {
        self.shared().offers().deny_app(true, app, node)
    }
}

/// What a node does for others.
impl NodeBuilder {
    /// As [`Node::enable_spawn`], before any peer can ask. What is wrong with it is told by [`NodeBuilder::start`].
    #[must_use]
    pub fn enable_spawn<A: Actor, M: Message>(
        mut self,
        name: &str,
        peers: Peers,
        factory: impl Fn(M) -> A + Send + Sync + 'static,
    ) -> Self {
        let offered = offer(name, peers, factory);
        self.setup.offers.push(Box::new(move |offers| offers.enable_spawn(offered?)));
        self
    }

    /// As [`Node::enable_app_start`], before any peer can ask.
    #[must_use]
    pub fn enable_app_start(mut self, app: &str, peers: Peers) -> Self {
        let app = app.to_owned();
        self.setup.offers.push(Box::new(move |offers| offers.enable_app(false, &app, peers)));
        self
    }

    /// As [`Node::enable_app_stop`], before any peer can ask.
    #[must_use]
    pub fn enable_app_stop(mut self, app: &str, peers: Peers) -> Self {
        let app = app.to_owned();
        self.setup.offers.push(Box::new(move |offers| offers.enable_app(true, &app, peers)));
        self
    }

    /// Sets whether processes that this node's start on other nodes get the environment of their parents: texts, numbers and
    /// truth values; secrets never go. Default: no.
    #[must_use]
    pub fn expose_env_remote_spawn(mut self, exposes: bool) -> Self {
        self.setup.plan.expose_env_remote_spawn = exposes;
        self
    }
}

/// What a node asks of others.
impl Node {
    /// Starts a process on another node and waits for it, as [`Context::spawn_on`](crate::Context::spawn_on) does. Its parent
    /// and leader is this node's core process; links and monitors in the options mean nothing.
    ///
    /// # Errors
    /// As for [`Context::spawn_on`](crate::Context::spawn_on); or it was called on a shard thread.
    pub fn spawn_on<M: Message>(
        &self,
        node: &str,
        name: &str,
        args: M,
        options: RemoteSpawnOptions,
    ) -> Result<Pid, RemoteSpawnError> {
        let RemoteSpawnOptions { id: given, deadline, name: registered, .. } = options.clone();
        let failed = |why, id| RemoteSpawnError::Ask { why, id };
        let (name, peer) = (name.to_owned(), node.to_owned());
        let build = move |shard: &Shard| {
            let id = shard.ask_id(given).map_err(|why| failed(why, SpawnId(0)))?;
            let build = || shard.spawn_body((&peer, &name), &args, &options);
            Ok((id, shard.speaking_as(LocalId::CORE.0, build)?))
        };
        let asked = self.ask_outside(node, deadline, build).map_err(|why| failed(why, SpawnId(0)))?;
        let (id, told) = asked?;
        let (answer, session) = told.map_err(|why| failed(why, SpawnId(id)))?;
        let pid = started(answer, &session, id, &registered)?;
        let claim = move |shard: &Shard| shard.claim_far(id, session, Claim::Keep);
        let port = self.shared().port(0).ok_or_else(|| failed(AskError::Stopping, SpawnId(id)))?;
        if port.post_reserved(Inbound::Task(Box::new(claim))).is_err() {
            // Unclaimed, it is ended there.
            return Err(failed(AskError::Stopping, SpawnId(id)));
        }
        Ok(pid)
    }

    /// Starts an application of another node, as [`Context::start_app_on`](crate::Context::start_app_on) does.
    ///
    /// # Errors
    /// As there; or it was called on a shard thread.
    pub fn start_app_on(
        &self,
        node: &str,
        app: &str,
        mode: impl Into<Option<AppMode>>,
        within: Duration,
    ) -> Result<(), RemoteAppError> {
        let ask = Ask::AppStart { name: app, mode: mode.into().map_or(0, mode_code) };
        done(&self.ask_app(node, &ask, within)?)
    }

    /// Stops an application of another node, as [`Context::stop_app_on`](crate::Context::stop_app_on) does.
    ///
    /// # Errors
    /// As there; or it was called on a shard thread.
    pub fn stop_app_on(
        &self,
        node: &str,
        app: &str,
        force: bool,
        within: Duration,
    ) -> Result<(), RemoteAppError> {
        done(&self.ask_app(node, &Ask::AppStop { name: app, force }, within)?)
    }

    /// What another node says of one of its applications.
    ///
    /// # Errors
    /// As for [`Context::app_info_on`](crate::Context::app_info_on); or it was called on a shard thread.
    pub fn app_info_on(&self, node: &str, app: &str, within: Duration) -> Result<RemoteApp, RemoteAppError> {
        facts(self.ask_app(node, &Ask::AppInfo { name: app }, within)?)
    }

    fn ask_app(&self, node: &str, ask: &Ask<'_>, within: Duration) -> Result<Answer, RemoteAppError> {
        let body = ask.to_bytes().map_err(|_| AskError::TooLarge)?;
        let build = move |shard: &Shard| Ok((shard.ask_id(None)?, (MessageKey(0), body)));
        let asked: Result<_, AskError> = self.ask_outside(node, within, build)?;
        app_answer(asked?.1)
    }

    /// Has the first shard put an ask together and send it, and waits for what comes of it.
    fn ask_outside<E: Send + 'static>(
        &self,
        node: &str,
        within: Duration,
        build: impl FnOnce(&Shard) -> Result<(u64, (MessageKey, Vec<u8>)), E> + Send + 'static,
    ) -> Result<Result<(u64, Told), E>, AskError> {
        if must_not_block() {
            return Err(AskError::OnShard);
        }
        if self.shared().is_stopping() {
            return Err(AskError::Stopping);
        }
        let node: Box<str> = node.into();
        let (answer, mut outcome) = oneshot::channel();
        let task = move |shard: &Shard| match build(shard) {
            Ok((id, asked)) => shard.ask_from_outside(node, asked, id, within, move |_, told| {
                // Whoever asked may have stopped waiting: then nobody claims what was started.
                let _unheard = answer.send(Ok((id, told)));
            }),
            Err(error) => {
                let _unheard = answer.send(Err(error));
            }
        };
        let port = self.shared().port(0).ok_or(AskError::Stopping)?;
        if port.post(Inbound::Task(Box::new(task))).is_err() {
            return Err(AskError::Overloaded);
        }
        match outcome.recv_timeout(within.saturating_add(GRACE)) {
            Ok(told) => Ok(told),
            Err(RecvError::Closed) => Err(AskError::Stopping),
            Err(RecvError::Timeout) => Err(AskError::Timeout),
        }
    }
}

fn offer<A: Actor, M: Message>(
    name: &str,
    peers: Peers,
    factory: impl Fn(M) -> A + Send + Sync + 'static,
) -> Result<Offer, EnableError> {
    let ops = vtable::<M>().wire_ops();
    let args = ops.ok_or_else(|| EnableError::LocalArguments(std::any::type_name::<M>()))?;
    let factory = Arc::new(factory);
    let start =
        move |shard: &Shard, args: shard_wire::Erased, options: &_, origin, told: crate::link::Started| {
            match args.downcast::<M>() {
                Ok(args) => {
                    let factory = Arc::clone(&factory);
                    shard.spawn_and_tell(move || factory(args), options, origin, told);
                }
                // The key was compared: it is of no other type.
                Err(_) => told(shard, Err(crate::SpawnError::Stopping)),
            }
        };
    Ok(Offer { name: name.into(), args, peers, start: Arc::new(start) })
}
