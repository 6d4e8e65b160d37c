//! What all clients of web servers are told, and what it makes of whom they ask.

use crate::error::IoError;
use crate::io::IoTarget;
use crate::io::open::Opener;
use crate::io::tls::TlsClient;
use crate::io::web::exchange::Peer;
use crate::io::web::url::{Schemes, Url};
use std::time::Duration;

/// What a client of either kind is told.
#[derive(Clone)]
pub(super) struct ClientOptions {
    pub(super) url: String,
    pub(super) target: Option<IoTarget>,
    pub(super) tls: Option<TlsClient>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) connect_timeout: Duration,
    pub(super) max_header: usize,
}

impl ClientOptions {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            target: None,
            tls: None,
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            max_header: 16 << 10,
        }
    }

    /// Whom it asks, and who hears of it. `reserved`: headers that the client sets itself.
    pub(super) fn peer(
        self,
        opener: &Opener<'_>,
        schemes: Schemes,
        reserved: &[&str],
    ) -> Result<(Peer, IoTarget), IoError> {
        let url = Url::parse(&self.url, schemes, self.tls.as_ref())?;
        let headers = url.headers(&self.headers, reserved)?;
        // A simulation is refused here, not by a message.
        opener.shard.poller()?;
        let target = self.target.unwrap_or_else(|| opener.owner().into());
        let (timeout, max_header) = (self.connect_timeout, self.max_header);
        Ok((Peer { url, headers, tls: self.tls, timeout, max_header }, target))
    }
}

/// The setters of [`ClientOptions`], for a type with one in its field `client`.
macro_rules! client_options {
    ($client:ident) => {
        impl $client {
            /// Sets the receiver. Default: the process that starts it.
            #[must_use]
            pub fn to(mut self, target: impl Into<IoTarget>) -> Self {
                self.client.target = Some(target.into());
                self
            }

            /// Speaks TLS, for a URL whose scheme says so.
            #[cfg(feature = "tls")]
            #[must_use]
            pub fn tls(mut self, tls: crate::io::tls::TlsClient) -> Self {
                self.client.tls = Some(tls);
                self
            }

            /// Adds a header to each request, such as `authorization` or `origin`. Those that the client sets itself are refused.
            #[must_use]
            pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.client.headers.push((name.into(), value.into()));
                self
            }

            /// Sets how long all of it may take until the connection is there: look-up, connection, TLS and the server's response.
            /// Default 5 s.
            #[must_use]
            pub fn connect_timeout(mut self, limit: Duration) -> Self {
                self.client.connect_timeout = limit;
                self
            }

            /// Sets how long the head of the server's response may be. Default 16 KiB.
            #[must_use]
            pub fn max_header(mut self, bytes: usize) -> Self {
                self.client.max_header = bytes;
                self
            }
        }

        impl std::fmt::Debug for $client {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // Headers and queries may hold secrets.
                let url = without_secrets(&self.client.url);
                f.debug_struct(stringify!($client)).field("url", &url).finish_non_exhaustive()
            }
        }
    };
}
pub(super) use client_options;
