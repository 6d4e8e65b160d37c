//! Nodes and the network between them.

use std::collections::{BTreeMap, BTreeSet};

use shard_wire::handshake::{ClusterName, Established, Intent, Introduction, Reason, Source, Verdict};
use shard_wire::placement::{Side, Slot};
use shard_wire::session::{Command, ControlMsg, ControlReader, LinkId, SessionConfig, SessionCore};
use shard_wire::{Incarnation, NodeName, ShardId};

use crate::sim::check::Checker;
use crate::sim::traffic::{Flow, Lane, Ledger, PAIRS};

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1000 * MS;
/// How long a socket waits for its peer's kernel.
pub(super) const USER_TIMEOUT: u64 = 5 * SECOND;
/// Within this time after everything healed, all must be in session.
pub(super) const HEAL: u64 = 40 * SECOND;
/// And then nothing may change for this long.
pub(super) const QUIET: u64 = 20 * SECOND;

#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    pub(crate) chaos_ns: u64,
}

pub(crate) struct Rng(u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }
}

#[derive(Clone)]
pub(super) enum Packet {
    Hello(Box<Introduction>, Intent),
    Verdict(Verdict, Box<Introduction>),
    Control(Vec<u8>),
    Data { from: Incarnation, session: u64, bytes: Vec<u8> },
    Close,
}

pub(super) enum Event {
    Tick(usize),
    Packet {
        conn: u64,
        to: usize,
        packet: Packet,
    },
    /// A socket gives up.
    Failed {
        conn: u64,
        end: usize,
    },
    DialFailed {
        node: usize,
        life: u64,
        link: LinkId,
        conn: Option<u64>,
        reason: Reason,
    },
    Processed {
        node: usize,
        life: u64,
        shard: u16,
        peer: NodeName,
        session: u64,
    },
    Send {
        node: usize,
        life: u64,
        link: LinkId,
    },
    Want {
        node: usize,
        life: u64,
        peer: usize,
    },
    WantSlot {
        node: usize,
        life: u64,
        peer: NodeName,
        slot: Slot,
    },
    Start(usize),
    Chaos,
}

pub(super) struct End {
    pub(super) node: usize,
    pub(super) life: u64,
    pub(super) link: Option<LinkId>,
    pub(super) open: bool,
    /// Arrived before the link was handed to its shard.
    pub(super) held: Vec<Packet>,
    pub(super) last_ns: u64,
    /// What was sent towards this end is lost, silently and for good.
    pub(super) blocked: bool,
}

pub(super) struct Conn {
    pub(super) ends: [End; 2],
    pub(super) intent: Intent,
    pub(super) answered: bool,
}

pub(crate) struct Node {
    pub(super) name: NodeName,
    pub(super) core: Option<SessionCore>,
    pub(super) own: Introduction,
    pub(super) life: u64,
    pub(super) tick_ns: Option<u64>,
    pub(super) stalled_until: u64,
    pub(super) links: BTreeMap<LinkId, (u64, usize)>,
    /// Data links handed over: link to (peer, session, slot).
    pub(super) data: BTreeMap<LinkId, (NodeName, u64, Slot)>,
    /// By peer, session and slot.
    pub(super) flows: BTreeMap<(NodeName, u64, Slot), Flow>,
    /// Whom each session is with.
    pub(super) with: BTreeMap<(NodeName, u64), Incarnation>,
}

pub(crate) struct World {
    pub(super) rng: Rng,
    pub(super) now: u64,
    pub(super) seq: u64,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) conns: BTreeMap<u64, Conn>,
    pub(super) next_conn: u64,
    /// Directed pairs whose packets vanish.
    pub(super) dead: BTreeSet<(usize, usize)>,
    pub(super) chaos_until: u64,
    pub(super) sends_until: u64,
    pub(super) ledger: Ledger,
    pub(super) check: Checker,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut world = Self {
            rng: Rng(seed),
            now: SECOND,
            seq: 0,
            events: BTreeMap::new(),
            nodes: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 1,
            dead: BTreeSet::new(),
            chaos_until: SECOND + options.chaos_ns,
            sends_until: u64::MAX,
            ledger: Ledger::default(),
            check: Checker::new(std::env::var_os("SESSION_SIM_SEED").is_some()),
        };
        // The last is a twin of the first: it has its name, and lives only now and then.
        for index in 0..=options.nodes {
            let name = NodeName::new(&format!("n{}@sim", index % options.nodes)).unwrap();
            let own = Introduction {
                name: name.clone(),
                incarnation: Incarnation { start_nanos: 0, random: 0 },
                cluster: ClusterName::new("sim").unwrap(),
                flags: 0,
                max_frame_bytes: 1 << 20,
                heartbeat_ms: 1000,
                shards: 1 + u16::try_from(world.rng.below(4)).unwrap(),
                max_links: 64,
            };
            world.nodes.push(Node {
                name,
                core: None,
                own,
                life: 0,
                tick_ns: None,
                stalled_until: 0,
                links: BTreeMap::new(),
                data: BTreeMap::new(),
                flows: BTreeMap::new(),
                with: BTreeMap::new(),
            });
            let at = world.now + world.rng.below(2) * world.rng.below(300 * MS);
            if index < options.nodes {
                world.schedule(at, Event::Start(index));
            }
        }
        world.schedule(2 * SECOND, Event::Chaos);
        world
    }

    pub(crate) fn run(&mut self) {
        self.run_until(self.chaos_until);
        self.dead.clear();
        self.crash(self.reals());
        self.run_until(self.chaos_until + HEAL);
        self.sends_until = self.now;
        self.assert_agreement();
        let before = self.check.transitions;
        self.run_until(self.chaos_until + HEAL + QUIET);
        assert_eq!(before, self.check.transitions, "sessions still changed long after the network healed");
        self.assert_agreement();
        self.assert_complete();
    }

    /// Messages that were sent, calls that were answered, calls that failed with their session.
    pub(crate) fn traffic(&self) -> [u64; 3] {
        [self.ledger.messages, self.ledger.calls_answered, self.ledger.calls_failed]
    }

    /// The account of all messages closes.
    pub(super) fn assert_complete(&self) {
        self.ledger.check();
        for node in &self.nodes {
            for ((peer, session, slot), flow) in &node.flows {
                let to = node.with[&(peer.clone(), *session)];
                self.ledger.check_complete(Lane {
                    from: node.own.incarnation,
                    to,
                    session: *session,
                    slot: *slot,
                });
                assert!(flow.out.is_settled(), "{} to {peer}: {:?}", node.name, flow.out);
            }
        }
    }

    pub(crate) fn into_log(self) -> Vec<String> {
        self.check.log
    }

    /// Nodes that are no twins.
    pub(super) fn reals(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.seq += 1;
        self.events.insert((at, self.seq), event);
    }

    pub(super) fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.events.first_entry() {
            let (at, seq) = *entry.key();
            if at > end {
                break;
            }
            let event = entry.remove();
            self.now = self.now.max(at);
            let target = match &event {
                Event::Tick(node) | Event::DialFailed { node, .. } | Event::Processed { node, .. } => {
                    Some(*node)
                }
                Event::Failed { conn, end } => self.conns.get(conn).map(|conn| conn.ends[*end].node),
                Event::Packet { conn, to, .. } => self.conns.get(conn).map(|conn| conn.ends[*to].node),
                Event::Send { node, .. } | Event::Want { node, .. } | Event::WantSlot { node, .. } => {
                    Some(*node)
                }
                Event::Start(_) | Event::Chaos => None,
            };
            // A node that stands still handles everything later, in the same order.
            if let Some(until) = target.map(|node| self.nodes[node].stalled_until).filter(|until| *until > at)
            {
                self.events.insert((until, seq), event);
                continue;
            }
            self.handle(event);
        }
        self.now = end;
    }

    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Start(index) => self.start(index),
            Event::Chaos => self.chaos(),
            Event::Tick(node) => {
                if self.nodes[node].tick_ns.is_some_and(|at| at <= self.now) {
                    self.nodes[node].tick_ns = None;
                    self.with_core(node, |core, now| core.on_tick(now));
                }
            }
            Event::DialFailed { node, life, link, conn, reason } => {
                if conn.is_some_and(|conn| self.conns.get(&conn).is_none_or(|conn| conn.answered)) {
                    return;
                }
                if let Some(conn) = conn {
                    self.close_end(conn, 0);
                }
                if self.is_alive(node, life) {
                    self.with_core(node, |core, now| core.on_dial_failed(now, link, reason, Source::Local));
                }
            }
            Event::Processed { node, life, shard, peer, session } => {
                if self.is_alive(node, life) {
                    self.check.processed(node, shard, &peer, session);
                    self.close_flows(node, shard, &peer, session);
                    let shard = ShardId::new(shard).unwrap();
                    self.with_core(node, |core, _| core.on_down_processed(shard, &peer, session));
                }
            }
            Event::Want { node, life, peer } => {
                if self.is_alive(node, life) {
                    self.want_some_slot(node, peer);
                }
            }
            Event::WantSlot { node, life, peer, slot } => {
                if self.is_alive(node, life) {
                    self.with_core(node, |core, now| core.want_slot(now, &peer, slot));
                }
            }
            Event::Send { node, life, link } => self.send_data(node, life, link),
            Event::Failed { conn, end } => {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.ends[end].blocked = false;
                }
                self.arrive(conn, end, Packet::Close);
            }
            Event::Packet { conn, to, packet } => self.arrive(conn, to, packet),
        }
    }

    pub(super) fn is_alive(&self, node: usize, life: u64) -> bool {
        self.nodes[node].core.is_some() && self.nodes[node].life == life
    }

    pub(super) fn start(&mut self, index: usize) {
        if self.nodes[index].core.is_some() {
            return;
        }
        let random = self.rng.next();
        let now = self.now;
        let node = &mut self.nodes[index];
        node.life += 1;
        node.own.incarnation = Incarnation { start_nanos: now, random };
        node.core = Some(SessionCore::new(SessionConfig::new(node.own.clone(), random)));
        node.tick_ns = None;
        self.check.start(index, now, node.own.incarnation, node.own.shards);
        let peers: Vec<NodeName> = self.nodes.iter().map(|node| node.name.clone()).collect();
        self.with_core(index, |core, now| {
            for peer in &peers {
                core.connect(now, peer);
            }
        });
    }

    /// Feeds the core, does what it says, arms its timer.
    pub(super) fn with_core(&mut self, node: usize, input: impl FnOnce(&mut SessionCore, u64)) {
        let now = self.now;
        let Some(core) = self.nodes[node].core.as_mut() else { return };
        input(core, now);
        let commands = core.take_commands();
        for command in commands {
            self.execute(node, command);
        }
        let due = self.nodes[node].core.as_mut().and_then(SessionCore::next_deadline);
        let due = due.map(|due| due.max(now));
        if due != self.nodes[node].tick_ns {
            self.nodes[node].tick_ns = due;
            if let Some(due) = due {
                self.schedule(due, Event::Tick(node));
            }
        }
    }

    pub(super) fn execute(&mut self, node: usize, command: Command) {
        let life = self.nodes[node].life;
        self.check.command(node, self.now, &command);
        match command {
            Command::Dial { link, peer, intent } => self.dial(node, link, &peer, intent),
            Command::Judged { link, verdict } => {
                let own = Box::new(self.nodes[node].own.clone());
                if let Some((conn, end)) = self.nodes[node].links.get(&link).copied() {
                    self.transmit(conn, end, Packet::Verdict(verdict, own));
                    if matches!(verdict, Verdict::Refuse(_)) {
                        self.close_end(conn, end);
                    }
                }
            }
            Command::SendControl { link, msg, .. } => {
                let mut bytes = Vec::new();
                msg.encode(&mut bytes).unwrap();
                if let Some((conn, end)) = self.nodes[node].links.get(&link).copied() {
                    self.transmit(conn, end, Packet::Control(bytes));
                }
            }
            Command::CloseLink { link, .. } => {
                self.nodes[node].data.remove(&link);
                if let Some((conn, end)) = self.nodes[node].links.get(&link).copied() {
                    self.close_end(conn, end);
                }
            }
            Command::PeerDown { peer, session, .. } => {
                for shard in 0..self.nodes[node].own.shards {
                    // Now and then a shard is stuck in a callback for longer than a session takes to come back.
                    let stuck = if self.rng.below(4) == 0 { 4 * SECOND } else { 40 * MS };
                    let at = self.now + self.rng.below(stuck);
                    let peer = peer.clone();
                    self.schedule(at, Event::Processed { node, life, shard, peer, session });
                }
            }
            Command::LinkUp { peer, session, slot, link, .. } => {
                self.nodes[node].data.insert(link, (peer.clone(), session, slot));
                self.flow(node, &peer, session, slot).link();
                self.schedule(self.now, Event::Send { node, life, link });
                let Some((conn, end)) = self.nodes[node].links.get(&link).copied() else { return };
                let held = std::mem::take(&mut self.conns.get_mut(&conn).unwrap().ends[end].held);
                for packet in held {
                    self.deliver_data(node, link, &packet);
                }
            }
            Command::LinkDown { link, peer, session, slot, .. } => {
                self.nodes[node].data.remove(&link);
                self.flow(node, &peer, session, slot).cut();
                self.want_kept(node, &peer, session, slot);
            }
            Command::PeerUp { peer, session, .. } => {
                self.nodes[node].with.insert((peer.name.clone(), session), peer.incarnation);
                // Somebody had something to send all along.
                if self.rng.below(2) == 0 {
                    let peer = self.nodes.iter().position(|node| node.name == peer.name).unwrap();
                    self.schedule(self.now, Event::Want { node, life, peer });
                }
            }
            Command::PeerSuspect { .. }
            | Command::PeerHealthy { .. }
            | Command::PeerStalls { .. }
            | Command::Control { .. }
            | Command::TwinRefused { .. } => {}
            // The one before a crash may still hold the name for a while, and nobody else ever does.
            Command::NameRefused { .. } => {}
            other => panic!("a command the simulation does not know: {other:?}"),
        }
    }

    /// A node with this name, alive if there is one.
    pub(super) fn find(&mut self, name: &NodeName) -> usize {
        let first = self.nodes.iter().position(|node| node.name == *name).unwrap();
        let alive = |index: &usize| self.nodes[*index].name == *name && self.nodes[*index].core.is_some();
        let alive: Vec<usize> = (0..self.nodes.len()).filter(alive).collect();
        if alive.is_empty() { first } else { alive[self.rng.index(alive.len())] }
    }

    pub(super) fn dial(&mut self, node: usize, link: LinkId, peer: &NodeName, intent: Intent) {
        let to = self.find(peer);
        let life = self.nodes[node].life;
        let cut = self.dead.contains(&(node, to)) || self.dead.contains(&(to, node));
        if cut || self.nodes[to].core.is_none() {
            let at = self.now + if cut { 3 * SECOND } else { MS };
            let reason = Reason::Unreachable;
            return self.schedule(at, Event::DialFailed { node, life, link, conn: None, reason });
        }
        let end = |node, life, link| End {
            node,
            life,
            link,
            open: true,
            held: Vec::new(),
            last_ns: 0,
            blocked: false,
        };
        let conn = self.next_conn;
        self.next_conn += 1;
        let ends = [end(node, life, Some(link)), end(to, self.nodes[to].life, None)];
        self.conns.insert(conn, Conn { ends, intent, answered: false });
        self.nodes[node].links.insert(link, (conn, 0));
        let own = Box::new(self.nodes[node].own.clone());
        // The Hello stands for the whole exchange up to the proof: three crossings of the network.
        let extra = self.rng.below(30 * MS);
        self.conns.get_mut(&conn).unwrap().ends[1].last_ns = self.now + extra;
        self.transmit(conn, 0, Packet::Hello(own, intent));
        let at = self.now + 5 * SECOND;
        self.schedule(at, Event::DialFailed { node, life, link, conn: Some(conn), reason: Reason::Timeout });
    }

    /// Sends from one end to the other: in order, after a delay, or never.
    pub(super) fn transmit(&mut self, id: u64, from: usize, packet: Packet) {
        let delay = match self.rng.below(20) {
            0 => self.rng.below(400 * MS),
            _ => self.rng.below(15 * MS),
        };
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.ends[from].open {
            return;
        }
        let pair = (conn.ends[from].node, conn.ends[1 - from].node);
        let to = &mut conn.ends[1 - from];
        // What is lost once leaves a hole: nothing behind it is ever delivered.
        to.blocked |= self.dead.contains(&pair);
        if to.blocked {
            return self.unconfirmed(id, from, &packet);
        }
        to.last_ns = to.last_ns.max(self.now + delay);
        let at = to.last_ns;
        self.schedule(at, Event::Packet { conn: id, to: 1 - from, packet });
    }

    /// What the peer's kernel does not confirm fails the socket of its sender after a while (`TCP_USER_TIMEOUT`).
    fn unconfirmed(&mut self, conn: u64, from: usize, packet: &Packet) {
        if matches!(packet, Packet::Data { .. }) {
            self.schedule(self.now + USER_TIMEOUT, Event::Failed { conn, end: from });
        }
    }

    pub(super) fn close_end(&mut self, id: u64, end: usize) {
        self.transmit(id, end, Packet::Close);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let closing = &mut conn.ends[end];
        closing.open = false;
        let node = &mut self.nodes[closing.node];
        if let Some(link) = closing.link.filter(|_| node.life == closing.life) {
            node.links.remove(&link);
        }
        if conn.ends.iter().all(|end| !end.open) {
            self.conns.remove(&id);
        }
    }

    pub(super) fn arrive(&mut self, id: u64, to: usize, packet: Packet) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (node, life) = (conn.ends[to].node, conn.ends[to].life);
        if !conn.ends[to].open {
            return;
        }
        if conn.ends[to].blocked {
            // It was under way when the hole came.
            return self.unconfirmed(id, 1 - to, &packet);
        }
        if self.nodes[node].core.is_none() || self.nodes[node].life != life {
            // The host is up, the process is gone: the connection is reset.
            return self.close_end(id, to);
        }
        let (link, intent) = (conn.ends[to].link, conn.intent);
        match (packet, link) {
            (Packet::Hello(intro, intent), _) => {
                let core = self.nodes[node].core.as_mut().unwrap();
                let link = core.on_authenticated(self.now, &intro, intent);
                self.conns.get_mut(&id).unwrap().ends[to].link = Some(link);
                self.nodes[node].links.insert(link, (id, to));
                self.with_core(node, |_, _| {});
            }
            (Packet::Verdict(verdict, peer), Some(link)) => {
                conn.answered = true;
                match verdict {
                    Verdict::Accept { session, epoch } => {
                        let unread = Vec::new();
                        let established =
                            Established { peer: *peer, intent, version: 1, session, epoch, unread };
                        self.with_core(node, |core, now| core.on_dialed(now, link, &established));
                    }
                    Verdict::Refuse(reason) => {
                        self.close_end(id, to);
                        self.with_core(node, |core, now| {
                            core.on_dial_failed(now, link, reason, Source::Proven)
                        });
                    }
                }
            }
            (Packet::Control(bytes), Some(link)) => {
                let mut reader = ControlReader::default();
                reader.push(&bytes);
                let msg: ControlMsg = reader.next_message().unwrap().unwrap();
                self.with_core(node, |core, now| core.on_control(now, link, msg));
            }
            (packet @ Packet::Data { .. }, Some(link)) => {
                self.with_core(node, |core, now| core.on_heard(now, link));
                if self.nodes[node].data.contains_key(&link) {
                    self.deliver_data(node, link, &packet);
                } else if let Some(conn) = self.conns.get_mut(&id) {
                    conn.ends[to].held.push(packet);
                }
            }
            (Packet::Close, Some(link)) => {
                self.close_end(id, to);
                self.lose_data(node, link);
                self.with_core(node, |core, now| core.on_link_lost(now, link));
            }
            (_, None) => self.close_end(id, to),
        }
    }

    pub(super) fn send_data(&mut self, node: usize, life: u64, link: LinkId) {
        if !self.is_alive(node, life) {
            return;
        }
        let Some((peer, session, slot)) = self.nodes[node].data.get(&link).cloned() else { return };
        if self.now < self.sends_until {
            self.send_some(node, &peer, session, slot);
        }
        self.flow(node, &peer, session, slot).tell();
        self.flush(node, link);
        let at = self.now + 100 * MS + self.rng.below(900 * MS);
        self.schedule(at, Event::Send { node, life, link });
    }

    pub(super) fn send_some(&mut self, node: usize, peer: &NodeName, session: u64, slot: Slot) {
        for _ in 0..self.rng.below(6) {
            let pair = self.rng.index(PAIRS);
            let is_call = self.rng.below(3) == 0;
            let length = match self.rng.below(40) {
                0 => 130_000 + self.rng.index(200_000),
                1..4 => self.rng.index(20_000),
                _ => self.rng.index(300),
            };
            let key = (peer.clone(), session, slot);
            if let Some(flow) = self.nodes[node].flows.get_mut(&key) {
                flow.send(&mut self.ledger, pair, is_call, length);
            }
        }
    }

    /// The flow of a slot, made on first use.
    pub(super) fn flow(&mut self, node: usize, peer: &NodeName, session: u64, slot: Slot) -> &mut Flow {
        let node = &mut self.nodes[node];
        let to = node.with[&(peer.clone(), session)];
        let lane = Lane { from: node.own.incarnation, to, session, slot };
        node.flows.entry((peer.clone(), session, slot)).or_insert_with(|| Flow::new(lane))
    }

    /// Writes what a flow has, in packets of some size.
    pub(super) fn flush(&mut self, node: usize, link: LinkId) {
        let Some((peer, session, slot)) = self.nodes[node].data.get(&link).cloned() else { return };
        let Some((conn, end)) = self.nodes[node].links.get(&link).copied() else { return };
        let from = self.nodes[node].own.incarnation;
        let bytes = self.flow(node, &peer, session, slot).write();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let count = rest.len().min(1 + self.rng.index(40_000));
            let (now, later) = rest.split_at(count);
            self.transmit(conn, end, Packet::Data { from, session, bytes: now.to_vec() });
            rest = later;
        }
    }

    pub(super) fn deliver_data(&mut self, node: usize, link: LinkId, packet: &Packet) {
        let Some((peer, session, slot)) = self.nodes[node].data.get(&link).cloned() else { return };
        if let Packet::Data { from, session: sent_in, bytes } = packet {
            self.check.delivered(node, &peer, *from, (session, *sent_in));
            if let Some(flow) = self.nodes[node].flows.get_mut(&(peer, session, slot)) {
                flow.read(&mut self.ledger, bytes);
            }
            self.flush(node, link);
        }
    }

    /// The shard that owned a link sees that it has ended.
    pub(super) fn lose_data(&mut self, node: usize, link: LinkId) {
        if let Some((peer, session, slot)) = self.nodes[node].data.remove(&link) {
            self.flow(node, &peer, session, slot).cut();
            self.want_kept(node, &peer, session, slot);
        }
    }

    /// What is kept wants a link.
    pub(super) fn want_kept(&mut self, node: usize, peer: &NodeName, session: u64, slot: Slot) {
        if self.flow(node, peer, session, slot).out.kept() > 0 {
            let (life, peer) = (self.nodes[node].life, peer.clone());
            self.schedule(self.now, Event::WantSlot { node, life, peer, slot });
        }
    }

    pub(super) fn close_flows(&mut self, node: usize, shard: u16, peer: &NodeName, session: u64) {
        let node = &mut self.nodes[node];
        let Some(to) = node.with.get(&(peer.clone(), session)).copied() else { return };
        let side = if (&node.name, node.own.incarnation) < (peer, to) { Side::Low } else { Side::High };
        let ended: Vec<_> = node
            .flows
            .keys()
            .filter(|(name, number, slot)| name == peer && *number == session && slot.end(side) == shard)
            .cloned()
            .collect();
        for key in ended {
            let flow = node.flows.remove(&key).unwrap();
            let lane = Lane { from: node.own.incarnation, to, session, slot: key.2 };
            self.ledger.close(lane, flow.out.loss());
        }
    }

    /// Everybody is in session with everybody, both sides call it by the same number and hold the same connection.
    pub(super) fn assert_agreement(&mut self) {
        for a in 0..self.reals() {
            for b in 0..self.reals() {
                if a == b {
                    continue;
                }
                let (x, y) = (self.view(a, b), self.view(b, a));
                assert_eq!(
                    x.0, y.0,
                    "{} and {} disagree on their session",
                    self.nodes[a].name, self.nodes[b].name
                );
                assert_eq!(x.1, self.nodes[b].own.incarnation);
                assert!(x.2, "{} has no control link to {}", self.nodes[a].name, self.nodes[b].name);
                assert_eq!(self.data_conns(a, b), self.data_conns(b, a), "the data links differ");
            }
        }
    }

    pub(super) fn view(&self, a: usize, b: usize) -> (u64, Incarnation, bool) {
        let core = self.nodes[a].core.as_ref().unwrap();
        let state = core.peers().find(|peer| peer.name == self.nodes[b].name).unwrap();
        let (number, incarnation) = state.session.unwrap_or_else(|| {
            panic!("{} is not in session with {}", self.nodes[a].name, self.nodes[b].name)
        });
        (number, incarnation, state.linked && !state.suspect)
    }

    pub(super) fn data_conns(&self, a: usize, b: usize) -> BTreeSet<(Slot, u64)> {
        let node = &self.nodes[a];
        let held = node.data.iter().filter(|(_, (peer, ..))| *peer == self.nodes[b].name);
        held.map(|(link, (_, _, slot))| (*slot, node.links[link].0)).collect()
    }
}
