//! A TCP proxy that misbehaves on demand: cuts, delays, swallows, garbles.
//!
//! Owns: one listener on loopback and the connections it relays. Each direction of a connection has its own thread.
//! Invariants: X1 a mode applies to whole chunks read after it was set; [`Mode::Cut`] also to what is under way.
//! X2 [`Mode::BlackHole`] keeps bytes instead of losing them, as a partition does: after [`Mode::Pass`] they arrive.
//! Threads: one that accepts, two per connection; all end when the proxy is dropped.
//! Locks: one, around mode and connections; held for no I/O except shutdown of sockets, which does not block.

#![expect(
    clippy::disallowed_types,
    reason = "plain threads that wait for a change of mode; no shard is near"
)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They arrive.
    Pass,
    /// Connections are closed, and new ones as soon as they are accepted.
    Cut,
    /// Each chunk waits this long before it is passed on.
    Delay(Duration),
    /// Nothing arrives, connections stay open. What was read is passed on when the mode changes.
    BlackHole,
    /// Each chunk is replaced by as many other bytes, from this seed.
    Garbage(u64),
}

/// A running proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    stopped: bool,
    accepted: u64,
    streams: Vec<TcpStream>,
    relays: Vec<JoinHandle<()>>,
}

impl ChaosProxy {
    /// Listens on a free port of loopback and relays to `target`.
    ///
    /// # Errors
    /// If there is no port or no thread.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state =
            State { mode: Mode::Pass, stopped: false, accepted: 0, streams: Vec::new(), relays: Vec::new() };
        let shared = Arc::new(Shared { target, state: Mutex::new(state), changed: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("proxy-accept".into())
            .spawn(move || accept(&listener, &for_thread))?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where to connect instead of the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to bytes from now on.
    pub fn set(&self, mode: Mode) {
        let mut state = self.shared.lock();
        state.mode = mode;
        if mode == Mode::Cut {
            state.close_all();
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Connections accepted so far, those that were cut at once included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        state.close_all();
        drop(state);
        self.shared.changed.notify_all();
        // The acceptor waits for a connection; this is one. If it fails, the listener is gone already.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let relays = std::mem::take(&mut self.shared.lock().relays);
        for relay in relays {
            let _ = relay.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as the mode demands before a chunk; the mode that then applies, `None` if the chunk is lost.
    fn admit(&self) -> Option<Mode> {
        let state = self.lock();
        let state = match state.mode {
            Mode::Delay(delay) => {
                let moved = |s: &mut State| !s.stopped && s.mode == Mode::Delay(delay);
                self.changed.wait_timeout_while(state, delay, moved).unwrap_or_else(PoisonError::into_inner).0
            }
            _ => state,
        };
        let held = |s: &mut State| !s.stopped && s.mode == Mode::BlackHole;
        let state = self.changed.wait_while(state, held).unwrap_or_else(PoisonError::into_inner);
        (!state.stopped && state.mode != Mode::Cut).then_some(state.mode)
    }
}

impl State {
    fn close_all(&mut self) {
        for stream in self.streams.drain(..) {
            // Already closed by a peer is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        {
            let mut state = shared.lock();
            if state.stopped {
                return;
            }
            state.accepted += 1;
            if state.mode == Mode::Cut {
                continue;
            }
        }
        // A target that is down looks to the client like a connection that closes at once.
        if let Ok(server) = TcpStream::connect(shared.target) {
            // Out of descriptors or threads: the connection closes, and the test sees that.
            let _ = relay_both(client, server, shared);
        }
    }
}

fn relay_both(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let registered = [client.try_clone()?, server.try_clone()?];
    let back = (server.try_clone()?, client.try_clone()?);
    let mut state = shared.lock();
    // Stopped or cut while we were connecting: nobody would close these any more.
    if state.stopped || state.mode == Mode::Cut {
        return Ok(());
    }
    state.streams.extend(registered);
    for (direction, (from, to)) in [(1, (client, server)), (2, back)] {
        let shared = Arc::clone(shared);
        let run = move || relay(from, to, direction, &shared);
        let relay = thread::Builder::new().name("proxy-relay".into()).spawn(run)?;
        state.relays.push(relay);
    }
    Ok(())
}

fn relay(mut from: TcpStream, mut to: TcpStream, direction: u64, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    let mut seed = None;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let Some(mode) = shared.admit() else { break };
        let chunk = &mut buffer[..length];
        if let Mode::Garbage(first) = mode {
            // The directions differ, or an echo would undo the damage.
            garble(chunk, seed.get_or_insert(first << 2 | direction));
        }
        if to.write_all(chunk).is_err() {
            break;
        }
    }
    // Only this direction has ended; the other may still have bytes.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// Xorshift: the same bytes for the same seed. Never the byte that was there.
fn garble(chunk: &mut [u8], seed: &mut u64) {
    for byte in chunk {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *byte ^= seed.to_le_bytes()[3] | 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{ChaosProxy, Mode};
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(60);

    /// Echoes each connection until it closes. Its thread ends with the test process.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let copy = move || drop(std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
                thread::Builder::new().spawn(copy).unwrap();
            }
        };
        thread::Builder::new().spawn(serve).unwrap();
        address
    }

    fn connect(proxy: &ChaosProxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    fn round_trip(stream: &mut TcpStream, text: &[u8; 5]) -> std::io::Result<[u8; 5]> {
        stream.write_all(text)?;
        let mut back = [0; 5];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn bytes_pass_both_ways_and_half_close_is_kept() {
        let proxy = ChaosProxy::start(echo()).unwrap();
        let mut stream = connect(&proxy);
        assert_eq!(&round_trip(&mut stream, b"hello").unwrap(), b"hello");
        stream.write_all(b"last").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), proxy.accepted()), ("last", 1));
    }

    #[test]
    fn cut_closes_what_is_open_and_what_comes_then_heals() {
        let proxy = ChaosProxy::start(echo()).unwrap();
        let mut stream = connect(&proxy);
        round_trip(&mut stream, b"hello").unwrap();
        proxy.set(Mode::Cut);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        round_trip(&mut connect(&proxy), b"hello").unwrap_err();
        proxy.set(Mode::Pass);
        assert_eq!(&round_trip(&mut connect(&proxy), b"again").unwrap(), b"again");
        assert_eq!(proxy.accepted(), 3);
    }

    #[test]
    fn a_black_hole_keeps_the_connection_and_the_bytes() {
        let proxy = ChaosProxy::start(echo()).unwrap();
        let mut stream = connect(&proxy);
        round_trip(&mut stream, b"hello").unwrap();
        proxy.set(Mode::BlackHole);
        stream.set_read_timeout(Some(SHORT)).unwrap();
        let error = round_trip(&mut stream, b"there").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        stream.set_read_timeout(Some(SOON)).unwrap();
        proxy.set(Mode::Pass);
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"there");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "measures a delay from outside")]
    fn a_delay_holds_each_direction() {
        let proxy = ChaosProxy::start(echo()).unwrap();
        let mut stream = connect(&proxy);
        proxy.set(Mode::Delay(SHORT));
        let start = std::time::Instant::now();
        assert_eq!(&round_trip(&mut stream, b"hello").unwrap(), b"hello");
        assert!(start.elapsed() >= 2 * SHORT, "there and back: {:?}", start.elapsed());
        proxy.set(Mode::Delay(Duration::from_secs(3600)));
        stream.write_all(b"never").unwrap();
        drop(proxy);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "dropping does not wait for the delay");
    }

    #[test]
    fn garbage_has_the_same_length_and_no_byte_right() {
        let proxy = ChaosProxy::start(echo()).unwrap();
        let mut stream = connect(&proxy);
        round_trip(&mut stream, b"hello").unwrap();
        let mut once = *b"hello";
        super::garble(&mut once, &mut 7);
        assert!(once.iter().zip(b"hello").all(|(a, b)| a != b));
        let mut twice = *b"hello";
        super::garble(&mut twice, &mut 7);
        assert_eq!(once, twice, "the same seed gives the same bytes");
        proxy.set(Mode::Garbage(7));
        assert_ne!(&round_trip(&mut stream, b"hello").unwrap(), b"hello");
    }

    #[test]
    fn a_target_that_is_down_closes_the_connection() {
        let port = crate::harness::free_port().unwrap();
        let proxy = ChaosProxy::start(([127, 0, 0, 1], port).into()).unwrap();
        round_trip(&mut connect(&proxy), b"hello").unwrap_err();
    }
}
