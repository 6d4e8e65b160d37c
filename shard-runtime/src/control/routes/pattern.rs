//! What a route is for: one node, or all whose names match.
//!
//! Invariants: P1 a pattern matches a whole name. P2 matching takes time in proportion to name times pieces, whatever the pattern.

use shard_wire::NodeName;

/// Most bytes of a pattern.
const MAX_PATTERN_BYTES: usize = 255;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// This node.
    Exact(NodeName),
    /// Names that begin and end so, and have the rest between, in order.
    Glob { first: Box<str>, between: Box<[Box<str>]>, last: Box<str> },
}

impl Pattern {
    /// Compiles a text; `None` if it is neither a name nor a pattern of names.
    pub(super) fn new(text: &str) -> Option<Self> {
        if !text.contains('*') {
            return NodeName::new(text).ok().map(Self::Exact);
        }
        let is_fit = text.len() <= MAX_PATTERN_BYTES
            && !text.contains(char::is_control)
            && text.bytes().filter(|byte| *byte == b'@').count() <= 1;
        if !is_fit {
            return None;
        }
        let (first, rest) = text.split_once('*')?;
        let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let between = between.split('*').filter(|piece| !piece.is_empty()).map(Into::into).collect();
        Some(Self::Glob { first: first.into(), between, last: last.into() })
    }

    pub(super) fn matches(&self, node: &NodeName) -> bool {
        match self {
            Self::Exact(name) => name == node,
            Self::Glob { first, between, last } => {
                let rest = node.as_str().strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
                let Some(mut rest) = rest else { return false };
                between.iter().all(|piece| {
                    let after = rest.split_once(&**piece).map(|(_, after)| after);
                    rest = after.unwrap_or_default();
                    after.is_some()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use shard_wire::NodeName;

    fn matches(pattern: &str, node: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(&NodeName::new(node).unwrap())
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        assert!(matches("a@h", "a@h") && !matches("a@h", "a@host") && !matches("a@h", "aa@h"));
        assert!(
            matches("*", "a@h") && matches("a*", "a@h") && matches("*@h", "b@h") && matches("a@*", "a@h")
        );
        assert!(matches("w-*@*.example.com", "w-17@eu.example.com"));
        assert!(!matches("w-*@*.example.com", "w-17@eu.example.com.evil"));
        assert!(!matches("w-*@*.example.com", "x-w-17@eu.example.com"));
        assert!(matches("*a*b*@*", "xaxbx@h") && !matches("*a*b*@*", "xbxax@h"));
        assert!(!matches("ab*ba@h", "aba@h"), "a piece is not used twice");
        assert!(matches("**@h", "a@h"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "a", "a@b@c", "*@*@*", "a\n*", &"*".repeat(256)] {
            assert!(Pattern::new(text).is_none(), "{text}");
        }
    }
}
