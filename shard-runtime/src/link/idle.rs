//! Data links that nobody has used for a while are closed. They are dialled again on first use.
//!
//! Invariants: Z1 a link is closed only when the peer has confirmed all that was sent on it; what the peer is sending at that moment
//! it sends again, as after any cut. Z2 each end judges for itself: a link is gone for good when both have found it idle.
//! Cost: a look at each link of a shard per idle time.

use crate::link::Request;
use crate::shard::Shard;
use shard_wire::NodeName;
use shard_wire::placement::Slot;
use std::time::Duration;

impl Shard {
    /// A link stands: from now on it is looked at now and then.
    pub(super) fn watch_idle(&self, after: Duration) {
        if after.is_zero() || self.net.watches_idle.replace(true) {
            return;
        }
        if self.timer(after, move |shard| shard.close_idle(after)).is_none() {
            // LIMIT: timers of the shard. The next link that stands tries again.
            self.net.watches_idle.set(false);
        }
    }

    fn close_idle(&self, after: Duration) {
        self.net.watches_idle.set(false);
        let (mut idle, mut some_stand) = (Vec::new(), false);
        {
            let sessions = self.net.sessions.borrow();
            for (link, place) in self.net.links.borrow_mut().iter_mut().enumerate() {
                let Some(owned) = place.as_mut().filter(|owned| owned.data.socket.is_some()) else {
                    continue;
                };
                let Some(peer) = sessions.get(owned.session as usize) else { continue };
                if owned.data.is_unused() {
                    idle.push((link as u32, peer.session.peer.name.clone(), owned.data.slot));
                } else {
                    some_stand = true;
                }
            }
        }
        for (link, peer, slot) in idle {
            self.release_link(link, peer, slot);
        }
        if some_stand {
            self.watch_idle(after);
        }
    }

    fn release_link(&self, link: u32, peer: NodeName, slot: Slot) {
        self.close_link(link, false);
        self.node().request(Request::ReleaseSlot { peer, slot });
    }
}
