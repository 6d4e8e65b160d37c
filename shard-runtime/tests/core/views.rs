//! Messages and their views within a node: each handler gets the form that it takes, whichever was sent.

use crate::world::{World, both};
use shard_runtime::prelude::*;

#[data]
struct Item {
    name: String,
    value: u64,
}

/// Answered with the sum of its values.
#[message(reply = u64)]
struct Batch {
    n: u64,
    items: Vec<Item>,
}

/// The numbers of what was handled.
#[message(local, reply = Vec<u64>)]
struct Seen;

fn batch(n: u64) -> Batch {
    Batch { n, items: (0..10).map(|i| Item { name: format!("item {i} of {n}"), value: n + i }).collect() }
}

fn view(n: u64) -> View<Batch> {
    View::new(&batch(n)).unwrap()
}

fn sum(n: u64) -> u64 {
    (0..10).map(|i| n + i).sum()
}

/// Takes the message.
#[derive(Default)]
struct Owner(Vec<u64>);

#[actor]
impl Owner {
    #[handle]
    fn batch(&mut self, m: Batch, _cx: &mut Context<'_>) -> Result<u64, ActorError> {
        assert_eq!(m.items[9].name, format!("item 9 of {}", m.n));
        self.0.push(m.n);
        Ok(m.items.iter().map(|item| item.value).sum())
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        Ok(self.0.clone())
    }
}

/// Takes its view, and keeps it.
#[derive(Default)]
struct Viewer(Vec<View<Batch>>);

#[actor]
impl Viewer {
    #[handle]
    async fn batch(&mut self, m: View<Batch>, cx: &mut Context<'_>) -> Result<u64, ActorError> {
        cx.yield_now().await;
        let sum = m.items.iter().map(|item| item.value.to_native()).sum();
        self.0.push(m);
        Ok(sum)
    }
    #[handle]
    fn seen(&mut self, _: Seen, _cx: &mut Context<'_>) -> Result<Vec<u64>, ActorError> {
        let number = |view: &View<Batch>| {
            let n = view.n.to_native();
            assert_eq!(view.items[9].name.as_str(), format!("item 9 of {n}"));
            n
        };
        Ok(self.0.iter().map(number).collect())
    }
}

/// Hands views on.
struct Porter(Pid);

#[actor]
impl Porter {
    #[handle]
    fn batch(&mut self, m: View<Batch>, reply: ReplyTo<u64>, cx: &mut Context<'_>) -> ActorResult {
        cx.forward_call(self.0, m, reply).map_err(|error| error.reason)?;
        Ok(())
    }
}

fn seen(world: &mut World, of: Pid) -> Vec<u64> {
    world.call(of, Seen).unwrap()
}

both! {
    fn a_message_takes_the_form_of_its_handler(world, other) {
        let owner = world.spawn(other, Owner::default, SpawnOptions::new()).unwrap();
        let viewer = world.spawn(other, Viewer::default, SpawnOptions::new()).unwrap();
        for to in [owner, viewer] {
            for n in 0..20 {
                world.send(to, batch(2 * n)).unwrap();
                world.send(to, view(2 * n + 1)).unwrap();
            }
            assert_eq!(world.call(to, batch(40)).unwrap(), sum(40));
            assert_eq!(world.call(to, view(41)).unwrap(), sum(41));
            // The one that hands it on takes a view, whatever came.
            let porter = world.spawn(0, move || Porter(to), SpawnOptions::new()).unwrap();
            assert_eq!(world.call(porter, batch(42)).unwrap(), sum(42));
            assert_eq!(world.call(porter, view(43)).unwrap(), sum(43));
            assert_eq!(seen(world, to), (0..44).collect::<Vec<_>>());
        }
        // One view for many, all of which outlive the one who made it.
        let shared = view(44);
        for _ in 0..3 {
            world.send(viewer, shared.clone()).unwrap();
        }
        drop(shared);
        assert_eq!(seen(world, viewer)[44..], [44, 44, 44]);
    }

    fn views_that_nobody_handles_are_dropped_with_their_mailbox(world, other) {
        let owner = world.spawn(other, Owner::default, SpawnOptions::new()).unwrap();
        world.kill(owner);
        for n in 0..10 {
            // Refused, or dropped with what is left of the process.
            let _dropped = world.send(owner, view(n));
        }
        world.until_gone(owner);
        let refused = world.send(owner, view(1)).unwrap_err();
        assert_eq!(refused.into_inner().n.to_native(), 1, "it comes back");
    }
}
