//! Two real nodes: what their links count is on the pages and in the tools of both.

use std::time::Duration;

use serde_json::{Value, json};
use shard_diag::Diag;
use shard_runtime::prelude::*;
use shard_runtime::{NodeBuilder, Peers};

use crate::client::{call, get, options};
use crate::node::eventually;

const LIMIT: Duration = Duration::from_secs(20);

#[message]
struct Text {
    text: String,
}

/// Sends texts to the party of another node.
#[message(reply = u64)]
struct Pour {
    node: String,
    count: u64,
    len: u64,
    is_traced: bool,
}

#[message(reply = u64)]
struct Seen;

#[derive(Default)]
struct Party {
    seen: u64,
}

#[actor]
impl Party {
    #[handle]
    fn text(&mut self, _: Text, _cx: &mut Context<'_>) -> ActorResult {
        self.seen += 1;
        Ok(())
    }

    #[handle]
    fn pour(&mut self, m: Pour, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        if m.is_traced {
            cx.begin_trace();
        }
        for _ in 0..m.count {
            let text = Text { text: "again and ".repeat(m.len as usize / 10) };
            cx.send(("party", m.node.as_str()), text).map_err(|error| error.reason)?;
        }
        Ok(m.count)
    }

    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(self.seen)
    }
}

struct Side {
    name: &'static str,
    node: Node,
    diag: Diag,
}

impl Side {
    fn new(name: &'static str, build: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        let builder = Node::builder(name).shards(1).max_processes(64).listen("127.0.0.1:0");
        let node = build(builder.cookie("of counted links")).start().expect("a node");
        node.spawn(Party::default, SpawnOptions::named("party").compression(2000)).expect("a party");
        let diag = Diag::for_node(&node, options()).expect("starts");
        Self { name, node, diag }
    }

    fn ask(&self, tool: &str, arguments: &Value) -> Value {
        call(self.diag.mcp_addresses()[0], tool, arguments)
    }

    /// What this side says of the other.
    fn view_of(&self, peer: &Self) -> Value {
        self.ask("network_node_info", &json!({ "name": peer.name }))
    }

    /// The sample that begins with this.
    fn sample(&self, series: &str) -> Option<f64> {
        let page = get(self.diag.radar_addresses()[0], "/metrics").body;
        page.lines().find(|line| line.starts_with(series))?.rsplit(' ').next()?.parse().ok()
    }

    /// The sample of a family about the other side, with its further labels.
    fn sample_of(&self, family: &str, peer: &Self, more: &str) -> Option<f64> {
        self.sample(&format!("{family}{{remote_node=\"{}\"{more},", peer.name))
    }

    fn pour(&self, to: &Self, count: u64, len: u64, is_traced: bool) {
        let pour = Pour { node: String::from(to.name), count, len, is_traced };
        let before = to.node.call_blocking("party", Seen).expect("an answer");
        assert_eq!(self.node.call_blocking_timeout("party", pour, LIMIT), Ok(count));
        eventually("all came", || to.node.call_blocking("party", Seen) == Ok(before + count));
    }
}

fn pair(one: &'static str, two: &'static str) -> (Side, Side) {
    let one = Side::new(one, |builder| {
        let offered = Peers::only([two]);
        builder
            .enable_spawn("party", offered, |_: Text| Party::default())
            .enable_app_start("shop", Peers::anyone())
    });
    let at = one.node.listen_address().expect("it listens").to_string();
    let two = Side::new(two, |builder| builder.route(one.name, at));
    for (side, peer) in [(&one, &two), (&two, &one)] {
        eventually("they are connected", || {
            side.node.stats().peers().iter().any(|known| known.connected && known.name == peer.name)
        });
    }
    (one, two)
}

fn number(of: &Value, field: &str) -> u64 {
    of[field].as_u64().unwrap_or_else(|| panic!("no {field} in {of}"))
}

#[test]
fn compression_and_traces_are_counted_on_both_sides() {
    let (one, two) = pair("counted1@localhost", "counted2@localhost");
    two.pour(&one, 10, 100_000, false);
    let (sent, got) = (two.view_of(&one), one.view_of(&two));
    assert_eq!((number(&sent, "CompressedSent"), number(&got, "DecompressedRecv")), (10, 10));
    let (before, after) = (number(&sent, "CompressedOrigBytesSent"), number(&sent, "CompressedBytesSent"));
    assert!(before >= 1_000_000 && after > 0 && after < before / 20, "{before} to {after}");
    assert_eq!(
        (number(&got, "DecompressedBytesRecv"), number(&got, "DecompressedOrigRecv")),
        (after, before)
    );
    assert_eq!((number(&sent, "DecompressedRecv"), number(&got, "CompressedSent")), (0, 0));
    let sample = |side: &Side, peer, family: &str| side.sample_of(family, peer, "").expect("a sample") as u64;
    assert_eq!(sample(&two, &one, "ergo_remote_compressed_sent_total"), 10);
    assert_eq!(sample(&two, &one, "ergo_remote_compressed_bytes_sent_total"), after);
    assert_eq!(sample(&two, &one, "ergo_remote_compressed_orig_bytes_sent_total"), before);
    assert_eq!(sample(&one, &two, "ergo_remote_decompressed_recv_total"), 10);
    assert_eq!(sample(&one, &two, "ergo_remote_decompressed_bytes_recv_total"), after);
    assert_eq!(sample(&one, &two, "ergo_remote_decompressed_orig_recv_total"), before);

    assert_eq!(number(&two.view_of(&one), "TracedSent"), 0);
    two.pour(&one, 7, 10, true);
    assert_eq!(
        (number(&two.view_of(&one), "TracedSent"), number(&one.view_of(&two), "TracedReceived")),
        (7, 7)
    );
    assert_eq!(two.sample_of("shard_net_traced_total", &one, ",direction=\"out\""), Some(7.0));
    assert_eq!(one.sample_of("shard_net_traced_total", &two, ",direction=\"in\""), Some(7.0));
    // All of them are handled, and their node took the traces up.
    eventually("none is held", || one.sample("shard_traces_held{shard=\"0\"") == Some(0.0));
    assert_eq!(two.sample("shard_traces_dropped_total{shard=\"0\""), Some(0.0));
    assert!(one.sample("shard_mailbox_waited_seconds_total{") > Some(0.0));
}

#[test]
fn flags_say_what_the_node_does_for_its_peer() {
    let (one, two) = pair("flags1@localhost", "flags2@localhost");
    let (of_two, of_one) = (one.view_of(&two), two.view_of(&one));
    for (view, allows) in [(&of_two, true), (&of_one, false)] {
        let flags = &view["NetworkFlags"];
        assert_eq!(flags["EnableRemoteSpawn"], allows, "{flags}");
        assert_eq!(flags["EnableRemoteApplicationStart"], allows, "{flags}");
        for is_on in [
            "Enable",
            "EnableFragmentation",
            "EnableImportantDelivery",
            "EnableSimultaneousConnect",
            "EnableTracing",
            "EnableSchemaEvolution",
        ] {
            assert_eq!(flags[is_on], true, "{is_on} in {flags}");
        }
        for is_off in ["EnableProxyTransit", "EnableProxyAccept", "EnableClockSkew", "EnableWrappedErrors"] {
            assert_eq!(flags[is_off], false, "{is_off} in {flags}");
        }
        assert_eq!(flags["EnableSoftwareKeepAlive"], 1, "{flags}");
    }
    one.node.deny_spawn("party", two.name).expect("it was offered");
    one.node.disable_app_start("shop").expect("it was enabled");
    let flags = &one.view_of(&two)["NetworkFlags"];
    assert_eq!(
        (&flags["EnableRemoteSpawn"], &flags["EnableRemoteApplicationStart"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn what_did_not_arrive_and_what_ended_is_told() {
    let (one, two) = pair("ended1@localhost", "ended2@localhost");
    let gone = one.node.spawn(Party::default, SpawnOptions::new()).expect("a process");
    assert_eq!(two.node.call_blocking(gone, Seen), Ok(0));
    one.node.kill(gone);
    eventually("it is gone", || one.node.stats().process(gone.local).is_none());
    assert!(two.node.call_blocking(gone, Seen).is_err());
    let view = one.view_of(&two);
    assert_eq!((number(&view, "undeliverable"), number(&view, "expired")), (1, 0), "{view}");
    assert_eq!(one.sample_of("shard_net_undelivered_total", &two, ",reason=\"gone\""), Some(1.0));
    let listed = two.ask("network_nodes", &json!({}));
    let row = &listed["items"][0];
    assert_eq!((number(row, "sessions"), number(row, "stalled_shards")), (1, 0), "{row}");
    for field in ["links_held", "outboxes_full", "late", "failed_out", "unknown_out", "outbox_refused"] {
        assert_eq!(number(row, field), 0, "{field} in {row}");
    }
    let dialled = |side: &Side| number(&side.ask("node_info", &json!({})), "LinksDialled");
    assert!(dialled(&two) >= 1, "the control link");
    assert!(two.sample("shard_net_links_opened_total{side=\"dialled\"") >= Some(1.0));
    let shard = &two.ask("runtime_stats", &json!({}))["shards"][0];
    assert!(number(shard, "activations") > 0 && number(shard, "inbox_messages") > 0, "{shard}");
    assert_eq!((number(shard, "traces_held"), number(shard, "traces_dropped")), (0, 0), "{shard}");
    assert!(number(shard, "envelope_bytes") > 0, "{shard}");

    one.node.stop();
    eventually("the end is told with its reason", || {
        two.ask("node_info", &json!({}))["ConnectionsLostBy"] == json!({ "goodbye": 1 })
    });
    assert_eq!(two.sample("shard_net_sessions_lost_total{reason=\"goodbye\""), Some(1.0));
    assert_eq!(two.sample("shard_net_sessions_lost_total{reason=\"heartbeat\""), Some(0.0));
    eventually("dials in vain are told", || {
        two.sample("shard_net_dial_errors_total{").is_some()
            && two.ask("node_info", &json!({}))["DialErrors"]
                .as_object()
                .is_some_and(|errors| !errors.is_empty())
    });
}
