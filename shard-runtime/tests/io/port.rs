//! Ports: external programs.

use crate::support::{Probe, counters, node, now, probe, until};
use shard_runtime::prelude::*;
use shard_runtime::{
    Chunk, CloseIo, Io, IoError, Port, PortData, PortError, PortStart, PortStatus, PortTerminate, PortText,
    WriteBytes,
};
use std::sync::mpsc::Sender;
use std::time::Duration;

#[derive(Debug)]
enum Heard {
    Up(Io),
    Refused(IoError),
    Start(PortStart),
    Text(String, bool),
    Data(Vec<u8>),
    Error(String),
    End(PortTerminate),
    Down(ExitReason),
}

struct Keeper {
    spec: Option<Port>,
    tell: Sender<Heard>,
    holds: bool,
    held: Vec<PortText>,
}

#[message(local)]
struct Release;

#[message(local)]
struct Last(ExitReason);

#[message(local, reply = usize)]
struct Held;

#[actor]
impl Keeper {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        let Some(spec) = self.spec.take() else { return Ok(()) };
        let news = match cx.spawn_io(spec) {
            Ok(io) => {
                cx.monitor(io.id)?;
                Heard::Up(io)
            }
            Err(error) => Heard::Refused(error),
        };
        let _ = self.tell.send(news);
        Ok(())
    }

    #[handle]
    fn start(&mut self, m: PortStart, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Heard::Start(m));
        Ok(())
    }

    #[handle]
    fn text(&mut self, m: PortText, _cx: &mut Context<'_>) -> ActorResult {
        if self.holds {
            self.held.push(m);
        } else {
            let _ = self.tell.send(Heard::Text(m.text.into_string(), m.is_cut));
        }
        Ok(())
    }

    #[handle]
    fn data(&mut self, m: PortData, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Heard::Data(m.data.to_vec()));
        Ok(())
    }

    #[handle]
    fn error(&mut self, m: PortError, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Heard::Error(m.text.to_string()));
        Ok(())
    }

    #[handle]
    fn end(&mut self, m: PortTerminate, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Heard::End(m));
        Ok(())
    }

    #[handle]
    fn down(&mut self, m: Down, cx: &mut Context<'_>) -> ActorResult {
        // It has overtaken what came before it in a lower queue.
        let _ended = cx.send(cx.pid(), Last(m.reason));
        Ok(())
    }

    #[handle]
    fn last(&mut self, m: Last, _cx: &mut Context<'_>) -> ActorResult {
        let _ = self.tell.send(Heard::Down(m.0));
        Ok(())
    }

    #[handle]
    fn release(&mut self, _: Release, _cx: &mut Context<'_>) -> ActorResult {
        self.holds = false;
        for m in self.held.drain(..) {
            let _ = self.tell.send(Heard::Text(m.text.into_string(), m.is_cut));
        }
        Ok(())
    }

    #[handle]
    fn held(&mut self, _: Held, _cx: &mut Context<'_>) -> Result<usize, ActorError> {
        Ok(self.held.iter().map(|m| m.text.len()).sum())
    }
}

fn keeper(node: &Node, spec: Port, holds: bool) -> (Pid, Io, Probe<Heard>) {
    let (tell, heard) = probe();
    let make = move || Keeper { spec: Some(spec), tell, holds, held: Vec::new() };
    let pid = node.spawn(make, SpawnOptions::new().on_shard(0)).unwrap();
    let Heard::Up(io) = heard.next() else { panic!("it was refused") };
    (pid, io, heard)
}

fn shell(script: &str) -> Port {
    Port::program("/bin/sh").args(["-c", script])
}

fn started(heard: &Probe<Heard>) -> PortStart {
    let Heard::Start(start) = heard.next() else { panic!("its start comes first") };
    start
}

/// All it tells up to its end.
fn rest(heard: &Probe<Heard>) -> (Vec<Heard>, PortStatus) {
    let mut all = Vec::new();
    loop {
        match heard.next() {
            Heard::End(end) => return (all, end.status),
            Heard::Down(reason) => panic!("it ended without saying so: {reason}"),
            other => all.push(other),
        }
    }
}

fn texts(all: &[Heard]) -> Vec<&str> {
    all.iter()
        .filter_map(|heard| if let Heard::Text(text, _) = heard { Some(&**text) } else { None })
        .collect()
}

/// A zombie counts as gone: whoever waits for it is not we.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn a_program_reads_and_writes_lines() {
    let node = node("cat", 1);
    let (_, port, heard) = keeper(&node, Port::program("cat").tag("the cat"), false);
    let start = started(&heard);
    assert_eq!((start.id, &*start.tag), (port.id, "the cat"));
    assert!(is_alive(start.pid));
    node.send(port.id, PortData::new(port.id, "one\ntw")).unwrap();
    let Heard::Text(text, false) = heard.next() else { panic!() };
    assert_eq!(text, "one");
    node.call_blocking(port.id, WriteBytes("o\r\nthree".into())).unwrap().unwrap();
    node.send(port.id, CloseIo).unwrap();
    let (all, status) = rest(&heard);
    assert_eq!(texts(&all), ["two", "three"], "also the line without an end");
    assert_eq!(status, PortStatus::Exited(0));
    assert!(matches!(heard.next(), Heard::Down(ExitReason::Normal)));
    until("it is gone", || !is_alive(start.pid));
    until("counted", || {
        let counters = counters(&node);
        (counters.io_opened, counters.io_closed, counters.io_failed) == (1, 1, 0)
            && counters.io_descriptors == 0
            && (counters.io_bytes_in, counters.io_bytes_out) == (14, 14)
    });
}

#[test]
fn a_program_may_speak_bytes_and_frames() {
    let node = node("bytes", 1);
    let (_, port, heard) = keeper(&node, Port::program("cat").binary(), false);
    started(&heard);
    let bytes: Vec<u8> = (0..500_000_u32).map(|n| (n / 3) as u8).collect();
    node.send(port.id, PortData::new(port.id, bytes.clone())).unwrap();
    let mut back = Vec::new();
    while back.len() < bytes.len() {
        let Heard::Data(data) = heard.next() else { panic!() };
        back.extend(data);
    }
    assert!(back == bytes);

    let (_, port, heard) =
        keeper(&node, Port::program("cat").chunk(Chunk::header(2).max_length(1000)), false);
    started(&heard);
    for piece in [&b"\0\x03a"[..], b"bc\0", b"\0\0\x01x"] {
        node.call_blocking(port.id, WriteBytes(piece.into())).unwrap().unwrap();
    }
    for frame in [&b"\0\x03abc"[..], b"\0\0", b"\0\x01x"] {
        let Heard::Data(data) = heard.next() else { panic!() };
        assert_eq!(data, frame);
    }
    // A frame that is too long ends the port, and the program with it.
    node.send(port.id, PortData::new(port.id, vec![0xff; 2])).unwrap();
    assert!(matches!(heard.next(), Heard::Down(_) | Heard::End(_)));
}

#[test]
fn its_exit_status_is_told() {
    let node = node("status", 1);
    for (script, expected) in [
        ("exit 0", PortStatus::Exited(0)),
        ("exit 7", PortStatus::Exited(7)),
        ("kill -TERM $$", PortStatus::Signaled(15)),
        ("kill -KILL $$", PortStatus::Signaled(9)),
    ] {
        let (_, _, heard) = keeper(&node, shell(script), false);
        started(&heard);
        let (_, status) = rest(&heard);
        assert_eq!(status, expected, "{script}");
        let Heard::Down(reason) = heard.next() else { panic!("{script}: one end is enough") };
        assert_eq!(matches!(reason, ExitReason::Normal), status.is_success(), "{script}: {reason}");
    }
    until("failures are counted", || counters(&node).io_failed == 3);
}

#[test]
fn what_it_complains_of_comes_apart() {
    let node = node("errors", 1);
    let (_, _, heard) = keeper(&node, shell("echo out; echo err >&2; printf last >&2"), false);
    started(&heard);
    let (all, status) = rest(&heard);
    assert_eq!(status, PortStatus::Exited(0));
    assert_eq!(texts(&all), ["out"]);
    let errors: Vec<&str> = all
        .iter()
        .filter_map(|heard| if let Heard::Error(text) = heard { Some(&**text) } else { None })
        .collect();
    assert_eq!(errors, ["err", "last"]);
}

#[test]
fn its_environment_is_empty_unless_it_is_given_one() {
    let plain = std::process::Command::new("/bin/ls").arg("/proc/self/fd").output().unwrap().stdout;
    let plain = String::from_utf8(plain).unwrap();
    let node = node("env", 1);
    let env = |port: Port| {
        let (_, _, heard) = keeper(&node, port, false);
        started(&heard);
        let (all, status) = rest(&heard);
        assert_eq!(status, PortStatus::Exited(0));
        texts(&all).iter().map(|&text| text.to_owned()).collect::<Vec<_>>()
    };
    assert!(env(Port::program("/usr/bin/env")).is_empty());
    assert_eq!(env(Port::program("/usr/bin/env").env("SECRET", "42")), ["SECRET=42"]);
    let inherited = env(Port::program("/usr/bin/env").inherit_env().env("SECRET", "42"));
    assert!(inherited.iter().any(|line| line.starts_with("PATH=")), "{inherited:?}");
    assert!(inherited.contains(&"SECRET=42".to_owned()));
    assert_eq!(env(Port::program("/bin/pwd").dir("/usr/lib")), ["/usr/lib"]);
    // Nor has it descriptors of the node: no more than a program that was started before there was one.
    let given = env(Port::program("/bin/ls").args(["/proc/self/fd"]));
    assert_eq!(given, plain.lines().collect::<Vec<_>>());
}

#[test]
fn a_program_that_will_not_end_is_killed() {
    let node = node("stubborn", 1);
    let stubborn = shell("trap '' TERM; echo ready; while :; do sleep 1; done")
        .close_grace(Duration::from_millis(50))
        .term_grace(Duration::from_millis(50));
    let (_, port, heard) = keeper(&node, stubborn, false);
    let pid = started(&heard).pid;
    assert!(matches!(heard.next(), Heard::Text(..)));
    node.send(port.id, CloseIo).unwrap();
    assert_eq!(rest(&heard).1, PortStatus::Signaled(9));
    until("it is gone", || !is_alive(pid));
    // One that listens gets the chance.
    let polite = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
        .close_grace(Duration::from_millis(50));
    let (_, port, heard) = keeper(&node, polite, false);
    started(&heard);
    assert!(matches!(heard.next(), Heard::Text(..)));
    node.send(port.id, CloseIo).unwrap();
    let (all, status) = rest(&heard);
    assert_eq!((texts(&all), status), (vec!["bye"], PortStatus::Exited(3)));
}

#[test]
fn a_program_that_cannot_be_started_says_why() {
    let node = node("missing", 1);
    for port in
        [Port::program("/no/such/program"), Port::program("cat").dir("/no/such/dir"), Port::program("/etc")]
    {
        let (_, _, heard) = keeper(&node, port, false);
        let Heard::End(end) = heard.next() else { panic!("no start without a program") };
        let PortStatus::NotStarted { reason } = end.status else { panic!("{:?}", end.status) };
        assert!(!reason.is_empty());
        assert!(matches!(heard.next(), Heard::Down(ExitReason::Error(_))));
    }
    for port in [
        Port::program("cat").max_line(0),
        Port::program("cat").max_unhandled(0),
        Port::program("cat").max_pending(0),
        Port::program("cat").chunk(Chunk::fixed(0)),
        Port::program("cat").env("", "empty"),
    ] {
        let (tell, heard) = probe();
        let make = move || Keeper { spec: Some(port), tell, holds: false, held: Vec::new() };
        node.spawn(make, SpawnOptions::new()).unwrap();
        assert!(matches!(heard.next(), Heard::Refused(IoError::BadOption { .. })));
    }
}

#[test]
fn an_endless_line_is_cut_and_the_program_lives_on() {
    let node = node("line", 1);
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next";
    let (_, _, heard) = keeper(&node, shell(script), false);
    started(&heard);
    let (all, status) = rest(&heard);
    assert_eq!(status, PortStatus::Exited(0));
    let lines: Vec<(usize, bool)> = all
        .iter()
        .filter_map(
            |heard| if let Heard::Text(text, is_cut) = heard { Some((text.len(), *is_cut)) } else { None },
        )
        .collect();
    assert_eq!(lines, [(65_536, true), (4, false)]);
}

#[test]
fn a_flood_waits_for_its_receiver() {
    let node = node("flood", 1);
    let (pid, port, heard) = keeper(&node, shell("yes | head -n 500000").max_unhandled(100_000), true);
    started(&heard);
    until("it is held", || counters(&node).io_held > 0);
    let held = node.call_blocking(pid, Held).unwrap();
    assert!(held <= 100_000, "{held} bytes");
    assert!(node.inspect_blocking(port.pid, Vec::new(), Duration::from_secs(5)).is_ok());
    node.send(pid, Release).unwrap();
    let mut lines = 0;
    let status = loop {
        match heard.next() {
            Heard::Text(text, _) => lines += usize::from(text == "y"),
            Heard::End(end) => break end.status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((lines, status), (500_000, PortStatus::Exited(0)));
}

#[test]
fn a_program_does_not_outlive_its_owner() {
    let node = node("owner", 1);
    let (collector, news) = {
        let (tell, news) = probe();
        let make = move || Keeper { spec: None, tell, holds: false, held: Vec::new() };
        (node.spawn(make, SpawnOptions::new()).unwrap(), news)
    };
    let graces =
        |port: Port| port.close_grace(Duration::from_millis(30)).term_grace(Duration::from_millis(30));
    // It does not read its input, and has a child of its own.
    let port = graces(shell("trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000")).to(collector);
    let (pid, _, _) = keeper(&node, port, false);
    let program = started(&news).pid;
    let Heard::Text(grandchild, _) = news.next() else { panic!() };
    node.kill(pid);
    let Heard::End(end) = news.next() else { panic!("its end is told all the same") };
    assert!(matches!(end.status, PortStatus::Signaled(_)), "{:?}", end.status);
    until("both are gone", || !is_alive(program) && !is_alive(grandchild.parse().unwrap()));
    assert!(news.try_next().is_none(), "once");
    // Killing the port itself is no different.
    let (_, port, _) = keeper(&node, graces(shell("exec sleep 1000")).to(collector), false);
    let program = started(&news).pid;
    node.kill(port.pid);
    assert!(matches!(news.next(), Heard::End(_)));
    until("gone", || !is_alive(program));
}

#[test]
fn a_node_that_stops_leaves_no_program() {
    let node = node("stops", 1);
    // Its graces are longer than this test may take.
    let port = shell("trap '' TERM; echo ready; sleep 1000 & wait; sleep 1000")
        .close_grace(Duration::from_secs(600));
    let (_, _, heard) = keeper(&node, port, false);
    let program = started(&heard).pid;
    assert!(matches!(heard.next(), Heard::Text(..)));
    node.stop();
    until("it is gone", || !is_alive(program));
}

#[test]
fn a_program_that_does_not_read_ends_its_port() {
    let node = node("deaf", 1);
    let port = shell("exec sleep 1000").max_pending(100_000).close_grace(Duration::from_millis(10));
    let (_, port, heard) = keeper(&node, port, false);
    started(&heard);
    let answer = node.call_blocking(port.id, WriteBytes(vec![0; 400_000].into())).unwrap();
    assert!(matches!(answer, Err(IoError::Ended(_))), "{answer:?}");
    let (mut has_down, mut has_end) = (false, false);
    while !(has_down && has_end) {
        match heard.next() {
            Heard::Down(_) => has_down = true,
            Heard::End(end) => {
                assert_eq!(end.status, PortStatus::Signaled(15));
                has_end = true;
            }
            other => panic!("{other:?}"),
        }
    }
    // One that closes its input goes on, and writes are refused.
    let (_, port, heard) = keeper(&node, shell("exec <&-; echo closed; sleep 0.3; echo done"), false);
    started(&heard);
    assert!(matches!(heard.next(), Heard::Text(..)));
    let answer = node.call_blocking(port.id, WriteBytes("x".into())).unwrap();
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(rest(&heard).1, PortStatus::Exited(0));
}

#[test]
fn inspection_shows_no_secrets() {
    let node = node("secrets", 1);
    let port = Port::program("cat").args(["-u"]).env("TOKEN", "hunter2").tag("spy");
    assert!(!format!("{port:?}").contains("hunter2"));
    let (_, port, heard) = keeper(&node, port, false);
    let start = started(&heard);
    let shown = node.inspect_blocking(port.pid, Vec::new(), Duration::from_secs(5)).unwrap();
    let entry = |key: &str| shown.iter().find(|(found, _)| found == key).map(|(_, value)| &**value);
    assert_eq!(entry("tag"), Some("spy"));
    assert_eq!(entry("cmd"), Some("cat"));
    assert_eq!(entry("args"), Some("-u"));
    assert_eq!(entry("env"), Some("TOKEN"));
    assert_eq!(entry("binary"), Some("false"));
    assert_eq!(entry("pid"), Some(&*start.pid.to_string()));
    assert!(!format!("{shown:?}").contains("hunter2"));
}

#[test]
fn many_programs_come_and_go() {
    let node = node("many", 2);
    let deadline = now() + Duration::from_secs(60);
    for _ in 0..5 {
        let programs: Vec<_> = (0..10).map(|_| keeper(&node, Port::program("/bin/true"), false)).collect();
        for (_, _, heard) in &programs {
            started(heard);
            assert_eq!(rest(heard).1, PortStatus::Exited(0));
        }
    }
    assert!(now() < deadline);
    until("nothing is left", || {
        let counters = counters(&node);
        counters.io_opened == 50
            && counters.io_closed == 50
            && counters.io_tasks == 0
            && counters.io_descriptors == 0
    });
}

#[test]
fn bytes_are_written_to_a_program_into_the_silence() {
    let node = node("pulse", 1);
    let spec = Port::program("cat").keep_alive("ping\n", Duration::from_millis(20));
    let (_, port, heard) = keeper(&node, spec, false);
    started(&heard);
    for _ in 0..3 {
        assert!(matches!(heard.next(), Heard::Text(text, false) if text == "ping"));
    }
    // What is sent goes through whole, between two of them.
    node.send(port.id, PortData::new(port.id, "own\n")).unwrap();
    until("its own line is there", || matches!(heard.next(), Heard::Text(text, false) if text == "own"));
    assert!(matches!(heard.next(), Heard::Text(text, false) if text == "ping"), "and it goes on");
    node.send(port.id, CloseIo).unwrap();
    assert_eq!(rest(&heard).1, PortStatus::Exited(0), "its input is closed all the same");
    let spec = Port::program("cat").keep_alive("ping\n", Duration::from_secs(3600));
    let (_, port, heard) = keeper(&node, spec, false);
    started(&heard);
    node.send(port.id, CloseIo).unwrap();
    assert!(texts(&rest(&heard).0).is_empty(), "not before its time");
}

#[test]
fn a_program_that_reads_nothing_is_not_flooded_with_keep_alives() {
    let node = node("numb", 1);
    let spec = shell("exec sleep 60")
        .keep_alive(vec![b'x'; 30_000], Duration::from_millis(1))
        .max_pending(40_000)
        .close_grace(Duration::ZERO);
    let (_, port, heard) = keeper(&node, spec, false);
    started(&heard);
    let pending = || {
        let shown = node.inspect_blocking(port.pid, Vec::new(), Duration::from_secs(5)).unwrap();
        let (_, value) = shown.iter().find(|(key, _)| key == "bytes pending").unwrap();
        value.parse::<usize>().unwrap()
    };
    // The pipe has room for two: the third waits, and no fourth behind it.
    until("one waits", || pending() > 0);
    for _ in 0..100 {
        assert!((1..=30_000).contains(&pending()), "one waits");
    }
    assert!(heard.try_next().is_none(), "it still runs");
    node.send(port.id, CloseIo).unwrap();
    rest(&heard);
}

#[test]
fn a_keep_alive_needs_bytes_and_a_period() {
    let node = node("pulseless", 1);
    for spec in [
        Port::program("cat").keep_alive("", Duration::from_secs(1)),
        Port::program("cat").keep_alive("ping", Duration::ZERO),
    ] {
        let (tell, heard) = probe();
        let make = move || Keeper { spec: Some(spec), tell, holds: false, held: Vec::new() };
        node.spawn(make, SpawnOptions::new()).unwrap();
        let Heard::Refused(error) = heard.next() else { panic!("it was started") };
        assert!(matches!(error, IoError::BadOption { option: "keep_alive", .. }), "{error}");
    }
}
