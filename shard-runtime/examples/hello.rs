//! One process that greets whoever calls it.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use shard_runtime::prelude::*;

#[message(reply = String)]
struct Greet {
    name: String,
}

#[derive(Default)]
struct Greeter;

#[actor]
impl Greeter {
    #[handle]
    fn greet(&mut self, m: Greet, _cx: &mut Context<'_>) -> Result<String, ActorError> {
        Ok(format!("hello, {}", m.name))
    }
}

fn main() -> Result<(), NodeError> {
    let node = Node::builder("hello@localhost").start()?;
    let greeter = node.spawn(Greeter::default, SpawnOptions::named("greeter"))?;
    let answer = node.call_blocking(greeter, Greet { name: "world".into() })?;
    println!("{answer}");
    assert_eq!(answer, "hello, world");
    node.stop();
    Ok(())
}
