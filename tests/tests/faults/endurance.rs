//! Full rate for a long time, on links that break all the time.

use crate::pair::Pair;
use shard_tests::harness::{End, poll};
use std::time::Duration;

/// How long, in seconds; `make soak` sets it. Default 600.
const SECONDS: &str = "SHARD_RESET_SECONDS";

#[test]
#[ignore = "takes ten minutes: make soak"]
fn at_full_rate_resets_every_two_seconds_lose_nothing() {
    let seconds: u64 = std::env::var(SECONDS).map_or(600, |text| text.parse().unwrap());
    let mut pair = Pair::start("endure", 0);
    for round in 0..seconds / 2 {
        let end = if round % 2 == 0 { End::A } else { End::B };
        let before = pair.said(end).link("reconnections");
        pair.wire.reset(end).unwrap();
        // The time is the test; whatever happens in it, links are dialled again in it.
        assert!(poll(Duration::from_secs(2), || None::<()>).is_none());
        pair.until(end, "links are dialled again", |said| said.link("reconnections") > before);
    }
    pair.await_traffic();
    pair.settle(true);
    pair.check_calls();
    let said = [pair.said(End::A), pair.said(End::B)];
    for said in said {
        assert!(said.tally("sent") > 1000 * seconds, "hardly anything was sent: {said:?}");
        assert!(said.tally("answered") > 10 * seconds, "hardly a call was answered: {said:?}");
    }
}
