//! A blocking HTTP/1.1 `GET` for what a node serves about itself, and a look into its metrics.
//!
//! Owns: as much of the protocol as our own server speaks: one request, one connection, a body up to the end.
//! Invariant: H1 every wait has a limit, and an answer a bound.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// LIMIT: larger than any page of ours.
const PAGE_BYTES: u64 = 16 << 20;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks for a page. `within` limits the connect and each wait for bytes.
///
/// # Errors
/// The connection failed or timed out, or the answer is not HTTP.
pub fn get(to: SocketAddr, path: &str, within: Duration) -> io::Result<Page> {
    let mut stream = TcpStream::connect_timeout(&to, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.take(PAGE_BYTES).read_to_string(&mut text)?;
    parse(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{to} does not speak HTTP")))
}

fn parse(text: &str) -> Option<Page> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, body: body.to_owned() })
}

/// Samples of one family on a page of metrics: the value of `label`, or nothing where it is missing, and the sample.
pub fn samples<'a>(page: &'a str, family: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(family)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest.strip_prefix(' ').map(|_| rest)?),
        };
        let value = value.split_whitespace().next()?.parse().ok()?;
        let of_label = labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\""));
        Some((of_label.map_or("", |text| text.trim_end_matches('"')), value))
    })
}

#[cfg(test)]
mod tests {
    use super::{Page, parse, samples};

    #[test]
    fn an_answer_is_split_and_noise_refused() {
        let page = parse("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\n{}");
        assert_eq!(page, Some(Page { status: 503, body: "{}".to_owned() }));
        assert_eq!(parse("SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(parse("HTTP/1.1 abc\r\n\r\n"), None);
    }

    #[test]
    fn samples_are_found_by_family_and_label() {
        let page = "# TYPE in_total counter\nin_total{node=\"a@h\",remote_node=\"b@h\"} 5\n\
                    in_total{node=\"a@h\",remote_node=\"c@h\"} 7.5\nin_total_other 3\nup 1\n";
        let found: Vec<_> = samples(page, "in_total", "remote_node").collect();
        assert_eq!(found, [("b@h", 5.0), ("c@h", 7.5)]);
        assert_eq!(samples(page, "up", "x").collect::<Vec<_>>(), [("", 1.0)]);
    }
}
