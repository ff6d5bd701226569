//! Which lanes a session's initiator dials, migrates, drains and closes.
//!
//! The planner is pure. It is called whenever something changed or its `wake_at` has come, and
//! turns what is the case ([`PlanInput`]) into what to do ([`PlanActions`]). It wants as many lanes
//! as there are unmetered uplinks (or prefixes of the peer, if those are more), disjoint at both
//! ends where possible (`pairing`).
//!
//! It never
//! - closes a lane because it is silent, unless a newer lane on the same path answers;
//! - closes a lane that answers without draining it first, except the second of two on one path;
//! - dials a metered uplink while another lane is up.
//!
//! A lane is in one of four states, and may be draining in any of them:
//!
//! ```text
//!       suspected          a probe timeout             migrated
//!   up ───────────▶ suspect ───────────────▶ down ───────────────▶ migrating
//!    ▲                 │ answers               │ answers               │ answers
//!    └─────────────────┴───────────────────────┴───────────────────────┘
//!
//! a lane is missing               → dial the most disjoint path, with growing delays       dial
//! no lane is up                   → dial every path at once, then likewise                 dial
//! a dial does not get through     → probe its path, and dial when that is answered         dial
//! a lane is down, none is up      → migrate it to an uplink without a lane              migrate
//! a lane's address is lost        → migrate it, even while others are up                migrate
//! a migration does not succeed    → race it with a fresh dial                              dial
//! a lane was replaced             → close it                                            replace
//! its uplink is drained, its address is deprecated, the peer drains it, there are more lanes
//! than wanted, or it is metered and not needed → drain it, and close it when it is empty  drain
//! ```
//!
//! A suspicion that is not confirmed migrates, dials and closes nothing. Lanes over a failure
//! domain that failed recently are held down ([`Planner::hold_state`]): they are wanted like any
//! other, so that they stay warm and probed, but both ends' flows are told to use other lanes.

mod actions;
mod dial;
mod drain;
mod input;
mod locators;
mod migrate;
mod pairing;
mod peer_drains;
mod redundancy;
mod replace;
mod trust;
mod view;

use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use actions::PlanActions;
pub use dial::MAX_LANES_AT_ONCE;
pub use input::PlanInput;
pub use locators::{MAX_LEARNED_LOCATORS, usable_locators};
pub use pairing::{MAX_LANES, wanted_lanes};
pub use redundancy::{Redundancy, RedundancyChange, RedundancyInput};
pub use view::LaneView;

use self::dial::Dials;
use self::drain::Drains;
use self::migrate::Migrations;
use self::peer_drains::PeerDrains;
use self::trust::Trust;
use crate::hold_down::{FailureDomain, HoldState};
use crate::path::PathKey;
use crate::types::LaneId;

/// Decides which lanes a session has; remembers what was tried and what failed.
#[derive(Debug, Default)]
pub struct Planner {
    dials: Dials,
    drains: Drains,
    peer_drains: PeerDrains,
    migrations: Migrations,
    trust: Trust,
}

impl Planner {
    /// Creates a planner whose dials are spread by `seed`, so that not all sessions of all hosts
    /// dial a recovered peer in the same millisecond; 0 spreads nothing.
    pub fn new(seed: u64) -> Self {
        Self { dials: Dials::new(seed), ..Self::default() }
    }

    /// Notes that a dial ended.
    pub fn dial_ended(&mut self, key: PathKey, succeeded: bool) {
        self.dials.ended(key, succeeded);
    }

    /// Notes that a probe of a path ([`PlanActions::probe`]) was answered.
    pub fn path_answered(&mut self, now: Instant, key: PathKey) {
        self.dials.answered(now, key);
    }

    /// Returns how many dials of a path failed in a row.
    pub fn dial_failures(&self, key: PathKey) -> u32 {
        self.dials.failures(key)
    }

    /// Forgets failed dials, because an address or its route is new and they say nothing of it.
    pub fn forget_failures(&mut self, now: Instant) {
        self.dials.forget(now);
    }

    /// Notes that the kernel reported a change: what was silent may answer now.
    pub fn network_changed(&mut self, now: Instant) {
        self.dials.impulse(now);
    }

    /// Notes that lanes are somebody else's business for now: when they are to be planned again, that
    /// is another outage.
    pub fn stand_by(&mut self) {
        self.dials.stand_by();
    }

    /// Notes that these lanes are somebody else's business from now on: that they vanish from the input is no
    /// failure.
    pub fn release(&mut self, lanes: &[LaneId]) {
        self.trust.will_close(lanes);
    }

    /// Notes that an application wrote while no lane was up.
    pub fn application_waits(&mut self, now: Instant) {
        self.dials.hurry(now);
    }

    /// Decides what to do now.
    pub fn plan(&mut self, now: Instant, input: &PlanInput<'_>) -> PlanActions {
        let mut actions = PlanActions::default();
        let paths = self.peer_drains.apply_peer_drains(now, input, &mut actions);
        let input = &PlanInput { paths: &paths, ..*input };
        self.trust.update_hold_down(now, input, &mut actions);
        let reserved = self.migrations.migrate(now, input, &mut actions);
        replace::replace(now, input, &mut actions);
        self.drains.drain(now, input, |lane| self.trust.hold_state(now, lane), &mut actions);
        self.dials.dial(now, input, &reserved, &mut actions);
        self.trust.will_close(&actions.close);
        actions
    }

    /// Returns how far the lane's uplink and the prefix it leads to are trusted: the worse of both.
    pub fn hold_state(&self, now: Instant, lane: &LaneView) -> HoldState {
        self.trust.hold_state(now, lane)
    }

    /// Returns the addresses of the peer that it drains, or has drained of late.
    pub fn drained_remotes(&self) -> impl Iterator<Item = IpAddr> {
        self.peer_drains.remotes()
    }

    /// Returns what is held down, and how long each is held after it answers again.
    pub fn held_down(&self, now: Instant) -> Vec<(FailureDomain, Duration)> {
        self.trust.held_down(now)
    }
}

#[cfg(test)]
mod tests;
