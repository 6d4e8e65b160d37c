//! Which descriptors of a shard are ready: one epoll set, asked by the pump itself.
//!
//! Owns: the set, and for each descriptor in it whether it can be read and written and who waits for that.
//! Invariants: P1 a descriptor is in the set while its [`Watched`] lives, and is taken out before it is closed. P2 the set is
//! edge-triggered: a direction stays ready until a call on it says `WouldBlock` or the reader says that it has taken all. P3 the
//! pump asks between its turns, also while it is busy; while the shard is parked, io_uring waits for the set ([`Bell`]).
//! Cost: two syscalls per descriptor's life; one per question, however many descriptors are ready.

use crate::reactor::bell::Bell;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Events taken from the kernel with one question.
const BATCH: usize = 256;

/// The descriptors of one shard.
pub(crate) struct Poller {
    set: OwnedFd,
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
    events: RefCell<Vec<epoll::Event>>,
    bell: RefCell<Option<Bell>>,
}

#[derive(Default)]
struct Entry {
    generation: u32,
    ready: Option<Rc<Ready>>,
}

#[derive(Default)]
struct Ready {
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// The peer has ended its side, or the descriptor has failed: reading goes on until it says so.
    hung_up: Cell<bool>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// The system has no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            set: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            entries: RefCell::default(),
            free: RefCell::default(),
            events: RefCell::new(Vec::with_capacity(BATCH)),
            bell: RefCell::new(None),
        })
    }

    /// Descriptors in the set.
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len() - self.free.borrow().len()
    }

    /// Asks what has become ready and wakes who waits for it. Returns how many descriptors that were.
    pub(crate) fn ask(&self) -> usize {
        let mut events = self.events.take();
        events.clear();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // An interrupted question is asked again at the next turn.
        let found = epoll::wait(&self.set, spare_capacity(&mut events), Some(&now)).unwrap_or(0);
        for event in &events {
            let key = event.data.u64();
            let ready = {
                let entries = self.entries.borrow();
                let entry =
                    entries.get(key as u32 as usize).filter(|entry| entry.generation == (key >> 32) as u32);
                entry.and_then(|entry| entry.ready.clone())
            };
            if let Some(ready) = ready {
                ready.note(event.flags);
            }
        }
        self.events.replace(events);
        found
    }

    /// Before a park: has the task woken when something becomes ready. Whether something is ready now.
    pub(crate) fn arm(&self, task: &mut Context<'_>) -> bool {
        if self.len() == 0 {
            return false;
        }
        let mut bell = self.bell.borrow_mut();
        if bell.is_none() {
            match Bell::new(self.set.as_fd()) {
                Ok(new) => *bell = Some(new),
                // No descriptor is left to wait with: the pump goes on asking instead of sleeping.
                Err(_) => return true,
            }
        }
        let rings = bell.as_mut().is_some_and(|bell| bell.poll(task));
        if rings {
            *bell = None;
        }
        rings
    }

    fn enter(&self, fd: &impl AsFd) -> io::Result<(u64, Rc<Ready>)> {
        let mut entries = self.entries.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            entries.push(Entry::default());
            entries.len() as u32 - 1
        });
        let ready = Rc::new(Ready::default());
        let Some(entry) = entries.get_mut(index as usize) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let key = u64::from(entry.generation) << 32 | u64::from(index);
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        if let Err(error) = epoll::add(&self.set, fd, epoll::EventData::new_u64(key), flags) {
            self.free.borrow_mut().push(index);
            return Err(error.into());
        }
        entry.ready = Some(Rc::clone(&ready));
        Ok((key, ready))
    }

    fn leave(&self, key: u64, fd: &impl AsFd) {
        let index = key as u32;
        let gone = self.entries.borrow_mut().get_mut(index as usize).and_then(|entry| {
            entry.generation = entry.generation.wrapping_add(1);
            entry.ready.take()
        });
        // Only a descriptor that was closed behind our back is not in the set any more.
        let _unknown = epoll::delete(&self.set, fd);
        self.free.borrow_mut().push(index);
        drop(gone);
    }
}

impl Ready {
    fn note(&self, flags: epoll::EventFlags) {
        let broken = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        if broken || flags.contains(epoll::EventFlags::RDHUP) {
            self.hung_up.set(true);
        }
        if broken || flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP) {
            self.readable.set(true);
            if let Some(waker) = self.reader.take() {
                waker.wake();
            }
        }
        if broken || flags.contains(epoll::EventFlags::OUT) {
            self.writable.set(true);
            if let Some(waker) = self.writer.take() {
                waker.wake();
            }
        }
    }
}

/// Keeps the waker of who waits; the one that is there is kept if it wakes the same task.
fn keep(place: &Cell<Option<Waker>>, waker: &Waker) {
    let kept = place.take().filter(|kept| kept.will_wake(waker));
    place.set(Some(kept.unwrap_or_else(|| waker.clone())));
}

/// A descriptor in the set of its shard. It must be non-blocking.
pub(crate) struct Watched<T: AsFd> {
    io: T,
    key: u64,
    ready: Rc<Ready>,
    poller: Rc<Poller>,
}

impl<T: AsFd> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T: AsFd> Watched<T> {
    /// Puts a descriptor into the set.
    ///
    /// # Errors
    /// The system refused it; regular files cannot be watched.
    pub(crate) fn new(poller: &Rc<Poller>, io: T) -> io::Result<Self> {
        let (key, ready) = poller.enter(&io)?;
        Ok(Self { io, key, ready, poller: Rc::clone(poller) })
    }

    /// The descriptor.
    pub(crate) fn get(&self) -> &T {
        &self.io
    }

    /// Reads with `call` as soon as there is something to read.
    pub(crate) fn poll_read<R>(
        &self,
        task: &Context<'_>,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if !self.ready.readable.get() {
            keep(&self.ready.reader, task.waker());
            return Poll::Pending;
        }
        loop {
            match call(&self.io) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready.readable.set(false);
                    keep(&self.ready.reader, task.waker());
                    return Poll::Pending;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// Writes with `call` as soon as there is room.
    pub(crate) fn poll_write<R>(
        &self,
        task: &Context<'_>,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        // A new descriptor is tried at once: most can be written.
        loop {
            match call(&self.io) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready.writable.set(false);
                    keep(&self.ready.writer, task.waker());
                    return Poll::Pending;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// The last read took all there was: the next one waits for the next edge, unless the peer has ended its side.
    pub(crate) fn taken_all(&self) {
        if !self.ready.hung_up.get() {
            self.ready.readable.set(false);
        }
    }

    /// Waits until a write has become possible: for a connection that is being made.
    pub(crate) fn poll_writable(&self, task: &Context<'_>) -> Poll<()> {
        if self.ready.writable.get() {
            return Poll::Ready(());
        }
        keep(&self.ready.writer, task.waker());
        Poll::Pending
    }
}

impl<T: AsFd> Drop for Watched<T> {
    fn drop(&mut self) {
        self.poller.leave(self.key, &self.io);
    }
}
