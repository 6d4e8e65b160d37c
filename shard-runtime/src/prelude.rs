//! What a file that declares actors imports.

pub use crate::{
    ActorError, ActorResult, CallError, ChildSpec, Context, Down, Event, EventOptions, ExitReason,
    ExitSignal, Inspect, Named, Node, NodeError, Pid, Priority, ReplyTo, SendError, SpawnError, SpawnOptions,
    Supervisor, SupervisorSpec, Topic, View, actor, data, handle, message,
};

/// What a file that reads and writes sockets or runs programs imports besides.
pub mod io {
    #[cfg(feature = "web")]
    pub use crate::http::{Method, StatusCode};
    pub use crate::{
        Chunk, CloseIo, Io, IoBytes, IoEnd, IoError, IoTarget, IoText, Port, PortData, PortError, PortStart,
        PortStatus, PortTerminate, PortText, TcpClient, TcpConnect, TcpData, TcpDisconnect, TcpServer,
        UdpPacket, UdpServer, WriteBytes,
    };
    #[cfg(feature = "web")]
    pub use crate::{
        SseConnect, SseDisconnect, SseHandler, SseMessage, WebHandler, WebRequest, WebResponse, WebRoute,
        WebServer, WebSocketHandler, WsConnect, WsDisconnect, WsKind, WsMessage,
    };
    #[cfg(feature = "tls")]
    pub use crate::{TlsClient, TlsServer};
}
