//! The bare ring of the benches: what one 64-byte item costs when both ends run on one thread.
//!
//! The path that every message between shards takes; the product's own ring is measured beside it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shard_benches::spsc::{Item, ring};

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
    }
    group.finish();
}

criterion_group!(benches, push_and_drain);
criterion_main!(benches);
