//! TLS on connections.

use crate::owner::{Mode, Seen, address, connected, data, disconnect, owner};
use crate::support::{connect, counters, node, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use shard_runtime::{IoEnd, TcpClient, TcpData, TcpServer, TlsClient, TlsServer};
use std::io::{Read, Write};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A certificate for this name and its key.
    fn issue(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }
}

pub(crate) fn server_with(authority: &Authority) -> TlsServer {
    let (chain, key) = authority.issue("localhost");
    TlsServer::from_pem(&chain, &key).unwrap()
}

#[test]
fn an_echo_through_tls_keeps_every_byte() {
    let (node, authority) = (node("tls", 2), Authority::new());
    let spec = TcpServer::bind("127.0.0.1:0").tls(server_with(&authority)).max_pending(16 << 20);
    let (_, server, _seen) = owner(&node, spec, Mode::Echo);
    let trusting = TlsClient::trusting(&authority.pem()).unwrap().server_name("localhost");
    let client = TcpClient::connect(address(&server).to_string()).tls(trusting).max_pending(16 << 20);
    let (_, client, seen) = owner(&node, client, Mode::Tell);
    let id = connected(&seen).id;
    assert_eq!(id, client.id);
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 5) as u8).collect();
    for piece in bytes.chunks(33_333) {
        node.send(id, TcpData { id, data: piece.to_vec().into() }).unwrap();
    }
    assert!(data(&seen, bytes.len()) == bytes);
    node.send(id, shard_runtime::CloseIo).unwrap();
    assert_eq!(disconnect(&seen), IoEnd::Local);
    until("both ends are closed in order", || {
        let counters = counters(&node);
        counters.io_closed == 2 && counters.io_failed == 0
    });
}

#[test]
fn whom_a_client_does_not_trust_it_does_not_talk_to() {
    let (node, authority, other) = (node("stranger", 1), Authority::new(), Authority::new());
    let (_, server, heard) =
        owner(&node, TcpServer::bind("127.0.0.1:0").tls(server_with(&authority)), Mode::Echo);
    let try_with = |trusting: TlsClient| {
        let client = TcpClient::connect(address(&server).to_string()).tls(trusting);
        let (_, _, seen) = owner(&node, client, Mode::Tell);
        seen
    };
    let seen = try_with(TlsClient::trusting(&other.pem()).unwrap().server_name("localhost"));
    let end = disconnect(&seen);
    assert!(matches!(&end, IoEnd::Tls { .. }), "another authority: {end:?}");
    let seen = try_with(TlsClient::trusting(&authority.pem()).unwrap().server_name("elsewhere"));
    let end = disconnect(&seen);
    assert!(matches!(&end, IoEnd::Tls { .. }), "another name: {end:?}");
    assert!(heard.try_next().is_none(), "the server's owner never hears of what is no connection");
}

#[test]
fn a_server_may_ask_clients_who_they_are() {
    let (node, authority, other) = (node("mutual", 1), Authority::new(), Authority::new());
    let (chain, key) = authority.issue("localhost");
    let tls = TlsServer::mutual_from_pem(&chain, &key, &authority.pem()).unwrap();
    let (_, server, _heard) = owner(&node, TcpServer::bind("127.0.0.1:0").tls(tls), Mode::Echo);
    let client_with = |tls: TlsClient| {
        let client = TcpClient::connect(address(&server).to_string()).tls(tls.server_name("localhost"));
        owner(&node, client, Mode::Tell)
    };
    let (chain, key) = authority.issue("client");
    let (_, client, seen) = client_with(TlsClient::trusting_as(&authority.pem(), &chain, &key).unwrap());
    let id = connected(&seen).id;
    node.send(client.id, TcpData { id, data: "it is me".into() }).unwrap();
    assert_eq!(data(&seen, 8), b"it is me");

    let (_, _, seen) = client_with(TlsClient::trusting(&authority.pem()).unwrap());
    assert!(matches!(disconnect(&seen), IoEnd::Tls { .. } | IoEnd::Reset | IoEnd::Closed), "nobody");
    let (chain, key) = other.issue("client");
    let (_, _, seen) = client_with(TlsClient::trusting_as(&authority.pem(), &chain, &key).unwrap());
    assert!(matches!(disconnect(&seen), IoEnd::Tls { .. } | IoEnd::Reset | IoEnd::Closed), "a stranger");
}

#[test]
fn a_certificate_is_replaced_while_connections_are_open() {
    let (node, authority, next) = (node("renewed", 1), Authority::new(), Authority::new());
    let tls = server_with(&authority);
    let (_, server, _heard) = owner(&node, TcpServer::bind("127.0.0.1:0").tls(tls.clone()), Mode::Echo);
    let client_of = |authority: &Authority| {
        let trusting = TlsClient::trusting(&authority.pem()).unwrap().server_name("localhost");
        owner(&node, TcpClient::connect(address(&server).to_string()).tls(trusting), Mode::Tell)
    };
    let (_, old, seen) = client_of(&authority);
    connected(&seen);
    assert!(tls.replace(b"no certificate", b"no key").is_err(), "then the one in use stays");
    let (chain, key) = next.issue("localhost");
    tls.replace(&chain, &key).unwrap();
    let (_, new, seen_new) = client_of(&next);
    connected(&seen_new);
    for (client, seen) in [(old, &seen), (new, &seen_new)] {
        node.send(client.id, TcpData { id: client.id, data: "still here".into() }).unwrap();
        assert_eq!(data(seen, 10), b"still here");
    }
    let (_, _, seen) = client_of(&authority);
    assert!(matches!(disconnect(&seen), IoEnd::Tls { .. }));
}

#[test]
fn plain_bytes_on_a_port_of_tls_are_no_connection() {
    let (node, authority) = (node("plain", 1), Authority::new());
    let (_, server, seen) =
        owner(&node, TcpServer::bind("127.0.0.1:0").tls(server_with(&authority)), Mode::Echo);
    let mut stream = connect(address(&server));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut back = Vec::new();
    let _alert_or_reset = stream.read_to_end(&mut back);
    assert!(back.len() < 16, "an alert at most: {back:?}");
    until("it is counted", || counters(&node).io_failed == 1);
    assert!(!matches!(seen.try_next(), Some(Seen::Connect(_))), "and nobody hears of it");
}
