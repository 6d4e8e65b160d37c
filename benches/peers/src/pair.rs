//! The two ends of a side: a runtime each, the line by which they find each other, and what they count.
//!
//! Threads: each end is one current-thread runtime of tokio, pinned as ours are: who receives or asks to processor 1, who
//! sends or answers to processor 0. The line carries nothing while a figure is taken; the partner ends when it closes.

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use shard_benches::error::RunError;
use shard_benches::machine::pin;
use shard_benches::round::Partnership;
use shard_benches::timing::{Stopwatch, micros, millions_per_second, quantile};
use shard_benches::workload::Run;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Runs `work` as a task of a current-thread runtime on this thread, pinned to `cpu`.
pub(crate) fn on_cpu<T: Send + 'static>(
    cpu: usize,
    work: impl Future<Output = Result<T, RunError>> + Send + 'static,
) -> Result<T, RunError> {
    pin(cpu)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::io("starting a current-thread runtime"))?;
    let task = runtime.spawn(work);
    runtime.block_on(task).map_err(RunError::work)?
}

/// Runs `work` on processor 1 until it has its figure, then lets the partner go.
pub(crate) fn measure(
    work: impl Future<Output = Result<(Line, f64), RunError>> + Send + 'static,
) -> Result<f64, RunError> {
    // The runtime is gone by then, and with it whatever could wait for the partner.
    let (line, figure) = on_cpu(1, work)?;
    line.end()?;
    Ok(figure)
}

/// Tries until there is something; whoever never gets it is ended by the watchdog of the run.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    loop {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The measuring end of the line.
#[derive(Debug)]
pub(crate) struct Line {
    stream: BufReader<TcpStream>,
    partner: Partnership,
}

impl Line {
    /// Starts the partner, tells it `text`, and waits for it.
    pub(crate) async fn open(run: Run, text: &str) -> Result<Self, RunError> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(RunError::io("opening the line"))?;
        let port = listener.local_addr().map_err(RunError::io("opening the line"))?.port();
        let partner = Partnership::start(run, &format!("{port} {text}"))?;
        let (stream, _) = listener.accept().await.map_err(RunError::io("waiting for the partner"))?;
        Ok(Self { stream: BufReader::new(stream), partner })
    }

    /// What the partner tells.
    pub(crate) async fn hear(&mut self) -> Result<String, RunError> {
        let mut text = String::new();
        let read = self.stream.read_line(&mut text).await.map_err(RunError::io("hearing the partner"))?;
        if read == 0 {
            return Err(RunError::work("the partner ended before it had told anything"));
        }
        Ok(text.trim().to_owned())
    }

    fn end(self) -> Result<(), RunError> {
        drop(self.stream);
        self.partner.end()
    }
}

/// The partner's end of the line.
#[derive(Debug)]
pub(crate) struct Far {
    stream: TcpStream,
}

impl Far {
    /// Answers the first end; the text that it told.
    pub(crate) async fn dial(told: &str) -> Result<(Self, String), RunError> {
        let (port, text) = told.split_once(' ').ok_or_else(|| RunError::work("was told no port"))?;
        let port: u16 = port.parse().map_err(RunError::work)?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(RunError::io("dialling the first end"))?;
        Ok((Self { stream }, text.to_owned()))
    }

    /// Tells the first end one line.
    pub(crate) async fn tell(&mut self, text: &str) -> Result<(), RunError> {
        let line = format!("{text}\n");
        self.stream.write_all(line.as_bytes()).await.map_err(RunError::io("telling the first end"))
    }

    /// Waits until the first end has closed the line.
    pub(crate) async fn stay(mut self) {
        // A line that breaks has ended, too.
        let _ = self.stream.read(&mut [0; 1]).await;
    }
}

/// First and last message of a stream.
pub(crate) type Span = (Stopwatch, Stopwatch);

/// Counts the messages of a stream or the calls of its callers, and tells when the last message is there.
#[derive(Debug)]
pub(crate) struct Counter {
    seen: u64,
    expected: u64,
    first: Option<Stopwatch>,
    done: Option<oneshot::Sender<Span>>,
}

impl Counter {
    /// A counter that stops the clock at `expected`, and where it will tell.
    pub(crate) fn expecting(expected: u64) -> (Self, oneshot::Receiver<Span>) {
        let (done, seen) = oneshot::channel();
        (Self { seen: 0, expected, first: None, done: Some(done) }, seen)
    }

    /// A counter of calls.
    pub(crate) fn of_calls() -> Self {
        Self { seen: 0, expected: u64::MAX, first: None, done: None }
    }

    /// A message, whose place in the stream is checked.
    pub(crate) fn numbered(&mut self, number: u64, n: u64) -> Result<(), RunError> {
        if number != self.seen {
            return Err(RunError::work(format_args!("message {number} came where {} was due", self.seen)));
        }
        self.counted(n);
        Ok(())
    }

    /// A message whose place nobody promises.
    pub(crate) fn counted(&mut self, n: u64) {
        let first = *self.first.get_or_insert_with(Stopwatch::start);
        self.seen += n;
        if self.seen == self.expected
            && let Some(done) = self.done.take()
        {
            // The receiver is gone only if the run was given up.
            let _ = done.send((first, Stopwatch::start()));
        }
    }

    /// One more call: how many there are by now.
    pub(crate) fn called(&mut self) -> u64 {
        self.seen += 1;
        self.seen
    }
}

/// M messages/s of a stream of `count`, when it is through.
pub(crate) async fn rate(count: u64, seen: oneshot::Receiver<Span>) -> Result<f64, RunError> {
    let (first, last) =
        seen.await.map_err(|_| RunError::work("who counts went away before it had seen all messages"))?;
    Ok(millions_per_second(count, last.seconds_since(first)))
}

/// Calls another node, over and over.
pub(crate) trait Ask: Clone + Send + 'static {
    /// One call: how many the callee has counted.
    fn ask(&mut self) -> impl Future<Output = Result<u64, RunError>> + Send;
}

/// What the workload says: the median of single calls in microseconds, or thousands of calls per second with as many
/// callers as the name says. `alone` and `together` are how many calls a full run makes.
pub(crate) async fn calls(run: Run, mut asker: impl Ask, alone: u64, together: u64) -> Result<f64, RunError> {
    if run.workload != "remote_call" {
        return crowd(run, &asker, run.scale.of(if run.depth() == 1 { alone } else { together })).await;
    }
    let count = run.scale.of(alone);
    let mut times = Vec::new();
    for call in 0..count {
        let watch = Stopwatch::start();
        asker.ask().await?;
        // The first tenth warms both sides up.
        if call >= count / 10 {
            times.push(watch.nanos());
        }
    }
    micros(quantile(&mut times, run.quantile()))
}

async fn crowd(run: Run, asker: &impl Ask, count: u64) -> Result<f64, RunError> {
    let (callers, each) = (run.depth(), count / run.depth());
    let watch = Stopwatch::start();
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let mut asker = asker.clone();
        tasks.push(Handle::current().spawn(async move {
            let mut last = 0;
            for _ in 0..each {
                last = asker.ask().await?;
            }
            Ok::<u64, RunError>(last)
        }));
    }
    let mut served = 0;
    for task in tasks {
        served = served.max(task.await.map_err(RunError::work)??);
    }
    let seconds = watch.seconds();
    if served != each * callers {
        return Err(RunError::work(format_args!("{served} of {} calls were served", each * callers)));
    }
    Ok(millions_per_second(served, seconds) * 1e3)
}
