//! Two nodes of the program `traffic` on a wire, and the account of what they sent each other.

use serde_json::Value;
use shard_tests::harness::{End, NodeProcess, NodeSpec, Signal, TempDir, Wire, binary, poll};
use std::time::Duration;

/// Generous: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What a node said last.
#[derive(Debug, Clone)]
pub(crate) struct Said(Value);

impl Said {
    pub(crate) fn tally(&self, counter: &str) -> u64 {
        self.0["tally"][counter].as_u64().unwrap_or_else(|| panic!("no {counter} in {}", self.0))
    }

    /// Calls that are over, one way or the other.
    pub(crate) fn ended_calls(&self) -> u64 {
        self.tally("answered") + self.tally("call_errors") + self.tally("calls_refused")
    }

    pub(crate) fn link(&self, counter: &str) -> u64 {
        self.0["link"][counter].as_u64().unwrap_or(0)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0["link"]["connected"] == true
    }

    /// Why sessions ended, oldest first.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        let all = self.0["link"]["reasons"].as_array();
        all.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

pub(crate) struct Pair {
    pub(crate) wire: Wire,
    specs: [NodeSpec; 2],
    nodes: [NodeProcess; 2],
    _logs: TempDir,
}

impl Pair {
    /// Two nodes in session, with traffic in both directions.
    pub(crate) fn start(label: &str, rate: u64) -> Self {
        let wire = Wire::new().unwrap();
        let logs = TempDir::new(label).unwrap();
        let program = binary("shard-scenarios", "traffic").unwrap();
        let spec = |end: End, label: &str| {
            let (here, there) = (Wire::address(end), Wire::address(end.other()));
            let rate = rate.to_string();
            wire.program(end, &program, label, logs.path()).with_arguments([
                format!("--name={label}@{here}"),
                format!("--listen={here}:7400"),
                format!("--peer={}@{there}", if label == "a" { "b" } else { "a" }),
                format!("--at={there}:7400"),
                "--shards=2".to_owned(),
                format!("--rate={rate}"),
            ])
        };
        let specs = [spec(End::A, "a"), spec(End::B, "b")];
        let nodes = [specs[0].start().unwrap(), specs[1].start().unwrap()];
        let pair = Self { wire, specs, nodes, _logs: logs };
        pair.await_traffic();
        pair
    }

    pub(crate) fn said(&self, end: End) -> Said {
        poll(SOON, || self.last_line(end))
            .unwrap_or_else(|| panic!("{end:?} says nothing: {}", self.log(end)))
    }

    fn last_line(&self, end: End) -> Option<Said> {
        let out = self.node(end).stdout();
        // The last one may not be whole yet.
        out.lines().rev().find_map(|line| serde_json::from_str(line).ok()).map(Said)
    }

    pub(crate) fn log(&self, end: End) -> String {
        self.node(end).stderr()
    }

    fn node(&self, end: End) -> &NodeProcess {
        &self.nodes[usize::from(end == End::B)]
    }

    pub(crate) fn signal(&mut self, end: End, signal: Signal) {
        self.nodes[usize::from(end == End::B)].signal(signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, end: End) {
        self.nodes[usize::from(end == End::B)].kill().unwrap();
    }

    /// Starts a node again that was killed.
    pub(crate) fn restart(&mut self, end: End) {
        let index = usize::from(end == End::B);
        self.nodes[index] = self.specs[index].start().unwrap();
    }

    /// Waits for something that a node says.
    #[track_caller]
    pub(crate) fn until(&self, end: End, what: &str, mut condition: impl FnMut(&Said) -> bool) {
        if poll(SOON, || condition(&self.said(end)).then_some(())).is_none() {
            panic!("not within {SOON:?}: {what}; {:?}; log: {}", self.said(end), self.log(end));
        }
    }

    /// Waits until messages arrive at both, and calls of both are answered, counted from now.
    #[track_caller]
    pub(crate) fn await_traffic(&self) {
        for end in [End::A, End::B] {
            let counts =
                |said: &Said| (said.tally("received"), said.tally("answered"), said.tally("watched"));
            let (received, answered, _) = counts(&self.said(end));
            self.until(end, "there is traffic", |said| {
                let now = counts(said);
                said.is_connected() && now.0 > received + 100 && now.1 > answered + 10 && now.2 > 0
            });
        }
    }

    /// Ends the traffic, and compares what both have counted. Neither may have started anew. `lossless`: no session ended.
    #[track_caller]
    pub(crate) fn settle(&mut self, lossless: bool) {
        for end in [End::A, End::B] {
            self.signal(end, Signal::User1);
        }
        let is_settled = || {
            let [a, b] = self.both();
            let is_quiet = |said: &Said| {
                let ended = said.ended_calls();
                said.0["tally"]["paused"] == true
                    && ended == said.tally("calls")
                    && said.link("outbox_bytes") == 0
            };
            is_quiet(&a) && is_quiet(&b) && self.is_even(&a, &b) && self.is_even(&b, &a)
        };
        if poll(SOON, || is_settled().then_some(())).is_none() {
            let logs = [self.log(End::A), self.log(End::B)];
            panic!("something is still under way: {:#?}; logs: {logs:?}", self.both());
        }
        let [a, b] = self.both();
        for (from, to) in [(&a, &b), (&b, &a)] {
            self.check_health(from);
            if lossless {
                assert_eq!(from.tally("sent"), to.tally("received"), "{from:?} {to:?}");
                assert_eq!((from.link("failed"), from.link("unknown")), (0, 0), "{from:?}");
                assert_eq!((from.link("ups"), from.link("downs")), (1, 0), "{from:?}");
            }
        }
    }

    /// No call has failed.
    #[track_caller]
    pub(crate) fn check_calls(&self) {
        for said in self.both() {
            assert_eq!(said.tally("call_errors"), 0, "{said:?}");
        }
    }

    /// Whether all messages have arrived, or are known to have failed or to be unknown.
    fn is_even(&self, from: &Said, to: &Said) -> bool {
        let Some(missing) = from.tally("sent").checked_sub(to.tally("received")) else {
            panic!("more arrived than was sent: {from:?} {to:?}");
        };
        missing <= from.link("failed") + from.link("unknown")
    }

    fn both(&self) -> [Said; 2] {
        [self.said(End::A), self.said(End::B)]
    }

    /// What must never be.
    #[track_caller]
    pub(crate) fn check_health(&self, said: &Said) {
        for never in ["behind", "garbled", "downs_again", "refused_else"] {
            assert_eq!(said.tally(never), 0, "{never}: {said:?}");
        }
        for never in ["decode_errors", "protocol_errors"] {
            assert_eq!(said.link(never), 0, "{never}: {said:?}");
        }
        // One watcher on each of two shards.
        assert!(said.tally("downs") <= 2 * said.link("downs"), "{said:?}");
    }
}
