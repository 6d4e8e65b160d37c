//! A logger that writes to a file and begins a new one now and then.
//!
//! The file that is written to is `{prefix}.log`. When it is as old or as large as it may be, it is renamed to
//! `{prefix}.{YYYYMMDDHHMMSS}.log`, by the time of its last record, with `.1`, `.2` ... before `.log` if that is taken, and
//! compressed to `.log.gz` if that is asked for.
//! Threads: the log thread; a thread for each file that is compressed, one at a time. What the disk refuses is lost, and the file is tried anew with the next record.

use crate::tap::sinks::{json_line, text_line};
use crate::tap::{LogRecord, LogSink};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use shard_wire::NodeName;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

/// The shortest period.
const MIN_PERIOD: Duration = Duration::from_secs(60);
/// Files of one second.
const MAX_SAME: u32 = 10_000;

/// Writes to a file that is renamed when it is old or large enough.
#[derive(Debug)]
pub struct RotatingFile {
    folder: PathBuf,
    prefix: String,
    period: Option<Duration>,
    size: Option<u64>,
    depth: usize,
    is_json: bool,
    /// Where renamed files go to be compressed.
    packer: Option<Sender<PathBuf>>,
    live: Option<Live>,
    line: String,
}

#[derive(Debug)]
struct Live {
    file: BufWriter<File>,
    bytes: u64,
    begun: SystemTime,
    last: SystemTime,
}

impl RotatingFile {
    /// Lines to `{prefix}.log` in this folder, which is made if it is not there. It never rotates unless it is told when.
    ///
    /// # Errors
    /// The folder cannot be made, or the file cannot be written to.
    pub fn new(folder: impl Into<PathBuf>, prefix: impl Into<String>) -> io::Result<Self> {
        let prefix = prefix.into();
        if prefix.is_empty() || prefix.contains(['/', '\0']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the prefix of a log file is a file name",
            ));
        }
        let mut sink = Self {
            folder: folder.into(),
            prefix,
            period: None,
            size: None,
            depth: 0,
            is_json: false,
            packer: None,
            live: None,
            line: String::new(),
        };
        std::fs::create_dir_all(&sink.folder)?;
        sink.live = Some(sink.open(None)?);
        Ok(sink)
    }

    /// Begins a new file when this one is so old, at least one minute.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.period = Some(period.max(MIN_PERIOD));
        self
    }

    /// Begins a new file when a record would make this one longer than this, in bytes.
    #[must_use]
    pub fn at_size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes.max(1));
        self
    }

    /// Keeps this many renamed files and removes older ones. Default 0: all.
    #[must_use]
    pub fn keep(mut self, files: usize) -> Self {
        self.depth = files;
        self
    }

    /// Writes JSON objects instead of plain lines.
    #[must_use]
    pub fn json(mut self) -> Self {
        self.is_json = true;
        self
    }

    /// Compresses renamed files with gzip, on a thread of its own at their turn. Until one is done it lies beside itself as
    /// `.log.gz.part`, and stays as it was if that fails.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn compress(mut self) -> io::Result<Self> {
        let (packer, files) = channel();
        crate::reactor::spawn_thread("log-gzip", move || pack_all(&files))?;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_part = path.extension().is_some_and(|end| end == "part");
            if is_part && self.stamp_of(&path.with_extension("")).is_some() {
                // What a run that was killed has left; the plain file is still there.
                std::fs::remove_file(&path)?;
            } else if path.extension().is_some_and(|end| end == "log") && self.stamp_of(&path).is_some() {
                // As when it is renamed.
                let _gone = packer.send(path);
            }
        }
        self.packer = Some(packer);
        Ok(self)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.prefix))
    }

    fn open(&self, now: Option<SystemTime>) -> io::Result<Live> {
        let file = OpenOptions::new().create(true).append(true).open(self.path())?;
        let known = file.metadata()?;
        // A file of a former run goes on; its age counts from its last change, the nearest thing to know.
        let begun = match now {
            Some(now) if known.len() == 0 => now,
            _ => known.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        };
        Ok(Live { bytes: known.len(), file: BufWriter::new(file), begun, last: begun })
    }

    fn is_due(&self, live: &Live, now: SystemTime) -> bool {
        let is_old =
            self.period.is_some_and(|period| now.duration_since(live.begun).is_ok_and(|age| age >= period));
        let is_long = self.size.is_some_and(|size| live.bytes + self.line.len() as u64 > size);
        live.bytes > 0 && (is_old || is_long)
    }

    fn put(&mut self, now: SystemTime) -> io::Result<()> {
        if let Some(live) = self.live.as_mut()
            && live.bytes == 0
        {
            live.begun = now;
        }
        if self.live.as_ref().is_some_and(|live| self.is_due(live, now))
            && let Some(mut live) = self.live.take()
        {
            live.file.flush()?;
            let renamed = self.rename(live.last)?;
            self.prune()?;
            if let Some(packer) = &self.packer {
                // Without the thread it stays as it is.
                let _gone = packer.send(renamed);
            }
        }
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.open(Some(now))?,
        };
        live.file.write_all(self.line.as_bytes())?;
        live.bytes += self.line.len() as u64;
        live.last = now;
        self.live = Some(live);
        Ok(())
    }

    fn rename(&self, last: SystemTime) -> io::Result<PathBuf> {
        let stamp =
            Timestamp::try_from(last).unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y%m%d%H%M%S").to_string();
        for same in 0..MAX_SAME {
            let tail = if same == 0 { String::new() } else { format!(".{same}") };
            let to = self.folder.join(format!("{}.{stamp}{tail}.log", self.prefix));
            if !to.exists() && !packed(&to).exists() {
                return std::fs::rename(self.path(), &to).map(|()| to);
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many log files of one second"))
    }

    /// Removes renamed files beyond the depth, the oldest first.
    fn prune(&self) -> io::Result<()> {
        if self.depth == 0 {
            return Ok(());
        }
        // One that is being compressed is there twice for a moment, and counts once.
        let mut old: BTreeMap<(String, u32), Vec<PathBuf>> = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if let Some(stamp) = self.stamp_of(&path) {
                old.entry(stamp).or_default().push(path);
            }
        }
        let surplus = old.len().saturating_sub(self.depth);
        old.into_values().take(surplus).flatten().try_for_each(std::fs::remove_file)
    }

    /// When a renamed file of ours ended, and which of that second it is; `None` for all other files.
    fn stamp_of(&self, path: &Path) -> Option<(String, u32)> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let middle = name.strip_prefix(&self.prefix)?.strip_prefix('.')?.strip_suffix(".log")?;
        let (stamp, same) = middle.split_once('.').unwrap_or((middle, "0"));
        let is_stamp = stamp.len() == 14 && stamp.bytes().all(|byte| byte.is_ascii_digit());
        Some((stamp.to_owned(), same.parse().ok()?)).filter(|_| is_stamp)
    }
}

/// The name of a file once it is compressed.
fn packed(path: &Path) -> PathBuf {
    path.with_added_extension("gz")
}

/// Compresses files until the logger is gone and all are done. The queue holds names, one for each rotation.
fn pack_all(files: &Receiver<PathBuf>) {
    while let Ok(path) = files.recv() {
        let part = packed(&path).with_added_extension("part");
        // A log that cannot be written has nowhere to say so; the plain file is still there.
        if pack(&path, &part).is_err() {
            let _left = std::fs::remove_file(&part);
        }
    }
}

fn pack(path: &Path, part: &Path) -> io::Result<()> {
    let mut from = File::open(path)?;
    let mut to = GzEncoder::new(File::create(part)?, Compression::default());
    io::copy(&mut from, &mut to)?;
    to.finish()?.sync_all()?;
    std::fs::rename(part, packed(path))?;
    if std::fs::remove_file(path).is_err() {
        // It was removed as one too many meanwhile.
        std::fs::remove_file(packed(path))?;
    }
    Ok(())
}

impl LogSink for RotatingFile {
    fn write(&mut self, node: &NodeName, record: &LogRecord) {
        self.line.clear();
        if self.is_json {
            json_line(&mut self.line, node, record);
        } else {
            text_line(&mut self.line, node, record, false);
        }
        // A log that cannot be written has nowhere to say so.
        let _lost = self.put(record.time);
    }

    fn flush(&mut self) {
        if let Some(live) = &mut self.live {
            // As above.
            let _lost = live.file.flush();
        }
    }
}
