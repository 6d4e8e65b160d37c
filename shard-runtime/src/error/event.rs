//! Why an event was not registered, published or subscribed to.

use crate::error::LinkError;

/// Why something was not done with an event. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Nobody has registered an event of this name, or it was removed.
    #[error("no such event: check its spelling and whether its producer runs")]
    Unknown,
    /// The name is taken or unusable.
    #[error("the name of the event is taken, empty, or longer than 255 bytes")]
    Taken,
    /// The node has as many events as it can hold.
    #[error("the node has as many events as it can hold: give up those that nobody needs")]
    Limit,
    /// The event belongs to another process, and is not open: only holders of its topic may publish.
    #[error(
        "not the event's owner: publish by the topic that its producer was given, or register it as open"
    )]
    NotOwner,
    /// The event's messages are of another type.
    #[error("the event's messages are of the type {actual}, not {wanted}")]
    WrongType {
        /// The type that was asked for.
        wanted: &'static str,
        /// The type that the event was registered with.
        actual: &'static str,
    },
    /// The lane to the producer's shard is full: the publication was not made. A retry makes sense once that shard has caught
    /// up.
    #[error("the lane to the producer's shard is full: slow the publishers down")]
    Overloaded,
    /// The event's messages never leave their node.
    #[error("the event's messages never leave their node: declare the type without `local`")]
    LocalOnly,
    /// On its node the event's messages are of another type, or of another version of the type, without a conversion.
    #[error(
        "on its node the event's messages are of another type or version: deploy the one that is published"
    )]
    RemoteType,
    /// The subscription could not be made, or is not there.
    #[error(transparent)]
    Link(#[from] LinkError),
}
