//! Why a link, a monitor, an exit signal, an alias or an event was refused.

/// Why a relation, an exit signal, an alias or an event was refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The process has ended, or never existed.
    #[error("no such process: it has ended; look up its successor by name")]
    NoProcess,
    /// The process is ending, or the caller is: `terminate` must not make relations.
    #[error("the process is ending")]
    Terminated,
    /// No process holds the name.
    #[error("no process is registered under this name; check its spelling and whether its owner runs")]
    NameUnknown,
    /// The alias was deleted, or never existed.
    #[error("no such alias: it was deleted or its process has ended")]
    AliasUnknown,
    /// No process has registered the event.
    #[error("no such event: check its spelling and whether its producer runs")]
    EventUnknown,
    /// The relation is there already.
    #[error("this process has that link or monitor already")]
    Exists,
    /// There is no such relation, so it cannot be undone: it has fired, or was never made.
    #[error("this process has no such link or monitor; it has fired or was never made")]
    Missing,
    /// A process cannot be linked to itself, watch its own node, or send an exit to itself, its parent or its leader.
    #[error("not allowed: the target is the process itself, its own node, its parent or its leader")]
    NotAllowed,
    /// There is no session with the node.
    #[error("not connected to that node; it is being dialled, retry after node-up")]
    NotConnected,
    /// The target's node runs a version that has no relations with processes of other nodes.
    #[error(
        "the target's node runs a version that links, monitors and exits do not reach; watch the node instead"
    )]
    Remote,
    /// As much waits to be sent to the target's node as may wait.
    #[error("as much waits to be sent to the target's node as may wait; retry later")]
    Overloaded,
    /// The name of an alias, event or name is taken or unusable.
    #[error("the name is taken, empty, longer than 255 bytes, or this process has one already")]
    Taken,
    /// The shard has as many aliases or relations with other nodes as it can hold, or the node too many names.
    #[error("the limit of aliases or relations of a shard, or of names of the node, is reached; reuse them")]
    Limit,
    /// The home shard of this process, which has a thread of its own, did not answer: it is stuck, or stopping. If it goes on,
    /// it will have done what it was asked for.
    #[error("the process's home shard does not answer; it is held by a callback, or stopping")]
    NoAnswer,
    /// Somebody else owns it.
    #[error("only its owner may give it up")]
    NotOwner,
}
