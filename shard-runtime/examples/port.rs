//! An external program: lines go to it, lines come back, and its exit status is told.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;
use shard_runtime::{CloseIo, Port, PortData, PortStart, PortTerminate, PortText};
use std::sync::mpsc::{Sender, channel};

struct Sorter {
    told: Sender<String>,
}

#[actor]
impl Sorter {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        // The program gets this environment and nothing of ours.
        let port = cx.spawn_io(Port::program("/usr/bin/sort").args(["-n"]).env("LC_ALL", "C"))?;
        cx.send(port.id, PortData::new(port.id, "30\n4\n200\n"))?;
        // It sorts when its input ends.
        cx.send(port.id, CloseIo)?;
        Ok(())
    }

    #[handle]
    fn started(&mut self, m: PortStart, cx: &mut Context<'_>) -> ActorResult {
        cx.log().info(format_args!("runs as process {}", m.pid));
        Ok(())
    }

    #[handle]
    fn line(&mut self, m: PortText, _cx: &mut Context<'_>) -> ActorResult {
        self.told.send(m.text.to_string())?;
        Ok(())
    }

    #[handle]
    fn ended(&mut self, m: PortTerminate, _cx: &mut Context<'_>) -> ActorResult {
        self.told.send(format!("{:?}", m.status))?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("port@localhost").start()?;
    let (told, lines) = channel();
    node.spawn(move || Sorter { told }, SpawnOptions::new())?;
    for expected in ["4", "30", "200", "Exited(0)"] {
        let line = lines.recv()?;
        println!("{line}");
        assert_eq!(line, expected);
    }
    node.stop();
    Ok(())
}
