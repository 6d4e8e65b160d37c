//! The bytes that I/O processes hand out and take, and how many of them may be unhandled.
//!
//! Invariants: W1 what a connection has read counts against its window until the message that carries it is dropped, on whatever
//! shard. W2 a reader that finds the window full leaves its waker first and looks again; who makes room wakes after it has made it.

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Waker;

/// What a message costs beside its bytes.
const OVERHEAD: usize = 64;

/// Bytes that an I/O process has read, or is to write. Cheap to clone and to pass on.
///
/// What was read counts as unhandled until this value is dropped or [taken](IoBytes::into_bytes): while too much is
/// unhandled, the connection is not read, and the peer feels it. So keep it no longer than needed; clones do not count.
#[derive(Default)]
pub struct IoBytes {
    bytes: Bytes,
    /// Gives its part of the window back when it is dropped.
    _lease: Option<Lease>,
}

impl IoBytes {
    pub(crate) fn leased(bytes: Bytes, window: &Arc<Window>) -> Self {
        let lease = window.take(bytes.len() + OVERHEAD);
        Self { bytes, _lease: Some(lease) }
    }

    /// The bytes, which count as handled from now on.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Clone for IoBytes {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), _lease: None }
    }
}

impl std::fmt::Debug for IoBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IoBytes({} bytes)", self.bytes.len())
    }
}

impl Deref for IoBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for IoBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for IoBytes {
    fn eq(&self, other: &T) -> bool {
        self.bytes == other.as_ref()
    }
}

macro_rules! from {
    ($($type:ty)*) => {
        $(impl From<$type> for IoBytes {
            fn from(bytes: $type) -> Self {
                Self { bytes: Bytes::from(bytes), _lease: None }
            }
        })*
    };
}
from!(Bytes Vec<u8> String &'static [u8] &'static str Box<[u8]>);

/// A line that an I/O process has read. It counts as unhandled until it is dropped or [taken](IoText::into_string); clones do not.
#[derive(Default)]
pub struct IoText {
    text: String,
    /// Gives its part of the window back when it is dropped.
    _lease: Option<Lease>,
}

impl IoText {
    pub(crate) fn leased(text: String, window: &Arc<Window>) -> Self {
        let lease = window.take(text.len() + OVERHEAD);
        Self { text, _lease: Some(lease) }
    }

    /// The text, which counts as handled from now on.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }
}

impl Clone for IoText {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), _lease: None }
    }
}

impl std::fmt::Debug for IoText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

impl std::fmt::Display for IoText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Deref for IoText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl PartialEq<str> for IoText {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for IoText {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

/// How much one reader may have unhandled.
#[derive(Debug)]
pub(crate) struct Window {
    used: AtomicUsize,
    limit: usize,
    /// The reader waits until nothing is in use.
    awaits_empty: AtomicBool,
    waker: AtomicWaker,
}

impl Window {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit,
            awaits_empty: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Lease {
        self.used.fetch_add(bytes, SeqCst);
        Lease { window: Arc::clone(self), bytes }
    }

    /// A part of the window, if it has room for that. One that is longer than the window gets all of it. For one taker.
    #[cfg(feature = "web")]
    pub(crate) fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        let used = self.used.load(SeqCst);
        (used == 0 || used.saturating_add(bytes) <= self.limit).then(|| self.take(bytes))
    }

    /// Bytes in use.
    #[cfg(feature = "web")]
    pub(crate) fn used(&self) -> usize {
        self.used.load(SeqCst)
    }

    /// Whether all that was handed out has been handled; if not, the reader is woken then (W2).
    pub(crate) fn is_empty(&self, waker: &Waker) -> bool {
        self.awaits_empty.store(true, SeqCst);
        self.waker.register(waker);
        self.used.load(SeqCst) == 0
    }

    /// Whether the reader may go on; if not, it is woken when it may (W2).
    pub(crate) fn is_open(&self, waker: &Waker) -> bool {
        if self.used.load(SeqCst) < self.limit {
            return true;
        }
        self.waker.register(waker);
        self.used.load(SeqCst) < self.limit
    }
}

/// A part of a window that is in use.
#[derive(Debug)]
pub(crate) struct Lease {
    window: Arc<Window>,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let before = self.window.used.fetch_sub(self.bytes, SeqCst);
        let after = before - self.bytes;
        let opens = before >= self.window.limit && after < self.window.limit;
        if opens || (after == 0 && self.window.awaits_empty.load(SeqCst)) {
            self.window.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IoBytes, IoText, Window};
    use bytes::Bytes;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn whoever_waits_for_all_to_be_handled_is_told() {
        let (window, count) = (Window::new(1000), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        assert!(window.is_empty(&waker));
        let data = IoBytes::leased(Bytes::from_static(b"data"), &window);
        let text = IoText::leased("text".to_owned(), &window);
        assert!(!window.is_empty(&waker));
        drop(data);
        assert_eq!(count.0.load(SeqCst), 0, "one is left");
        assert_eq!(text.into_string(), "text");
        assert_eq!(count.0.load(SeqCst), 1);
        assert!(window.is_empty(&waker));
    }

    #[test]
    fn a_full_window_opens_when_what_fills_it_is_handled() {
        let (window, count) = (Window::new(200), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        assert!(window.is_open(&waker));
        let first = IoBytes::leased(Bytes::from_static(&[1; 100]), &window);
        assert!(window.is_open(&waker), "164 of 200");
        let second = IoBytes::leased(Bytes::from_static(&[2; 100]), &window);
        assert!(!window.is_open(&waker));
        let copy = second.clone();
        drop(second);
        assert_eq!(count.0.load(SeqCst), 1, "the reader is told once");
        assert!(window.is_open(&waker));
        assert_eq!(first.into_bytes(), copy.into_bytes().iter().map(|_| 1).collect::<Vec<u8>>());
        assert_eq!(window.used.load(SeqCst), 0, "what is taken out counts no more");
    }
}
