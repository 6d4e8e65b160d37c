//! What befalls the simulated cluster.

use super::world::*;

impl World {
    pub(super) fn chaos(&mut self) {
        if self.now >= self.chaos_until {
            return;
        }
        let (a, b) = (self.rng.index(self.nodes.len()), self.rng.index(self.nodes.len()));
        match self.rng.below(16) {
            0..3 => self.cut_some_conn(),
            3 => self.block_some_conn(),
            4 => {
                self.dead.insert((a, b));
            }
            5 => self.dead.extend([(a, b), (b, a)]),
            6..8 => self.dead.clear(),
            8 => self.crash(a),
            12 if self.rng.below(4) == 0 => {
                let twin = self.reals();
                self.start(twin);
            }
            9 => {
                self.with_core(a, |core, now| core.goodbye(now, "planned"));
                self.crash(a);
            }
            10 => {
                // Never shortened: what waits for the end of a stall must not be overtaken.
                let until = self.now + self.rng.below(9 * SECOND);
                self.nodes[a].stalled_until = self.nodes[a].stalled_until.max(until);
            }
            11 if a != b => {
                let peer = self.nodes[b].name.clone();
                self.with_core(a, |core, now| core.disconnect(now, &peer));
                self.with_core(a, |core, now| {
                    core.connect(now, &peer);
                });
            }
            _ => self.want_some_slot(a, b),
        }
        let at = self.now + self.rng.below(900 * MS);
        self.schedule(at, Event::Chaos);
    }

    fn some_conn(&mut self) -> Option<u64> {
        let open: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.ends.iter().all(|end| end.open))
            .map(|(id, _)| *id)
            .collect();
        if open.is_empty() { None } else { Some(open[self.rng.index(open.len())]) }
    }

    /// Both ends learn it, in their own time; what was under way is lost.
    fn cut_some_conn(&mut self) {
        let Some(id) = self.some_conn() else { return };
        for end in [0, 1] {
            let at = self.now + self.rng.below(50 * MS);
            self.schedule(at, Event::Packet { conn: id, to: end, packet: Packet::Close });
        }
    }

    fn block_some_conn(&mut self) {
        let Some(id) = self.some_conn() else { return };
        let end = self.rng.index(2);
        self.conns.get_mut(&id).unwrap().ends[end].blocked = true;
    }

    pub(super) fn want_some_slot(&mut self, a: usize, b: usize) {
        let (x, y) = (self.nodes[a].own.shards, self.nodes[b].own.shards);
        let (i, j) = (self.rng.below(x.into()), self.rng.below(y.into()));
        let (i, j) = (u16::try_from(i).unwrap(), u16::try_from(j).unwrap());
        let peer = self.nodes[b].name.clone();
        let release = self.rng.below(8) == 0;
        let mut wanted = None;
        self.with_core(a, |core, now| {
            if let Some(slot) = core.slot_for(&peer, i, j) {
                let session = core.peers().find(|state| state.name == peer).and_then(|state| state.session);
                if release {
                    core.release_slot(&peer, slot);
                } else {
                    core.want_slot(now, &peer, slot);
                }
                wanted = session.map(|(session, _)| (session, slot));
            }
        });
        // Somebody sends before there is a link, or while there is none.
        if let Some((session, slot)) = wanted
            && self.nodes[a].with.contains_key(&(peer.clone(), session))
            && self.now < self.sends_until
        {
            self.flow(a, &peer, session, slot);
            self.send_some(a, &peer, session, slot);
            self.want_kept(a, &peer, session, slot);
        }
    }

    /// The process ends. Half of its connections are reset, the others just fall silent, as when a host dies.
    pub(super) fn crash(&mut self, index: usize) {
        if self.nodes[index].core.take().is_none() {
            return;
        }
        self.check.stop(index, self.now);
        let life = self.nodes[index].life;
        let silent = self.rng.below(2) == 0;
        let ids: Vec<(u64, usize)> = self
            .conns
            .iter()
            .flat_map(|(id, conn)| [(*id, 0, &conn.ends[0]), (*id, 1, &conn.ends[1])])
            .filter(|(_, _, end)| end.node == index && end.life == life && end.open)
            .map(|(id, end, _)| (id, end))
            .collect();
        for (id, end) in ids {
            if silent {
                let conn = self.conns.get_mut(&id).unwrap();
                conn.ends[end].open = false;
            } else {
                self.close_end(id, end);
            }
        }
        let node = &mut self.nodes[index];
        node.links.clear();
        node.data.clear();
        node.flows.clear();
        node.with.clear();
        node.stalled_until = 0;
        let at = self.now + self.rng.below(4 * SECOND);
        if index < self.reals() {
            self.schedule(at, Event::Start(index));
        }
    }
}
