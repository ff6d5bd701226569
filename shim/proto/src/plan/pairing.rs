//! Which lanes there should be: as many as the better-connected end has providers, disjoint at
//! both ends as far as possible.
//!
//! A *pairing* is an uplink of ours and a prefix of the peer that it reaches. The planner wants a
//! set of pairings. First it takes a maximum matching, the largest set in which no uplink and no
//! prefix appears twice. So an uplink that reaches one prefix only does not lose it to an uplink
//! that reaches both, and an IPv4-only and an IPv6-only pairing both get their lane. Then, while
//! there are fewer than wanted, it adds the pairing that shares least with the others. Pairings
//! with a lane come before those that would have to be dialed, older lanes before younger ones,
//! paths that answer before those that do not, then the order of uplinks. So the same input always gives the same lanes.

use super::view::LaneView;
use crate::path::{Path, Prefix};
use crate::types::LaneId;

/// The most lanes that a session keeps.
pub const MAX_LANES: usize = 4;

/// An uplink of ours, and a prefix of the peer that it reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairing<'a> {
    pub(super) uplink: &'a str,
    pub(super) prefix: Prefix,
    /// The path to dial for it.
    pub(super) path: &'a Path,
    /// The lane it has already.
    pub(super) lane: Option<LaneId>,
    /// How little is to be expected of dialing it; 0 where the path is known to answer.
    pub(super) penalty: u32,
}

impl Pairing<'_> {
    pub(super) fn is(&self, uplink: &str, prefix: Prefix) -> bool {
        self.uplink == uplink && self.prefix == prefix
    }

    /// Returns the rank by which pairings are chosen; lower is chosen first.
    fn rank(&self) -> (bool, Option<LaneId>, u32, u32) {
        (self.lane.is_none(), self.lane, self.penalty, self.path.order)
    }
}

/// Returns the paths on which lanes are wanted.
///
/// These are the paths of uplinks that are neither metered nor draining; where there are none, of
/// metered ones; where there are none of those either, of draining ones.
pub(super) fn eligible(paths: &[Path]) -> Vec<&Path> {
    let of = |metered: bool, draining: bool| -> Vec<&Path> {
        paths.iter().filter(|p| (p.metered, p.draining) == (metered, draining)).collect()
    };
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .map(|(metered, draining)| of(metered, draining))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// Returns how many lanes there should be.
///
/// As many as there are unmetered uplinks, or providers of the peer if those are more, up to
/// [`MAX_LANES`]; one where only metered uplinks are left. The peer has as many providers as it has
/// prefixes in one address family: a provider gives a site one of each. Where that makes one lane,
/// and both families are there, there are two, so that one family may fail.
pub fn wanted_lanes(paths: &[Path]) -> usize {
    let eligible = eligible(paths);
    if eligible.iter().all(|p| p.metered) {
        return eligible.len().min(1);
    }
    let uplinks = distinct(eligible.iter().map(|p| p.uplink.as_str())).len();
    let prefixes = |v4: bool| {
        let of_family = eligible.iter().filter(|p| p.remote.is_ipv4() == v4);
        distinct(of_family.map(|p| Prefix::of(p.remote))).len()
    };
    let (v4, v6) = (prefixes(true), prefixes(false));
    let families = usize::from(v4 > 0) + usize::from(v6 > 0);
    uplinks.max(v4).max(v6).max(families).min(MAX_LANES)
}

/// Returns the pairings of `paths`, with the lanes they have already.
pub(super) fn pairings<'a>(paths: &[&'a Path], lanes: &[&LaneView]) -> Vec<Pairing<'a>> {
    let mut pairings: Vec<Pairing<'a>> = Vec::new();
    for path in paths {
        let (uplink, prefix) = (path.uplink.as_str(), Prefix::of(path.remote));
        if pairings.iter().any(|p| p.is(uplink, prefix)) {
            continue;
        }
        let here = |l: &&&LaneView| l.uplink == uplink && Prefix::of(l.remote) == prefix;
        let lane = lanes.iter().filter(here).map(|l| l.id).min();
        pairings.push(Pairing { uplink, prefix, path, lane, penalty: 0 });
    }
    pairings
}

/// Returns the pairings that should have a lane, at most `wanted`.
pub(super) fn choose<'a>(pairings: &[Pairing<'a>], wanted: usize) -> Vec<Pairing<'a>> {
    let mut ranked: Vec<Pairing<'a>> = pairings.to_vec();
    ranked.sort_by_key(Pairing::rank);
    let mut chosen = matching(&ranked);
    chosen.sort_by_key(Pairing::rank);
    chosen.truncate(wanted);
    while chosen.len() < wanted {
        let shared = |pairing: &&Pairing<'a>| {
            let uplink = chosen.iter().filter(|c| c.uplink == pairing.uplink).count();
            let prefix = chosen.iter().filter(|c| c.prefix == pairing.prefix).count();
            (uplink + prefix, uplink)
        };
        let fresh =
            |pairing: &&Pairing<'a>| !chosen.iter().any(|c| c.is(pairing.uplink, pairing.prefix));
        // `min_by_key` takes the first of equals, so the rank decides.
        let Some(best) = ranked.iter().filter(fresh).min_by_key(shared).copied() else { break };
        chosen.push(best);
    }
    chosen
}

/// Returns a maximum matching: a largest set of pairings that share neither uplink nor prefix.
///
/// Found with augmenting paths (Kuhn's algorithm). A pairing of lower rank stays in the set unless
/// giving way makes the set larger.
fn matching<'a>(ranked: &[Pairing<'a>]) -> Vec<Pairing<'a>> {
    let mut matched: Vec<Pairing<'a>> = Vec::new();
    for uplink in distinct(ranked.iter().map(|p| p.uplink)) {
        augment(ranked, uplink, &mut matched, &mut Vec::new());
    }
    matched
}

/// Matches `uplink`, re-matching others where needed; returns whether that was possible.
fn augment<'a>(
    ranked: &[Pairing<'a>],
    uplink: &str,
    matched: &mut Vec<Pairing<'a>>,
    tried: &mut Vec<Prefix>,
) -> bool {
    let ours = || ranked.iter().filter(|p| p.uplink == uplink);
    // A free prefix comes before one whose holder would have to give way.
    let holder = |matched: &[Pairing<'a>], pairing: &Pairing<'a>| {
        matched.iter().find(|m| m.prefix == pairing.prefix).map(|m| m.uplink)
    };
    let free = ours().find(|p| holder(matched, p).is_none() && !tried.contains(&p.prefix));
    if let Some(pairing) = free {
        matched.retain(|m| m.uplink != uplink);
        matched.push(*pairing);
        return true;
    }
    for pairing in ours() {
        if tried.contains(&pairing.prefix) {
            continue;
        }
        tried.push(pairing.prefix);
        let gives_way =
            holder(matched, pairing).is_some_and(|h| augment(ranked, h, matched, tried));
        if gives_way {
            matched.retain(|m| m.uplink != uplink);
            matched.push(*pairing);
            return true;
        }
    }
    false
}

/// Returns the items without repetitions, in the order of their first appearance.
pub(super) fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}
