//! Whether ports are free, and who holds those that are not.
//!
//! Owns: binding each port once, and reading `/proc` for the holder. A holder that belongs to another user cannot be told.

use crate::layout::Layout;
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Ports that are taken.
#[derive(Debug)]
pub(crate) struct Taken(Vec<Conflict>);

#[derive(Debug)]
struct Conflict {
    purpose: String,
    address: SocketAddr,
    source: io::Error,
    holder: Option<String>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing was started, because these addresses cannot be used:")?;
        for Conflict { purpose, address, source, holder } in &self.0 {
            write!(f, "\n  {address} for {purpose}: {source}")?;
            if let Some(holder) = holder {
                write!(f, ", held by {holder}")?;
            }
        }
        f.write_str("\nstop what holds them, or choose others with --ports-from")
    }
}

impl std::error::Error for Taken {}

/// Tries every port of the layout.
pub(crate) fn all_free(layout: &Layout) -> Result<(), Taken> {
    let mut held = Vec::new();
    let mut taken = Vec::new();
    for (purpose, address) in layout.addresses() {
        match TcpListener::bind(address) {
            // Kept until all are tried.
            Ok(listener) => held.push(listener),
            Err(source) => taken.push(Conflict { purpose, address, source, holder: holder(address.port()) }),
        }
    }
    if taken.is_empty() { Ok(()) } else { Err(Taken(taken)) }
}

/// The program that listens on a port, as `name (process 12)`.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| listening_inode(line, port).map(str::to_owned))
    })?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    processes.into_iter().find_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(process.path().join("fd")).ok()?;
        let mut links = files.filter_map(Result::ok).filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| link.as_os_str() == wanted.as_str()).then_some(())?;
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some(format!("{} (process {id})", name.trim()))
    })
}

/// The socket of one line of the kernel's table, if it listens on the port.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let mut words = line.split_whitespace();
    let (_, of_line) = words.nth(1)?.rsplit_once(':')?;
    let is_ours = u16::from_str_radix(of_line, 16) == Ok(port);
    let state = words.nth(1)?;
    if is_ours && state == LISTEN { words.nth(5) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{all_free, listening_inode};
    use crate::layout::Layout;
    use std::net::TcpListener;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = "   0: 0100007F:2B89 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77001 1 0";
        assert_eq!(listening_inode(line, 0x2B89), Some("77001"));
        assert_eq!(listening_inode(line, 0x2B88), None);
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 "), 0x2B89), None);
    }

    #[test]
    fn a_taken_port_is_named_with_purpose_and_holder() {
        let (_held, layout) = (1..100_u16)
            .find_map(|step| {
                let from = 20_000 + step * 400;
                let held = TcpListener::bind(("127.0.0.1", from + 2)).ok()?;
                Some((held, Layout::new(2, Some(from)).unwrap()))
            })
            .expect("a free port");
        let text = all_free(&layout).unwrap_err().to_string();
        let port = layout.places[0].wire.port();
        assert!(text.contains(&format!("127.0.0.1:{port} for links of demo@cluster-node1")), "{text}");
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
    }
}
