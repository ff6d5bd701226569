//! Hold-down: which uplinks, and which prefixes of the peer, failed recently and are not yet to be
//! trusted.
//!
//! A *failure domain* is something that lanes share and that fails as a whole: an uplink of ours,
//! or a prefix of the peer. A domain that failed is left at once. When it answers again it is held
//! down for a while: its lanes are kept warm and probed, but no flow uses them that has another
//! lane. After that it waits to restore (RFC 4427 §4.5): new and thin flows use it, and bulk flows
//! wait as long again.
//!
//! ```text
//!              fails               answers                 hold passed           hold passed
//! normal ───────────────▶ down ───────────────▶ held down ────────────▶ wait to ────────────▶ normal
//!                           ▲      fails            │                   restore
//!                           └───────────────────────┴──────────────────────┘
//! ```
//!
//! - **A failure is counted once.** What is down does not fail again. A domain with another lane
//!   that answers has not failed. Where nothing at all answers there is nothing to compare with, so
//!   a domain has failed when it was silent for [`GRACE`] beside something that answers. A total
//!   outage therefore holds nothing down, though lanes do not fall silent and recover in the same
//!   millisecond; and when the uplink of one lane and the prefix of another fail together, just
//!   those two domains are held down.
//! - **The hold** of a provider-assigned uplink is twice the failure's time, at most [`PA_HOLD`]: a radio
//!   link that paused for half a second is not left for ten. It is doubled for each flap that is
//!   remembered, up to [`MAX_HOLD`] (as in route flap damping, RFC 2439). The hold of a
//!   provider-independent one is [`PI_HOLD`]: BGP withdraws and announces several times while it
//!   converges, so the number of flaps says nothing.
//! - **Flaps are forgotten**, one for each [`FORGET_AFTER`] in which the domain is normal.
//! - A silence while held down, or while waiting to restore, starts the hold anew, whatever caused
//!   it.
//!
//! Hold-down ranks lanes and never excludes them: where every lane is held down, the best of them
//! is used. So the last path is never held down.

mod score;
mod state;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::score::Score;
use crate::path::Prefix;
use crate::types::AddressClass;

pub use self::score::{FORGET_AFTER, GRACE, MAX_HOLD, PA_HOLD, PI_HOLD};
pub use self::state::HoldState;

/// The most domains remembered; uplinks and prefixes are a handful. More are not scored.
const MAX_DOMAINS: usize = 64;

/// Something that lanes share and that fails as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureDomain {
    /// An uplink of ours, by name.
    Uplink(String),
    /// A prefix of the peer's locators.
    Prefix(Prefix),
}

impl std::fmt::Display for FailureDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uplink(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "the peer's {prefix}"),
        }
    }
}

/// What hold-down needs to know of a lane.
#[derive(Clone, Debug)]
pub struct LaneObservation {
    /// The domains the lane depends on.
    pub domains: [(FailureDomain, AddressClass); 2],
    /// The lane answers.
    pub is_up: bool,
    /// The lane is down, or vanished without having been closed at this end.
    pub has_failed: bool,
}

/// The scores of all failure domains.
#[derive(Debug, Default)]
pub struct HoldDown {
    scores: BTreeMap<FailureDomain, Score>,
    /// Since when any lane answers.
    answering_since: Option<Instant>,
}

impl HoldDown {
    /// Observes the lanes at `now`.
    pub fn observe(&mut self, now: Instant, lanes: &[LaneObservation]) {
        self.scores.values_mut().for_each(|score| score.age(now));
        let any_up = lanes.iter().any(|l| l.is_up);
        self.answering_since = any_up.then(|| self.answering_since.unwrap_or(now));
        for (domain, class) in lanes.iter().flat_map(|l| &l.domains) {
            let here = || lanes.iter().filter(|l| l.domains.iter().any(|(d, _)| d == domain));
            if here().any(|l| l.is_up) {
                if let Some(score) = self.scores.get_mut(domain) {
                    score.answers(now);
                }
            } else if here().any(|l| l.has_failed) && self.has_room(domain) {
                self.scores.entry(domain.clone()).or_default().falls_silent(now, *class);
            }
        }
        // All of them, since the lanes of some may be closed or migrated by now.
        for score in self.scores.values_mut() {
            if score.fails_at(self.answering_since).is_some_and(|at| now >= at) {
                score.fail();
            }
        }
        self.scores.retain(|_, score| !score.is_blank());
    }

    /// Forgets domains that for [`FORGET_AFTER`] were not `present` in any path or lane: an uplink
    /// that this host no longer has, or a prefix that the peer no longer has.
    pub fn forget_absent(&mut self, now: Instant, present: impl Fn(&FailureDomain) -> bool) {
        self.scores.retain(|domain, score| !score.is_long_absent(now, present(domain)));
    }

    fn has_room(&self, domain: &FailureDomain) -> bool {
        self.scores.len() < MAX_DOMAINS || self.scores.contains_key(domain)
    }

    /// Returns how far a domain is trusted.
    pub fn state(&self, now: Instant, domain: &FailureDomain) -> HoldState {
        self.scores.get(domain).map_or(HoldState::Normal, |score| score.state(now))
    }

    /// Returns the domains that are held down, and how long each is held after it answers again.
    pub fn held_down(&self, now: Instant) -> Vec<(FailureDomain, Duration)> {
        let held = |score: &Score| score.state(now) == HoldState::HeldDown;
        let held = self.scores.iter().filter(|(_, score)| held(score));
        held.map(|(domain, score)| (domain.clone(), score.hold())).collect()
    }

    /// Returns when the state of some domain changes if nothing more is observed.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let next = |score: &Score| {
            let times = [score.next_change(now), score.fails_at(self.answering_since)];
            times.into_iter().flatten().min()
        };
        self.scores.values().filter_map(next).min()
    }
}

#[cfg(test)]
mod tests;
