//! Routes with cookies and TLS of their own, by name and by pattern, from the start and later.

use crate::support::{
    Authority, COOKIE, OTHER, address, eventually, failed, plain, refused, secure, wait_up,
};
use crate::{Count, Peer};
use shard_runtime::prelude::*;
use shard_runtime::{NodeRouteError, RouteOptions};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:9";

#[test]
fn a_route_has_a_cookie_and_tls_of_its_own_which_admit_its_nodes_alone() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    // The hub dials nobody: its route says with what its partners are met.
    let partners = RouteOptions::new(NOWHERE).cookie(OTHER);
    let hub = secure("hub@localhost", &ours.good()).route("partner-*@*", partners).start().unwrap();
    let at = address(&hub).to_string();
    let pid = hub.spawn(Peer::default, SpawnOptions::new()).unwrap();
    // The partner belongs to another cluster: other cookie, other authority.
    let to_hub = RouteOptions::new(&at).cookie(OTHER).tls(ours.good());
    let partner = secure("partner-1@localhost", &theirs.good()).cookie(&COOKIE[1..]);
    let partner =
        partner.cookie([COOKIE, b"theirs"].concat()).route("hub@localhost", to_hub).start().unwrap();
    wait_up(&partner, "hub@localhost");
    assert_eq!(partner.call_blocking(pid, Count).unwrap(), 0);
    assert!(partner.stats().peers()[0].tls);
    let member = secure("member@localhost", &ours.good()).route("hub@localhost", &at).start().unwrap();
    wait_up(&member, "hub@localhost");

    // Somebody of the hub's cluster cannot be a partner, nor a partner somebody of the cluster.
    let posing = secure("partner-2@localhost", &ours.good()).route("hub@localhost", &at).start().unwrap();
    eventually("the hub's cookie is not the partners'", || failed(&posing, "wrong_cookie") > 0);
    let before = refused(&hub, "wrong_cookie");
    posing.stop();
    let posing = secure("member-2@localhost", &ours.good()).cookie(OTHER).route("hub@localhost", &at);
    let posing = posing.start().unwrap();
    eventually("and the reverse", || failed(&posing, "wrong_cookie") > 0);
    eventually("it is counted", || refused(&hub, "wrong_cookie") > before);
    let mut nodes = hub.nodes();
    nodes.sort();
    assert_eq!(nodes, ["member@localhost", "partner-1@localhost"]);
}

#[test]
fn routes_are_added_and_removed_while_the_node_runs() {
    let one = plain("one@localhost").start().unwrap();
    let at = address(&one).to_string();
    let two = plain("two@localhost").start().unwrap();
    assert_eq!(two.routes(), []);
    // The heavier one leads nowhere; the other is tried next.
    two.add_route("one@*", RouteOptions::new(NOWHERE).weight(9)).unwrap();
    two.add_route("one@localhost", &at).unwrap();
    wait_up(&two, "one@localhost");
    let listed: Vec<_> = two.routes().into_iter().map(|route| (route.pattern, route.weight)).collect();
    assert_eq!(listed, [("one@*".to_owned(), 9), ("one@localhost".to_owned(), 1)]);
    let taken = two.add_route("one@localhost", &at);
    assert!(matches!(taken, Err(NodeError::Route(NodeRouteError::Taken { .. }))), "{taken:?}");
    two.remove_route("one@*").unwrap();
    let unknown = two.remove_route("one@*");
    assert!(matches!(unknown, Err(NodeError::Route(NodeRouteError::Unknown { .. }))), "{unknown:?}");
    assert_eq!(two.nodes(), ["one@localhost"], "sessions do not depend on it");
    let twice = plain("three@localhost").route("one@localhost", &at).route("one@localhost", &at).start();
    assert!(matches!(twice, Err(NodeError::Route(NodeRouteError::Taken { .. }))), "{twice:?}");
}

#[test]
fn a_pattern_is_used_when_a_node_is_wanted() {
    let one = plain("one@localhost").start().unwrap();
    let two = plain("two@localhost").route("o*@localhost", address(&one).to_string()).start().unwrap();
    assert_eq!(two.nodes(), [] as [&str; 0], "nobody is named");
    two.connect("one@localhost").unwrap();
    wait_up(&two, "one@localhost");
    let nobody = Node::builder("alone@localhost").start().unwrap();
    assert!(matches!(nobody.add_route("one@localhost", NOWHERE), Err(NodeError::NoNetwork)));
}

#[test]
fn one_route_in_plain_text_leaves_all_others_in_tls() {
    let authority = Authority::new();
    let old = plain("old@localhost").start().unwrap();
    let pid = old.spawn(Peer::default, SpawnOptions::new()).unwrap();
    let hub = secure("hub@localhost", &authority.good()).allow_plaintext(true);
    let to_old = RouteOptions::new(address(&old).to_string()).plaintext();
    let hub = hub.route("old@localhost", to_old).start().unwrap();
    let own = hub.spawn(Peer::default, SpawnOptions::new()).unwrap();
    wait_up(&hub, "old@localhost");
    assert_eq!(hub.call_blocking(pid, Count).unwrap(), 0);
    assert_eq!(old.call_blocking(own, Count).unwrap(), 0, "the hub is asked to dial the link");
    let new = secure("new@localhost", &authority.good()).route("hub@localhost", address(&hub).to_string());
    let new = new.start().unwrap();
    wait_up(&new, "hub@localhost");
    let tls = |name: &str| hub.stats().peers().iter().any(|peer| peer.name == name && peer.tls);
    eventually("only one of them is in plain text", || tls("new@localhost") && !tls("old@localhost"));
    let posing = plain("posing@localhost").route("hub@localhost", address(&hub).to_string()).start().unwrap();
    eventually("what is accepted is not", || failed(&posing, "plaintext") > 0);
}
