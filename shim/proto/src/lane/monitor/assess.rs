//! What is thought of the lane: by this end, by the system, by the peer.

use std::time::{Duration, Instant};

use super::{ADVERTISEMENT_TTL, Address, LaneMonitor, MAX_GUESS, PeerSuspicion};
use crate::lane::action::Action;
use crate::lane::episode::Episode;
use crate::lane::narrow;
use crate::lane::observation::{AddressListing, Observation, SensorSnapshot};
use crate::lane::report::Report;
use crate::lane::rules::Rule;
use crate::lane::suspicion::{Health, Verdict};

impl LaneMonitor {
    /// Takes what this end thinks of the lane. `proof` is when the newest full packet that is
    /// acknowledged was sent: it disproves an advertisement of the peer that was not repeated for
    /// [`ADVERTISEMENT_TTL`]. Not sooner, because our packets say nothing of the peer's: theirs may
    /// be larger.
    pub(super) fn assess(
        &mut self,
        now: Instant,
        health: Health,
        proof: Option<Instant>,
        resent: u64,
        actions: &mut Vec<Action>,
    ) {
        let before = (self.health, self.is_suspected());
        self.health = health;
        self.one_way &= health != Health::Alive;
        let expired = |peer: &mut PeerSuspicion| proof > Some(peer.heard_at + ADVERTISEMENT_TTL);
        if self.rules.apply(Rule::PeerExpires) {
            self.peer.take_if(expired);
        }
        let after = (self.health, self.is_suspected());
        if before == after {
            return;
        }
        if (before.0 == Health::Alive) != (after.0 == Health::Alive) {
            actions.push(Action::Advertise);
        }
        match after.1 {
            true => self.suspected(now, actions),
            false => self.trusted(now, resent, actions),
        }
    }

    /// An end suspects the lane, or is surer than before.
    pub(super) fn suspected(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.episode.is_none() {
            self.episode = Some(Episode::new(now, self.rules));
        }
        actions.push(Action::MarkAtRisk);
    }

    /// Neither end suspects the lane any more.
    pub(super) fn trusted(&mut self, now: Instant, resent: u64, actions: &mut Vec<Action>) {
        let Some(episode) = self.episode.take() else { return };
        self.recently_suspected = Some(now);
        self.probes.reset();
        let brief = !episode.began_by_migration
            && self.rules.apply(Rule::BriefIsSpurious)
            && self.spurious.is_spurious(now, episode.since);
        actions.push(Action::Trust { spurious: brief });
        self.pending.extend(self.reporter.end(now, episode.since, resent));
    }

    /// Begins a new episode: of the old path it is not known whether it is well, and of the new one
    /// nothing is known.
    pub(super) fn path_changed(&mut self, now: Instant) {
        self.reporter.forget();
        if let Some(episode) = &mut self.episode {
            *episode = Episode::after_migration(now, self.rules);
        }
    }

    /// Notices that the lane has another path.
    pub(super) fn follow_path(
        &mut self,
        now: Instant,
        seen: &Observation<'_>,
        actions: &mut Vec<Action>,
    ) {
        self.path.newest_acked_sent = seen.sensor.newest_acked_sent;
        let from = self.path.remote.replace(seen.remote).unwrap_or(seen.remote);
        if self.path.epoch == seen.sensor.epoch {
            self.path.remote = Some(from);
            return;
        }
        self.path.epoch = seen.sensor.epoch;
        self.path_changed(now);
        if from != seen.remote {
            actions.push(Action::report(Report::PeerMigrated { from, to: seen.remote }));
        }
    }

    /// Asks the detector and the system what this end thinks of the lane.
    pub(super) fn judge(&mut self, now: Instant, seen: &Observation<'_>) -> Health {
        let loss = &self.random_loss;
        self.detector.expect_loss(loss.is_usual(), loss.is_possible());
        self.narrow = narrow::judge(seen.sensor.overtaken, loss.share());
        self.detector.note_narrow(self.narrow);
        let verdict = self.detector.evaluate(now, &seen.sensor);
        match (seen.address, self.address) {
            (AddressListing::Listed, _) => self.address = Address::Present,
            (AddressListing::Unlisted, Address::Present) => self.address = Address::Lost,
            _ => {}
        }
        (self.late, self.fails_at) = (false, None);
        if self.address == Address::Lost && self.rules.apply(Rule::AddressLossConfirms) {
            // The system knows it before any timer could.
            return Health::Suspect { confirmed: true };
        }
        match verdict {
            Verdict::Alive { check_at } => {
                self.check_at(check_at);
                Health::Alive
            }
            Verdict::Late { check_at } => {
                self.late = true;
                self.check_at(Some(check_at));
                Health::Alive
            }
            Verdict::Suspect { progressless, recheck_at, .. } => {
                self.check_at(Some(recheck_at));
                let timeout = self.detector.rto(&seen.sensor).min(MAX_GUESS);
                let confirmed = progressless >= timeout && self.rules.apply(Rule::TimeoutConfirms);
                // The silence was as long as usual when the suspicion was raised.
                let pause = self.longest_pause(&seen.sensor);
                let rest = pause.saturating_sub(seen.sensor.pauses.suspect_after + progressless);
                self.fails_at = Some(now + rest);
                Health::Suspect { confirmed }
            }
        }
    }

    /// Returns how long a silence may last and be another pause of the path.
    pub(super) fn longest_pause(&self, seen: &SensorSnapshot) -> Duration {
        match self.rules.apply(Rule::LongPauseKeeps) {
            true => seen.pauses.fail_after,
            false => Duration::ZERO,
        }
    }

    /// Measures whether the lane loses much, or does so no longer.
    pub(super) fn measure_loss(
        &mut self,
        now: Instant,
        seen: &SensorSnapshot,
        actions: &mut Vec<Action>,
    ) {
        if let Some(percent) = self.loss.measure(now, seen) {
            actions.push(Action::report(Report::Lossy { percent }));
        }
        let until = self.loss.lossy_until(now);
        self.check_at(until);
        if std::mem::replace(&mut self.lossy, until.is_some()) != until.is_some() {
            actions.push(Action::Reselect);
        }
    }

    /// Asks to be evaluated again at `at`, if that is sooner than what was asked before.
    pub(super) fn check_at(&mut self, at: Option<Instant>) {
        self.next_check = [self.next_check, at].into_iter().flatten().min();
    }
}
