//! The paths of a message through the runtime, each repeated as often as criterion asks, on real shards.
//!
//! Same-shard send, send across shards, call with its reply, and spawn. The work happens inside handlers; the clock is
//! read when it is started and when the last of it was handled.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shard_benches::error::RunError;
use shard_benches::own::{across, population, same_shard};

fn path(c: &mut Criterion, name: &str, repeat: fn(u64) -> Result<Duration, RunError>) {
    let mut group = c.benchmark_group("messaging");
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |b| b.iter_custom(|count| repeat(count).expect("the node does the work")));
    group.finish();
}

fn paths(c: &mut Criterion) {
    path(c, "send_same_shard", same_shard::stream_of);
    path(c, "send_cross_shard", across::stream_of);
    path(c, "call_and_reply", same_shard::calls_of);
    path(c, "spawn_with_init", population::spawn_of);
}

criterion_group! {
    name = benches;
    // Each sample starts a node: few samples, but of many messages.
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = paths
}
criterion_main!(benches);
