//! Blocking and spinning TCP sockets between two processes on one pinned core each: what loopback gives away.
//!
//! The measuring process receives (or asks) on processor 1, its partner sends (or echoes) on processor 0. The partner is
//! the same binary, told the port. Frames are 64 bytes in batches of 64 KiB, and each received frame is checked.

use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

use crate::error::RunError;
use crate::machine::{cpu_count, join, pin, pinned_thread};
use crate::round::Partnership;
use crate::timing::{Stopwatch, micros, millions_per_second, quantile};
use crate::workload::Run;

const FRAME: usize = 64;
const BATCH: usize = 64 << 10;
const RECEIVE: usize = 256 << 10;
/// Messages of 10 KB.
pub const LEAST_MESSAGE: usize = 10_000;
/// Messages of 64 KiB.
pub const SMALL_MESSAGE: usize = 64 << 10;
/// Messages of 1 MiB.
pub const LARGE_MESSAGE: usize = 1 << 20;
/// Bytes moved by one run of a bytes-only workload.
pub const BYTES: u64 = 4 << 30;
/// Frames of one run, in all.
#[must_use]
pub fn frames(run: Run) -> u64 {
    run.scale.of(20_000_000)
}

/// Round trips of one run; more where the figure is one of the slowest.
#[must_use]
pub fn trips(run: Run) -> u64 {
    run.scale.of(if run.quantile() > 0.5 { 50_000 } else { 10_000 })
}

/// Calls of one run that keeps as many in progress as the name of the workload says.
#[must_use]
pub fn calls(run: Run) -> u64 {
    run.scale.of(if run.depth() == 1 { 20_000 } else { 1_000_000 })
}

/// Listens, starts the partner, accepts it.
fn accept(run: Run) -> Result<(TcpStream, Partnership), RunError> {
    pin(1)?;
    let (mut streams, partner) = accept_all(run, 1)?;
    let stream = streams.pop().ok_or_else(|| RunError::work("no connection was accepted"))?;
    Ok((stream, partner))
}

/// The same with `count` connections.
fn accept_all(run: Run, count: usize) -> Result<(Vec<TcpStream>, Partnership), RunError> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(RunError::io("listening on loopback"))?;
    let port = listener.local_addr().map_err(RunError::io("reading the listening port"))?.port();
    let partner = Partnership::start(run, &port.to_string())?;
    let mut streams = Vec::new();
    for _ in 0..count {
        let (stream, _) = listener.accept().map_err(RunError::io("accepting the partner"))?;
        stream.set_nodelay(true).map_err(RunError::io("switching off delayed sending"))?;
        streams.push(stream);
    }
    Ok((streams, partner))
}

/// The partner's end of [`accept`].
fn dial(port: &str) -> Result<TcpStream, RunError> {
    pin(0)?;
    dial_from_here(port)
}

fn dial_from_here(port: &str) -> Result<TcpStream, RunError> {
    let port: u16 = port.parse().map_err(RunError::work)?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .map_err(RunError::io("dialling the first process"))?;
    stream.set_nodelay(true).map_err(RunError::io("switching off delayed sending"))?;
    Ok(stream)
}

/// Says that all is sent and waits until the receiver has closed. The receiver counts what arrives, so it does not
/// matter here whether it has closed already.
fn finish(mut stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0u8; 1]);
}

/// Receives 64-byte frames and checks each; M frames/s.
///
/// # Errors
/// When sockets fail or frames are missing or broken.
pub fn receive_frames(run: Run) -> Result<f64, RunError> {
    let (stream, partner) = accept(run)?;
    let (first, last) = receive_on(stream, frames(run))?;
    partner.end()?;
    Ok(millions_per_second(frames(run), last.seconds_since(first)))
}

/// One connection per processor, each with a thread of its own on both sides; M frames/s in all.
///
/// # Errors
/// When sockets fail or frames are missing or broken.
pub fn receive_frames_many(run: Run) -> Result<f64, RunError> {
    let (streams, partner) = accept_all(run, cpu_count())?;
    let each = frames(run) / cpu_count() as u64;
    let mut threads = Vec::new();
    for (cpu, stream) in streams.into_iter().enumerate() {
        threads.push(pinned_thread("receiver", cpu, move || receive_on(stream, each))?);
    }
    let mut span: Option<(Stopwatch, Stopwatch)> = None;
    for thread in threads {
        let (first, last) = join(thread)?;
        span = Some(span.map_or((first, last), |(begun, ended)| (begun.earlier(first), ended.later(last))));
    }
    partner.end()?;
    let seconds = span.map_or(0.0, |(first, last)| last.seconds_since(first));
    Ok(millions_per_second(each * cpu_count() as u64, seconds))
}

/// The partner of [`receive_frames_many`].
///
/// # Errors
/// When sockets fail.
pub fn send_frames_many(run: Run, port: &str) -> Result<(), RunError> {
    let each = frames(run) / cpu_count() as u64;
    let mut threads = Vec::new();
    for cpu in 0..cpu_count() {
        let stream = dial_from_here(port)?;
        threads.push(pinned_thread("sender", cpu, move || send_on(stream, each))?);
    }
    threads.into_iter().try_for_each(join)
}

/// Receives `expected` frames; when the first and the last came.
fn receive_on(mut stream: TcpStream, expected: u64) -> Result<(Stopwatch, Stopwatch), RunError> {
    let mut buffer = vec![0u8; RECEIVE];
    let (mut kept, mut seen, mut sum) = (0usize, 0u64, 0u64);
    let mut watch = None;
    while seen < expected {
        let read = stream.read(&mut buffer[kept..]).map_err(RunError::io("receiving frames"))?;
        if read == 0 {
            return Err(RunError::work(format_args!("{seen} of {expected} frames arrived")));
        }
        watch.get_or_insert_with(Stopwatch::start);
        kept += read;
        let whole = kept - kept % FRAME;
        for frame in buffer[..whole].chunks_exact(FRAME) {
            let (length, number) = (read_u32(&frame[0..4]), read_u64(&frame[40..48]));
            if length != 64 {
                return Err(RunError::work(format_args!("frame {seen} says it has {length} bytes")));
            }
            sum = sum.wrapping_add(number);
            seen += 1;
        }
        buffer.copy_within(whole..kept, 0);
        kept -= whole;
    }
    black_box(sum);
    let end = Stopwatch::start();
    Ok((watch.unwrap_or(end), end))
}

/// The partner of [`receive_frames`].
///
/// # Errors
/// When sockets fail.
pub fn send_frames(run: Run, port: &str) -> Result<(), RunError> {
    send_on(dial(port)?, frames(run))
}

fn send_on(mut stream: TcpStream, end: u64) -> Result<(), RunError> {
    let mut batch = vec![0u8; BATCH];
    let mut next = 0u64;
    while next < end {
        let mut filled = 0;
        for frame in batch.chunks_exact_mut(FRAME) {
            if next == end {
                break;
            }
            frame[0..4].copy_from_slice(&64u32.to_le_bytes());
            frame[4..8].copy_from_slice(&1u32.to_le_bytes());
            for (field, value) in frame[8..].chunks_exact_mut(8).zip([1, next, 2, 3, next, 0, 0]) {
                field.copy_from_slice(&value.to_le_bytes());
            }
            next += 1;
            filled += FRAME;
        }
        stream.write_all(&batch[..filled]).map_err(RunError::io("sending frames"))?;
    }
    finish(stream);
    Ok(())
}

fn receive_bytes(run: Run) -> Result<f64, RunError> {
    let (mut stream, partner) = accept(run)?;
    let expected = run.scale.of(BYTES);
    let mut buffer = vec![0u8; RECEIVE];
    let mut seen = 0u64;
    let mut watch = None;
    loop {
        let read = stream.read(&mut buffer).map_err(RunError::io("receiving bytes"))?;
        if read == 0 {
            break;
        }
        watch.get_or_insert_with(Stopwatch::start);
        seen += read as u64;
        if seen >= expected {
            break;
        }
    }
    let seconds = watch.map_or(0.0, Stopwatch::seconds);
    black_box(&buffer);
    drop(stream);
    partner.end()?;
    if seen < expected {
        return Err(RunError::work(format_args!("{seen} of {expected} bytes arrived")));
    }
    Ok(millions_per_second(seen, seconds) / 1e3)
}

fn send_bytes(run: Run, port: &str, message: usize) -> Result<(), RunError> {
    let mut stream = dial(port)?;
    let body = vec![7u8; message];
    let (mut sent, end) = (0u64, run.scale.of(BYTES));
    while sent < end {
        match stream.write_all(&body) {
            Ok(()) => sent += message as u64,
            // The receiver has what it wanted and closed.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return Ok(());
            }
            Err(error) => return Err(RunError::io("sending bytes")(error)),
        }
    }
    finish(stream);
    Ok(())
}

/// Receives messages without looking at them; GB/s.
///
/// # Errors
/// When sockets fail or bytes are missing.
pub fn bytes(run: Run) -> Result<f64, RunError> {
    receive_bytes(run)
}

/// The partner of [`bytes`] with messages of 10 KB, written as a link writes them: as many at once as 64 KiB hold.
///
/// # Errors
/// When sockets fail.
pub fn send_bytes_10k(run: Run, port: &str) -> Result<(), RunError> {
    send_bytes(run, port, BATCH - BATCH % LEAST_MESSAGE)
}

/// The partner of [`bytes`] with messages of 64 KiB, or of larger ones in batches of that size.
///
/// # Errors
/// When sockets fail.
pub fn send_bytes_64k(run: Run, port: &str) -> Result<(), RunError> {
    send_bytes(run, port, SMALL_MESSAGE)
}

/// The partner of [`bytes`] with messages of 1 MiB.
///
/// # Errors
/// When sockets fail.
pub fn send_bytes_1m(run: Run, port: &str) -> Result<(), RunError> {
    send_bytes(run, port, LARGE_MESSAGE)
}

/// Reads one whole frame; `spin` says that the socket does not block.
fn read_frame(stream: &mut TcpStream, frame: &mut [u8; FRAME], spin: bool) -> Result<(), RunError> {
    let mut have = 0;
    while have < FRAME {
        match stream.read(&mut frame[have..]) {
            Ok(0) => return Err(RunError::work("the partner closed in the middle of a round trip")),
            Ok(read) => have += read,
            Err(error) if spin && error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(RunError::io("receiving a frame")(error)),
        }
    }
    Ok(())
}

fn ask(run: Run, spin: bool) -> Result<f64, RunError> {
    let (mut stream, partner) = accept(run)?;
    stream.set_nonblocking(spin).map_err(RunError::io("making a socket non-blocking"))?;
    let mut frame = [1u8; FRAME];
    let mut times = Vec::new();
    for trip in 0..trips(run) {
        let watch = Stopwatch::start();
        stream.write_all(&frame).map_err(RunError::io("sending a frame"))?;
        read_frame(&mut stream, &mut frame, spin)?;
        // The first tenth warms both sides up.
        if trip >= trips(run) / 10 {
            times.push(watch.nanos());
        }
    }
    drop(stream);
    partner.end()?;
    micros(quantile(&mut times, run.quantile()))
}

fn echo(run: Run, port: &str, spin: bool) -> Result<(), RunError> {
    let mut stream = dial(port)?;
    stream.set_nonblocking(spin).map_err(RunError::io("making a socket non-blocking"))?;
    let mut frame = [0u8; FRAME];
    for _ in 0..trips(run) {
        read_frame(&mut stream, &mut frame, spin)?;
        stream.write_all(&frame).map_err(RunError::io("sending a frame"))?;
    }
    stream.set_nonblocking(false).map_err(RunError::io("making a socket blocking"))?;
    finish(stream);
    Ok(())
}

/// One 64-byte frame in flight, both sides block; the quantile that the workload's name says, in microseconds.
///
/// # Errors
/// When sockets fail.
pub fn round_trip_blocking(run: Run) -> Result<f64, RunError> {
    ask(run, false)
}

/// The partner of [`round_trip_blocking`].
///
/// # Errors
/// When sockets fail.
pub fn echo_blocking(run: Run, port: &str) -> Result<(), RunError> {
    echo(run, port, false)
}

/// One 64-byte frame in flight, both sides spin on non-blocking sockets; the quantile that the workload's name says, in microseconds.
///
/// # Errors
/// When sockets fail.
pub fn round_trip_spinning(run: Run) -> Result<f64, RunError> {
    ask(run, true)
}

/// The partner of [`round_trip_spinning`].
///
/// # Errors
/// When sockets fail.
pub fn echo_spinning(run: Run, port: &str) -> Result<(), RunError> {
    echo(run, port, true)
}

/// As many frames in flight on one connection as the workload's name says, each asked again as soon as it is back;
/// thousands of round trips per second.
///
/// # Errors
/// When sockets fail.
pub fn calls_in_flight(run: Run) -> Result<f64, RunError> {
    let (mut stream, partner) = accept(run)?;
    let count = calls(run);
    let in_flight = usize::try_from(run.depth()).map_err(RunError::work)?;
    let frames = vec![1u8; in_flight * FRAME];
    let mut buffer = vec![0u8; RECEIVE];
    let watch = Stopwatch::start();
    stream.write_all(&frames).map_err(RunError::io("sending frames"))?;
    let (mut asked, mut back, mut kept) = (run.depth(), 0u64, 0usize);
    while back < count {
        let read = stream.read(&mut buffer[kept..]).map_err(RunError::io("receiving frames"))?;
        if read == 0 {
            return Err(RunError::work(format_args!("{back} of {count} frames came back")));
        }
        kept += read;
        let whole = kept / FRAME;
        buffer.copy_within(whole * FRAME..kept, 0);
        kept -= whole * FRAME;
        back += whole as u64;
        let again = (count - asked).min(whole as u64);
        asked += again;
        let bytes = usize::try_from(again).map_err(RunError::work)? * FRAME;
        stream.write_all(&frames[..bytes]).map_err(RunError::io("sending frames"))?;
    }
    let seconds = watch.seconds();
    drop(stream);
    partner.end()?;
    Ok(millions_per_second(count, seconds) * 1e3)
}

/// The partner of [`calls_in_flight`].
///
/// # Errors
/// When sockets fail.
pub fn echo_in_flight(_: Run, port: &str) -> Result<(), RunError> {
    let mut stream = dial(port)?;
    let mut buffer = vec![0u8; RECEIVE];
    loop {
        let read = stream.read(&mut buffer).map_err(RunError::io("receiving frames"))?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).map_err(RunError::io("sending frames"))?;
    }
}

fn read_u32(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

fn read_u64(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}
