//! Frames: from a message to bytes in a batch buffer, and from received bytes back to a validated message.
//!
//! What a link costs per message besides the system calls, which it shares between all frames of a batch.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shard_benches::frames::{Blob, Point, decode, encode};
use shard_wire::Body;
use shard_wire::frame::FrameBuf;

/// Small enough for the larger message: a batch buffer above 256 KiB gives its memory back.
const FRAMES: u64 = 128;

fn both_ways<M: Body>(c: &mut Criterion, name: &str, message: &M) {
    let mut group = c.benchmark_group("frame");
    group.throughput(Throughput::Elements(FRAMES));
    let mut batch = FrameBuf::default();
    group.bench_function(format!("encode/{name}"), |b| {
        b.iter(|| {
            batch.clear();
            for _ in 0..FRAMES {
                encode(&mut batch, black_box(message)).expect("the message fits a frame");
            }
            black_box(batch.len())
        });
    });
    group.bench_function(format!("decode/{name}"), |b| {
        b.iter(|| {
            let decoded = decode::<M>(black_box(batch.as_slice()), |message| drop(black_box(message)));
            assert_eq!(decoded.expect("the frames are well formed"), FRAMES);
        });
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    both_ways(c, "flat_24_bytes", &Point { x: 1, y: 2, z: 3 });
    both_ways(c, "blob_1_kib", &Blob { name: "a-name-of-some-length".into(), bytes: vec![7; 1024] });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = frames
}
criterion_main!(benches);
