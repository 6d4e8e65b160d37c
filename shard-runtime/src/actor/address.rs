//! What a message can be sent to: a pid, a name on this node, a name on another node.

use shard_wire::Pid;

/// Where a message goes, before it is resolved.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Route<'a> {
    /// A process.
    Pid(Pid),
    /// The holder of a registered name on this node.
    Name(&'a str),
    /// The holder of a registered name on another node.
    Remote {
        /// The registered name.
        name: &'a str,
        /// The node's name.
        node: &'a str,
    },
}

/// Anything a message can be sent to.
pub trait Address {
    /// Where it leads.
    fn route(&self) -> Route<'_>;
}

impl Address for Pid {
    #[inline(always)]
    fn route(&self) -> Route<'_> {
        Route::Pid(*self)
    }
}

impl Address for str {
    fn route(&self) -> Route<'_> {
        Route::Name(self)
    }
}

impl Address for String {
    fn route(&self) -> Route<'_> {
        Route::Name(self)
    }
}

/// A registered name on a node: survives restarts of the process, not moves to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Named<'a> {
    /// The registered name.
    pub name: &'a str,
    /// The node's name, `name@host`.
    pub node: &'a str,
}

impl Address for Named<'_> {
    fn route(&self) -> Route<'_> {
        Route::Remote { name: self.name, node: self.node }
    }
}

impl Address for (&str, &str) {
    fn route(&self) -> Route<'_> {
        Route::Remote { name: self.0, node: self.1 }
    }
}

impl<T: Address + ?Sized> Address for &T {
    #[inline(always)]
    fn route(&self) -> Route<'_> {
        (**self).route()
    }
}
