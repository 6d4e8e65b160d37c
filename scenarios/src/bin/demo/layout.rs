//! Who listens where.
//!
//! Invariant: L1 no port is given out twice.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};

/// Addresses of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) wire: SocketAddr,
    pub(crate) radar: SocketAddr,
    /// Only the first node has one; the others answer through it.
    pub(crate) mcp: Option<SocketAddr>,
}

/// Addresses of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) places: Vec<Place>,
    pub(crate) registrar: SocketAddr,
}

/// The ports do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--ports-from {from} leaves no room for {needed} ports below 65536; use at most {}", 65_536 - needed)]
pub(crate) struct NoRoom {
    from: u16,
    needed: u32,
}

impl Layout {
    /// The usual ports, or consecutive ones.
    pub(crate) fn new(nodes: u16, from: Option<u16>) -> Result<Self, NoRoom> {
        let needed = 2 + 2 * u32::from(nodes);
        if let Some(from) = from
            && u32::from(from) + needed > 65_536
        {
            return Err(NoRoom { from, needed });
        }
        let (registrar, mcp, wire, radar) = match from {
            None => (4499, 9922, 11_144, 19_090),
            // Nodes count from 1.
            Some(from) => (from, from + 1, from + 1, from + 1 + nodes),
        };
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let place = |i: u16| Place {
            name: format!("demo@cluster-node{i}"),
            wire: at(wire + i),
            radar: at(radar + i),
            mcp: (i == 1).then(|| at(mcp)),
        };
        Ok(Self { places: (1..=nodes).map(place).collect(), registrar: at(registrar) })
    }

    /// Every address, and for what.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (String, SocketAddr)> {
        let of = |place: &Place| {
            let name = place.name.clone();
            let mcp = place.mcp.map(|address| (format!("MCP of {name}"), address));
            [(format!("links of {name}"), place.wire), (format!("metrics of {name}"), place.radar)]
                .into_iter()
                .chain(mcp)
        };
        std::iter::once(("the registrar".to_owned(), self.registrar)).chain(self.places.iter().flat_map(of))
    }

    /// What a person needs to look around.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("  {:<22} {:<17} {:<32} {}", "node", "links", "metrics", "health");
        for place in &self.places {
            let Place { name, wire, radar, .. } = place;
            let (wire, metrics) = (wire.to_string(), format!("http://{radar}/metrics"));
            // Writing into a text cannot fail.
            let _ = write!(table, "\n  {name:<22} {wire:<17} {metrics:<32} http://{radar}/health/ready");
        }
        if let Some(mcp) = self.places.iter().find_map(|place| place.mcp) {
            let _ = write!(table, "\n\n  MCP for all nodes: http://{mcp}/mcp\n");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_comes_twice() {
        for layout in [Layout::new(5, None), Layout::new(32, None), Layout::new(32, Some(65_470))] {
            let ports: Vec<u16> = layout.unwrap().addresses().map(|(_, address)| address.port()).collect();
            assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len(), "{ports:?}");
        }
        Layout::new(32, Some(65_471)).unwrap_err();
    }

    #[test]
    fn the_usual_ports_are_those_of_the_documents() {
        let layout = Layout::new(5, None).unwrap();
        let last = &layout.places[4];
        assert_eq!((last.wire.port(), last.radar.port(), last.mcp), (11_149, 19_095, None));
        assert_eq!(layout.places[0].mcp.unwrap().port(), 9922);
        assert_eq!(layout.registrar.port(), 4499);
    }
}
