//! Names as numbers: an append-only table of texts for names, behaviours and applications.
//!
//! Owns: the texts of one node. Invariants: Y1 a symbol, once given out, means the same text for ever. Y2 one text has
//! one symbol. Y3 a symbol found in the map has its text in the table: the text is stored first. 0 is no symbol.
//! Threads: all; reads take no lock. Cost: text by symbol is three loads; symbol by text one hash and a lock-free
//! lookup; only a text never seen before takes the lock and allocates. Nothing is ever removed: intern what has few
//! values (names, types), not what users make up per message.

#[expect(clippy::disallowed_types, reason = "taken only for a text never seen before")]
use std::sync::Mutex;
use std::sync::{Arc, OnceLock, PoisonError};

use thiserror::Error;

/// Symbols of one node, including "none".
pub const MAX_SYMBOLS: u32 = 1 << 20;
/// Longest text of a symbol, in bytes.
pub const MAX_SYMBOL_BYTES: usize = 4096;

const CHUNK: usize = 1024;
const CHUNKS: usize = MAX_SYMBOLS as usize / CHUNK;

/// A text of one node's table; meaningful in this process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

impl Symbol {
    /// No text.
    pub const NONE: Self = Self(0);
}

/// Why a text got no symbol. A retry is pointless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// The table is full.
    #[error(
        "the node already has {limit} different names: names made up at run time do not belong here, reuse them"
    )]
    Full {
        /// The limit, in texts.
        limit: u32,
    },
    /// The text is too long.
    #[error("the name has {bytes} bytes, at most {limit} are allowed: shorten it")]
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

type Chunk = Box<[OnceLock<Arc<str>>]>;

/// The texts of one node.
#[derive(Debug)]
pub struct Symbols {
    chunks: Box<[OnceLock<Chunk>]>,
    by_text: papaya::HashMap<Arc<str>, u32>,
    /// The next symbol to give out.
    #[expect(clippy::disallowed_types, reason = "taken only for a text never seen before")]
    next: Mutex<u32>,
    limit: u32,
}

impl Default for Symbols {
    fn default() -> Self {
        Self::new(MAX_SYMBOLS)
    }
}

impl Symbols {
    /// An empty table for fewer than `limit` texts, at most [`MAX_SYMBOLS`].
    #[must_use]
    #[expect(clippy::disallowed_types, reason = "taken only for a text never seen before")]
    pub fn new(limit: u32) -> Self {
        Self {
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            by_text: papaya::HashMap::new(),
            next: Mutex::new(1),
            limit: limit.min(MAX_SYMBOLS),
        }
    }

    /// The symbol of a text, a new one if it has none; the empty text is [`Symbol::NONE`].
    ///
    /// # Errors
    /// [`SymbolError`] when the text is too long, or new and the table full.
    pub fn intern(&self, text: &str) -> Result<Symbol, SymbolError> {
        if let Some(symbol) = self.find(text) {
            return Ok(symbol);
        }
        // LIMIT: length of one text.
        if text.len() > MAX_SYMBOL_BYTES {
            return Err(SymbolError::TooLong { bytes: text.len(), limit: MAX_SYMBOL_BYTES });
        }
        // A panic of another thread in here left at worst a text without a number.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(symbol) = self.find(text) {
            return Ok(symbol);
        }
        // LIMIT: texts of a node.
        if *next >= self.limit {
            return Err(SymbolError::Full { limit: self.limit });
        }
        let index = *next as usize;
        let chunk = self.chunks[index / CHUNK].get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        let text = chunk[index % CHUNK].get_or_init(|| Arc::from(text));
        self.by_text.pin().insert(Arc::clone(text), *next);
        *next += 1;
        Ok(Symbol(index as u32))
    }

    /// The symbol of a text, if it has one.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Symbol> {
        if text.is_empty() {
            return Some(Symbol::NONE);
        }
        self.by_text.pin().get(text).copied().map(Symbol)
    }

    /// The text of a symbol; `None` for [`Symbol::NONE`] and for numbers never given out.
    #[must_use]
    pub fn text(&self, symbol: Symbol) -> Option<&str> {
        let index = symbol.0 as usize;
        let text = self.chunks.get(index / CHUNK)?.get()?.get(index % CHUNK)?.get()?;
        Some(text)
    }

    /// Texts that have a symbol.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_text.pin().len()
    }

    /// Whether no text has a symbol.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::{CHUNK, MAX_SYMBOL_BYTES, MAX_SYMBOLS, Symbol, SymbolError, Symbols};

    #[test]
    fn one_text_one_symbol_for_ever() {
        let symbols = Symbols::default();
        let count = 3 * CHUNK as u32;
        for number in 0..count {
            assert_eq!(symbols.intern(&format!("name {number}")), Ok(Symbol(number + 1)));
        }
        for number in 0..count {
            let text = format!("name {number}");
            assert_eq!(symbols.text(Symbol(number + 1)), Some(text.as_str()));
            assert_eq!(
                (symbols.find(&text), symbols.intern(&text)),
                (Some(Symbol(number + 1)), Ok(Symbol(number + 1)))
            );
        }
        assert_eq!(symbols.len(), count as usize);
    }

    #[test]
    fn none_and_unknown_have_no_text() {
        let symbols = Symbols::default();
        assert_eq!((symbols.intern(""), symbols.find("a")), (Ok(Symbol::NONE), None));
        for number in [0, 1, MAX_SYMBOLS - 1, MAX_SYMBOLS, u32::MAX] {
            assert_eq!(symbols.text(Symbol(number)), None);
        }
    }

    #[test]
    fn limits_are_typed_refusals() {
        let symbols = Symbols::new(3);
        let long = "x".repeat(MAX_SYMBOL_BYTES + 1);
        assert!(
            matches!(symbols.intern(&long), Err(SymbolError::TooLong { bytes, .. }) if bytes == long.len())
        );
        assert_eq!(symbols.intern("a"), Ok(Symbol(1)));
        assert_eq!(symbols.intern(&long[1..]), Ok(Symbol(2)));
        assert_eq!(symbols.intern("b"), Err(SymbolError::Full { limit: 3 }));
        assert_eq!(symbols.intern("a"), Ok(Symbol(1)), "old ones stay");
    }

    #[test]
    fn threads_that_race_for_a_text_agree() {
        let symbols = Symbols::default();
        let intern_all = || (0..500).map(|n| symbols.intern(&format!("n{n}")).unwrap()).collect::<Vec<_>>();
        let (left, right) = std::thread::scope(|scope| {
            let other = scope.spawn(intern_all);
            (intern_all(), other.join().unwrap())
        });
        assert_eq!((left, symbols.len()), (right, 500));
    }
}
