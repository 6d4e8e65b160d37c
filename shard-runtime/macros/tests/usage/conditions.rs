//! Handlers, hooks and blocks that are compiled under conditions only.
#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub, elided_lifetimes_in_paths)]

use shard_runtime::prelude::*;

#[message(local)]
struct Here;

#[cfg(not(target_os = "linux"))]
#[message(local)]
struct Elsewhere;

struct Switch;

#[actor]
#[cfg(target_os = "linux")]
impl Switch {
    #[cfg(not(target_os = "linux"))]
    fn init(&mut self, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[handle]
    fn here(&mut self, _: Here, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    #[handle]
    fn elsewhere(&mut self, _: Elsewhere, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

#[actor]
#[cfg(not(target_os = "linux"))]
impl Switch {}

#[test]
fn holds() {
    let _ = (Switch, Here);
    const { assert!(!<Switch as shard_runtime::Actor>::HAS_INIT) }
}
