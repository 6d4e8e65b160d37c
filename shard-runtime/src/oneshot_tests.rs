//! The reply slot from one and from two threads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{RecvError, channel};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_blocked_thread_gets_the_reply() {
    for value in 0..200u64 {
        let (sender, mut receiver) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || sender.send(vec![value]));
            assert_eq!(receiver.recv_timeout(LONG), Ok(vec![value]));
        });
        assert_eq!(receiver.recv_timeout(LONG), Err(RecvError::Closed), "there is one reply");
    }
}

#[test]
fn a_dropped_sender_ends_the_wait() {
    let (sender, mut receiver) = channel::<u8>();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(sender));
        assert_eq!(receiver.recv_timeout(LONG), Err(RecvError::Closed));
    });
}

#[test]
fn a_late_reply_comes_to_a_second_receive() {
    let (sender, mut receiver) = channel();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout));
    assert_eq!(sender.send(5), Ok(()));
    assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(5));
}

#[test]
fn nobody_waits_so_the_value_comes_back() {
    let (sender, receiver) = channel();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(String::from("kept")), Err(String::from("kept")));
}

#[test]
fn an_unread_value_is_dropped_once() {
    let value = Arc::new(());
    let (sender, receiver) = channel();
    assert!(sender.send(Arc::clone(&value)).is_ok());
    assert_eq!(Arc::strong_count(&value), 2);
    drop(receiver);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn as_a_future_it_wakes_its_task_once() {
    let (sender, receiver) = channel();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let mut receiver = pin!(receiver);
    assert_eq!(receiver.as_mut().poll(&mut cx), Poll::Pending);
    assert_eq!(sender.send(1), Ok(()));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(receiver.as_mut().poll(&mut cx), Poll::Ready(Ok(1)));
}
