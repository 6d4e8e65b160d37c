//! Ports that nobody listens on.
//!
//! Owns: asking the kernel. A port is free when it is returned; between then and its use another process may take it,
//! so prefer port 0 in the node itself, and this only where the number must be known before the start.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// One port on loopback.
///
/// # Errors
/// If the kernel has none.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// `count` distinct ports on loopback.
///
/// # Errors
/// If the kernel has not so many.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held until the last is known, so none comes twice.
    let listeners = (0..count).map(bind).collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::{free_port, free_ports};
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    #[test]
    fn ports_are_distinct_and_can_be_bound() {
        let ports = free_ports(20).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        TcpListener::bind(("127.0.0.1", free_port().unwrap())).unwrap();
    }
}
