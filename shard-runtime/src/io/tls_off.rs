//! What stands for TLS in a build without the feature `tls`: types without values, so that nobody else asks for the feature.

use crate::error::IoError;
use crate::reactor::poller::Watched;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::task::{Context, Poll};

#[derive(Debug, Clone)]
pub(crate) enum TlsServer {}

impl TlsServer {
    pub(crate) fn stream(&self, _: Watched<TcpStream>) -> Result<Tls, IoError> {
        match *self {}
    }
}

#[derive(Debug, Clone)]
pub(crate) enum TlsClient {}

impl TlsClient {
    pub(crate) fn stream(&self, _: &str, _: Watched<TcpStream>) -> Result<Tls, IoError> {
        match *self {}
    }
}

/// TLS for links, of which there is none.
#[derive(Debug, Clone)]
pub(crate) enum LinkTls {}

/// A TLS session of a link, of which there is none.
#[derive(Debug)]
pub(crate) enum TlsSession {}

pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn socket(&self) -> &Watched<TcpStream> {
        match *self {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn poll_handshake(&mut self, _: &Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(crate) fn poll_goodbye(&mut self, _: &Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(crate) fn poll_read(&mut self, _: &Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(crate) fn poll_write(&mut self, _: &Context<'_>, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(crate) fn poll_send(&mut self, _: &Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}
