//! The score of one failure domain.

use std::time::{Duration, Instant};

use super::state::HoldState;
use crate::types::AddressClass;

/// The first hold of a provider-assigned uplink, after a failure of half of it or longer.
///
/// It is longer than a handover between radio cells or the restart of a router's line card takes,
/// and short enough not to be noticed.
pub const PA_HOLD: Duration = Duration::from_secs(10);

/// How much longer than the failure the first hold is, up to [`PA_HOLD`]: a radio link that paused for
/// half a second is trusted again after one, and a bond that uses it loses little if it pauses again.
const HOLD_PER_SILENCE: u32 = 2;

/// The least hold: some twenty probes.
const MIN_HOLD: Duration = Duration::from_secs(1);

/// The longest hold.
pub const MAX_HOLD: Duration = Duration::from_secs(300);

/// The hold of a provider-independent uplink: about what BGP takes to converge.
pub const PI_HOLD: Duration = Duration::from_secs(60);

/// How long a domain must be normal for one flap to be forgotten.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);

/// How long a domain must be silent beside something that answers until it has failed.
///
/// Lanes that fail together are confirmed, and found recovered, within a few probes (100 ms) of
/// each other.
pub const GRACE: Duration = Duration::from_millis(300);

/// The failures of a domain, and what it has done since.
#[derive(Debug, Default)]
pub(super) struct Score {
    class: AddressClass,
    /// The failures that are remembered.
    flaps: u32,
    /// No lane over the domain has answered since it failed.
    is_down: bool,
    /// Since when the domain is silent, while it is not known whether it failed.
    silent_since: Option<Instant>,
    /// Since when the domain is silent, while it has failed.
    down_since: Option<Instant>,
    /// For how long the domain was silent: the longest of the failures that are remembered.
    silence: Duration,
    /// Since when the domain answers after a failure.
    clean_since: Option<Instant>,
    /// The time up to which flaps were forgotten.
    flaps_forgotten_at: Option<Instant>,
    /// Since when the domain is in no path and no lane.
    absent_since: Option<Instant>,
}

impl Score {
    /// Returns how long the domain is held down after it answers again.
    pub(super) fn hold(&self) -> Duration {
        match self.class {
            AddressClass::ProviderIndependent => PI_HOLD,
            AddressClass::ProviderAssigned => {
                let doublings = self.flaps.saturating_sub(1).min(16);
                let first = (HOLD_PER_SILENCE * self.silence).clamp(MIN_HOLD, PA_HOLD);
                (first * (1 << doublings)).min(MAX_HOLD)
            }
        }
    }

    /// Notes that a lane of the domain failed and none answers.
    pub(super) fn falls_silent(&mut self, now: Instant, class: AddressClass) {
        self.class = class;
        if !self.is_down {
            self.silent_since.get_or_insert(now);
        }
    }

    /// Returns when the domain has failed, if it stays silent.
    pub(super) fn fails_at(&self, answering_since: Option<Instant>) -> Option<Instant> {
        Some(self.silent_since?.max(answering_since?) + GRACE)
    }

    /// Notes that the domain has failed.
    pub(super) fn fail(&mut self) {
        if !self.is_down {
            self.flaps = self.flaps.saturating_add(1);
            self.down_since = self.silent_since;
        }
        (self.is_down, self.silent_since, self.clean_since) = (true, None, None);
    }

    /// Notes that a lane of the domain answers.
    pub(super) fn answers(&mut self, now: Instant) {
        let was_silent = self.silent_since.take().is_some();
        if let Some(since) = self.down_since.take() {
            self.silence = self.silence.max(now.saturating_duration_since(since));
        }
        if std::mem::take(&mut self.is_down) || (was_silent && self.clean_since.is_some()) {
            self.clean_since = Some(now);
        }
    }

    /// Lets time pass: ends the wait to restore, and forgets flaps.
    pub(super) fn age(&mut self, now: Instant) {
        if let Some(since) = self.clean_since
            && now >= since + 2 * self.hold()
        {
            self.flaps_forgotten_at = Some(since + 2 * self.hold());
            self.clean_since = None;
        }
        while self.flaps > 0
            && let Some(at) = self.flaps_forgotten_at
            && now >= at + FORGET_AFTER
        {
            self.flaps -= 1;
            if self.flaps == 0 {
                self.silence = Duration::ZERO;
            }
            self.flaps_forgotten_at = Some(at + FORGET_AFTER);
        }
    }

    /// Notes whether the domain is `present` in any path or lane; returns whether it has been absent
    /// for [`FORGET_AFTER`].
    pub(super) fn is_long_absent(&mut self, now: Instant, present: bool) -> bool {
        self.absent_since = (!present).then(|| self.absent_since.unwrap_or(now));
        self.absent_since.is_some_and(|since| now >= since + FORGET_AFTER)
    }

    /// Returns how far the domain is trusted.
    pub(super) fn state(&self, now: Instant) -> HoldState {
        match self.clean_since {
            _ if self.is_down => HoldState::HeldDown,
            Some(since) if now < since + self.hold() => HoldState::HeldDown,
            Some(since) if now < since + 2 * self.hold() => HoldState::WaitToRestore,
            _ => HoldState::Normal,
        }
    }

    /// Returns when [`state`](Self::state) changes next by the passing of time.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let since = self.clean_since?;
        [since + self.hold(), since + 2 * self.hold()].into_iter().find(|at| *at > now)
    }

    /// Returns whether there is nothing to remember.
    pub(super) fn is_blank(&self) -> bool {
        !self.is_down && self.silent_since.is_none() && self.flaps == 0
    }
}
