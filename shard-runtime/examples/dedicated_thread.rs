//! A process with a thread of its own: it may block, and the shard goes on.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use std::path::PathBuf;

#[message(local, reply = usize)]
struct CountLines(PathBuf);

#[derive(Default)]
struct Files;

#[actor]
impl Files {
    #[handle]
    fn count(&mut self, m: CountLines, _cx: &mut Context<'_>) -> Result<usize, ActorError> {
        // Reading a file blocks its thread for as long as the disk likes.
        Ok(std::fs::read_to_string(m.0)?.lines().count())
    }
}

#[message(local, reply = u64)]
struct Ping(u64);

#[derive(Default)]
struct Pong;

#[actor]
impl Pong {
    #[handle]
    fn ping(&mut self, m: Ping, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        Ok(m.0)
    }
}

fn main() -> Result<(), NodeError> {
    let node = Node::builder("files@localhost").start()?;
    let files = node.spawn(Files::default, SpawnOptions::named("files").dedicated_thread())?;
    let pong = node.spawn(Pong::default, SpawnOptions::new())?;
    let lines = node.call_blocking(files, CountLines("/proc/self/status".into()))?;
    assert_eq!(node.call_blocking(pong, Ping(7))?, 7);
    println!("{lines} lines");
    assert!(lines > 10);
    node.stop();
    Ok(())
}
