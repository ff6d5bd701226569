//! The steps of a monitor's evaluation, in their order.

use std::time::Instant;

use super::super::action::{Action, CloseReason, LaneAction};
use super::super::episode::Episode;
use super::super::observation::{AddressListing, Observation, SensorSnapshot};
use super::super::report::{FailedDirection, Report};
use super::super::rules::Rule;
use super::super::suspicion::{Health, Verdict};
use super::{ADVERTISEMENT_TTL, Address, LaneMonitor, PeerSuspicion};

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
        let verdict = self.detector.evaluate(now, &seen.sensor);
        match (seen.address, self.address) {
            (AddressListing::Listed, _) => self.address = Address::Present,
            (AddressListing::Unlisted, Address::Present) => self.address = Address::Lost,
            _ => {}
        }
        if self.address == Address::Lost && self.rules.apply(Rule::AddressLossConfirms) {
            // The system knows it before any timer could.
            return Health::Suspect { confirmed: true };
        }
        match verdict {
            Verdict::Alive { check_at } => {
                self.check_at(check_at);
                Health::Alive
            }
            Verdict::Suspect { progressless, recheck_at, .. } => {
                self.check_at(Some(recheck_at));
                let timeout = self.detector.rto(&seen.sensor);
                let confirmed = progressless >= timeout && self.rules.apply(Rule::TimeoutConfirms);
                Health::Suspect { confirmed }
            }
        }
    }

    pub(super) fn measure_loss(
        &mut self,
        now: Instant,
        seen: &SensorSnapshot,
        actions: &mut Vec<Action>,
    ) {
        if let Some(percent) = self.loss.measure(now, seen.epoch, seen.acked_bytes, seen.lost_bytes)
        {
            actions.push(Action::report(Report::Lossy { percent }));
        }
        let until = self.loss.lossy_until(now);
        self.check_at(until);
        if std::mem::replace(&mut self.lossy, until.is_some()) != until.is_some() {
            actions.push(Action::Reselect);
        }
    }

    /// Reports a suspicion that is worth it, and what ended since the last evaluation.
    pub(super) fn report(
        &mut self,
        now: Instant,
        seen: &SensorSnapshot,
        resent: u64,
        actions: &mut Vec<Action>,
    ) {
        actions.extend(self.pending.drain(..).map(Action::report));
        if let Some(episode) = &mut self.episode {
            if !std::mem::replace(&mut episode.announced, true) {
                actions.push(Action::report(Report::Raised {
                    address_lost: self.address == Address::Lost,
                    by_peer: self.peer.is_some(),
                }));
            }
            // A lane that was idle has been silent only since it was asked something.
            let since = seen.last_ack.max(seen.oldest_unacked).unwrap_or(now);
            let silent = now.saturating_duration_since(since);
            let ours = (self.health != Health::Alive).then(|| (self.detector.raised_by(), silent));
            let peers = self.peer.is_some();
            let (reports, again) = self.reporter.observe(now, episode.since, ours, peers, resent);
            actions.extend(reports.into_iter().map(Action::report));
            self.check_at(again);
        }
        actions.extend(self.peers_one_way().into_iter().map(Action::report));
    }

    /// Reports, once, that the peer found its own direction dead.
    pub(super) fn peers_one_way(&mut self) -> Vec<Report> {
        let found = self.peer.is_some_and(|peer| peer.one_way);
        if std::mem::replace(&mut self.peers_one_way_reported, found) || !found {
            return Vec::new();
        }
        let mut reports = self.reporter.report();
        reports.push(Report::OneWay(FailedDirection::Peers));
        reports
    }

    /// Probes a suspect until it answers, or gives it up.
    ///
    /// The lane's place is being dialled all the while. A lane is given up sooner where the peer's
    /// packets come but ours are not acknowledged: then our direction is dead, or it swallows large
    /// packets (and everything that waits goes in large ones). Only the initiator can dial again, at
    /// the MTU that passes everywhere, and the close, which is small, may reach it.
    pub(super) fn probe_or_close(
        &mut self,
        now: Instant,
        seen: &Observation<'_>,
        actions: &mut Vec<Action>,
    ) {
        let rto = self.detector.rto(&seen.sensor);
        let sure = self.health == Health::Suspect { confirmed: true };
        let by_peer = self.peer.is_some() && self.rules.apply(Rule::PeerConfirms);
        let Some(episode) = &mut self.episode else { return };
        // What the peer sends and cannot see acknowledged is as lost as what we send.
        let confirm_at = episode.since + rto;
        episode.confirmed = sure || by_peer && now >= confirm_at;
        let unsure = by_peer && !episode.confirmed;
        if episode.is_silent(now) {
            return self.close(CloseReason::Silent, actions);
        }
        let received = episode.one_way.received_since(now, episode.since, (seen.received)(), rto);
        if !sure {
            // A packet of ours was acknowledged after all.
            episode.close_at = None;
        }
        if let Some(at) = episode.close_at {
            if now >= at {
                return self.close(CloseReason::OneWay, actions);
            }
            return self.check_at(Some(at));
        }
        let small_pass = seen.sensor.newest_acked_sent >= Some(episode.since);
        if let Some(received) = received.filter(|_| sure && episode.is_given_up(now, small_pass)) {
            let at = episode.close_after_flush(now);
            self.one_way = true;
            actions.extend(self.reporter.report().into_iter().map(Action::report));
            actions.push(Action::report(Report::OneWay(FailedDirection::Ours { received })));
            actions.push(Action::Advertise);
            return self.check_at(Some(at));
        }
        let since = episode.since;
        if self.rules.apply(Rule::Probe) {
            if self.probes.due(now, since) <= now {
                if self.health != Health::Alive && self.rules.apply(Rule::AdvertiseAgain) {
                    actions.push(Action::Advertise);
                }
                self.probe(now, seen, actions);
            }
            self.check_at(Some(self.probes.due(now, since)));
        }
        self.check_at(unsure.then_some(confirm_at));
    }

    pub(super) fn probe(
        &mut self,
        now: Instant,
        seen: &Observation<'_>,
        actions: &mut Vec<Action>,
    ) {
        self.probes.sent(now);
        if let Some(episode) = &mut self.episode {
            episode.one_way.probed(now, (seen.received)());
        }
        actions.push(Action::Lane(LaneAction::Probe));
    }

    pub(super) fn close(&mut self, reason: CloseReason, actions: &mut Vec<Action>) {
        self.closed = true;
        self.next_check = None;
        actions.push(Action::Lane(LaneAction::Close(reason)));
    }

    pub(super) fn check_at(&mut self, at: Option<Instant>) {
        self.next_check = [self.next_check, at].into_iter().flatten().min();
    }
}
