//! Blanks out what is not code: comments, strings, characters.
//!
//! Owns: as much of Rust's lexical grammar as it takes to tell code from the rest: nested block comments, escaped,
//! raw, byte and C strings, character literals against lifetimes.
//! Invariant: S1 the result has the same number of characters and the same line breaks as the text, so positions carry
//! over.

/// `text` with every comment and the inside of every literal replaced by spaces.
pub(super) fn blank(text: &str) -> String {
    let mut scanner =
        Scanner { chars: text.chars().collect(), at: 0, out: String::with_capacity(text.len()) };
    scanner.run();
    scanner.out
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        self.out.extend(self.peek(0));
        self.at += 1;
    }

    fn hide(&mut self) {
        self.out.extend(self.peek(0).map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.at += 1;
    }

    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('\'', _) => self.quote(),
                _ if c.is_alphanumeric() || c == '_' => self.word(),
                _ => self.keep(),
            }
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.hide();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.hide();
                    continue;
                }
            }
            self.hide();
            self.hide();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.keep(),
                '\\' => {
                    self.hide();
                    self.hide();
                }
                _ => self.hide(),
            }
        }
    }

    /// A character literal, or the tick of a lifetime.
    fn quote(&mut self) {
        let literal = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        self.keep();
        if !literal {
            return;
        }
        if self.peek(0) == Some('\\') {
            self.hide();
        }
        self.hide();
        while self.peek(0).is_some_and(|c| c != '\'') {
            self.hide();
        }
        self.keep();
    }

    /// An identifier or a number; or the prefix of a raw string, which no identifier continues.
    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
            self.keep();
        }
        let word: String = self.chars[start..self.at].iter().collect();
        if matches!(word.as_str(), "r" | "br" | "cr") {
            let mut hashes = 0;
            while self.peek(hashes) == Some('#') {
                hashes += 1;
            }
            if self.peek(hashes) == Some('"') {
                self.raw_string(hashes);
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        for _ in 0..=hashes {
            self.keep();
        }
        while self.peek(0).is_some() {
            if self.peek(0) == Some('"') && (1..=hashes).all(|i| self.peek(i) == Some('#')) {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.hide();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::blank;

    fn words(text: &str) -> Vec<String> {
        let code = blank(text);
        assert_eq!(code.chars().count(), text.chars().count(), "S1: {code}");
        assert_eq!(code.lines().count(), text.lines().count(), "S1: {code}");
        code.split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|w| !w.is_empty())
            .map(Into::into)
            .collect()
    }

    #[test]
    fn comments_are_blank_also_when_nested() {
        assert_eq!(words("a // no\nb /* no /* no */ no */ c /// no\n//! no\nd"), ["a", "b", "c", "d"]);
        assert_eq!(words("a /* never closed"), ["a"]);
    }

    #[test]
    fn strings_are_blank_also_escaped_raw_and_open() {
        assert_eq!(words(r#"a "no \" no" b b"no" c"no" d"#), ["a", "b", "b", "c", "d"]);
        assert_eq!(
            words("a r\"no\\\" b r#\"no \" no\"# c br##\"no \"# no\"## d"),
            ["a", "r", "b", "r", "c", "br", "d"]
        );
        assert_eq!(words("a \"// no\" b"), ["a", "b"]);
        assert_eq!(words("a \"never closed"), ["a"]);
    }

    #[test]
    fn characters_are_blank_and_lifetimes_are_not() {
        assert_eq!(
            words(r"fn f<'a>(x: &'a str) { '\'' ; '\u{41}' ; 'n' ; b'n' ; '\\' }"),
            ["fn", "f", "a", "x", "a", "str", "b"]
        );
        assert_eq!(words("'\"' a '\"' b"), ["a", "b"]);
        assert_eq!(words("r#type x"), ["r", "type", "x"]);
    }
}
