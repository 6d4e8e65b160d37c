//! What an actor tells diagnostics about itself.

use std::fmt::Display;

/// Largest number of entries one answer holds; further ones are counted in `truncated`.
const MAX_ENTRIES: usize = 256;
/// Largest value in bytes; longer ones are cut.
const MAX_VALUE_BYTES: usize = 4096;

/// Collects the values an actor reports. Bounded: 256 entries, 4 KiB each.
#[derive(Debug, Default)]
pub struct Inspect {
    items: Vec<String>,
    entries: Vec<(String, String)>,
    truncated: usize,
}

impl Inspect {
    pub(crate) fn new(items: Vec<String>) -> Self {
        Self { items, entries: Vec::new(), truncated: 0 }
    }

    /// The items that were asked for; empty means everything.
    #[must_use]
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Reports a value.
    pub fn set(&mut self, key: &str, value: impl Display) {
        if self.entries.len() == MAX_ENTRIES {
            self.truncated += 1;
            return;
        }
        let mut text = value.to_string();
        if text.len() > MAX_VALUE_BYTES {
            let end = (0..=MAX_VALUE_BYTES).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
        }
        self.entries.push((key.to_owned(), text));
    }

    /// Reports a value of one of the runtime's own behaviours, under both spellings of Ergo: bare, and with `ergo:` before it.
    pub(crate) fn set_base(&mut self, key: &str, value: impl Display) {
        self.set(key, &value);
        self.set(&["ergo:", key].concat(), value);
    }

    pub(crate) fn into_entries(mut self) -> Vec<(String, String)> {
        if self.truncated > 0 {
            self.entries.push(("truncated".to_owned(), self.truncated.to_string()));
        }
        if !self.items.is_empty() && self.items.iter().all(|item| item != "help") {
            let items = std::mem::take(&mut self.items);
            let known = items.iter().any(|item| self.entries.iter().any(|(key, _)| key == item));
            if known {
                self.entries.retain(|(key, _)| items.contains(key));
            }
            for item in items {
                if !self.entries.iter().any(|(key, _)| *key == item) {
                    self.entries.push((item, "<unknown item>".to_owned()));
                }
            }
        }
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::Inspect;

    #[test]
    fn items_select_and_unknown_ones_are_named() {
        let mut out = Inspect::new(vec!["a".into(), "c".into()]);
        out.set("a", 1);
        out.set("b", 2);
        assert_eq!(out.into_entries(), [("a".into(), "1".into()), ("c".into(), "<unknown item>".into())]);
    }

    #[test]
    fn an_answer_is_bounded() {
        let mut out = Inspect::new(vec![]);
        for index in 0..300 {
            out.set(&format!("k{index}"), "é".repeat(4096));
        }
        let entries = out.into_entries();
        assert_eq!(entries.len(), 257);
        assert_eq!(entries[256], ("truncated".into(), "44".into()));
        assert!(entries[0].1.len() <= 4096);
    }
}
