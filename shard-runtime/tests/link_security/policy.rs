//! What a node needs before it leaves loopback.

use crate::support::{Authority, COOKIE, address, eventually, failed, free_port};
use shard_runtime::prelude::*;
use shard_runtime::wire::handshake::CookiePolicyError;
use shard_runtime::{LogLevel, NodeBuilder, NodeRouteError, RegistrarSpec, RouteOptions};

fn open() -> NodeBuilder {
    Node::builder("open@localhost").listen("0.0.0.0:0").log_level(LogLevel::Error)
}

fn missing(builder: NodeBuilder) -> CookiePolicyError {
    match builder.start() {
        Err(NodeError::Cookie(missing)) => missing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_weak_key_or_plain_text_off_loopback_is_no_start_and_says_what_to_do() {
    let tls = Authority::new().good();
    assert_eq!(missing(open()), CookiePolicyError::Empty);
    assert_eq!(missing(open().cookie("weak").link_tls(tls.clone())), CookiePolicyError::TooShort { have: 4 });
    let even = open().cookie([b'x'; 40]).link_tls(tls.clone());
    assert_eq!(missing(even), CookiePolicyError::Regular { distinct: 1 });
    let rotating = open().cookie(COOKIE).previous_cookie("weak").link_tls(tls.clone());
    assert_eq!(missing(rotating), CookiePolicyError::PreviousTooShort { have: 4 });
    let plain = missing(open().cookie(COOKIE));
    assert_eq!(plain, CookiePolicyError::Plaintext);
    assert!(
        plain.to_string().contains("link_tls") && plain.to_string().contains("allow_plaintext"),
        "{plain}"
    );
    let registrar =
        Node::builder("a@localhost").cookie(COOKIE).registrar(RegistrarSpec::embedded("192.0.2.1:1"));
    assert_eq!(missing(registrar), CookiePolicyError::Plaintext);

    let node = open().cookie(COOKIE).link_tls(tls).start().unwrap();
    assert!(address(&node).ip().is_unspecified());
    open().cookie(COOKIE).allow_plaintext(true).start().unwrap().stop();
}

#[test]
fn a_route_off_loopback_needs_what_a_listener_needs() {
    let local =
        || Node::builder("a@localhost").listen("127.0.0.1:0").log_level(LogLevel::Error).cookie("weak");
    let policy = |to: RouteOptions, builder: NodeBuilder| match builder.route("b@far", to).start() {
        Err(NodeError::Route(NodeRouteError::Policy { source, .. })) => source,
        other => panic!("{other:?}"),
    };
    let far = || RouteOptions::new("192.0.2.1:4500");
    assert_eq!(policy(far(), local()), CookiePolicyError::TooShort { have: 4 });
    assert_eq!(policy(far().cookie(COOKIE), local()), CookiePolicyError::Plaintext);
    let tls = Authority::new().good();
    let off = far().cookie(COOKIE).plaintext();
    let refused = local().link_tls(tls.clone()).route("b@far", off.clone()).start();
    assert!(matches!(refused, Err(NodeError::Route(NodeRouteError::Plaintext { .. }))), "{refused:?}");
    local().route("b@far", far().cookie(COOKIE).tls(tls.clone())).start().unwrap().stop();
    let node = local().link_tls(tls).allow_plaintext(true).route("b@far", off).start().unwrap();
    assert_eq!(
        node.routes().iter().map(|route| (route.tls, route.has_cookie)).collect::<Vec<_>>(),
        [(false, true)]
    );
}

/// A registrar may say where a node is; how it is dialled it does not say.
#[test]
fn an_address_off_loopback_that_a_registrar_tells_is_not_dialled_in_plain_text() {
    let registrar = RegistrarSpec::embedded(free_port());
    let start = |name: &str, cookie: &[u8], port: &RegistrarSpec| {
        Node::builder(name).log_level(LogLevel::Error).cookie(cookie).registrar(port.clone())
    };
    let teller = start("teller@localhost", COOKIE, &registrar).start().unwrap();
    // Far away, and dialling nobody itself.
    let nobody: [&str; 0] = [];
    let far = start("far@localhost", COOKIE, &registrar).advertise("192.0.2.1:4500").allow_peers(nobody);
    let _far = far.start().unwrap();
    eventually("the dial is refused here", || failed(&teller, "plaintext") > 0);
    assert_eq!(teller.nodes(), [] as [&str; 0]);

    let registrar = RegistrarSpec::embedded(free_port());
    let teller = start("teller@localhost", b"weak", &registrar).start().unwrap();
    let far = start("far@localhost", b"weak", &registrar).advertise("192.0.2.1:4500").allow_peers(nobody);
    let _far = far.start().unwrap();
    eventually("the dial is refused here", || failed(&teller, "weak_key") > 0);
}
