//! Advertisements of lanes by the peer: how one is used, and whether it is healthy.
//!
//! Each may have every flow of the session judged anew, and the peer decides how many it sends. So
//! many are taken at once as an honest peer sends when all its lanes change; beyond that one in
//! [`INTERVAL`], and of those that wait the latest of each lane, which is what stands anyway.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::throttle::TokenBucket;
use crate::types::LaneId;
use crate::wire::fact::{LaneHealth, LaneUse};

/// Advertisements taken at once: use and health of sixteen lanes, twice.
const MAX_AT_ONCE: u32 = 64;
/// Interval between those that are taken in the long run. Judging a thousand flows takes about 0.3 ms.
const INTERVAL: Duration = Duration::from_millis(10);

/// An advertisement of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) enum Advertisement {
    Use(LaneUse),
    Health(LaneHealth),
}

impl Advertisement {
    /// Returns the lane that it is about.
    pub(super) fn lane(&self) -> LaneId {
        match self {
            Self::Use(lane_use) => lane_use.lane,
            Self::Health(health) => health.lane,
        }
    }

    /// Returns whether this one takes the place of `other`.
    fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Use(new), Self::Use(old)) => new.lane == old.lane && new.version > old.version,
            (Self::Health(new), Self::Health(old)) => {
                new.lane == old.lane && new.version > old.version
            }
            _ => false,
        }
    }
}

/// The advertisements that wait: at most two for each lane.
#[derive(Debug)]
pub(super) struct Advertised {
    bucket: TokenBucket,
    waiting: VecDeque<Advertisement>,
    at: Option<Instant>,
}

impl Default for Advertised {
    fn default() -> Self {
        let bucket = TokenBucket::new(MAX_AT_ONCE, INTERVAL);
        Self { bucket, waiting: VecDeque::new(), at: None }
    }
}

impl Advertised {
    /// Returns when the next one is taken.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Takes in `new`, unless it is older than one of its kind.
    pub(super) fn push(&mut self, new: Advertisement) {
        match self.waiting.iter_mut().find(|known| new.replaces(known) || known.replaces(&new)) {
            Some(known) if new.replaces(known) => *known = new,
            Some(_) => {}
            None => self.waiting.push_back(new),
        }
    }

    /// Returns the next one, if one may be taken now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Advertisement> {
        let next = match self.waiting.is_empty() || !self.bucket.take(now) {
            true => None,
            false => self.waiting.pop_front(),
        };
        self.at = (!self.waiting.is_empty()).then(|| now + INTERVAL);
        next
    }
}
