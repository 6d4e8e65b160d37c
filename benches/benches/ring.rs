//! What one 64-byte item costs in a ring whose both ends run on one thread: the bare ring of the benches, the product's
//! own, and the product's with its spill in front, which is the path that every message between shards takes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shard_benches::spsc::{Item, ring};
use shard_runtime::bench_internals::{DEFAULT_CAPACITY, DEFAULT_SPILL_LIMIT, Outbox, channel};

fn push_and_drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    for batch in [1usize, 32, 256] {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(format!("bare/batch_{batch}"), |b| {
            let (mut producer, mut consumer) = ring();
            b.iter(|| {
                for n in 0..batch {
                    assert!(producer.push(Item([n as u64; 8])));
                }
                producer.publish();
                let mut sum = 0u64;
                assert_eq!(consumer.drain(batch, |item| sum = sum.wrapping_add(item.0[0])), batch);
                black_box(sum)
            });
        });
        group.bench_function(format!("product/batch_{batch}"), |b| {
            let (mut sender, mut receiver) = channel::<[u64; 8]>(DEFAULT_CAPACITY);
            b.iter(|| {
                for n in 0..batch {
                    assert!(sender.push_with(|| [n as u64; 8]));
                }
                sender.publish();
                let mut sum = 0u64;
                let taken = receiver.drain_in_place(batch, |item| sum = sum.wrapping_add(item[0]));
                assert_eq!(taken, batch);
                black_box(sum)
            });
        });
        group.bench_function(format!("product_behind_a_spill/batch_{batch}"), |b| {
            let (sender, mut receiver) = channel::<[u64; 8]>(DEFAULT_CAPACITY);
            let mut outbox = Outbox::new(sender, DEFAULT_SPILL_LIMIT);
            b.iter(|| {
                for n in 0..batch {
                    assert!(outbox.push_with(|| [n as u64; 8]));
                }
                outbox.publish();
                let mut sum = 0u64;
                let taken = receiver.drain_in_place(batch, |item| sum = sum.wrapping_add(item[0]));
                assert_eq!(taken, batch);
                black_box(sum)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = push_and_drain
}
criterion_main!(benches);
