//! Authorities, certificates, nodes with TLS, and relays between them.
#![expect(unreachable_pub, reason = "the root of a test binary has no outside")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use shard_runtime::prelude::*;
use shard_runtime::{LinkTls, LogLevel, NodeBuilder, NodeEvent};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

pub const COOKIE: &[u8] = b"a cookie of thirty-two bytes or more";
pub const OTHER: &[u8] = b"quite another one, which is as long!";
/// A handshake deadline that a test can wait for.
pub const SHORT: Duration = Duration::from_millis(700);
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test outside any shard")]
    Instant::now()
}

/// Waits for a condition that other threads make true.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = now() + LIMIT;
    while !condition() {
        assert!(now() < until, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A port of the loopback address that was free a moment ago, below the range from which the system takes the ports of
/// outgoing connections.
pub fn free_port() -> String {
    static TURN: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = std::process::id().wrapping_mul(7919).wrapping_add(TURN.fetch_add(1, Relaxed));
        let address = format!("127.0.0.1:{}", 10_000 + turn % 20_000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub enum Valid {
    Now,
    NoLonger,
    NotYet,
}

/// A chain and its key, in PEM.
pub struct Pem {
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two authorities of one name would be told apart by their signatures only.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("authority {}", NEXT.fetch_add(1, Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    pub fn issue(&self, name: &str, valid: Valid) -> Pem {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        match valid {
            Valid::Now => {}
            Valid::NoLonger => params.not_after = date_time_ymd(2001, 1, 1),
            Valid::NotYet => params.not_before = date_time_ymd(2901, 1, 1),
        }
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pem { chain: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() }
    }

    /// An identity of this authority, which trusts nobody else.
    pub fn tls(&self, name: &str, valid: Valid) -> LinkTls {
        let own = self.issue(name, valid);
        LinkTls::from_pem(&own.chain, &own.key, &self.pem()).unwrap()
    }

    pub fn good(&self) -> LinkTls {
        self.tls("localhost", Valid::Now)
    }
}

/// A node in plain text.
pub fn plain(name: &str) -> NodeBuilder {
    Node::builder(name)
        .listen("127.0.0.1:0")
        .cookie(COOKIE)
        .log_level(LogLevel::Error)
        .handshake_deadline(SHORT * 4)
}

pub fn secure(name: &str, tls: &LinkTls) -> NodeBuilder {
    plain(name).link_tls(tls.clone())
}

pub fn address(node: &Node) -> SocketAddr {
    node.listen_address().unwrap()
}

pub fn wait_up(node: &Node, peer: &str) {
    let events = node.subscribe_nodes().unwrap();
    loop {
        if let NodeEvent::Up { name, .. } = events.recv_timeout(LIMIT).expect("a session in time")
            && name == peer
        {
            return;
        }
    }
}

fn count(errors: &[(&'static str, u64)], reason: &str) -> u64 {
    errors.iter().find(|(name, _)| *name == reason).expect("every reason is listed").1
}

/// Handshakes that this node's acceptor refused for a reason.
pub fn refused(node: &Node, reason: &str) -> u64 {
    count(&node.stats().acceptors()[0].errors, reason)
}

/// Dials of this node that failed for a reason.
pub fn failed(node: &Node, reason: &str) -> u64 {
    count(&node.stats().net().dial_errors, reason)
}

/// Passes connections on, and can cut them.
pub struct Relay {
    pub at: SocketAddr,
    pairs: Receiver<(TcpStream, TcpStream)>,
    /// The first two pieces that each dialer said: of a handshake in plain text, Hello and Proof.
    pub said: Receiver<Vec<u8>>,
}

impl Relay {
    pub fn to(target: SocketAddr) -> Self {
        Self::editing(target, |_| {})
    }

    /// Changes the first bytes of each dialer on their way.
    pub fn editing(target: SocketAddr, edit: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (pairs_to, pairs) = channel();
        let (said_to, said) = channel();
        let edit = Arc::new(edit);
        let accept = move || {
            for dialer in listener.incoming() {
                let (Ok(dialer), Ok(acceptor)) = (dialer, TcpStream::connect(target)) else { return };
                let pair = (dialer.try_clone().unwrap(), acceptor.try_clone().unwrap());
                // The test may have ended.
                if pairs_to.send(pair).is_err() {
                    return;
                }
                let back = (acceptor.try_clone().unwrap(), dialer.try_clone().unwrap());
                std::thread::Builder::new().spawn(move || pass(back.0, back.1)).unwrap();
                let (edit, said_to) = (Arc::clone(&edit), said_to.clone());
                let forth = move || listen_in(dialer, acceptor, &*edit, &said_to);
                std::thread::Builder::new().spawn(forth).unwrap();
            }
        };
        std::thread::Builder::new().spawn(accept).unwrap();
        Self { at, pairs, said }
    }

    /// Cuts every connection there is; how many that were.
    pub fn cut(&self) -> usize {
        let cut = |(dialer, acceptor): (TcpStream, TcpStream)| {
            // It may be closed already.
            let _closed = (dialer.shutdown(Shutdown::Both), acceptor.shutdown(Shutdown::Both));
        };
        self.pairs.try_iter().map(cut).count()
    }
}

/// Passes on what a dialer says: the first of it changed, the first two pieces of it told.
fn listen_in(
    mut dialer: TcpStream,
    mut acceptor: TcpStream,
    edit: &dyn Fn(&mut Vec<u8>),
    said_to: &Sender<Vec<u8>>,
) {
    for is_first in [true, false] {
        let mut piece = vec![0; 4096];
        let Ok(got @ 1..) = dialer.read(&mut piece) else { break };
        piece.truncate(got);
        if is_first {
            edit(&mut piece);
        }
        let sent = acceptor.write_all(&piece);
        // The test may have ended.
        let _ended = said_to.send(piece);
        if sent.is_err() {
            break;
        }
    }
    pass(dialer, acceptor);
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // Either end may close at any time.
    let _ended = std::io::copy(&mut from, &mut to);
    let _ended = to.shutdown(Shutdown::Write);
}
