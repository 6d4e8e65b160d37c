//! Names of the prelude and of `core` that mean something else where the actor is written.
#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub, elided_lifetimes_in_paths)]
#![expect(dead_code, non_snake_case, reason = "what matters is that the names are there")]

use shard_runtime::prelude::*;

mod core {}
mod std {}
type Result = ();
enum Option {
    Nothing,
}
trait Message {}
trait Actor {}
struct Batch;
struct Exit;
fn Some() {}
fn Ok() -> ActorResult {
    ActorResult::Ok(())
}

#[message(local)]
struct Ping;

struct Pinger;

#[actor]
impl Pinger {
    #[handle]
    async fn dispatch(&mut self, _: Ping, _: &mut Context<'_>) -> ActorResult {
        Ok()
    }
}

#[test]
fn holds() {
    struct Inner;

    #[actor]
    impl Inner {
        #[handle]
        fn ping(&mut self, _: Ping, _: &mut Context<'_>) -> ActorResult {
            Ok()
        }
    }
    let _ = (Pinger, Inner, Ping);
}
