//! TLS for links between nodes: one identity for both roles, which certificates count for which node, and their reload.
//!
//! Invariants: L1 TLS 1.3 only, without resumption: each link proves its certificates anew. L2 a chain of certificates, its times
//! and its purpose are verified during the handshake of TLS, for which node it counts right after it, by
//! [`LinkTls::is_for`]: who dials a registrar does not know before who answers. L3 a reload reaches handshakes that begin
//! after it.

use crate::error::IoError;
use crate::io::tls::{bad, certificates, private_key, provider, roots};
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use shard_wire::NodeName;
use std::sync::Arc;

/// A TLS session of a link, of either role.
pub(crate) type TlsSession = rustls::Connection;

/// What both ends say they speak inside TLS, so that no other service with the same certificates is taken for a node.
const ALPN: &[u8] = b"shard-link/1";

/// Which name a node's certificate must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateNames {
    /// The host of the node's name: `db.example.com` for `orders@db.example.com`; an IP address where the host is one. All
    /// nodes of a host may share a certificate, and each of them can claim to be another one of that host.
    #[default]
    Host,
    /// Name and host: `orders.db.example.com` for `orders@db.example.com`. Each node can be itself only.
    Node,
    /// This name for all nodes: they share a certificate, or have it as a second name.
    Shared(String),
    /// Any: whoever has a certificate of the trusted authorities and the cookie may claim any name.
    Any,
}

/// TLS for links to other nodes: this node's certificate, the authorities it trusts, and what it asks of peers. Clones are
/// the same one: a [`replace`](LinkTls::replace) reaches all of them.
///
/// TLS 1.3, and nothing is verified less than fully: there is no option to skip that. Peers show certificates in both
/// directions unless [`mutual`](LinkTls::mutual) says otherwise.
///
/// ```no_run
/// use shard_runtime::{LinkTls, Node};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let read = std::fs::read;
/// let tls = LinkTls::from_pem(&read("node.pem")?, &read("node.key")?, &read("authorities.pem")?)?;
/// let node = Node::builder("demo@db.example.com")
///     .listen("0.0.0.0:4500")
///     .cookie(read("cookie")?)
///     .link_tls(tls.clone())
///     .start()?;
/// // Later, when the certificate was renewed: links that stand keep theirs.
/// tls.replace(&read("node.pem")?, &read("node.key")?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LinkTls {
    configs: Arc<ArcSwap<Configs>>,
    is_mutual: bool,
    names: CertificateNames,
}

struct Configs {
    /// For acceptors that demand a certificate, and for those that do not.
    asking: Arc<ServerConfig>,
    open: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    authorities: Arc<[u8]>,
}

impl std::fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("LinkTls")
            .field("is_mutual", &self.is_mutual)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl LinkTls {
    /// A node's certificate chain, its own first, its private key, and the certificates of the authorities it trusts, all in
    /// PEM. The certificate is used in both roles: if it says what it is for, that must be servers and clients.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<Self, IoError> {
        let configs = Configs::new(chain, key, authorities.into())?;
        Ok(Self {
            configs: Arc::new(ArcSwap::from_pointee(configs)),
            is_mutual: true,
            names: CertificateNames::default(),
        })
    }

    /// Sets whether who dials this node must show a certificate. Default: yes. The node that is dialled always shows its own.
    #[must_use]
    pub fn mutual(mut self, is_mutual: bool) -> Self {
        self.is_mutual = is_mutual;
        self
    }

    /// Sets which name the certificate of a peer must have. Default: the host of its node name.
    #[must_use]
    pub fn names(mut self, names: CertificateNames) -> Self {
        self.names = names;
        self
    }

    /// Uses another certificate for handshakes that begin from now on; links that stand keep theirs. From any thread.
    ///
    /// # Errors
    /// As for [`LinkTls::from_pem`]; then the one in use stays.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), IoError> {
        let authorities = Arc::clone(&self.configs.load().authorities);
        self.configs.store(Arc::new(Configs::new(chain, key, authorities)?));
        Ok(())
    }

    /// The same, and trusts other authorities.
    ///
    /// # Errors
    /// As for [`LinkTls::from_pem`]; then what is in use stays.
    pub fn replace_all(&self, chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<(), IoError> {
        self.configs.store(Arc::new(Configs::new(chain, key, authorities.into())?));
        Ok(())
    }

    /// What the acceptor of a link speaks TLS with.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let configs = self.configs.load();
        Arc::clone(if self.is_mutual { &configs.asking } else { &configs.open })
    }

    /// What the dialer of a link speaks TLS with.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.configs.load().client)
    }

    /// The name that this node's certificate must have; `None` if any will do.
    ///
    /// # Errors
    /// No certificate can have it.
    pub(crate) fn name_of(&self, node: &NodeName) -> Result<Option<ServerName<'static>>, NoName> {
        let (name, host) = node.as_str().split_once('@').ok_or(NoName)?;
        let wanted = match &self.names {
            CertificateNames::Any => return Ok(None),
            CertificateNames::Host => host.to_owned(),
            CertificateNames::Node => format!("{name}.{host}"),
            CertificateNames::Shared(name) => name.clone(),
        };
        ServerName::try_from(wanted).map(Some).map_err(|_| NoName)
    }

    /// Whether what the other end has shown, to an acceptor or to a dialer, counts for this node (L2).
    pub(crate) fn is_for(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        is_acceptor: bool,
        node: &NodeName,
    ) -> bool {
        let Some(shown) = shown.and_then(<[_]>::first) else {
            // Only an acceptor that does not ask gets none.
            return is_acceptor && !self.is_mutual;
        };
        match self.name_of(node) {
            Ok(None) => true,
            Ok(Some(name)) => ParsedCertificate::try_from(shown)
                .is_ok_and(|shown| verify_server_name(&shown, &name).is_ok()),
            Err(NoName) => false,
        }
    }
}

/// A node name from which no name of a certificate can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoName;

impl Configs {
    fn new(chain: &[u8], key: &[u8], authorities: Arc<[u8]>) -> Result<Self, IoError> {
        let chain = certificates(chain, "the certificate chain")?;
        let trusted = Arc::new(roots(&authorities)?);
        let server = |is_asking: bool| -> Result<Arc<ServerConfig>, IoError> {
            let builder = ServerConfig::builder_with_provider(provider());
            let builder = builder.with_protocol_versions(&[&TLS13]).map_err(bad)?;
            let builder = if is_asking {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(&trusted), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(bad)?)
            } else {
                builder.with_no_client_auth()
            };
            let mut config = builder.with_single_cert(chain.clone(), private_key(key)?).map_err(bad)?;
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.alpn_protocols = vec![ALPN.to_vec()];
            Ok(Arc::new(config))
        };
        let (asking, open) = (server(true)?, server(false)?);
        let algorithms = provider().signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&TLS13]).map_err(bad)?;
        let verifier = Arc::new(ChainVerifier { trusted, algorithms });
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut client = builder.with_client_auth_cert(chain, private_key(key)?).map_err(bad)?;
        client.resumption = Resumption::disabled();
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { asking, open, client: Arc::new(client), authorities })
    }
}

/// Verifies everything about an acceptor's certificate but its name (L2).
#[derive(Debug)]
struct ChainVerifier {
    trusted: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _checked_later: &ServerName<'_>,
        _no_stapled_answer: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = ParsedCertificate::try_from(end_entity)?;
        let all = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&shown, &self.trusted, intermediates, now, all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::{CertificateNames, LinkTls, NoName};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use shard_wire::NodeName;

    fn tls() -> LinkTls {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority);
        let own = own.unwrap().pem();
        LinkTls::from_pem(own.as_bytes(), key.serialize_pem().as_bytes(), authority.pem().as_bytes()).unwrap()
    }

    #[test]
    fn each_rule_says_which_name_a_certificate_needs() {
        let name = |names: CertificateNames, node: &str| {
            let wanted = tls().names(names).name_of(&NodeName::new(node).unwrap());
            wanted.map(|name| name.map(|name| name.to_str().into_owned()))
        };
        let node = "orders@db.example.com";
        assert_eq!(name(CertificateNames::Host, node), Ok(Some("db.example.com".to_owned())));
        assert_eq!(name(CertificateNames::Host, "a@127.0.0.1"), Ok(Some("127.0.0.1".to_owned())));
        assert_eq!(name(CertificateNames::Node, node), Ok(Some("orders.db.example.com".to_owned())));
        assert_eq!(name(CertificateNames::Shared("cluster".into()), node), Ok(Some("cluster".to_owned())));
        assert_eq!(name(CertificateNames::Any, node), Ok(None));
        assert_eq!(
            name(CertificateNames::Host, "a@no host"),
            Err(NoName),
            "then no certificate counts for it"
        );
    }

    #[test]
    fn what_cannot_be_used_leaves_what_is_in_use() {
        let tls = tls();
        let before = tls.client();
        assert!(tls.replace(b"no certificate", b"no key").is_err());
        assert!(tls.replace_all(b"", b"", b"").is_err());
        assert!(std::sync::Arc::ptr_eq(&before, &tls.client()));
        assert!(!format!("{tls:?}").contains("PRIVATE"));
    }
}
