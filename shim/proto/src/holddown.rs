//! Which uplinks and prefixes of the peer have failed of late, and are not yet to be trusted.
//!
//! A *part* is something that lanes share and that fails as one: an uplink of ours, or a prefix of
//! the peer. A part that failed is left at once; when it answers again it is on probation for a
//! while: its lanes are kept warm and probed, and no flow goes there that has another home.
//!
//! ```text
//!              fails                  answers               clean for the hold     ... twice
//!   well ─────────────────▶ down ─────────────────▶ held ───────────────────▶ settling ───▶ well
//!                             ▲        fails          │                           │
//!                             └───────────────────────┴───────────────────────────┘
//! ```
//!
//! - **One event, one score.** What is down does not fail again. A part with another lane that
//!   answers has not failed. Where nothing at all answers there is nothing to compare with: a part
//!   is scored when it was silent beside something that answers for [`GRACE`]. So a total outage
//!   holds nothing down, though lanes do not fall silent and come back in the same millisecond;
//!   and of a crosswise failure just the two parts are held that failed.
//! - **The hold.** `pa`: 10 s, doubled for each flap that is remembered, up to 300 s. `pi`: 60 s;
//!   BGP withdraws and announces more than once while it converges, and no doubling tells more.
//! - **The score decays.** A flap is forgotten for each [`FORGET`] that the part is well.
//! - Silence while on probation begins the probation anew, whoever is to blame.
//!
//! Held parts are a matter of rank and never of possibility: where every lane is held, the best
//! of them is home. So the last path is never held down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::plan::Prefix;
use crate::types::Class;

/// The first hold of a `pa` uplink: longer than a handover between radio cells or a router's
/// reboot of one line card, short enough not to be noticed.
pub const PA_HOLD: Duration = Duration::from_secs(10);

/// The longest hold.
pub const MOST_HOLD: Duration = Duration::from_secs(300);

/// The hold of a `pi` uplink: about what BGP takes to stop moving.
pub const PI_HOLD: Duration = Duration::from_secs(60);

/// A part that was well for so long is forgiven one flap.
pub const FORGET: Duration = Duration::from_secs(600);

/// A failure counts when it has lasted for so long beside something that answers: lanes that fail
/// together are confirmed silent, and found healed, within a few probes (100 ms) of each other.
pub const GRACE: Duration = Duration::from_millis(300);

/// The most parts remembered; uplinks and prefixes are a handful. More are not scored.
const MOST_PARTS: usize = 64;

/// Something that fails as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// An uplink of ours, by name.
    Uplink(String),
    /// A prefix of the peer's locators.
    Prefix(Prefix),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uplink(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "the peer's {prefix}"),
        }
    }
}

/// How far a part is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Like any other.
    #[default]
    Well,
    /// Its probation is over: new and thin flows come home, thick ones wait as long again.
    Settling,
    /// Down, or on probation: no home for a flow that has another.
    Held,
}

/// A lane, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it runs over.
    pub parts: [(Part, Class); 2],
    /// It answers.
    pub up: bool,
    /// It fell silent for good, or is gone and we did not close it.
    pub failed: bool,
}

#[derive(Debug, Default)]
struct Score {
    class: Class,
    flaps: u32,
    /// Down: no lane over it has answered since it failed.
    down: bool,
    /// Since when it is silent, while it is not known whether it alone is.
    silent_since: Option<Instant>,
    /// Since when it answers, after a failure.
    clean_since: Option<Instant>,
    /// Up to when its being well was counted.
    forgiven_at: Option<Instant>,
    /// Since when no path and no lane has it.
    absent_since: Option<Instant>,
}

impl Score {
    fn hold(&self) -> Duration {
        match self.class {
            Class::ProviderIndependent => PI_HOLD,
            Class::ProviderAssigned => {
                let doublings = self.flaps.saturating_sub(1).min(16);
                (PA_HOLD * (1 << doublings)).min(MOST_HOLD)
            }
        }
    }

    fn failed(&mut self) {
        if !self.down {
            self.flaps = self.flaps.saturating_add(1);
        }
        (self.down, self.silent_since, self.clean_since) = (true, None, None);
    }

    fn answers(&mut self, now: Instant) {
        let was_silent = self.silent_since.take().is_some();
        if std::mem::take(&mut self.down) || (was_silent && self.clean_since.is_some()) {
            self.clean_since = Some(now);
        }
    }

    /// Lets time pass.
    fn age(&mut self, now: Instant) {
        if let Some(since) = self.clean_since
            && now >= since + 2 * self.hold()
        {
            self.forgiven_at = Some(since + 2 * self.hold());
            self.clean_since = None;
        }
        while self.flaps > 0
            && let Some(at) = self.forgiven_at
            && now >= at + FORGET
        {
            self.flaps -= 1;
            self.forgiven_at = Some(at + FORGET);
        }
    }

    fn standing(&self, now: Instant) -> Standing {
        match self.clean_since {
            _ if self.down => Standing::Held,
            Some(since) if now < since + self.hold() => Standing::Held,
            Some(since) if now < since + 2 * self.hold() => Standing::Settling,
            _ => Standing::Well,
        }
    }

    fn next(&self, now: Instant) -> Option<Instant> {
        let since = self.clean_since?;
        [since + self.hold(), since + 2 * self.hold()].into_iter().find(|at| *at > now)
    }

    fn is_blank(&self) -> bool {
        !self.down && self.silent_since.is_none() && self.flaps == 0
    }
}

/// The scores of all parts.
#[derive(Debug, Default)]
pub struct HoldDown {
    scores: BTreeMap<Part, Score>,
    /// Since when some lane answers.
    answering_since: Option<Instant>,
}

impl HoldDown {
    /// Takes in what the lanes show at `now`.
    pub fn observe(&mut self, now: Instant, lanes: &[Seen]) {
        self.scores.values_mut().for_each(|score| score.age(now));
        let anything = lanes.iter().any(|l| l.up);
        self.answering_since = anything.then(|| self.answering_since.unwrap_or(now));
        for (part, class) in lanes.iter().flat_map(|l| &l.parts) {
            let here = || lanes.iter().filter(|l| l.parts.iter().any(|(p, _)| p == part));
            if here().any(|l| l.up) {
                if let Some(score) = self.scores.get_mut(part) {
                    score.answers(now);
                }
            } else if here().any(|l| l.failed) && self.has_room(part) {
                let score = self.scores.entry(part.clone()).or_default();
                score.class = *class;
                if !score.down {
                    score.silent_since.get_or_insert(now);
                }
            }
        }
        // Among them those whose lanes are closed or moved by now.
        for score in self.scores.values_mut() {
            if due(score, self.answering_since).is_some_and(|at| now >= at) {
                score.failed();
            }
        }
        self.scores.retain(|_, score| !score.is_blank());
    }

    /// Forgets a part that for [`FORGET`] was not `there`, on any path or lane: an uplink that this
    /// host has left, a prefix that the peer has.
    pub fn forget_absent(&mut self, now: Instant, there: impl Fn(&Part) -> bool) {
        self.scores.retain(|part, score| {
            let absent = !there(part);
            score.absent_since = absent.then(|| score.absent_since.unwrap_or(now));
            score.absent_since.is_none_or(|since| now < since + FORGET)
        });
    }

    fn has_room(&self, part: &Part) -> bool {
        self.scores.len() < MOST_PARTS || self.scores.contains_key(part)
    }

    /// How far a part is trusted.
    pub fn standing(&self, now: Instant, part: &Part) -> Standing {
        self.scores.get(part).map_or(Standing::Well, |score| score.standing(now))
    }

    /// The parts that are held down, and how long each is after it answers again.
    pub fn held(&self, now: Instant) -> Vec<(Part, Duration)> {
        let held = self.scores.iter().filter(|(_, score)| score.standing(now) == Standing::Held);
        held.map(|(part, score)| (part.clone(), score.hold())).collect()
    }

    /// When some part's standing changes, if nothing more happens.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let next = |score: &Score| {
            [score.next(now), due(score, self.answering_since)].into_iter().flatten().min()
        };
        self.scores.values().filter_map(next).min()
    }
}

/// When a part that is silent counts as failed.
fn due(score: &Score, answering_since: Option<Instant>) -> Option<Instant> {
    Some(score.silent_since?.max(answering_since?) + GRACE)
}

#[cfg(test)]
mod tests;
