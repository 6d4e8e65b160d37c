//! Certificates that do not count, plain text where TLS is needed and the reverse, relays: each is refused for a typed reason that is
//! counted, and the node serves on.

use crate::support::{
    Authority, COOKIE, LIMIT, SHORT, Valid, address, eventually, failed, plain, refused, secure, wait_up,
};
use crate::{Count, Peer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use shard_runtime::prelude::*;
use shard_runtime::{LinkTls, NodeBuilder};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// A node with a process, which is asked after each attack.
struct Guard {
    node: Node,
    pid: Pid,
}

impl Guard {
    fn start(builder: NodeBuilder) -> Self {
        let node = builder.start().unwrap();
        let pid = node.spawn(Peer::default, SpawnOptions::new()).unwrap();
        Self { node, pid }
    }

    fn at(&self) -> String {
        address(&self.node).to_string()
    }

    /// A friend still gets in, and nobody else has.
    fn serves(&self, friend: NodeBuilder) {
        let friend = friend.route(self.node.name(), self.at()).start().unwrap();
        wait_up(&friend, self.node.name());
        assert_eq!(friend.call_blocking(self.pid, Count).unwrap(), 0);
        assert_eq!(self.node.nodes(), [friend.name()]);
        friend.stop();
        eventually("it has parted", || self.node.nodes().is_empty());
    }
}

/// Dials a guard and is refused on both sides.
fn is_refused(guard: &Guard, dialer: NodeBuilder, here: &str, there: &str) {
    let before = refused(&guard.node, here);
    let dialer = dialer.route(guard.node.name(), guard.at()).start().unwrap();
    eventually(&format!("{here} is counted by the acceptor"), || refused(&guard.node, here) > before);
    eventually(&format!("{there} is counted by the dialer"), || failed(&dialer, there) > 0);
    assert_eq!(dialer.nodes(), [] as [&str; 0]);
    dialer.stop();
}

#[test]
fn certificates_of_dialers_that_do_not_count_are_refused_by_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let guard = Guard::start(secure("guard@localhost", &authority.good()));
    let with = |own: crate::support::Pem| {
        let tls = LinkTls::from_pem(&own.chain, &own.key, &authority.pem()).unwrap();
        secure("bad@localhost", &tls)
    };
    let expired = with(authority.issue("localhost", Valid::NoLonger));
    is_refused(&guard, expired, "certificate_expired", "certificate_expired");
    // TLS has one word for both.
    let early = with(authority.issue("localhost", Valid::NotYet));
    is_refused(&guard, early, "certificate_not_yet_valid", "certificate_expired");
    let unknown = with(other.issue("localhost", Valid::Now));
    is_refused(&guard, unknown, "unknown_authority", "unknown_authority");
    let renamed = with(authority.issue("elsewhere", Valid::Now));
    is_refused(&guard, renamed, "certificate_name", "certificate_name");
    guard.serves(secure("friend@localhost", &authority.good()));
}

#[test]
fn certificates_of_acceptors_that_do_not_count_are_refused_by_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let trusting = |name: &str, own: crate::support::Pem| {
        secure(name, &LinkTls::from_pem(&own.chain, &own.key, &authority.pem()).unwrap())
    };
    let cases = [
        (authority.issue("localhost", Valid::NoLonger), "certificate_expired", "certificate_expired"),
        (authority.issue("localhost", Valid::NotYet), "certificate_expired", "certificate_not_yet_valid"),
        (other.issue("localhost", Valid::Now), "unknown_authority", "unknown_authority"),
        (authority.issue("elsewhere", Valid::Now), "certificate_name", "certificate_name"),
    ];
    for (own, here, there) in cases {
        let guard = Guard::start(trusting("guard@localhost", own));
        is_refused(
            &guard,
            trusting("dialer@localhost", authority.issue("localhost", Valid::Now)),
            here,
            there,
        );
    }
}

/// Client settings of rustls itself, with a certificate or without.
fn client(authority: &Authority, is_known: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = if is_known {
        let own = authority.issue("localhost", Valid::Now);
        let chain = vec![CertificateDer::from_pem_slice(&own.chain).unwrap()];
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&own.key).unwrap()).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    Arc::new(config)
}

fn dial(at: SocketAddr, config: Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket)
}

#[test]
fn who_shows_no_certificate_is_refused_unless_the_policy_says_otherwise() {
    let authority = Authority::new();
    let guard = Guard::start(secure("guard@localhost", &authority.good()));
    let mut nobody = dial(address(&guard.node), client(&authority, false));
    // The client is done before its certificate is asked for.
    let _told_later = nobody.write_all(b"SHRD");
    let mut back = Vec::new();
    let said = nobody.read_to_end(&mut back).unwrap_err();
    assert!(said.to_string().contains("CertificateRequired"), "{said}");
    eventually("it is counted", || refused(&guard.node, "no_certificate") == 1);
    guard.serves(secure("friend@localhost", &authority.good()));

    let open = Guard::start(secure("open@localhost", &authority.good().mutual(false)));
    let mut nobody = dial(address(&open.node), client(&authority, false));
    nobody.write_all(&[0; 64]).unwrap();
    eventually("what it says is what is refused", || refused(&open.node, "bad_magic") == 1);
    // The dialer still verifies whom it dials.
    is_refused(
        &open,
        secure("stranger@localhost", &Authority::new().good()),
        "unknown_authority",
        "unknown_authority",
    );
    open.serves(secure("friend@localhost", &authority.good()));
}

#[test]
fn plain_text_to_tls_and_tls_to_plain_text_are_told_apart_and_nothing_hangs() {
    let authority = Authority::new();
    let guard = Guard::start(secure("guard@localhost", &authority.good()).handshake_deadline(SHORT));
    is_refused(&guard, plain("plain@localhost"), "plaintext", "plaintext");
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "bad_magic"),
        (&[0x16, 3, 1, 0, 4, 9, 9, 9, 9], "tls"),
        // A record that never comes whole, and silence.
        (&[0x16, 3, 1, 0x40, 0], "timeout"),
        (&[], "timeout"),
    ] {
        let before = refused(&guard.node, reason);
        let mut stream = TcpStream::connect(guard.at()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut back = Vec::new();
        match stream.read_to_end(&mut back) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{reason}"),
        }
        eventually(reason, || refused(&guard.node, reason) > before);
    }
    guard.serves(secure("friend@localhost", &authority.good()));

    let guard = Guard::start(plain("guard@localhost"));
    is_refused(&guard, secure("modern@localhost", &authority.good()), "tls_unexpected", "plaintext");
    guard.serves(plain("friend@localhost"));
}

/// Ends the TLS of both ends with certificates that count, and relays what they say inside.
fn splice(authority: &Authority, target: SocketAddr) -> SocketAddr {
    let own = authority.issue("localhost", Valid::Now);
    let chain = vec![CertificateDer::from_pem_slice(&own.chain).unwrap()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth();
    let server = server.with_single_cert(chain, PrivateKeyDer::from_pem_slice(&own.key).unwrap()).unwrap();
    let (server, client) = (Arc::new(server), client(authority, true));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let relay = move || {
        for dialer in listener.incoming() {
            let Ok(dialer) = dialer else { return };
            let session = ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut ends = (StreamOwned::new(session, dialer), dial(target, Arc::clone(&client)));
            let mut buffer = [0; 4096];
            // The handshake is in turns, so one side at a time is listened to.
            while let Ok(count @ 1..) = ends.0.read(&mut buffer)
                && ends.1.write_all(&buffer[..count]).is_ok()
                && let Ok(count @ 1..) = ends.1.read(&mut buffer)
                && ends.0.write_all(&buffer[..count]).is_ok()
            {}
        }
    };
    std::thread::Builder::new().spawn(relay).unwrap();
    at
}

#[test]
fn a_relay_that_ends_the_tls_of_both_ends_gets_no_session() {
    let authority = Authority::new();
    let guard = Guard::start(secure("guard@localhost", &authority.good()));
    let at = splice(&authority, address(&guard.node));
    let dialer = secure("dialer@localhost", &authority.good());
    let dialer = dialer.route("guard@localhost", at.to_string()).start().unwrap();
    eventually("the acceptor says so", || refused(&guard.node, "bad_proof") > 0);
    eventually("the dialer says so", || failed(&dialer, "bad_proof") > 0);
    assert_eq!((dialer.nodes().len(), guard.node.nodes().len()), (0, 0));
    assert_eq!(refused(&guard.node, "wrong_cookie"), 0, "they have the same one");
    dialer.stop();
    guard.serves(secure("friend@localhost", &authority.good()).cookie(COOKIE));
}
