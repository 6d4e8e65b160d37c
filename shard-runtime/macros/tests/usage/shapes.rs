//! Every shape of handler and hook, in a public actor, with nothing imported by glob.
#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub, elided_lifetimes_in_paths)]

use shard_runtime::prelude::{
    ActorError, ActorResult, Context, ExitReason, Inspect, ReplyTo, actor, handle, message,
};

#[message(local)]
struct Add(i64);

/// Asks for the total.
#[message(local, reply = i64)]
#[derive(Debug)]
pub struct Total;

#[message(local, reply = String)]
struct Later;

#[message(local, reply = String)]
struct Slow;

#[message(local)]
struct Wait;

/// Counts.
#[derive(Debug, Default)]
pub struct Counter {
    total: i64,
}

#[actor]
impl Counter {
    async fn init(&mut self, _: &mut Context<'_>) -> ActorResult {
        Ok(())
    }

    fn terminate(&mut self, reason: &ExitReason, _: &mut Context<'_>) {
        assert!(reason.is_ordinary());
    }

    fn inspect(&self, out: &mut Inspect) {
        out.set("total", self.total);
    }

    /// Adds.
    #[handle]
    async fn add(&mut self, Add(n): Add, _: &mut Context<'_>) -> ActorResult {
        self.total += n;
        Ok(())
    }

    /// Answers.
    ///
    /// # Errors
    /// Never.
    #[handle]
    pub fn total(&mut self, _: Total, _: &mut Context<'_>) -> Result<i64, ActorError> {
        Ok(self.total)
    }

    #[handle]
    fn later(&mut self, _: Later, reply: ReplyTo<String>, _: &mut Context<'_>) -> ActorResult {
        reply.send(String::new());
        Ok(())
    }

    #[handle]
    async fn slow(&mut self, _: Slow, reply: ReplyTo<String>, _: &mut Context<'_>) -> ActorResult {
        std::future::ready(()).await;
        reply.send(String::new());
        Ok(())
    }

    #[handle]
    async fn wait(&mut self, _: Wait, _: &mut Context<'_>) -> ActorResult {
        std::future::ready(()).await;
        Ok(())
    }
}

#[test]
fn holds() {
    let _ = (Add(1), Total, Later, Slow, Wait);
}
