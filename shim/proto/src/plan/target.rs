//! Which lanes there should be: as many as the better-connected end has providers, disjoint at
//! both ends as far as that goes.
//!
//! An *edge* is an uplink and a prefix of the peer that it reaches. Wanted is a set of edges: first
//! the largest in which no uplink and no prefix appears twice (a maximum matching, so that an
//! uplink that reaches only one prefix does not lose it to one that reaches both; so an IPv4-only
//! and an IPv6-only pairing both get their lane), then, while there are fewer than wanted, the edge
//! that shares least. Lanes that are there go before those that would have to be dialled, older
//! before younger, then the order of uplinks: the same lanes are chosen again and again.

use super::MAX_LANES;
use super::prefix::Prefix;
use super::view::{LaneView, Path};
use crate::types::LaneId;

/// An uplink, and a prefix of the peer that it reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'a> {
    pub(super) uplink: &'a str,
    pub(super) prefix: Prefix,
    /// The path to dial for it.
    pub(super) path: &'a Path,
    /// The lane that is there.
    pub(super) lane: Option<LaneId>,
}

impl Edge<'_> {
    pub(super) fn is(&self, uplink: &str, prefix: Prefix) -> bool {
        self.uplink == uplink && self.prefix == prefix
    }

    /// Lower is chosen first.
    fn rank(&self) -> (bool, Option<LaneId>, u32) {
        (self.lane.is_none(), self.lane, self.path.order)
    }
}

/// The paths that lanes are wanted on: of the uplinks that cost nothing and are not to be drained;
/// where there are none, of those that cost; where nothing else is left, of those that drain.
pub(super) fn plain(paths: &[Path]) -> Vec<&Path> {
    let of = |metered: bool, draining: bool| -> Vec<&Path> {
        paths.iter().filter(|p| (p.metered, p.draining) == (metered, draining)).collect()
    };
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .map(|(metered, draining)| of(metered, draining))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// How many lanes there should be: as many as free uplinks, or as the peer's prefixes if those are
/// more. One where only metered uplinks are left.
pub fn wanted(paths: &[Path]) -> usize {
    let plain = plain(paths);
    if plain.iter().all(|p| p.metered) {
        return plain.len().min(1);
    }
    let uplinks = distinct(plain.iter().map(|p| p.uplink.as_str())).len();
    let prefixes = distinct(plain.iter().map(|p| Prefix::of(p.remote))).len();
    uplinks.max(prefixes).min(MAX_LANES)
}

/// The edges that `paths` make, with the lanes that are there.
pub(super) fn edges<'a>(paths: &[&'a Path], lanes: &[&LaneView]) -> Vec<Edge<'a>> {
    let mut edges: Vec<Edge<'a>> = Vec::new();
    for path in paths {
        let (uplink, prefix) = (path.uplink.as_str(), Prefix::of(path.remote));
        if edges.iter().any(|e| e.is(uplink, prefix)) {
            continue;
        }
        let here = |l: &&&LaneView| l.uplink == uplink && Prefix::of(l.remote) == prefix;
        let lane = lanes.iter().filter(here).map(|l| l.id).min();
        edges.push(Edge { uplink, prefix, path, lane });
    }
    edges
}

/// The edges on which lanes should be, at most `wanted`.
pub(super) fn choose<'a>(edges: &[Edge<'a>], wanted: usize) -> Vec<Edge<'a>> {
    let mut order: Vec<Edge<'a>> = edges.to_vec();
    order.sort_by_key(Edge::rank);
    let mut chosen = matching(&order);
    chosen.sort_by_key(Edge::rank);
    chosen.truncate(wanted);
    while chosen.len() < wanted {
        let shared = |edge: &&Edge<'a>| {
            let uplink = chosen.iter().filter(|c| c.uplink == edge.uplink).count();
            let prefix = chosen.iter().filter(|c| c.prefix == edge.prefix).count();
            (uplink + prefix, uplink)
        };
        let fresh = |edge: &&Edge<'a>| !chosen.iter().any(|c| c.is(edge.uplink, edge.prefix));
        // The first of the least: `order` decides where they share alike.
        let Some(best) = order.iter().filter(fresh).min_by_key(shared).copied() else { break };
        chosen.push(best);
    }
    chosen
}

/// A largest set of edges that share neither uplink nor prefix (Kuhn's augmenting paths): those
/// that come first stay, unless giving way makes the set larger.
fn matching<'a>(order: &[Edge<'a>]) -> Vec<Edge<'a>> {
    let mut taken: Vec<Edge<'a>> = Vec::new();
    for uplink in distinct(order.iter().map(|e| e.uplink)) {
        augment(order, uplink, &mut taken, &mut Vec::new());
    }
    taken
}

fn augment<'a>(
    order: &[Edge<'a>],
    uplink: &str,
    taken: &mut Vec<Edge<'a>>,
    tried: &mut Vec<Prefix>,
) -> bool {
    let ours = || order.iter().filter(|e| e.uplink == uplink);
    // A prefix that nobody has comes before one whose holder would have to give way.
    let holder = |taken: &[Edge<'a>], edge: &Edge<'a>| {
        taken.iter().find(|t| t.prefix == edge.prefix).map(|t| t.uplink)
    };
    let open = ours().find(|e| holder(taken, e).is_none() && !tried.contains(&e.prefix));
    if let Some(edge) = open {
        taken.retain(|t| t.uplink != uplink);
        taken.push(*edge);
        return true;
    }
    for edge in ours() {
        if tried.contains(&edge.prefix) {
            continue;
        }
        tried.push(edge.prefix);
        let gives_way = holder(taken, edge).is_some_and(|h| augment(order, h, taken, tried));
        if gives_way {
            taken.retain(|t| t.uplink != uplink);
            taken.push(*edge);
            return true;
        }
    }
    false
}

pub(super) fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}
