//! Links through TLS, keys and certificates: two nodes or more in this process, over real sockets.

mod flow;
mod handshakes;
mod hostile;
mod policy;
mod routes;
mod support;

use shard_runtime::SendReason;
use shard_runtime::prelude::*;
use std::time::Duration;

#[message]
struct Item {
    n: u64,
    bytes: Vec<u8>,
}
#[message(reply = u64)]
struct Count;
#[message(reply = u64)]
struct Flood {
    to: Pid,
    from: u64,
    count: u64,
    bytes: u64,
}

/// Takes numbered items and counts those that came in their order, and sends floods of them.
#[derive(Default)]
struct Peer {
    next: u64,
}

#[actor]
impl Peer {
    #[handle]
    fn item(&mut self, m: Item, _cx: &mut Context<'_>) -> ActorResult {
        assert_eq!(m.n, self.next, "in order, nothing twice, nothing left out");
        assert!(m.bytes.iter().all(|byte| *byte == m.n as u8));
        self.next += 1;
        Ok(())
    }
    #[handle]
    fn count(&mut self, _: Count, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(self.next)
    }
    /// Sends items, each as soon as there is room, and a call after every hundredth.
    #[handle]
    async fn flood(&mut self, m: Flood, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        let mut calls = 0;
        for n in m.from..m.from + m.count {
            let item = || Item { n, bytes: vec![n as u8; m.bytes as usize] };
            while let Err(error) = cx.send(m.to, item()) {
                if error.reason != SendReason::OutboxFull {
                    return Err(error.into());
                }
                cx.sleep(Duration::from_millis(1)).await;
            }
            if n % 100 != 99 {
                continue;
            }
            let seen = loop {
                match cx.call_timeout(m.to, Count, support::LIMIT).await {
                    Err(CallError::Send(SendReason::OutboxFull)) => cx.sleep(Duration::from_millis(1)).await,
                    other => break other?,
                }
            };
            assert_eq!(seen, n + 1, "a call is behind what was sent before it");
            calls += 1;
        }
        Ok(calls)
    }
}
