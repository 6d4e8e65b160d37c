//! What the ready loggers write, to the letter.

use super::{JsonSink, json_line, text_line};
use crate::shard::LogLevel;
use crate::tap::{LogRecord, LogSink, LogSource, RotatingFile};
use shard_wire::{IncarnationKey, LocalId, NodeName, Pid};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn record(text: &str, second: u64) -> LogRecord {
    LogRecord {
        level: LogLevel::Warning,
        time: UNIX_EPOCH + Duration::from_millis(second * 1000 + 5),
        pid: None,
        source: LogSource::Node,
        text: text.into(),
        fields: Vec::new(),
    }
}

fn node() -> NodeName {
    NodeName::new("a@localhost").unwrap()
}

fn of_process(text: &str) -> LogRecord {
    let pid = Pid { node: IncarnationKey(1), local: LocalId(7) };
    let source = LogSource::Process { pid, name: Some("shop".into()), behavior: "Shop" };
    let fields = vec![("key", "a \"b\"".to_owned()), ("n", "2".to_owned())];
    LogRecord { pid: Some(pid), source, fields, ..record(text, 0) }
}

#[test]
fn a_line_is_one_line() {
    let mut line = String::new();
    text_line(&mut line, &node(), &record("two\nlines\u{1b}[2J", 1), false);
    assert_eq!(line, "1970-01-01T00:00:01.005Z [warning] a@localhost two\\nlines\\u{1b}[2J\n");
    line.clear();
    text_line(&mut line, &node(), &of_process("hello"), true);
    assert!(line.starts_with("1970-01-01T00:00:00.005Z \u{1b}[33m[warning]\u{1b}[0m "), "{line}");
    assert!(line.ends_with(" shop Shop: hello key=a \"b\" n=2\n"), "{line}");
}

#[test]
fn parts_of_the_node_are_named() {
    let of = |source| LogRecord { source, ..record("up", 1) };
    let peer = Some(NodeName::new("b@localhost").unwrap());
    let records = [
        of(LogSource::Network { peer }),
        of(LogSource::Network { peer: None }),
        of(LogSource::Application { name: "shop".into() }),
    ];
    let texts = records.each_ref().map(|record| {
        let mut line = String::new();
        text_line(&mut line, &node(), record, false);
        line
    });
    let head = "1970-01-01T00:00:01.005Z [warning] a@localhost";
    let network = format!("{head} network: up\n");
    assert_eq!(texts, [network.clone(), network, format!("{head} application: up\n")]);
    let objects = records.each_ref().map(|record| {
        let mut line = String::new();
        json_line(&mut line, &node(), record);
        line
    });
    assert!(
        objects[0].contains(r#"{"type":"network","node":"a@localhost","peer":"b@localhost"}"#),
        "{objects:?}"
    );
    assert!(objects[1].contains(r#"{"type":"network","node":"a@localhost"}"#), "{objects:?}");
    assert!(
        objects[2].contains(r#"{"type":"application","node":"a@localhost","name":"shop"}"#),
        "{objects:?}"
    );
}

#[test]
fn json_lines_are_objects_with_texts() {
    let mut sink = JsonSink::new(Vec::new());
    sink.write(&node(), &record("quote \" back \\ line\n\u{1}é", 1));
    sink.write(&node(), &of_process("hi"));
    let text = String::from_utf8(sink.to).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"time":1005000000,"level":"warning","source":{"type":"node","node":"a@localhost"},"message":"quote \" back \\ line\u000a\u0001é"}"#
    );
    assert!(lines[1].contains(r#""source":{"type":"process","node":"a@localhost","pid":"#), "{}", lines[1]);
    assert!(
        lines[1].ends_with(
            r#","name":"shop","behavior":"Shop"},"message":"hi","fields":{"key":"a \"b\"","n":"2"}}"#
        ),
        "{}",
        lines[1]
    );
    let mut line = String::new();
    json_line(&mut line, &node(), &record("", 0));
    assert!(line.ends_with("\"message\":\"\"}\n"));
}

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("shard-log-{}-{name}", std::process::id()));
        let _was_not_there = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn files(&self) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_rotates_by_age_and_keeps_so_many() {
    let folder = Folder::new("age");
    let mut sink = RotatingFile::new(&folder.0, "app").unwrap().every(Duration::from_secs(1)).keep(2);
    std::fs::write(folder.0.join("app.notes.log"), "mine").unwrap();
    // The period is a minute at least.
    for second in [0, 1, 59, 60, 61, 130, 200] {
        sink.write(&node(), &record(&format!("at {second}"), second));
    }
    sink.flush();
    let expected = ["app.19700101000101.log", "app.19700101000210.log", "app.log", "app.notes.log"];
    assert_eq!(names(&folder), expected);
    let files = folder.files();
    assert_eq!(files[0].1.lines().count(), 2, "{files:?}");
    assert!(files[2].1.ends_with("at 200\n"));
}

#[test]
fn a_file_rotates_by_size_and_loses_nothing() {
    let folder = Folder::new("size");
    let mut sink = RotatingFile::new(&folder.0, "app").unwrap().at_size(200).json();
    for _ in 0..20 {
        sink.write(&node(), &record("some text", 9));
    }
    sink.flush();
    let files = folder.files();
    assert!(files.len() > 5, "{:?}", names(&folder));
    assert!(files.iter().all(|(_, text)| text.len() <= 200));
    assert_eq!(files.iter().map(|(_, text)| text.lines().count()).sum::<usize>(), 20);
    // Another run goes on with the file.
    let before = std::fs::read_to_string(folder.0.join("app.log")).unwrap();
    let mut again = RotatingFile::new(&folder.0, "app").unwrap();
    again.write(&node(), &record("more", 10));
    again.flush();
    let after = std::fs::read_to_string(folder.0.join("app.log")).unwrap();
    assert!(after.starts_with(&before) && after.ends_with("more\n"));
}

#[test]
fn a_disk_that_refuses_loses_records_not_the_node() {
    let folder = Folder::new("gone");
    let mut sink = RotatingFile::new(&folder.0, "app").unwrap().at_size(1);
    sink.write(&node(), &record("one", 1));
    std::fs::remove_dir_all(&folder.0).unwrap();
    sink.write(&node(), &record("two", 2));
    std::fs::create_dir_all(&folder.0).unwrap();
    sink.write(&node(), &record("three", SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()));
    sink.flush();
    assert!(folder.files()[0].1.ends_with("three\n"));
    assert!(RotatingFile::new(&folder.0, "../app").is_err());
}

#[test]
fn renamed_files_are_compressed_and_count_as_before() {
    let folder = Folder::new("gzip");
    std::fs::create_dir_all(&folder.0).unwrap();
    std::fs::write(folder.0.join("app.19700101000000.log"), "left plain\n").unwrap();
    std::fs::write(folder.0.join("app.19700101000000.log.gz.part"), "half").unwrap();
    let mut sink = RotatingFile::new(&folder.0, "app").unwrap().at_size(1).keep(3).compress().unwrap();
    for second in 1..=5 {
        sink.write(&node(), &record(&format!("at {second}"), second));
    }
    sink.flush();
    let expected =
        ["app.19700101000002.log.gz", "app.19700101000003.log.gz", "app.19700101000004.log.gz", "app.log"];
    let begun = crate::clock::now();
    while names(&folder) != expected {
        assert!(crate::clock::now() - begun < Duration::from_secs(20), "{:?}", names(&folder));
        std::thread::yield_now();
    }
    let mut text = String::new();
    let file = std::fs::File::open(folder.0.join(expected[2])).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    assert!(text.ends_with("at 4\n"), "{text}");
}
