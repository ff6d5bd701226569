//! When a bulk flow goes where more is to be had.
//!
//! The order of uplinks is a preference, not a vow. A bulk flow in mode auto that fills its lane
//! leaves it for another by evidence only:
//!
//! 1. The other lane delivers, or delivered just now, [`MUCH_MORE`] of this flow's share
//!    of its present lane, and has done so for [`CERTAIN_AFTER`]. The flow moves.
//! 2. Nothing is known of the other lane: what an idle lane could carry shows only when it carries
//!    something. After [`SAMPLE_AFTER`], or at once where the present lane's deliveries collapsed,
//!    the flow uses both lanes for some seconds, as if it bonded them. Then 1. decides. A sample that
//!    ends without a move is repeated after 15 s, and after twice as long each time.
//!
//! So that two lanes of changing rates do not toss a flow to and fro it stays for [`STAY`] where it
//! went, and for twice as long each time that it moves again soon.
//!
//! Neither happens on a metered uplink, on one in hold-down, or on a lane that is suspect, lossy or
//! draining. A flow in mode `auto+bond` that fills its lane for [`BOND_AFTER`] bonds the lanes
//! instead.

use std::time::{Duration, Instant};

use super::candidate::{Candidate, is_bond_member};
use crate::types::LaneId;

/// How much more another lane has to give before a flow leaves one that works, in tenths: less is
/// within the noise of radio links, and not worth a new window.
const MUCH_MORE: (u64, u64) = (13, 10);

/// For how long a lane must have been better: three measurements.
const CERTAIN_AFTER: Duration = Duration::from_millis(300);

/// For how long a flow has filled its lane before it moves: a page or a photo stays where it is.
const MOVE_AFTER: Duration = Duration::from_secs(1);

/// For how long a flow has filled its lane before it tries one of which nothing is known.
const SAMPLE_AFTER: Duration = Duration::from_secs(3);

/// For how long a flow has filled its lane before it bonds, where it may.
const BOND_AFTER: Duration = Duration::from_secs(1);

/// How long a sample lasts: slow start fills 100 Mbit/s × 100 ms in five round trips, and what
/// follows is measured.
const SAMPLE_TIME: Duration = Duration::from_secs(2);

/// The least and the most time between two samples that end without a move: what a lane could carry
/// changes within seconds on radio links, and a sample costs the other uplink some seconds of bulk.
const SAMPLE_WAIT: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(240));

/// The time between two samples while the present lane delivers a fraction of what it did.
const COLLAPSED_SAMPLE_WAIT: Duration = Duration::from_secs(5);

/// How long a flow stays where it went, at the least and at the most.
const STAY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(80));

/// A lane that a flow tries beside its primary one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    lane: LaneId,
    until: Instant,
}

/// How a bulk flow looks for a better lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    sample: Option<Sample>,
    /// Since when this lane has been much better.
    better: Option<(LaneId, Instant)>,
    /// When the next sample may begin, and what its failure makes the next one wait.
    next_sample: Option<Instant>,
    sample_wait: Option<Duration>,
    /// Until when the flow stays, and for how long it does after the next move.
    stays_until: Option<Instant>,
    stay: Option<Duration>,
    /// The flow bonds lanes, as its mode allows.
    pub(super) is_bonding: bool,
}

impl Search {
    /// Returns whether the flow tries `lane` now.
    pub(super) fn tries(&self, now: Instant, lane: LaneId) -> bool {
        self.sample.is_some_and(|sample| sample.lane == lane && now < sample.until)
    }

    /// Returns until when the flow tries a lane.
    pub(super) fn tries_until(&self) -> Option<Instant> {
        self.sample.map(|sample| sample.until)
    }

    /// Takes note of what the primary lane's deliveries mean for a flow that may bond lanes.
    pub(super) fn bond(&mut self, primary: &Candidate) {
        self.is_bonding |= primary.evidence.full_for >= BOND_AFTER;
    }

    /// Returns the lane that a bulk flow on `primary` moves to now, and begins and ends samples.
    pub(super) fn step(
        &mut self,
        now: Instant,
        primary: &Candidate,
        lanes: &[Candidate],
    ) -> Option<LaneId> {
        let here = primary.evidence;
        if let Some(sample) = self.sample.take_if(|sample| now >= sample.until) {
            self.sample_failed(now, sample, here.collapsed);
        }
        if here.full_for < MOVE_AFTER && !here.collapsed {
            self.better = None;
            return None;
        }
        let others = || lanes.iter().filter(|l| is_bond_member(lanes, primary.id, l.id));
        if let Some(to) = self.much_better(now, primary, others()) {
            return Some(to);
        }
        let ready = here.full_for >= SAMPLE_AFTER || here.collapsed;
        let waits = self.next_sample.is_some_and(|at| now < at);
        if ready && !waits && self.sample.is_none() {
            let unknown = |l: &&Candidate| l.evidence.rate.is_none() || here.collapsed;
            let lane = others().filter(unknown).min_by_key(|l| l.rank(lanes));
            self.sample = lane.map(|l| Sample { lane: l.id, until: now + SAMPLE_TIME });
        }
        None
    }

    /// Returns the lane that has been much better than `primary` for long enough.
    fn much_better<'a>(
        &mut self,
        now: Instant,
        primary: &Candidate,
        others: impl Iterator<Item = &'a Candidate>,
    ) -> Option<LaneId> {
        let here = primary.evidence;
        let share = here.rate? / u64::from(here.bulk_flows.max(1));
        let share_there = |l: &Candidate| {
            l.evidence.rate.map_or(0, |rate| rate / (u64::from(l.evidence.bulk_flows) + 1))
        };
        let best = others.max_by_key(|l| share_there(l))?;
        let (more, than) = MUCH_MORE;
        if share_there(best) * than < share * more || share_there(best) == 0 {
            self.better = None;
            return None;
        }
        let since = match self.better {
            Some((lane, since)) if lane == best.id => since,
            _ => now,
        };
        self.better = Some((best.id, since));
        let stays = self.stays_until.is_some_and(|until| now < until) && !here.collapsed;
        (now >= since + CERTAIN_AFTER && !stays).then_some(best.id)
    }

    /// Takes note that the flow moved.
    pub(super) fn moved(&mut self, now: Instant) {
        let (least, most) = STAY;
        let recently = |until: Instant| now < until + self.stay.unwrap_or(least);
        let stay = match (self.stay, self.stays_until.is_some_and(recently)) {
            (Some(stay), true) => (2 * stay).min(most),
            _ => least,
        };
        let stays_until = Some(now + stay);
        *self =
            Self { stays_until, stay: Some(stay), is_bonding: self.is_bonding, ..Self::default() };
    }

    fn sample_failed(&mut self, now: Instant, _: Sample, collapsed: bool) {
        let (least, most) = SAMPLE_WAIT;
        let wait = self.sample_wait.unwrap_or(least);
        self.next_sample = Some(now + if collapsed { COLLAPSED_SAMPLE_WAIT } else { wait });
        if !collapsed {
            self.sample_wait = Some((2 * wait).min(most));
        }
    }
}
