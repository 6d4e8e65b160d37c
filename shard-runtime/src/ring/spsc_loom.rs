//! Every interleaving of one producer and one consumer, up to loom's bounds.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::channel;

#[test]
fn loom_ring_wraps_in_order() {
    crate::sync::model(|| {
        let (mut tx, mut rx) = channel::<Box<usize>>(2);
        let producer = thread::spawn(move || {
            for value in 0..3 {
                let mut item = Box::new(value);
                while let Err(back) = tx.push(item) {
                    item = back;
                    tx.publish();
                    thread::yield_now();
                }
                tx.publish();
            }
        });
        let mut next = 0;
        while next < 3 {
            if rx.drain(2, |item| {
                assert_eq!(*item, next);
                next += 1;
            }) == 0
            {
                thread::yield_now();
            }
        }
        producer.join().unwrap();
        assert!(rx.is_closed());
    });
}

#[test]
fn loom_ring_shows_a_batch_whole_or_not_at_all() {
    crate::sync::model(|| {
        let (mut tx, mut rx) = channel::<usize>(4);
        let producer = thread::spawn(move || {
            tx.push(1).unwrap();
            tx.push(2).unwrap();
            assert_eq!(tx.publish(), 2);
            tx.push(3).unwrap();
        });
        let seen = rx.drain(8, |_| {});
        assert!(matches!(seen, 0 | 2 | 3), "saw {seen} of a batch of two and a last one");
        producer.join().unwrap();
        assert_eq!(seen + rx.drain(8, |_| {}), 3);
    });
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn loom_ring_drops_leftovers_once() {
    crate::sync::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut tx, mut rx) = channel::<Counted>(2);
        let counter = Arc::clone(&drops);
        let producer = thread::spawn(move || {
            for _ in 0..2 {
                assert!(tx.push(Counted(Arc::clone(&counter))).is_ok());
                tx.publish();
            }
        });
        let taken = rx.drain(1, drop);
        assert!(taken <= 1);
        drop(rx);
        producer.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    });
}
