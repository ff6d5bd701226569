//! What tests of the session assume, whatever the monitor was shown.

use std::time::Instant;

use super::LaneMonitor;
use crate::lane::action::Action;
use crate::lane::suspicion::Health;

impl LaneMonitor {
    /// Returns whether the peer says that our packets arrive while its own are lost.
    pub(crate) fn peer_advertises_one_way(&self) -> bool {
        self.peer.is_some_and(|peer| peer.one_way)
    }

    /// Assumes that this end thinks so of the lane.
    pub(crate) fn assume(
        &mut self,
        now: Instant,
        health: Health,
        proof: Option<Instant>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        self.assess(now, health, proof, 0, &mut actions);
        if let Some(episode) = &mut self.episode {
            episode.confirmed = health == Health::Suspect { confirmed: true };
            episode.failed = episode.confirmed;
        }
        actions
    }

    /// Assumes that the lane is lossy, or no longer.
    pub(crate) fn assume_loss(&mut self, lossy: bool) {
        self.lossy = lossy;
    }

    /// Assumes another path.
    pub(crate) fn assume_new_path(&mut self, now: Instant) {
        self.path_changed(now);
    }

    /// Assumes a one-way failure.
    pub(crate) fn assume_one_way(&mut self) {
        self.one_way = self.health != Health::Alive;
    }
}
