//! Which lanes carry a flow, when a flow moves to another lane, and why.
//!
//! The whole policy is here, as pure functions over the [`Candidate`]s of a session. What a flow
//! uses is its [`Placement`]:
//!
//! | role | carries | chosen by |
//! |---|---|---|
//! | primary | new bytes | every flow |
//! | secondary | the same bytes again, over other hardware | redundant flows, thin flows in mode auto, and other thin flows while their primary lane is late |
//! | bond member | a share of the new bytes | flows in mode bond, long bulk flows in mode auto+bond |
//! | sample | a share of the new bytes, for some seconds | bulk flows in mode auto whose lane is full |
//! | overflow | a share of the new bytes, at a price | bulk flows while every lane that costs nothing is full |
//! | handover | new bytes beside the primary lane, for up to a second | bulk flows that left a lane that works |
//!
//! **A flow stays** on its primary lane although a better one is there. Each failure moves a flow
//! once, and each recovery once. It moves to another lane only when
//!
//! 1. its lane is *suspect*, or cannot carry bytes yet, and another lane is up
//!    ([`Placement::select`]). It remembers the lane in `displaced_from` and comes back at once if
//!    the suspicion was spurious ([`Placement::suspicion_ended`]);
//! 2. its lane *drains*, is *metered*, or is *lossy*, and another lane is not. Of these defects the
//!    first counts most: a flow moves to a lossy lane to leave a metered one, not the reverse;
//! 3. a lane that it would rather have is *restored*: its hold-down is over (thin flows), or its
//!    wait to restore is (all flows; [`Placement::revert`], cf. revertive switching, RFC 4427);
//! 4. its lane is gone;
//! 5. it is a bulk flow in mode auto that fills its lane, and another one gives it much more
//!    ([`Placement::review`]; by which evidence, `search` says).
//!
//! Money counts more than speed: a *metered* lane is used where no other is, by an *overflow* lane bulk is carried
//! beside the others while those are full (`overflow`), and one *for thin flows* never carries bulk: where nothing
//! else is, bulk waits.
//!
//! Where a flow moves to is decided by rank: no defects, then away from
//! an uplink whose other lane is suspect, out of hold-down, away from a remote address whose other
//! lane is suspect, then the lowest [`Cost`], then the order of the uplinks.
//!
//! Of the lanes that a flow uses at a time, each takes new bytes when it has room, unless they would
//! arrive sooner over another (`arrival`).
//!
//! Hold-down is a matter of rank and never of possibility: where every lane is held, or suspect, or
//! draining, the best of them is used. A bulk flow leaves a lane that works bit by bit
//! ([`Handover`]); a suspect lane is left at once.

mod arrival;
mod candidate;
mod cost;
mod evidence;
mod handover;
mod moves;
mod overflow;
mod search;

use std::borrow::Cow;
use std::time::{Duration, Instant};

pub use arrival::leaves_to_faster;
pub use candidate::{Candidate, is_bond_member};
pub use cost::{Charge, Cost, CostRange};
pub use evidence::Evidence;
pub use handover::Handover;
use moves::reason_to_leave;
pub use moves::{Move, MoveReason};
pub use overflow::Overflow;
pub use search::Search;

use crate::types::{LaneId, Mode};

/// What a flow asks of its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// How the flow's opener wants lanes to be used.
    pub mode: Mode,
    /// The flow writes so little that a second copy costs nothing.
    pub thin: bool,
}

/// The lanes of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The lane that takes new bytes.
    pub primary: Option<LaneId>,
    /// The lane that carries the bytes a second time.
    pub secondary: Option<LaneId>,
    /// The first lane that the flow left because it was suspect, while it still is.
    pub displaced_from: Option<LaneId>,
    /// The lane that the flow left and goes on using for a while.
    pub handover: Option<Handover>,
    /// How a bulk flow looks for a better lane.
    pub search: Search,
    /// Which lane a bulk flow uses beside its own because those that cost nothing are full.
    pub overflow: Overflow,
    /// When and why it last moved to another lane.
    pub last_move: Option<Move>,
}

impl Placement {
    /// Chooses the lanes as they are now, keeping the present ones where they will do. Returns
    /// whether there is a primary lane.
    pub fn select(&mut self, now: Instant, lanes: &[Candidate], demand: Demand) -> bool {
        let permitted = permitted(lanes, demand.thin);
        let Some(primary) = primary(&permitted, self.primary) else {
            if let Some(from) = self.primary.take() {
                self.last_move = Some(Move { from, at: now, reason: reason_to_leave(lanes, from) });
            }
            return false;
        };
        let before = self.primary;
        let reason = |from| reason_to_leave(lanes, from);
        self.set_primary(now, primary, lanes, demand.thin, reason);
        if before != self.primary && lanes.iter().any(|l| Some(l.id) == before && l.suspect) {
            self.displaced_from = self.displaced_from.or(before);
        }
        if demand.thin {
            self.search = Search::default();
            self.overflow = Overflow::default();
        }
        let late = || lanes.iter().any(|l| l.id == primary && l.late);
        let duplicated = match demand.mode {
            Mode::Redundant => true,
            Mode::Auto | Mode::AutoBond => demand.thin,
            Mode::Single | Mode::Bond => demand.thin && late(),
        };
        self.secondary = if duplicated { secondary(lanes, primary, self.secondary) } else { None };
        true
    }

    /// Looks whether a bulk flow had better be on another lane, by what the lanes deliver: it moves,
    /// tries another lane, or begins to bond lanes. Returns whether its lanes are others now.
    pub fn review(&mut self, now: Instant, lanes: &[Candidate], demand: Demand) -> bool {
        let Some(primary) = lanes.iter().find(|l| Some(l.id) == self.primary && l.is_up()) else {
            return false;
        };
        let seen = |placement: &Self| {
            let Self { primary, search, overflow, .. } = placement;
            (*primary, search.tries_until(), search.is_bonding, overflow.lane())
        };
        let before = seen(self);
        match demand.mode {
            Mode::AutoBond => self.search.bond(primary),
            Mode::Auto => {
                if let Some(to) = self.search.step(now, primary, lanes) {
                    self.set_primary(now, to, lanes, false, |_| MoveReason::MoreElsewhere);
                    self.search.moved(now);
                    self.displaced_from = None;
                    // What a lane that broke down is given now would come late.
                    self.handover.take_if(|_| primary.evidence.collapsed);
                }
            }
            Mode::Single | Mode::Bond | Mode::Redundant => {}
        }
        if matches!(demand.mode, Mode::Auto | Mode::AutoBond | Mode::Bond) {
            self.overflow.step(now, primary, lanes);
        }
        before != seen(self)
    }

    /// Moves the flow to a lane whose cost was `before` and has fallen, if the flow is one that
    /// reverts and the lane is the best there is.
    pub fn revert(
        &mut self,
        now: Instant,
        to: LaneId,
        reversion: Reversion,
        lanes: &[Candidate],
        demand: Demand,
    ) {
        let reverts = match reversion {
            Reversion::None => false,
            Reversion::Thin => demand.thin,
            Reversion::All => true,
        };
        if reverts && primary(lanes, None) == Some(to) {
            self.set_primary(now, to, lanes, demand.thin, |_| MoveReason::Restored);
        }
    }

    /// Takes note that a lane is suspect no longer. A flow that it displaced comes back if the
    /// suspicion was spurious; otherwise it stays where it went.
    pub fn suspicion_ended(&mut self, now: Instant, lane: LaneId, spurious: bool) {
        if self.displaced_from.take_if(|from| *from == lane).is_some() && spurious {
            let from = self.primary.replace(lane).filter(|from| *from != lane);
            let back = |from| Move { from, at: now, reason: MoveReason::Spurious };
            self.last_move = from.map(back).or(self.last_move);
        }
    }

    /// Takes note that a lane is gone.
    pub fn lane_removed(&mut self, lane: LaneId) {
        self.displaced_from.take_if(|from| *from == lane);
    }

    /// Returns whether the lane is the primary or the secondary one.
    pub fn is_on(&self, lane: LaneId) -> bool {
        self.primary == Some(lane) || self.secondary == Some(lane)
    }

    /// Returns whether a lane may take bytes of the flow now, in any role.
    pub fn uses(&self, now: Instant, lane: LaneId, lanes: &[Candidate], mode: Mode) -> bool {
        let in_handover = || {
            // A flow that is on two lanes already needs no third.
            self.secondary.is_none()
                && self.handover.is_some_and(|h| h.uses(now, lane))
                && is_usable_in_handover(lanes, lane)
        };
        let bonded = || {
            let is_bonding = mode == Mode::Bond
                || (mode == Mode::AutoBond && self.search.is_bonding)
                || self.search.tries(now, lane);
            let primary = self.primary.filter(|_| is_bonding);
            primary.is_some_and(|primary| is_bond_member(lanes, primary, lane))
        };
        let overflows = || {
            let primary = self.primary.filter(|_| self.overflow.lane() == Some(lane));
            primary.is_some_and(|primary| overflow::is_usable(lanes, primary, lane))
        };
        self.is_on(lane) || in_handover() || bonded() || overflows()
    }

    /// Sends new bytes over `primary` from `now` on. A bulk flow leaves its lane bit by bit.
    fn set_primary(
        &mut self,
        now: Instant,
        primary: LaneId,
        lanes: &[Candidate],
        thin: bool,
        reason: impl FnOnce(LaneId) -> MoveReason,
    ) {
        let from = self.primary.replace(primary).filter(|before| *before != primary);
        if let Some(from) = from {
            self.last_move = Some(Move { from, at: now, reason: reason(from) });
        }
        if let Some(from) = from.filter(|_| !thin) {
            let rtt = |id| lanes.iter().find(|l| l.id == id).map_or(Duration::ZERO, |l| l.rtt);
            self.handover = Some(Handover::new(now, from, rtt(primary).max(rtt(from))));
        }
    }
}

/// Which flows move to a lane that is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversion {
    /// Only flows that have to move.
    None,
    /// Thin flows, which lose nothing if the lane fails again: they are on two lanes.
    Thin,
    /// All flows.
    All,
}

impl Reversion {
    /// Returns which flows move to a lane whose cost changes: thin flows when its hold-down is
    /// over, all others when it has been well for as long again.
    pub fn of_change(before: Cost, after: Cost) -> Self {
        use CostRange::{HeldDown, Preferred, WaitToRestore};
        match (before.range(), after.range()) {
            (WaitToRestore | HeldDown, Preferred) => Self::All,
            (HeldDown, WaitToRestore) => Self::Thin,
            _ => Self::None,
        }
    }
}

/// Returns the lanes that may take new bytes of such a flow.
fn permitted(lanes: &[Candidate], thin: bool) -> Cow<'_, [Candidate]> {
    let is_permitted = |lane: &Candidate| thin || !lane.cost.is_for_thin_flows();
    match lanes.iter().all(is_permitted) {
        true => Cow::Borrowed(lanes),
        false => lanes.iter().filter(|lane| is_permitted(lane)).copied().collect(),
    }
}

/// Chooses the lane that takes new bytes.
///
/// The present lane stays while it is up and no lane that is up has lesser defects. Where no lane
/// is up, the present one stays if it can carry bytes (the suspicion may be wrong), and otherwise
/// the best that can carry bytes at all is used.
pub fn primary(lanes: &[Candidate], present: Option<LaneId>) -> Option<LaneId> {
    let best_of =
        |fit: fn(&Candidate) -> bool| lanes.iter().filter(|l| fit(l)).min_by_key(|l| l.rank(lanes));
    let present = |fit: fn(&Candidate) -> bool| {
        lanes.iter().find(|l| Some(l.id) == present).filter(|l| fit(l))
    };
    let Some(best) = best_of(Candidate::is_up) else {
        return present(|l| l.synced).or_else(|| best_of(|l| l.synced)).map(|l| l.id);
    };
    let stays = present(Candidate::is_up).filter(|l| l.defects() <= best.defects());
    Some(stays.unwrap_or(best).id)
}

/// Chooses the lane that carries a flow's bytes a second time: one that is up, over another uplink
/// than `primary`, neither metered nor draining.
///
/// Where there is a choice it leads to another address of the acceptor as well, which may be
/// another ISP there. The present lane stays while no other is more disjoint. Where no other is up it
/// may be one whose suspicion is but a guess: a copy costs little, and where both lanes lose packets
/// each is suspected for a moment again and again.
pub fn secondary(lanes: &[Candidate], primary: LaneId, present: Option<LaneId>) -> Option<LaneId> {
    let primary = lanes.iter().find(|l| l.id == primary)?;
    let fit = |l: &&Candidate| {
        l.is_up_by_guess()
            && !l.draining
            && !l.cost.is_metered()
            && l.local_risk != primary.local_risk
    };
    let shares = |l: &Candidate| l.remote_risk == primary.remote_risk;
    let rank = |l: &&Candidate| (l.suspect, l.defects(), shares(l), l.rank(lanes));
    let best = lanes.iter().filter(fit).min_by_key(rank)?;
    let same = lanes.iter().filter(fit).find(|l| Some(l.id) == present);
    let as_good = |l: &&Candidate| (l.suspect, shares(l)) <= (best.suspect, shares(best));
    Some(same.filter(as_good).unwrap_or(best).id)
}

/// Returns whether a lane that a flow has left may carry new bytes beside the primary lane for a
/// while: not once it is suspect, since the work that a drain prepares may have begun; nor if it is
/// metered or lossy.
pub fn is_usable_in_handover(lanes: &[Candidate], id: LaneId) -> bool {
    lanes.iter().any(|l| l.id == id && l.is_up() && !l.lossy && !l.cost.is_metered())
}

#[cfg(test)]
mod tests;
