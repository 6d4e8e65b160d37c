//! How an I/O process is started.

use crate::actor::{Actor, Context, SpawnOptions};
use crate::error::{IoError, LinkError, SpawnError};
use crate::shard::{Origin, Shard};
use shard_wire::{Alias, IncarnationKey, LocalId, Pid};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

/// A running I/O process.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Io {
    /// Its address: what messages about it call it, and what is to be written is sent to.
    pub id: Alias,
    /// Its pid: for exits, inspection and monitors.
    pub pid: Pid,
    /// The address it is bound to, if it is a socket: the port that was picked if none was named.
    pub local: Option<SocketAddr>,
}

/// Who an I/O process is: known when its `init` runs.
#[derive(Default)]
pub(crate) struct Ident(Cell<Option<(u64, Alias)>>);

impl Ident {
    /// Its local id.
    pub(crate) fn local(&self) -> u64 {
        self.0.get().map_or(0, |(local, _)| local)
    }

    /// Its alias.
    pub(crate) fn alias(&self) -> Alias {
        self.0.get().map_or(Alias { node: IncarnationKey(0), id: 0 }, |(_, alias)| alias)
    }
}

/// A description of an I/O process: a server, a client, a socket, a program.
pub trait IoProcess: Send + 'static {
    /// Starts it.
    ///
    /// # Errors
    /// An option makes no sense, or the system refused.
    #[doc(hidden)]
    fn open(self, opener: &Opener<'_>) -> Result<Io, IoError>;
}

/// Where an I/O process starts. Not an API.
#[doc(hidden)]
#[derive(Debug)]
#[expect(
    unnameable_types,
    reason = "what seals `IoProcess`: it is passed to its implementations and nobody else names it"
)]
pub struct Opener<'a> {
    pub(crate) shard: &'a Shard,
    /// Local id of its owner.
    pub(crate) owner: u64,
}

impl Opener<'_> {
    /// The process that owns what is opened.
    pub(crate) fn owner(&self) -> Pid {
        self.shard.pid(self.owner)
    }

    /// Starts the process. It finds out who it is when its `init` runs.
    pub(crate) fn spawn<A: Actor>(
        &self,
        make: impl FnOnce(Rc<Ident>) -> A,
        local: Option<SocketAddr>,
    ) -> Result<Io, IoError> {
        let shard = self.shard;
        let ident = Rc::new(Ident::default());
        let origin = Origin { parent: self.owner, env: None, links_child: false, application: 0 };
        let mut options = SpawnOptions::new();
        if self.owner != LocalId::CORE.0 {
            options = options.link_parent();
        }
        let given = Rc::clone(&ident);
        let pid = shard.spawn(move || make(given), &options, origin)?;
        let id = match shard.give_alias(pid.local.0) {
            Ok(id) => id,
            Err(error) => {
                shard.kill_here(pid.local.0);
                return Err(error.into());
            }
        };
        ident.0.set(Some((pid.local.0, id)));
        Ok(Io { id, pid, local })
    }
}

impl Context<'_> {
    /// Starts an I/O process of this process, on this process's shard: it ends with this process, and sends what it reads to
    /// this process unless it is told otherwise.
    ///
    /// ```no_run
    /// use shard_runtime::prelude::*;
    /// use shard_runtime::{TcpData, TcpServer};
    ///
    /// #[derive(Default)]
    /// struct Echo;
    /// #[actor]
    /// impl Echo {
    ///     async fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
    ///         let server = cx.spawn_io(TcpServer::bind("127.0.0.1:7007"))?;
    ///         cx.log().info(format_args!("listening on {:?}", server.local));
    ///         Ok(())
    ///     }
    ///     #[handle]
    ///     fn data(&mut self, m: TcpData, cx: &mut Context<'_>) -> ActorResult {
    ///         let _closed_meanwhile = cx.send(m.id, m);
    ///         Ok(())
    ///     }
    ///     #[handle]
    ///     fn up(&mut self, _: shard_runtime::TcpConnect, _cx: &mut Context<'_>) -> ActorResult { Ok(()) }
    ///     #[handle]
    ///     fn down(&mut self, _: shard_runtime::TcpDisconnect, _cx: &mut Context<'_>) -> ActorResult { Ok(()) }
    /// }
    /// ```
    ///
    /// # Errors
    /// An option makes no sense, or the system refused: an address in use, no descriptors left.
    pub fn spawn_io(&self, process: impl IoProcess) -> Result<Io, IoError> {
        let owner = self.pid().local.0;
        let opened = self.shard().at_home(move |shard| process.open(&Opener { shard, owner }));
        opened.unwrap_or(Err(IoError::NoAnswer))
    }
}

impl From<LinkError> for IoError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Limit => Self::Spawn(SpawnError::BadName("the shard has no alias left")),
            _ => Self::Spawn(SpawnError::Stopping),
        }
    }
}
