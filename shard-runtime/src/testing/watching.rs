//! What a bed can be asked about what its processes did.

use super::bed::Bed;
use super::query::{Mark, Query};
use super::records::{CronRan, Ended, ExitSent, Logged, Published, Record, Registered, Sent, Spawned};
use crate::actor::Actor;
use shard_wire::Message;
use std::fmt;

/// Asking what processes did. Not among it is what the test does itself by the methods of the bed.
impl Bed {
    /// Has copies of all messages of this type kept from now on, sent, called or published: for
    /// [`with`](Query::with) and [`message`](Query::message), and for the text of failed assertions.
    pub fn watch<M: Message + Clone + fmt::Debug>(&mut self) {
        self.journal().watch::<M>();
    }

    /// This moment, for [`Query::since`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.journal().next())
    }

    /// What processes did, one line each, in order.
    #[must_use]
    pub fn history(&self) -> Vec<String> {
        self.journal().lines()
    }

    /// Forgets what processes did up to now.
    pub fn forget(&mut self) {
        self.journal().clear();
    }

    /// Messages of this type, calls apart, that a mailbox has taken. What a pool, a router or `forward` hands on is its
    /// sender's, and sent once. To a process that wants to know by which name or alias
    /// ([`split_handle`](crate::SpawnOptions::split_handle)) it is sent as an [`Addressed`](crate::Addressed).
    ///
    /// # Panics
    /// More happened than a journal holds; the same is true of all that follows.
    #[track_caller]
    pub fn sent<M: Message>(&self) -> Query<Sent, M> {
        self.messages("sent", false)
    }

    /// Calls with a message of this type.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn called<M: Message>(&self) -> Query<Sent, M> {
        self.messages("called", true)
    }

    #[track_caller]
    fn messages<M: Message>(&self, verb: &str, is_call: bool) -> Query<Sent, M> {
        self.query(String::new(), |record| match record {
            Record::Sent(sent) if sent.is_call == is_call => Some(sent.clone()),
            _ => None,
        })
        .filter(format_args!("{verb} {}", std::any::type_name::<M>()), |record| record.message.is::<M>())
    }

    /// Processes of this actor type that were started.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn spawned<A: Actor>(&self) -> Query<Spawned> {
        self.spawned_any().behavior(A::BEHAVIOR)
    }

    /// Processes that were started.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn spawned_any(&self) -> Query<Spawned> {
        self.query("spawned".to_owned(), |record| match record {
            Record::Spawned(spawned) => Some(spawned.clone()),
            _ => None,
        })
    }

    /// Processes that ended, those that were killed by the test too.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn ended(&self) -> Query<Ended> {
        self.query("ended".to_owned(), |record| match record {
            Record::Ended(ended) => Some(ended.clone()),
            _ => None,
        })
    }

    /// Exit signals that were sent.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn exits_sent(&self) -> Query<ExitSent> {
        self.query("sent an exit".to_owned(), |record| match record {
            Record::ExitSent(sent) => Some(sent.clone()),
            _ => None,
        })
    }

    /// Lines of the log: of processes, and of their ends. What is below the level of the bed is not written, see
    /// [`Bed::with_level`].
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn logged(&self) -> Query<Logged> {
        self.query("logged".to_owned(), |record| match record {
            Record::Logged(logged) => Some(logged.clone()),
            _ => None,
        })
    }

    /// Publications of the event with this name, with a message of this type.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn published<M: Message>(&self, event: &str) -> Query<Published, M> {
        self.query(String::new(), |record| match record {
            Record::Published(published) => Some(published.clone()),
            _ => None,
        })
        .filter(
            format_args!("published {event:?} with {}", std::any::type_name::<M>()),
            |record: &Published| &*record.event == event && record.message.is::<M>(),
        )
    }

    /// Registrations of the event with this name.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn registered(&self, event: &str) -> Query<Registered> {
        self.query(String::new(), |record| match record {
            Record::Registered(registered) => Some(registered.clone()),
            _ => None,
        })
        .filter(format_args!("registered {event:?}"), |record: &Registered| &*record.event == event)
    }

    /// Runs of the cron job with this name.
    ///
    /// # Panics
    /// As for [`Bed::sent`].
    #[track_caller]
    pub fn cron_ran(&self, job: &str) -> Query<CronRan> {
        self.query("ran".to_owned(), |record| match record {
            Record::CronRan(ran) => Some(ran.clone()),
            _ => None,
        })
        .job(job)
    }

    #[track_caller]
    fn query<R: fmt::Display, M>(&self, wanted: String, pick: impl Fn(&Record) -> Option<R>) -> Query<R, M> {
        let lost = self.journal().lost();
        assert!(lost == 0, "{lost} records found no place in the journal: call `bed.forget()` now and then");
        Query::new(wanted, self.journal().of_kind(pick))
    }
}
