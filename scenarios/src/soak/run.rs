//! A soak from its start to its account.

use super::account::Account;
use super::driver::{Driver, Flooder, Sink};
use super::hall::{FALLBACK, FLOODER, Hall};
use super::ledger::{Books, Class, Ledger, Token};
use super::memory::{GROWTH, Memory};
use super::message::{Go, Quit, Small, Tick};
use super::world::{STEP, World};
use crate::Random;
use shard_runtime::prelude::*;
use shard_runtime::{OnFull, SendReason};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what is left may take to drain.
const DRAIN: Duration = Duration::from_secs(30);
/// Drivers of each shard.
const DRIVERS: u16 = 2;

/// What a soak is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// How long the sources run; on the simulation, in its own time.
    pub duration: Duration,
    /// Shards of the node.
    pub shards: u16,
    /// Processes that live at a time.
    pub population: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, duration: Duration::from_secs(20), shards: 2, population: 96 }
    }
}

/// Runs on a real node. Threads interleave as they will: a seed gives the same mix again, not the same run.
///
/// # Errors
/// The node did not start, or a process did not.
pub fn run(settings: &Settings) -> Result<Account, NodeError> {
    Soak::new(World::real(settings.shards)?, settings).run()
}

/// Runs on the simulation: the same seed gives the same run, to the bit.
///
/// # Errors
/// As for [`run`].
pub fn run_simulated(settings: &Settings) -> Result<Account, NodeError> {
    Soak::new(World::simulated(settings.shards, settings.seed)?, settings).run()
}

struct Soak<'s> {
    world: World,
    settings: &'s Settings,
    books: Books,
    hall: Arc<Hall>,
    random: Random,
    immortals: Vec<Pid>,
    steps: u64,
    began: Instant,
}

#[expect(clippy::disallowed_methods, reason = "measures a run from a thread that is no shard")]
fn now() -> Instant {
    Instant::now()
}

fn not_started(error: &SpawnError) -> NodeError {
    NodeError::Shard { shard: 0, reason: error.to_string() }
}

impl<'s> Soak<'s> {
    fn new(world: World, settings: &'s Settings) -> Self {
        let books = Arc::new(Ledger::new());
        let hall = Arc::new(Hall::new(Arc::clone(&books), settings.shards, settings.population));
        let random = Random::for_actor(Some(settings.seed), &["outside"]);
        Self { world, settings, books, hall, random, immortals: Vec::new(), steps: 0, began: now() }
    }

    fn run(mut self) -> Result<Account, NodeError> {
        self.start().map_err(|error| not_started(&error))?;
        let mut memory = Memory::default();
        while self.elapsed() < self.settings.duration {
            self.act_outside();
            self.step();
            memory.sample(self.elapsed());
        }
        self.hall.stop();
        let is_drained = self.drain();
        let processes = self.world.counters().processes;
        let is_over = self.end();
        let mut account = Account::new(&self.books, &self.world.counters());
        account.require("drained in time", self.books.alive(), is_drained);
        let all = self.hall.population() + self.immortals.len();
        account.require("processes after the drain", processes, processes <= all as u64);
        account.require("everything ended in time", self.books.alive(), is_over);
        account.require("names left", self.world.names(), self.are_names_free());
        account.require("aliases left", "", self.are_aliases_free());
        if let Some(growth) = memory.growth().filter(|_| !self.world.is_simulated()) {
            let text = format!("{} -> {} KiB", growth.early / 1024, growth.late / 1024);
            account.require(
                "resident memory grows by 8 MiB at most",
                text,
                growth.late <= growth.early + GROWTH,
            );
        }
        self.world.stop();
        Ok(account)
    }

    fn elapsed(&self) -> Duration {
        if self.world.is_simulated() {
            STEP * u32::try_from(self.steps).unwrap_or(u32::MAX)
        } else {
            self.began.elapsed()
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        self.world.step();
    }

    fn token(&self, class: Class) -> Token {
        Token::new(&self.books, class)
    }

    fn start(&mut self) -> Result<(), SpawnError> {
        let (sink, flooder) = (Arc::clone(&self.hall), Arc::clone(&self.hall));
        let options = SpawnOptions::named(FALLBACK).with_mailbox(64).on_full(OnFull::Reject);
        let pid = self.world.spawn(0, move || Sink::new(sink), options)?;
        self.hall.set_node(pid);
        self.immortals.push(pid);
        let last = self.settings.shards - 1;
        let pid = self.world.spawn(last, move || Flooder::new(flooder), SpawnOptions::named(FLOODER))?;
        self.immortals.push(pid);
        for number in 0..self.settings.shards * DRIVERS {
            let (hall, seed) = (Arc::clone(&self.hall), self.random.next_u64());
            let shard = number % self.settings.shards;
            let pid = self.world.spawn(shard, move || Driver::new(hall, seed), SpawnOptions::new())?;
            self.immortals.push(pid);
            let tick = Tick { token: self.token(Class::Tick) };
            // A driver that has just been started takes it; if not, the account says so.
            let _booked = self.world.send(pid, tick);
        }
        Ok(())
    }

    /// What a source outside the shards does.
    fn act_outside(&mut self) {
        for _ in 0..8 {
            let place = self.random.next_u64();
            let small = Small { token: self.token(Class::Outside) };
            // What came back is booked.
            let _booked = match (self.random.between(0, 9), self.hall.pid(place), self.hall.alias(place)) {
                (0, ..) => {
                    let place = (place % self.hall.population() as u64) as usize;
                    self.world.send(Hall::name_of(place), small)
                }
                (1, _, Some(alias)) => self.world.send(alias, small),
                (2, ..) if self.hall.ended(place).is_some() => match self.hall.ended(place) {
                    Some(ended) => self.world.send(ended, small),
                    None => Ok(()),
                },
                (_, Some(to), _) => self.world.send(to, small),
                (_, None, _) => {
                    small.token.done();
                    Ok(())
                }
            };
        }
        let dice = self.random.between(0, 63);
        if let Some(pid) = self.hall.pid(self.random.next_u64()) {
            match dice {
                0 => self.world.kill(pid),
                1..=3 => self.world.call(pid, &self.books),
                _ => {}
            }
        }
    }

    /// Waits, with the sources stopped, until nothing is on its way. Returns whether that came about.
    fn drain(&mut self) -> bool {
        let deadline = self.elapsed() + DRAIN;
        while self.elapsed() < deadline {
            for place in 0..self.hall.population() as u64 {
                if let Some(pid) = self.hall.pid(place) {
                    let go = Go { token: self.token(Class::Outside), seed: 0 };
                    // It tells the process to disarm what repeats; one that is full, or ends, gets another.
                    let _booked = self.world.send(pid, go);
                }
            }
            for _ in 0..50 {
                self.step();
                if self.books.alive() == 0 {
                    return true;
                }
            }
        }
        false
    }

    /// Ends all processes, some in order and some not. Returns whether that came about.
    fn end(&mut self) -> bool {
        let deadline = self.elapsed() + DRAIN;
        for at in 0..self.immortals.len() {
            let quit = Quit { token: self.token(Class::Outside) };
            let _booked = self.world.send(self.immortals[at], quit);
        }
        while self.elapsed() < deadline {
            for place in 0..self.hall.population() as u64 {
                let Some(pid) = self.hall.pid(place) else { continue };
                if place.is_multiple_of(2) {
                    let quit = Quit { token: self.token(Class::Outside) };
                    let _booked = self.world.send(pid, quit);
                } else {
                    self.world.kill(pid);
                }
            }
            self.step();
            let left = self.world.counters();
            if self.books.alive() + left.processes + left.waiters + left.timers == 0 {
                return true;
            }
        }
        false
    }

    fn are_names_free(&self) -> bool {
        let is_free = |place: usize| {
            let names = [Hall::name_of(place), Hall::second_name_of(place)];
            names.iter().all(|name| self.world.whereis(name).is_none())
        };
        self.world.names() == 0 && (0..self.hall.population()).all(is_free)
    }

    /// On a real node an alias is resolved on a shard, where nobody is told: only the simulation can say.
    fn are_aliases_free(&mut self) -> bool {
        let aliases: Vec<_> = self.hall.aliases().collect();
        !self.world.is_simulated()
            || aliases.into_iter().all(|alias| {
                let small = Small { token: self.token(Class::Outside) };
                self.world.send(alias, small) == Err(SendReason::AliasUnknown)
            })
    }
}
