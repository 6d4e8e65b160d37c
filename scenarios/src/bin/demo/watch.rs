//! What the nodes say about themselves: who is up, who sees whom, how much passes.
//!
//! Cost: one page of health and one of metrics per node and look, one after the other.

use crate::layout::Layout;
use shard_scenarios::http::{get, samples};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the rate is the mean of: nodes measure once a second, and bursts come every few seconds.
const WINDOW: Duration = Duration::from_secs(5);
/// How long one node may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
const PEERS: &str = "ergo_remote_node_uptime_seconds";
const MESSAGES: &str = "ergo_remote_messages_in_total";
const PEER: &str = "remote_node";

#[derive(Debug, Default)]
struct Seen {
    is_ready: bool,
    peers: BTreeSet<String>,
    /// Messages received, by sender. Kept while the node does not answer.
    received: BTreeMap<String, f64>,
}

/// The last look at all nodes.
#[derive(Debug)]
pub(crate) struct Watch {
    nodes: Vec<(String, SocketAddr, Seen)>,
    /// Messages at earlier times, to tell the rate.
    before: VecDeque<(Instant, f64)>,
}

/// One line's worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Status {
    pub(crate) up: usize,
    /// Directed links that are up and have carried at least one message.
    pub(crate) links: usize,
    pub(crate) messages: f64,
    pub(crate) per_second: f64,
}

impl Watch {
    pub(crate) fn new(layout: &Layout) -> Self {
        let nodes = layout.places.iter().map(|place| (place.name.clone(), place.radar, Seen::default()));
        Self { nodes: nodes.collect(), before: VecDeque::new() }
    }

    /// Asks every node.
    pub(crate) fn look(&mut self) {
        for (_, radar, seen) in &mut self.nodes {
            seen.is_ready = get(*radar, "/health/ready", LIMIT).is_ok_and(|page| page.status == 200);
            seen.peers.clear();
            if !seen.is_ready {
                continue;
            }
            let Ok(page) = get(*radar, "/metrics", LIMIT) else { continue };
            seen.peers.extend(samples(&page.body, PEERS, PEER).map(|(peer, _)| peer.to_owned()));
            for (peer, count) in samples(&page.body, MESSAGES, PEER) {
                seen.received.insert(peer.to_owned(), count);
            }
        }
    }

    /// Whether every node is ready and sees all others.
    pub(crate) fn is_complete(&self) -> bool {
        self.nodes.iter().all(|(_, _, seen)| seen.is_ready && seen.peers.len() + 1 == self.nodes.len())
    }

    /// Who is not ready, and who misses whom.
    pub(crate) fn missing(&self) -> String {
        let mut words = Vec::new();
        for (name, radar, seen) in &self.nodes {
            if !seen.is_ready {
                words.push(format!("{name} is not ready (http://{radar}/health/ready?verbose=1)"));
                continue;
            }
            let others = self.nodes.iter().map(|(other, _, _)| other).filter(|other| *other != name);
            let unseen: Vec<&str> =
                others.filter(|other| !seen.peers.contains(*other)).map(String::as_str).collect();
            if !unseen.is_empty() {
                words.push(format!("{name} is not connected to {}", unseen.join(", ")));
            }
        }
        words.join("; ")
    }

    /// The line to show; `now` is when the last look was.
    pub(crate) fn status(&mut self, now: Instant) -> Status {
        let counts = || self.nodes.iter().flat_map(|(_, _, seen)| &seen.received);
        let messages = counts().map(|(_, count)| count).sum::<f64>();
        let ups = self.nodes.iter().filter(|(_, _, seen)| seen.is_ready);
        let links = ups
            .flat_map(|(_, _, seen)| {
                seen.received.iter().filter(|(peer, count)| **count > 0.0 && seen.peers.contains(*peer))
            })
            .count();
        let per_second = self.before.front().map_or(0.0, |(at, before)| {
            let seconds = now.saturating_duration_since(*at).as_secs_f64();
            // A node that restarted counts from zero.
            if seconds > 0.0 { ((messages - before) / seconds).max(0.0) } else { 0.0 }
        });
        self.before.push_back((now, messages));
        // The oldest that is kept is the youngest beyond the window, so that the rate spans at least the window.
        while self.before.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.before.pop_front();
        }
        let up = self.nodes.iter().filter(|(_, _, seen)| seen.is_ready).count();
        Status { up, links, messages, per_second }
    }
}

#[cfg(test)]
mod tests {
    use super::{Seen, Watch};
    use crate::layout::Layout;
    use std::time::{Duration, Instant};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an origin for two made-up times")]
    fn a_cluster_is_complete_when_each_sees_all_others() {
        let mut watch = Watch::new(&Layout::new(2, None).unwrap());
        assert!(!watch.is_complete());
        let names: Vec<String> = watch.nodes.iter().map(|(name, _, _)| name.clone()).collect();
        for (node, other) in [(0, 1), (1, 0)] {
            assert!(!watch.is_complete());
            let seen = &mut watch.nodes[node].2;
            *seen = Seen { is_ready: true, ..Seen::default() };
            assert!(watch.missing().contains(&names[other]), "{}", watch.missing());
            let seen = &mut watch.nodes[node].2;
            seen.peers.insert(names[other].clone());
            seen.received.insert(names[other].clone(), 50.0);
        }
        assert!(watch.is_complete() && watch.missing().is_empty());
        let start = Instant::now();
        assert_eq!(watch.status(start).per_second, 0.0);
        watch.nodes[0].2.received.insert(names[1].clone(), 150.0);
        let status = watch.status(start + Duration::from_secs(2));
        assert_eq!((status.up, status.links, status.messages, status.per_second), (2, 2, 200.0, 50.0));
        // A node is lost: neither it nor the other end has a link, whatever was received before.
        watch.nodes[1].2.is_ready = false;
        watch.nodes[0].2.peers.clear();
        let status = watch.status(start + Duration::from_secs(4));
        assert_eq!((status.up, status.links, status.messages), (1, 0, 200.0));
    }
}
