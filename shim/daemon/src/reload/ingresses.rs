//! Which ingresses go on listening, which begin, and which end.

use super::change::Change;
use crate::config::Ingress;

/// Where an ingress of the new configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// From the socket of the old one of this number.
    Kept(usize),
    /// From a socket that has to be bound.
    Bound,
}

/// Returns where each new ingress comes from: what listens at an address goes on doing so, whatever it is
/// called and speaks. Several may listen at port 0 of an address, which their names tell apart.
pub(super) fn placements(old: &[Ingress], new: &[Ingress]) -> Vec<Placement> {
    let is_it = |old: &Ingress, new: &Ingress| {
        old.listen.is_where(&new.listen)
            && old.kind.takes_datagrams() == new.kind.takes_datagrams()
            // Its socket is marked, and no other is.
            && old.kind.intercepts().is_some() == new.kind.intercepts().is_some()
            && (new.listen.is_one_place() || old.name == new.name)
    };
    let place = |new: &Ingress| match old.iter().position(|old| is_it(old, new)) {
        Some(index) => Placement::Kept(index),
        None => Placement::Bound,
    };
    new.iter().map(place).collect()
}

/// Returns what changes of the ingresses, given their placements.
pub(super) fn changes(old: &[Ingress], new: &[Ingress], placements: &[Placement]) -> Vec<Change> {
    let is_gone = |index: &usize| !placements.contains(&Placement::Kept(*index));
    let gone = (0..old.len()).filter(is_gone);
    let mut changes: Vec<_> =
        gone.map(|index| Change::IngressRemoved(old[index].name.clone())).collect();
    for (new, placement) in new.iter().zip(placements) {
        let name = || new.name.clone();
        match placement {
            Placement::Bound => {
                let listens = new.kind.intercepts().is_none();
                let listen = listens.then(|| new.listen.clone());
                changes.push(Change::IngressAdded { name: name(), listen });
            }
            Placement::Kept(index) => {
                let old = &old[*index];
                if old.name != new.name {
                    changes.push(Change::IngressRenamed { from: old.name.clone(), to: name() });
                }
                let spoken =
                    |of: &Ingress| (of.kind.clone(), of.proxy_protocol.clone(), of.clients.clone());
                // Who may connect to a Unix socket changes as well.
                if spoken(old) != spoken(new) || old.listen != new.listen {
                    changes.push(Change::IngressChanged(name()));
                }
            }
        }
    }
    changes
}
