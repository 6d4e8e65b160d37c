//! The parser of streams of events: fields, ends of lines, limits, and that it does not matter how the bytes were cut.

use super::{Bounds, Parsed, Parser};
use crate::error::IoEnd;
use proptest::prelude::{any, prop, proptest};
use std::time::Duration;

const BOUNDS: Bounds = Bounds { line: 1000, event: 1000 };

/// All events of these pieces, why it ended if it did, and what the parser has then.
fn all(bounds: Bounds, pieces: &[&[u8]]) -> (Vec<Parsed>, Option<IoEnd>, Parser) {
    let (mut parser, mut events) = (Parser::new(bounds, None), Vec::new());
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(end) => return (events, Some(end), parser),
            }
        }
        assert!(parser.rest.len() <= bounds.line && parser.data.len() <= bounds.event, "E1");
    }
    (events, None, parser)
}

fn events(text: &[u8]) -> Vec<Parsed> {
    let (events, end, _) = all(BOUNDS, &[text]);
    assert_eq!(end, None);
    events
}

fn event(event: &str, data: &str, last_id: Option<&str>) -> Parsed {
    Parsed { event: event.to_owned(), data: data.to_owned(), last_id: last_id.map(Into::into) }
}

#[test]
fn an_event_has_a_name_lines_of_data_and_an_id() {
    let text = b": hello\nevent: tick\nid: 7\ndata: one\ndata:two\ndata\n\ndata: next\n\n";
    assert_eq!(events(text), [event("tick", "one\ntwo\n", Some("7")), event("message", "next", Some("7"))]);
}

#[test]
fn one_space_after_the_colon_is_no_part_of_the_value() {
    assert_eq!(events(b"data:  two: three\n\n"), [event("message", " two: three", None)]);
}

#[test]
fn a_blank_line_without_data_is_no_event_and_still_takes_its_id() {
    assert_eq!(events(b"event: lost\nid: 4\n\n\n\ndata: a\n\n"), [event("message", "a", Some("4"))]);
    assert_eq!(events(b"data\n\n"), [event("message", "", None)], "empty data is data");
}

#[test]
fn an_id_counts_with_the_blank_line_after_it() {
    let (_, _, parser) = all(BOUNDS, &[b"id: 1\ndata: a\n\nid: 2\ndata: b\n"]);
    assert_eq!(parser.last_id().map(AsRef::as_ref), Some("1"));
    assert_eq!(events(b"id: 1\nid: a\0b\ndata: a\n\n"), [event("message", "a", Some("1"))]);
    assert_eq!(events(b"id: 1\nid\ndata: a\n\n"), [event("message", "a", Some(""))], "an id is taken back");
}

#[test]
fn all_ends_of_lines_are_known_also_mixed_and_cut_through() {
    let expected = [event("message", "a\nb", None), event("message", "c", None)];
    for text in ["data: a\ndata: b\n\ndata: c\n\n", "data: a\rdata: b\r\rdata: c\r\r"] {
        assert_eq!(events(text.as_bytes()), expected);
        assert_eq!(events(text.replace(['\n', '\r'], "\r\n").as_bytes()), expected);
    }
    assert_eq!(events(b"data: a\r\ndata: b\n\rdata: c\n\r\n"), expected);
    // A carriage return at the end of a piece ends its line at once: the event is not held back.
    let (found, _, _) = all(BOUNDS, &[b"data: a\r\r", b"\n", b"data: b\r\n\r", b"\ndata: c\n\n"]);
    assert_eq!(found.len(), 3);
}

#[test]
fn a_byte_order_mark_is_skipped_once() {
    assert_eq!(events(b"\xef\xbb\xbfdata: a\n\n"), [event("message", "a", None)]);
    let (found, _, _) = all(BOUNDS, &[b"\xef", b"\xbb", b"\xbfdata: a\n\n"]);
    assert_eq!(found, [event("message", "a", None)]);
    assert_eq!(events(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n"), [event("message", "b", None)]);
}

#[test]
fn what_is_no_utf_8_is_replaced() {
    assert_eq!(events(b"data: a\xffb\xc3\n\n"), [event("message", "a\u{fffd}b\u{fffd}", None)]);
}

#[test]
fn a_pause_is_digits_and_nothing_else() {
    for (text, retry) in [
        ("retry: 250\n", Some(Duration::from_millis(250))),
        ("retry:99999999999999999999\n", Some(Duration::from_millis(u64::MAX))),
        ("retry: -1\n", None),
        ("retry: 1.5\n", None),
        ("retry\n", None),
    ] {
        let (_, _, mut parser) = all(BOUNDS, &[text.as_bytes()]);
        assert_eq!((parser.take_retry(), parser.take_retry()), (retry, None), "{text}");
    }
}

#[test]
fn a_line_and_an_event_have_a_limit() {
    let bounds = Bounds { line: 10, event: 12 };
    assert!(all(bounds, &[b"data: 1234\n\n"]).1.is_none());
    for text in ["data: 12345\n\n", "data: 123456789", ":2345678901"] {
        let end = all(bounds, &[text.as_bytes()]).1;
        assert!(matches!(end, Some(IoEnd::TooLarge { limit: 10, .. })), "{text}: {end:?}");
    }
    assert!(all(bounds, &[b"data: 1234\ndata: 1234\n\n"]).1.is_none());
    let end = all(bounds, &["data: 1\n".repeat(7).as_bytes()]).1;
    assert_eq!(end, Some(IoEnd::TooLarge { length: 13, limit: 12 }));
    let end = all(bounds, &[b"data: \xff\xff\xff\n", b"data: \xff\xff\n\n"]).1;
    assert!(matches!(end, Some(IoEnd::TooLarge { limit: 12, .. })), "what it has become counts");
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_events(
        words in prop::collection::vec(
            prop::sample::select(vec![
                &b"data: "[..], b"data", b"event: x", b"id: 1", b"id:", b"retry: 5", b":", b"\n", b"\r", b"\r\n", b"\n\n",
                b"\xef\xbb\xbf", b"\xff", "é".as_bytes(), b"\0", b" ", b"0123456789",
            ]),
            0..60,
        ),
        noise in any::<bool>(),
        cuts in prop::collection::vec(0_usize..400, 0..12),
    ) {
        let bounds = if noise { Bounds { line: 24, event: 30 } } else { BOUNDS };
        let bytes = words.concat();
        let (whole, end, mut parser) = all(Bounds { ..bounds }, &[&bytes]);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut begin = 0;
        let pieces: Vec<&[u8]> = cuts
            .into_iter()
            .map(|cut| &bytes[std::mem::replace(&mut begin, cut)..cut])
            .collect();
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        for pieces in [pieces, bytewise] {
            let (found, last, mut other) = all(bounds, &pieces);
            assert_eq!(found, whole);
            // A line that is too long may be seen before all of it has come.
            assert_eq!(last.is_some(), end.is_some());
            assert_eq!(other.last_id(), parser.last_id());
            if end.is_none() {
                assert_eq!(other.take_retry(), parser.retry);
            }
        }
        parser.take_retry();
    }
}
