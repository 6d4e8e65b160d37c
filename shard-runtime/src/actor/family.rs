//! What a handler can do to other processes, and by what it is known: links, monitors, exits, names, aliases, environment.

use crate::actor::{Context, Target, TimerRef};
use crate::error::{ExitReason, LinkError, SpawnError};
use crate::process::{Bond, Env, EnvValue};
use crate::shard::Shard;
use crate::symbol::Symbol;
use shard_wire::{Alias, LocalId, Pid};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

impl Context<'_> {
    /// Links this process to a target: when that ends, this one gets an exit signal, once. One way.
    ///
    /// The target may be on another node: by pid, by alias, or by `(name, node)`. This returns without waiting for that node; a
    /// target that is not there fires at once. The end of the session with the node fires it as `NoConnection`.
    ///
    /// # Errors
    /// There is nothing to link to, the link exists, or it would be to itself; for another node, there is no session with
    /// it, or no room. A target that ends meanwhile fires.
    pub fn link(&self, target: impl Into<Target>) -> Result<(), LinkError> {
        self.ask(target, |shard, target| shard.bind(Bond::Link, target))
    }

    /// Undoes a link.
    ///
    /// # Errors
    /// There is no such link: it has fired, or was never made.
    pub fn unlink(&self, target: impl Into<Target>) -> Result<(), LinkError> {
        self.ask(target, |shard, target| shard.unbind(Bond::Link, target))
    }

    /// Watches a target: when that ends, this process gets a [`Down`](crate::Down) message, once.
    ///
    /// # Errors
    /// As for [`Context::link`].
    pub fn monitor(&self, target: impl Into<Target>) -> Result<(), LinkError> {
        self.ask(target, |shard, target| shard.bind(Bond::Monitor, target))
    }

    /// Undoes a monitor. No down message comes after it, unless it is in the mailbox already.
    ///
    /// # Errors
    /// As for [`Context::unlink`].
    pub fn demonitor(&self, target: impl Into<Target>) -> Result<(), LinkError> {
        self.ask(target, |shard, target| shard.unbind(Bond::Monitor, target))
    }

    /// Sends an exit signal: the process ends with this reason at its next boundary, unless it traps exits. It may be on
    /// another node, which hears an error as a [`RemoteError`](crate::RemoteError).
    ///
    /// # Errors
    /// There is no such process, or it is this one, its parent or its leader. For another node, there is no session with it,
    /// or no room; whether the process lives is not known then.
    pub fn exit(&self, pid: Pid, reason: ExitReason) -> Result<(), LinkError> {
        self.shard().send_exit(pid, reason)
    }

    /// Sends an exit signal after a delay. `None` if too many timers wait on this shard.
    pub fn exit_after(&self, pid: Pid, reason: ExitReason, delay: Duration) -> Option<TimerRef> {
        self.shard().exit_after(pid, reason, delay)
    }

    /// Whether exit signals arrive as [`ExitSignal`](crate::ExitSignal) messages from now on. Those of the parent never do.
    pub fn trap_exit(&self, on: bool) {
        // A home shard that is stuck does it when it goes on.
        let _stuck = self.shard().at_home(move |shard| shard.trap_exits(on));
    }

    /// Whether messages sent by name or alias arrive as [`Addressed`](crate::Addressed) from now on.
    pub fn split_handle(&self, on: bool) {
        // A home shard that is stuck does it when it goes on.
        let _stuck = self.shard().at_home(move |shard| shard.split_handle(on));
    }

    /// Sets from how many bytes of its encoded body on a message, call or reply of this process to another node is
    /// compressed; less than 1024 is taken as 1024, `None` compresses nothing. See
    /// [`SpawnOptions::compression`](crate::SpawnOptions::compression).
    pub fn set_compression(&self, threshold: Option<u32>) {
        // A home shard that is stuck does it when it goes on.
        let _stuck = self.shard().at_home(move |shard| shard.compress_from(threshold));
    }

    /// Kills a process of this node: its handler is dropped at once if it is suspended, at its next return if it runs.
    pub fn kill(&self, pid: Pid) {
        self.shard().kill(pid);
    }

    /// Who spawned this process; the node's core process if it came from outside.
    #[must_use]
    pub fn parent(&self) -> Pid {
        self.shard().family_of_current().0
    }

    /// The leader of this process's group.
    #[must_use]
    pub fn leader(&self) -> Pid {
        self.shard().family_of_current().1
    }

    /// The node's core process: sender and parent of what comes from outside.
    #[must_use]
    pub fn core(&self) -> Pid {
        self.shard().pid(LocalId::CORE.0)
    }

    /// The process that holds a name on this node.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.shard().node().lookup(name)
    }

    /// Claims a name for this process, which has none yet.
    ///
    /// # Errors
    /// Somebody holds it, this process has one already, or the name is not usable.
    pub fn register(&self, name: &str) -> Result<(), SpawnError> {
        let name = name.to_owned();
        self.shard().at_home(move |shard| shard.register_current(&name)).unwrap_or(Err(SpawnError::Stopping))
    }

    /// Gives this process's name up. What was linked to the name, or watched it, fires with `Unregistered`.
    ///
    /// # Errors
    /// It has none.
    pub fn unregister(&self) -> Result<(), LinkError> {
        self.shard().at_home(|shard| shard.unregister_current()).unwrap_or(Err(LinkError::NoAnswer))
    }

    /// A new alias of this process: a further address, which can be given up again.
    ///
    /// # Errors
    /// The shard has a million of them.
    pub fn create_alias(&self) -> Result<Alias, LinkError> {
        self.shard().at_home(|shard| shard.create_alias()).unwrap_or(Err(LinkError::NoAnswer))
    }

    /// Gives an alias up. What was linked to it, or watched it, fires with `Unregistered`.
    ///
    /// # Errors
    /// There is no such alias, or it is another process's.
    pub fn delete_alias(&self, alias: Alias) -> Result<(), LinkError> {
        self.shard().at_home(move |shard| shard.delete_alias(alias)).unwrap_or(Err(LinkError::NoAnswer))
    }

    /// A value of this process's environment, if it is of this type.
    #[must_use]
    pub fn env<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.shard().env_of(self.pid().local.0).get(key)
    }

    /// Sets a value of this process's environment. Children spawned later inherit it.
    pub fn set_env<T: Any + Send + Sync>(&self, key: &str, value: T) {
        let value = EnvValue::open(value);
        drop(self.change_env(|env| env.put(key, value)));
    }

    /// Sets a value of this process's environment that is never shown, only its key is.
    pub fn set_secret_env<T: Any + Send + Sync>(&self, key: &str, value: T) {
        let value = EnvValue::secret(value);
        drop(self.change_env(|env| env.put(key, value)));
    }

    /// The application that this process belongs to: that of which it is a member, or its parent's.
    #[must_use]
    pub fn application(&self) -> Option<&str> {
        let shard = self.shard();
        let symbol = shard.application_of(shard.current_id());
        shard.node().symbols().text(Symbol(symbol)).filter(|name| !name.is_empty())
    }

    /// Removes a value of this process's environment; whether it was there.
    pub fn remove_env(&self, key: &str) -> bool {
        self.change_env(|env| env.take(key)).is_some()
    }

    fn change_env<R>(&self, change: impl FnOnce(&mut Env) -> R) -> R {
        let shard = self.shard();
        let result = shard.change_env(change);
        if shard.is_annex() {
            // The environment is where its process is; the home shard has a copy, for those who ask it.
            let (env, id) = (shard.env_of(shard.current_id()), shard.current_id());
            shard.tell(shard.home_index(), move |home| {
                if home.live_record(id).is_some() {
                    home.speaking_as(id, || home.change_env(|own| *own = env));
                }
            });
        }
        result
    }

    fn ask(
        &self,
        target: impl Into<Target>,
        what: impl FnOnce(&Shard, &Target) -> Result<(), LinkError> + Send + 'static,
    ) -> Result<(), LinkError> {
        let target = target.into();
        self.shard().at_home(move |shard| what(shard, &target)).unwrap_or(Err(LinkError::NoAnswer))
    }
}
