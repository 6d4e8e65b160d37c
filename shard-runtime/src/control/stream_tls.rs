//! A connection of a link through TLS, while the control thread has it.

use crate::control::stream::Handed;
use crate::io::{LinkTls, TlsSession};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use shard_wire::NodeName;
use shard_wire::handshake::{Reason, is_plain_hello, is_tls, refusal};
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// What the keying material of a session is exported as (RFC 9266).
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// How long a peer that is refused is read, so that no reset overtakes what it was told.
const LINGER: Duration = Duration::from_millis(250);
/// How much of it.
const LINGER_BYTES: usize = 16 << 10;

/// A connection through TLS whose handshake is done.
#[derive(Debug)]
pub(super) struct Secured {
    stream: TlsStream<TcpStream>,
    tls: LinkTls,
}

/// Runs the acceptor's handshake. A peer that speaks plain text is told so, in plain text.
pub(super) async fn accept(mut stream: TcpStream, tls: &LinkTls) -> Result<Secured, Reason> {
    let mut first = [0; 4];
    let count = stream.peek(&mut first).await.map_err(|_| Reason::Closed)?;
    let first = first.get(..count).unwrap_or_default();
    if !is_tls(first) {
        let reason = match first {
            [] => return Err(Reason::Closed),
            first if is_plain_hello(first) => Reason::Plaintext,
            _ => Reason::BadMagic,
        };
        let _gone = stream.write_all(&refusal(reason)).await;
        linger(stream).await;
        return Err(reason);
    }
    match TlsAcceptor::from(tls.server()).accept(stream).into_fallible().await {
        Ok(stream) => Ok(Secured { stream: TlsStream::Server(stream), tls: tls.clone() }),
        Err((error, stream)) => {
            linger(stream).await;
            Err(reason_of(&error))
        }
    }
}

/// Runs the dialer's handshake. Nobody but `expected`, if it is known, gets a word of the handshake inside.
pub(super) async fn connect(
    stream: TcpStream,
    tls: &LinkTls,
    expected: Option<&NodeName>,
    address: SocketAddr,
) -> Result<Secured, Reason> {
    let wanted = match expected {
        Some(node) => tls.name_of(node).map_err(|_| Reason::CertificateName)?,
        None => None,
    };
    // Without a name the address stands for it, which is not sent.
    let name = wanted.unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
    let connecting = TlsConnector::from(tls.client()).connect(name, stream);
    let stream = connecting.await.map_err(|error| reason_of(&error))?;
    let secured = Secured { stream: TlsStream::Client(stream), tls: tls.clone() };
    if expected.is_some_and(|node| !secured.is_for(node)) {
        let mut secured = secured;
        let _gone = secured.write_all(&refusal(Reason::CertificateName)).await;
        secured.finish().await;
        return Err(Reason::CertificateName);
    }
    Ok(secured)
}

/// Ends this side, and takes what the peer still says.
async fn linger(mut stream: TcpStream) {
    let _gone = stream.shutdown().await;
    let drained = async {
        let (mut buffer, mut left) = ([0; 1024], LINGER_BYTES);
        while left > 0
            && let Ok(count @ 1..) = stream.read(&mut buffer).await
        {
            left = left.saturating_sub(count);
        }
    };
    let _late = tokio::time::timeout(LINGER, drained).await;
}

impl Secured {
    pub(super) fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    pub(super) fn binding(&self, channel: &[u8; 32]) -> Result<[u8; 32], Reason> {
        let exported = match &self.stream {
            TlsStream::Client(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], LABEL, Some(channel))
            }
            TlsStream::Server(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], LABEL, Some(channel))
            }
        };
        exported.map_err(|_| Reason::Tls)
    }

    pub(super) fn is_for(&self, node: &NodeName) -> bool {
        let is_acceptor = matches!(self.stream, TlsStream::Server(_));
        self.tls.is_for(self.stream.get_ref().1.peer_certificates(), is_acceptor, node)
    }

    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Reason> {
        self.stream.read(buffer).await.map_err(|error| reason_of(&error))
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| reason_of(&error))
    }

    pub(super) async fn finish(mut self) {
        let _gone = self.stream.shutdown().await;
    }

    pub(super) fn hand_over(self, first: &[u8]) -> io::Result<Handed> {
        let (stream, mut session) = match self.stream {
            TlsStream::Client(stream) => {
                let (stream, session) = stream.into_inner();
                (stream, TlsSession::Client(session))
            }
            TlsStream::Server(stream) => {
                let (stream, session) = stream.into_inner();
                (stream, TlsSession::Server(session))
            }
        };
        let mut stream = stream.into_std()?;
        session.writer().write_all(first)?;
        while session.wants_write() {
            match session.write_tls(&mut stream) {
                Ok(_) => {}
                // The shard goes on with it.
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Handed { stream, tls: Some(Box::new(session)) })
    }

    pub(super) fn into_split(self) -> (Reading, Writing) {
        // A second descriptor ends this direction as soon as the writer is gone; without one it ends with both halves.
        let end = rustix::io::fcntl_dupfd_cloexec(self.socket(), 0).ok().map(std::net::TcpStream::from);
        let (read, write) = tokio::io::split(self.stream);
        (Reading(read), Writing { half: write, end })
    }
}

/// The reading half.
pub(super) struct Reading(tokio::io::ReadHalf<TlsStream<TcpStream>>);

impl Reading {
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }
}

/// The writing half.
pub(super) struct Writing {
    half: tokio::io::WriteHalf<TlsStream<TcpStream>>,
    end: Option<std::net::TcpStream>,
}

impl Writing {
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.half.write_all(bytes).await?;
        self.half.flush().await
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.half.shutdown().await
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(end) = &self.end {
            // It may have ended already.
            let _ended = end.shutdown(Shutdown::Write);
        }
    }
}

/// Why a connection through TLS failed.
fn reason_of(error: &io::Error) -> Reason {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map_or(Reason::Closed, reason_of_tls)
}

fn reason_of_tls(error: &rustls::Error) -> Reason {
    match error {
        rustls::Error::NoCertificatesPresented => Reason::NoCertificate,
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::CertificateExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Reason::CertificateNotYetValid
            }
            CertificateError::UnknownIssuer => Reason::UnknownAuthority,
            _ => Reason::BadCertificate,
        },
        // What the other end says of this end's certificate.
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => Reason::NoCertificate,
            AlertDescription::CertificateExpired => Reason::CertificateExpired,
            AlertDescription::UnknownCA => Reason::UnknownAuthority,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::DecryptError
            | AlertDescription::CertificateUnknown => Reason::BadCertificate,
            _ => Reason::Tls,
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Reason::Plaintext,
        _ => Reason::Tls,
    }
}
