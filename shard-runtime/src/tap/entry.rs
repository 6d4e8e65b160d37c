//! One line on its way from the thread that writes it to the log thread: fixed size, no allocation up to [`INLINE`] bytes.

use crate::shard::LogLevel;
use shard_wire::NodeName;
use std::fmt::Write;
use std::sync::Arc;

/// Bytes of a text that need no allocation.
const INLINE: usize = 200;
/// Bytes of a text; the rest is cut off.
const MAX_TEXT: usize = 64 << 10;

/// A text that is written once.
pub(crate) struct Text {
    len: u8,
    inline: [u8; INLINE],
    /// All of it, once it is longer.
    long: Option<String>,
}

const _: () = assert!(INLINE <= u8::MAX as usize);

impl Default for Text {
    fn default() -> Self {
        Self { len: 0, inline: [0; INLINE], long: None }
    }
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        match &self.long {
            Some(long) => long,
            // Whole strings were put into it, so it is one.
            None => std::str::from_utf8(&self.inline[..usize::from(self.len)]).unwrap_or_default(),
        }
    }
}

impl Write for Text {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let (begin, end) = (usize::from(self.len), usize::from(self.len) + part.len());
        if self.long.is_none()
            && let Some(free) = self.inline.get_mut(begin..end)
        {
            free.copy_from_slice(part.as_bytes());
            self.len = end as u8;
            return Ok(());
        }
        let so_far = if self.long.is_none() { self.as_str().to_owned() } else { String::new() };
        let long = self.long.get_or_insert(so_far);
        // LIMIT: length of a text.
        let room = MAX_TEXT.saturating_sub(long.len());
        long.push_str(&part[..part.floor_char_boundary(room)]);
        Ok(())
    }
}

/// Who writes.
#[derive(Clone)]
pub(crate) enum Writer {
    Node,
    Network { peer: Option<NodeName> },
    Application { name: Arc<str> },
    Process { local: u64, name: u32, behavior: &'static str },
}

/// A line in a queue.
pub(crate) struct Entry {
    pub(crate) level: LogLevel,
    /// Ticks of the node's clock.
    pub(crate) at: u64,
    pub(crate) writer: Writer,
    /// The only logger that gets it, as a symbol; 0 for all.
    pub(crate) only: u32,
    /// How many loggers had been deleted when it was queued; the queue says.
    pub(crate) deletions: u32,
    pub(crate) text: Text,
    pub(crate) fields: Vec<(&'static str, String)>,
}

#[cfg(test)]
mod tests {
    use super::{INLINE, MAX_TEXT, Text};
    use std::fmt::Write;

    #[test]
    fn short_texts_stay_inline_and_long_ones_are_whole_up_to_the_limit() {
        let mut text = Text::default();
        let (one, two) = (1, "two");
        write!(text, "{one}-{two}").unwrap();
        assert_eq!((text.as_str(), text.long.is_none()), ("1-two", true));
        let mut text = Text::default();
        text.write_str(&"x".repeat(INLINE)).unwrap();
        assert_eq!((text.as_str().len(), text.long.is_none()), (INLINE, true));
        text.write_str("yz").unwrap();
        text.write_str("!").unwrap();
        assert_eq!(text.as_str(), format!("{}yz!", "x".repeat(INLINE)));
        for _ in 0..40_000 {
            text.write_str("é").unwrap();
        }
        assert!(text.as_str().len() <= MAX_TEXT && text.as_str().len() > MAX_TEXT - 3);
    }
}
