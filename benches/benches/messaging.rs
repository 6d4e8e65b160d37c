//! The paths of a message through the runtime, each repeated as often as criterion asks, on real shards, and the same work
//! done by the peers.
//!
//! Same-shard send, send across shards, call with its reply, and spawn. The work happens inside handlers; the clock is
//! read when it is started and when the last of it was handled.

use std::thread;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shard_benches::error::RunError;
use shard_benches::own::{across, population, same_shard};
use shard_benches::peer::{actix, kameo, ractor};

/// Does something that often and says how long it took.
type Repeat = fn(u64) -> Result<Duration, RunError>;

/// A side pins the thread it runs on, and the next would inherit that.
fn on_its_own_thread(repeat: Repeat, count: u64) -> Duration {
    let side = thread::Builder::new().spawn(move || repeat(count)).expect("a thread starts");
    side.join().expect("the side does not panic").expect("the side does its work")
}

fn path(c: &mut Criterion, name: &str, sides: &[(&str, Repeat)]) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    for (side, repeat) in sides {
        group.bench_function(*side, |b| {
            b.iter_custom(|count| on_its_own_thread(*repeat, count));
        });
    }
    group.finish();
}

fn paths(c: &mut Criterion) {
    let send: &[(&str, Repeat)] = &[
        ("ours", same_shard::stream_of),
        ("actix", actix::stream_of),
        ("kameo", kameo::stream_of),
        ("ractor", ractor::stream_of),
    ];
    path(c, "send_same_shard", send);
    path(c, "send_cross_shard", &[("ours", across::stream_of)]);
    let call: &[(&str, Repeat)] = &[
        ("ours", same_shard::calls_of),
        ("actix", actix::calls_of),
        ("kameo", kameo::calls_of),
        ("ractor", ractor::calls_of),
    ];
    path(c, "call_and_reply", call);
    let spawn: &[(&str, Repeat)] = &[
        ("ours", population::spawn_of),
        ("actix", actix::spawn_of),
        ("kameo", kameo::spawn_of),
        ("ractor", ractor::spawn_of),
    ];
    path(c, "spawn_with_init", spawn);
}

criterion_group! {
    name = benches;
    // Each sample starts a node or a runtime: few samples, but of many messages.
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = paths
}
criterion_main!(benches);
