//! What a message can be sent to: a pid, an alias, a name on this node, a name on another node.

use shard_wire::{Alias, Pid};

/// Where a message goes, before it is resolved.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Route<'a> {
    /// A process.
    Pid(Pid),
    /// The owner of an alias of this node.
    Alias(Alias),
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

impl Address for Alias {
    fn route(&self) -> Route<'_> {
        Route::Alias(*self)
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

/// A route that outlives its address.
#[derive(Clone, Debug)]
pub(crate) enum OwnedRoute {
    Pid(Pid),
    Alias(Alias),
    Name(Box<str>),
    Remote(Box<str>, Box<str>),
}

impl OwnedRoute {
    pub(crate) fn route(&self) -> Route<'_> {
        match self {
            Self::Pid(pid) => Route::Pid(*pid),
            Self::Alias(alias) => Route::Alias(*alias),
            Self::Name(name) => Route::Name(name),
            Self::Remote(name, node) => Route::Remote { name, node },
        }
    }
}

impl From<Route<'_>> for OwnedRoute {
    fn from(route: Route<'_>) -> Self {
        match route {
            Route::Pid(pid) => Self::Pid(pid),
            Route::Alias(alias) => Self::Alias(alias),
            Route::Name(name) => Self::Name(name.into()),
            Route::Remote { name, node } => Self::Remote(name.into(), node.into()),
        }
    }
}
