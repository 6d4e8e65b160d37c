//! What the I/O processes of a shard do, as diagnostics sees it.

/// Counters and gauges of the I/O processes of one shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct IoRow {
    /// Tasks that read and write for I/O processes. Now.
    pub tasks: u64,
    /// Descriptors of I/O processes. Now.
    pub descriptors: u64,
    /// Connections and programs opened since start.
    pub opened: u64,
    /// Those that have ended, since start.
    pub closed: u64,
    /// Those among them that ended by a failure: of the peer, of the system, of a limit.
    pub failed: u64,
    /// Connections refused by the limit of their server or for want of descriptors, since start.
    pub refused: u64,
    /// Bytes read since start.
    pub bytes_in: u64,
    /// Bytes written since start.
    pub bytes_out: u64,
    /// Times that reading was held because what had been read was not handled yet, since start.
    pub held: u64,
    /// Datagrams dropped since start: too long, unhandled ones too many, refused by their receiver or by the system.
    pub dropped: u64,
    /// Requests that web servers have answered since start, whatever the answer.
    pub requests: u64,
    /// Requests refused because workers had as much unhandled as their server allows, since start.
    pub shed: u64,
    /// Requests to which no worker gave an answer, since start.
    pub unanswered: u64,
    /// Requests whose client had gone before they were answered, since start.
    pub abandoned: u64,
    /// Requests cut off by the end of their server, since start.
    pub cut: u64,
}
