//! A call of another node that is handed on to a process of another shard: its caller moves along.

use crate::error::{CallError, SendReason};
use crate::shard::{Carried, Shard};
use shard_wire::LocalId;

impl Shard {
    /// Hands a call of another node on. The caller is known to this shard only, so it is taken out and entered there.
    pub(crate) fn forward_remote_call(&self, to: LocalId, mut carried: Carried) {
        if self.is_annex() {
            // The caller is known to the home shard.
            return self.tell(self.home_index(), move |home| home.forward_remote_call(to, carried));
        }
        let caller = self.net.callers.borrow_mut().take(carried.reply);
        let Some(asked) = caller else {
            self.count(|cells| &cells.late_replies, 1);
            self.forget_place(to, carried.flags);
            return self.contain(|| drop(carried));
        };
        self.tell(to.shard(), move |shard| {
            let open = shard.net.callers.borrow_mut().insert_asked(asked);
            match open {
                Some(reply) => {
                    carried.reply = reply;
                    shard.take_forwarded(to, carried);
                }
                None => {
                    shard.forget_place(to, carried.flags);
                    shard.contain(|| drop(carried));
                    let (caller, _) = asked;
                    let code = CallError::Send(SendReason::Overloaded).code();
                    shard.send_error(caller.key, caller.reference, code, None);
                }
            }
        });
    }
}
