//! What this node does for others: processes it starts, applications it starts and stops, and for whom.
//!
//! Invariants: O1 who is not named, or is denied, is refused; a list that is empty allows nobody. O2 the tables are bounded.
//! Threads: all; nothing here takes a lock. Cost: one lock-free look-up per request.

use crate::actor::SpawnOptions;
use crate::error::{EnableError, SpawnError};
use crate::link::version::earlier;
use crate::shard::{Origin, Shard};
use shard_wire::limits::MAX_NAME_BYTES;
use shard_wire::{Erased, MessageKey, NodeName, Pid, WireOps};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most names in each table.
const MAX_OFFERS: usize = 1024;
/// Most nodes on one list.
const MAX_PEERS: usize = 1024;

/// Which nodes may ask for something. Who is denied stays denied, whatever else the list says; who is not named is allowed
/// only by [`Peers::anyone`]. A list without names allows nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    all: bool,
    nodes: BTreeMap<Box<str>, bool>,
}

impl Peers {
    /// No node.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Every node in session with this one, except those that are denied.
    #[must_use]
    pub fn anyone() -> Self {
        Self { all: true, nodes: BTreeMap::new() }
    }

    /// These nodes only, by their names.
    #[must_use]
    pub fn only(nodes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        nodes.into_iter().fold(Self::default(), |peers, node| peers.allow(node.as_ref()))
    }

    /// Allows a node, unless it is denied.
    #[must_use]
    pub fn allow(mut self, node: &str) -> Self {
        self.nodes.entry(node.into()).or_insert(true);
        self
    }

    /// Denies a node for good.
    #[must_use]
    pub fn deny(mut self, node: &str) -> Self {
        self.nodes.insert(node.into(), false);
        self
    }

    /// Whether a node may.
    #[must_use]
    pub fn allows(&self, node: &str) -> bool {
        self.nodes.get(node).copied().unwrap_or(self.all)
    }

    fn check(&self) -> Result<(), EnableError> {
        // LIMIT: O2.
        if self.nodes.len() > MAX_PEERS {
            return Err(EnableError::Limit(MAX_PEERS));
        }
        let bad = self.nodes.keys().find(|node| NodeName::new(node).is_err());
        bad.map_or(Ok(()), |node| Err(EnableError::BadNode(node.clone())))
    }
}

/// Told when a start is done.
pub(crate) type Started = Box<dyn FnOnce(&Shard, Result<Pid, SpawnError>)>;
type Start = dyn Fn(&Shard, Erased, &SpawnOptions, Origin, Started) + Send + Sync;

/// A process that this node starts for others.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) name: Arc<str>,
    /// The arguments.
    pub(crate) args: &'static WireOps,
    pub(crate) peers: Peers,
    /// Starts it on the shard it is called on.
    pub(crate) start: Arc<Start>,
}

impl Offer {
    /// What reads arguments of this key, also those of an earlier version; `None`: they are others.
    pub(crate) fn reads(&self, key: MessageKey) -> Option<&'static WireOps> {
        std::iter::once(self.args).chain(earlier(self.args)).find(|ops| ops.key() == key)
    }
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("name", &self.name).field("peers", &self.peers).finish_non_exhaustive()
    }
}

/// What one other node may ask this node for, of whatever name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) spawns: bool,
    pub(crate) app_starts: bool,
    pub(crate) app_stops: bool,
}

/// Everything that others may ask this node for.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    spawns: papaya::HashMap<Arc<str>, Arc<Offer>>,
    app_starts: papaya::HashMap<Arc<str>, Arc<Peers>>,
    app_stops: papaya::HashMap<Arc<str>, Arc<Peers>>,
}

impl Offers {
    /// Offers a process.
    pub(crate) fn enable_spawn(&self, offer: Offer) -> Result<(), EnableError> {
        offer.peers.check()?;
        let name = Arc::clone(&offer.name);
        enable(&self.spawns, &name, Arc::new(offer))
    }

    /// Offers a process no more.
    pub(crate) fn disable_spawn(&self, name: &str) -> Result<(), EnableError> {
        disable(&self.spawns, name)
    }

    /// Denies a process to a node.
    pub(crate) fn deny_spawn(&self, name: &str, node: &str) -> Result<(), EnableError> {
        deny(&self.spawns, name, |offer| {
            let peers = offer.peers.clone().deny(node);
            peers.check().map(|()| Offer { peers, ..offer.clone() })
        })
    }

    /// A process that is offered.
    pub(crate) fn spawn(&self, name: &str) -> Option<Arc<Offer>> {
        self.spawns.pin().get(name).cloned()
    }

    /// What a node may ask for. For tools: it looks through the tables.
    pub(crate) fn rights_of(&self, node: &str) -> Rights {
        let any = |stops| self.apps(stops).pin().values().any(|peers| peers.allows(node));
        Rights {
            spawns: self.spawns.pin().values().any(|offer| offer.peers.allows(node)),
            app_starts: any(false),
            app_stops: any(true),
        }
    }

    fn apps(&self, stops: bool) -> &papaya::HashMap<Arc<str>, Arc<Peers>> {
        if stops { &self.app_stops } else { &self.app_starts }
    }

    /// Lets nodes start, or stop, an application.
    pub(crate) fn enable_app(&self, stops: bool, app: &str, peers: Peers) -> Result<(), EnableError> {
        peers.check()?;
        enable(self.apps(stops), &Arc::from(app), Arc::new(peers))
    }

    /// Lets nobody start, or stop, an application.
    pub(crate) fn disable_app(&self, stops: bool, app: &str) -> Result<(), EnableError> {
        disable(self.apps(stops), app)
    }

    /// Denies it to one node.
    pub(crate) fn deny_app(&self, stops: bool, app: &str, node: &str) -> Result<(), EnableError> {
        deny(self.apps(stops), app, |peers| {
            let peers = peers.clone().deny(node);
            peers.check().map(|()| peers)
        })
    }

    /// Who may start, or stop, an application; `None` if that is not enabled.
    pub(crate) fn app(&self, stops: bool, app: &str) -> Option<Arc<Peers>> {
        self.apps(stops).pin().get(app).cloned()
    }
}

fn enable<V>(table: &papaya::HashMap<Arc<str>, V>, name: &Arc<str>, value: V) -> Result<(), EnableError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(EnableError::BadName(name.as_ref().into()));
    }
    let table = table.pin();
    // LIMIT: O2; those who race here may pass it by as many as they are.
    if table.len() >= MAX_OFFERS {
        return Err(EnableError::Limit(MAX_OFFERS));
    }
    let taken = || EnableError::Taken(name.as_ref().into());
    match table.try_insert(Arc::clone(name), value) {
        Ok(_) => Ok(()),
        Err(_) => Err(taken()),
    }
}

fn disable<V>(table: &papaya::HashMap<Arc<str>, V>, name: &str) -> Result<(), EnableError> {
    match table.pin().remove(name) {
        Some(_) => Ok(()),
        None => Err(EnableError::Unknown(name.into())),
    }
}

fn deny<V>(
    table: &papaya::HashMap<Arc<str>, Arc<V>>,
    name: &str,
    change: impl Fn(&V) -> Result<V, EnableError>,
) -> Result<(), EnableError> {
    let table = table.pin();
    let unknown = || EnableError::Unknown(name.into());
    change(table.get(name).ok_or_else(unknown)?)?;
    // In one step: who disables it meanwhile is not undone.
    let updated = table.update(name.into(), |now| change(now).map_or_else(|_| Arc::clone(now), Arc::new));
    updated.map(|_| ()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::{MAX_OFFERS, MAX_PEERS, Offers, Peers, Rights};
    use crate::error::EnableError;

    #[test]
    fn lists_allow_whom_they_name_and_deny_for_good() {
        assert!(!Peers::nobody().allows("a@h") && !Peers::only(Vec::<String>::new()).allows("a@h"));
        let peers = Peers::only(["a@h"]);
        assert!(peers.allows("a@h") && !peers.allows("b@h"));
        let peers = Peers::anyone().deny("a@h").allow("a@h");
        assert!(!peers.allows("a@h") && peers.allows("b@h"));
    }

    #[test]
    fn rights_are_what_any_offer_allows() {
        let offers = Offers::default();
        let apps = |app_starts, app_stops| Rights { spawns: false, app_starts, app_stops };
        assert_eq!(offers.rights_of("a@h"), apps(false, false));
        offers.enable_app(true, "shop", Peers::nobody()).unwrap();
        assert_eq!(offers.rights_of("a@h"), apps(false, false), "enabled, and for nobody");
        offers.enable_app(true, "mail", Peers::only(["a@h"])).unwrap();
        offers.enable_app(false, "shop", Peers::anyone().deny("a@h")).unwrap();
        assert_eq!(offers.rights_of("a@h"), apps(false, true));
        assert_eq!(offers.rights_of("b@h"), apps(true, false));
    }

    #[test]
    fn offers_are_bounded_and_named_once() {
        let offers = Offers::default();
        let enable = |name: &str, peers| offers.enable_app(true, name, peers);
        assert_eq!(enable("shop", Peers::nobody()), Ok(()));
        assert_eq!(enable("shop", Peers::nobody()), Err(EnableError::Taken("shop".into())));
        assert_eq!(enable("", Peers::nobody()), Err(EnableError::BadName("".into())));
        assert_eq!(enable("x", Peers::only(["no"])), Err(EnableError::BadNode("no".into())));
        let many = Peers::only((0..=MAX_PEERS).map(|number| format!("n{number}@h")));
        assert_eq!(enable("x", many), Err(EnableError::Limit(MAX_PEERS)));
        assert!(offers.app(false, "shop").is_none(), "starting is another right");
        assert_eq!(offers.deny_app(true, "shop", "a@h"), Ok(()));
        assert!(!offers.app(true, "shop").unwrap().clone().as_ref().clone().allow("a@h").allows("a@h"));
        assert_eq!(offers.disable_app(true, "shop"), Ok(()));
        assert_eq!(offers.disable_app(true, "shop"), Err(EnableError::Unknown("shop".into())));
        assert_eq!(offers.deny_app(true, "shop", "a@h"), Err(EnableError::Unknown("shop".into())));
        for number in 0..MAX_OFFERS {
            enable(&format!("{number}"), Peers::nobody()).unwrap();
        }
        assert_eq!(enable("more", Peers::nobody()), Err(EnableError::Limit(MAX_OFFERS)));
    }
}
