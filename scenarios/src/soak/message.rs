//! The messages of a soak: each carries a token; one is larger than an envelope holds.

use super::ledger::{Books, Class, Token, Tokened};
use shard_runtime::prelude::*;

/// Words of a boxed message.
const WORDS: usize = 24;

macro_rules! tokened {
    ($($name:ty),*) => {
        $(impl Tokened for $name {
            fn token(&self) -> &Token {
                &self.token
            }
            fn into_token(self) -> Token {
                self.token
            }
        })*
    };
}

/// Nothing but its token.
#[message(local)]
#[derive(Clone)]
pub(super) struct Small {
    pub(super) token: Token,
}

/// Boxed, with a content that is checked.
#[message(local)]
pub(super) struct Big {
    pub(super) token: Token,
    words: [u64; WORDS],
}

impl Big {
    pub(super) fn new(books: &Books, seed: u64) -> Self {
        let words = std::array::from_fn(|at| seed.wrapping_mul(at as u64 | 1));
        Self { token: Token::new(books, Class::Big), words }
    }

    pub(super) fn is_whole(&self) -> bool {
        let seed = self.words[0];
        self.words.iter().enumerate().all(|(at, word)| *word == seed.wrapping_mul(at as u64 | 1))
    }
}

/// Does what its seed says.
#[message(local)]
pub(super) struct Go {
    pub(super) token: Token,
    pub(super) seed: u64,
}

/// To be handed on this many times.
#[message(local)]
pub(super) struct Hop {
    pub(super) token: Token,
    pub(super) left: u32,
}

/// To be sent to oneself again this many times.
#[message(local)]
pub(super) struct Echo {
    pub(super) token: Token,
    pub(super) left: u32,
}

/// Nobody handles it.
#[message(local)]
pub(super) struct Unknown {
    pub(super) token: Token,
}

/// What the target of a call does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    AtOnce,
    AfterSleep,
    Panic,
    End,
}

/// A call that its handler answers by returning.
#[message(local, reply = Reply)]
pub(super) struct Ask {
    pub(super) token: Token,
    pub(super) manner: Manner,
    /// Class of the reply's token.
    pub(super) reply: Class,
}

/// What is done with the right to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Later {
    /// Kept until the next one comes.
    Keep,
    Drop,
    Refuse,
    /// Given to another process, on whatever shard.
    PassOn,
    /// The call itself is handed on.
    HandOn,
}

/// A call that is answered by its `ReplyTo`.
#[message(local, reply = Reply)]
pub(super) struct Defer {
    pub(super) token: Token,
    pub(super) later: Later,
    pub(super) reply: Class,
}

/// The right to answer, for somebody else.
#[message(local)]
pub(super) struct Answer {
    pub(super) token: Token,
    pub(super) reply: ReplyTo<Reply>,
    pub(super) class: Class,
}

/// An answer.
pub(super) struct Reply {
    pub(super) token: Token,
}

/// Wakes a driver.
#[message(local)]
pub(super) struct Tick {
    pub(super) token: Token,
}

/// Ends a process in order.
#[message(local)]
pub(super) struct Quit {
    pub(super) token: Token,
}

tokened!(Small, Big, Go, Hop, Echo, Unknown, Ask, Defer, Answer, Tick, Quit);
