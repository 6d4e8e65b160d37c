//! TLS for sockets and web servers: certificates that can be replaced while connections are open, and whom a client trusts.
//!
//! TLS 1.2 and 1.3 only. Nothing is verified less than fully: there is no option to skip that.

use crate::error::IoError;
pub(crate) use crate::io::tls_stream::Tls;
use crate::reactor::poller::Watched;
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::net::TcpStream;
use std::sync::Arc;

pub(super) fn bad(reason: impl std::fmt::Display) -> IoError {
    IoError::Tls { reason: reason.to_string() }
}

pub(super) fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, IoError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| bad(format_args!("{what}: {error}")))?;
    if found.is_empty() { Err(bad(format_args!("{what}: there is no certificate in it"))) } else { Ok(found) }
}

pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, IoError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| bad(format_args!("the key: {error}")))
}

pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, IoError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "the trusted authorities")? {
        roots.add(certificate).map_err(bad)?;
    }
    Ok(roots)
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server's certificate and key. Clones are the same one: a [`replace`](TlsServer::replace) reaches all servers that have it.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ArcSwap<ServerConfig>>,
    client_authorities: Option<Arc<[u8]>>,
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("TlsServer").field("asks_clients", &self.client_authorities.is_some()).finish()
    }
}

impl TlsServer {
    /// A certificate chain, the server's own first, and its private key, both in PEM.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IoError> {
        Self::build(chain, key, None)
    }

    /// The same for clients that must show a certificate of one of these authorities, in PEM.
    ///
    /// # Errors
    /// As for [`TlsServer::from_pem`].
    pub fn mutual_from_pem(chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<Self, IoError> {
        Self::build(chain, key, Some(authorities.into()))
    }

    fn build(chain: &[u8], key: &[u8], authorities: Option<Arc<[u8]>>) -> Result<Self, IoError> {
        let config = config(chain, key, authorities.as_deref())?;
        Ok(Self { config: Arc::new(ArcSwap::from_pointee(config)), client_authorities: authorities })
    }

    /// Uses another certificate for connections that are made from now on; those that are open stay as they are. From any
    /// thread.
    ///
    /// # Errors
    /// As for [`TlsServer::from_pem`]; then the one in use stays.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), IoError> {
        let config = config(chain, key, self.client_authorities.as_deref())?;
        self.config.store(Arc::new(config));
        Ok(())
    }

    pub(crate) fn stream(&self, socket: Watched<TcpStream>) -> Result<Tls, IoError> {
        let session = ServerConnection::new(self.config.load_full()).map_err(bad)?;
        Ok(Tls::new(socket, session.into()))
    }
}

fn config(chain: &[u8], key: &[u8], authorities: Option<&[u8]>) -> Result<ServerConfig, IoError> {
    let chain = certificates(chain, "the certificate chain")?;
    let key = private_key(key)?;
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(bad)?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let roots = Arc::new(roots(authorities)?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(bad)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, key).map_err(bad)
}

/// Whom a client trusts, and who it is.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Trusts servers whose certificates come from one of these authorities, in PEM.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn trusting(authorities: &[u8]) -> Result<Self, IoError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(bad)?;
        let config = builder.with_root_certificates(roots(authorities)?).with_no_client_auth();
        Ok(Self { config: Arc::new(config), server_name: None })
    }

    /// The same, showing a certificate of its own, in PEM.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn trusting_as(authorities: &[u8], chain: &[u8], key: &[u8]) -> Result<Self, IoError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(bad)?;
        let chain = certificates(chain, "the certificate chain")?;
        let key = private_key(key)?;
        let builder = builder.with_root_certificates(roots(authorities)?);
        let config = builder.with_client_auth_cert(chain, key).map_err(bad)?;
        Ok(Self { config: Arc::new(config), server_name: None })
    }

    /// Sets the name that the server's certificate must have. Default: the host that is connected to.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    pub(crate) fn stream(&self, address: &str, socket: Watched<TcpStream>) -> Result<Tls, IoError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            bad(format_args!("`{name}` is no name that a certificate can have; set it with `server_name`"))
        })?;
        let session = ClientConnection::new(Arc::clone(&self.config), name).map_err(bad)?;
        Ok(Tls::new(socket, session.into()))
    }
}
