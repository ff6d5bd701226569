//! What becomes of a suspect: it is reported, probed, and given up.

use std::time::{Duration, Instant};

use super::{Address, LaneMonitor, MAX_GUESS};
use crate::lane::action::{Action, CloseReason, LaneAction};
use crate::lane::narrow::Narrow;
use crate::lane::observation::{Observation, SensorSnapshot};
use crate::lane::pauses::BULK_IN_FLIGHT;
use crate::lane::probe::QuicTurn;
use crate::lane::report::{FailedDirection, Report};
use crate::lane::rules::Rule;
use crate::lane::suspicion::Health;

/// Interval of notices. QUIC's probe timeout, in which one has to be given, is longer on nearly all paths.
const NOTICE_INTERVAL: Duration = Duration::from_millis(20);
/// How long a suspicion has notices at the most, and how many retransmission timeouts besides: what has not been
/// answered by then is an outage, in which nothing passes.
const NOTICE_FOR: Duration = Duration::from_millis(500);
const NOTICE_TIMEOUTS: u32 = 4;

/// Retransmission timeouts after which a lane has failed that only the peer is sure of. That it trusts the lane again
/// takes a round trip from its suspicion on, and another way to be known here, and on a path that loses packets one of
/// either.
const PEERS_TIMEOUTS: u32 = 3;

impl LaneMonitor {
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
            // A lane that was idle has been silence only since it was asked something.
            let since = seen.last_ack.max(seen.oldest_unacked).unwrap_or(now);
            let silence = now.saturating_duration_since(since);
            let ours = (self.health != Health::Alive).then(|| (self.detector.raised_by(), silence));
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
    /// The lane's place is being dialed all the while. A lane is given up sooner where the peer's
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
        let longest = self.longest_pause(&seen.sensor);
        self.confirm(now, rto, longest, actions);
        let ours = self.health == Health::Suspect { confirmed: true };
        let Some(episode) = &mut self.episode else { return };
        // A path on which small packets pass does not pause.
        let small_pass = seen.sensor.newest_acked_sent >= Some(episode.since);
        let sure = ours && (episode.failed || small_pass);
        // A probe may be answered as late as the path's longest pause has it.
        let rto = match longest {
            pause if !pause.is_zero() && !small_pass => rto.max(seen.sensor.srtt + pause),
            _ => rto,
        };
        if episode.is_unresponsive(now) {
            return self.close(CloseReason::Unresponsive, actions);
        }
        episode.one_way.expect_loss(self.random_loss.is_usual() || self.lossy);
        episode.one_way.note_small_packets(small_pass);
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
        match received.filter(|_| sure && self.rules.apply(Rule::OneWayCloses)) {
            Some(received) => self.give_up(now, received, actions),
            None => self.probe_if_due(now, seen, actions),
        }
    }

    /// Gives the peer notice of our suspicion, again and again: what leaves while the window has room does so in full
    /// packets, which may be what is lost, and what waits before a full one leaves in QUIC's own probes.
    pub(super) fn give_notice(
        &mut self,
        now: Instant,
        seen: &SensorSnapshot,
        actions: &mut Vec<Action>,
    ) {
        let ours = self.health != Health::Alive && seen.in_flight >= BULK_IN_FLIGHT;
        let until =
            self.episode.as_ref().filter(|_| ours && !self.closed).map(|episode| {
                episode.since + NOTICE_FOR + NOTICE_TIMEOUTS * self.detector.rto(seen)
            });
        if until.is_none_or(|until| now >= until) || !self.rules.apply(Rule::GivesNotice) {
            return;
        }
        let due = self.notice_after.filter(|due| *due > now);
        self.check_at(Some(due.unwrap_or(now + NOTICE_INTERVAL)));
        if due.is_none() {
            self.notice_after = Some(now + NOTICE_INTERVAL);
            let narrow = self.narrow >= Narrow::Likely;
            actions.push(Action::Lane(LaneAction::Notice { narrow }));
        }
    }

    /// Confirms a suspicion. What the peer sends and cannot see acknowledged for a timeout is as
    /// lost as what we send.
    ///
    /// The lane has *failed* once the silence is longer than the `longest` pause of its path, too.
    fn confirm(
        &mut self,
        now: Instant,
        rto: Duration,
        longest: Duration,
        actions: &mut Vec<Action>,
    ) {
        let sure = self.health == Health::Suspect { confirmed: true };
        let by_peer = self.peer.is_some() && self.rules.apply(Rule::PeerConfirms);
        let narrow = self.is_narrow();
        let Some(episode) = &mut self.episode else { return };
        let confirm_at = episode.since + rto.min(MAX_GUESS);
        let before = episode.confirmed;
        let by_narrow = self.peer.is_some_and(|peer| peer.narrow);
        episode.confirmed = sure || by_peer && (by_narrow || now >= confirm_at);
        if episode.confirmed && !sure && !before {
            actions.push(Action::MarkAtRisk);
        }
        let peers_end = episode.since + longest.max(PEERS_TIMEOUTS * rto);
        let ours_ends = self.fails_at.unwrap_or(now);
        let fails_at = match self.health {
            Health::Suspect { confirmed: true } => ours_ends,
            Health::Suspect { confirmed: false } => ours_ends.max(peers_end),
            Health::Alive => peers_end,
        };
        episode.failed = episode.confirmed && (now >= fails_at || narrow);
        let unsure = by_peer && !episode.confirmed;
        let kept = episode.confirmed && !episode.failed;
        self.check_at(unsure.then_some(confirm_at));
        self.check_at(kept.then_some(fails_at));
    }

    /// Tells the peer of a one-way failure, and closes the lane soon.
    fn give_up(&mut self, now: Instant, received: u64, actions: &mut Vec<Action>) {
        let Some(episode) = &mut self.episode else { return };
        let close_at = episode.close_after_flush(now);
        self.one_way = true;
        actions.extend(self.reporter.report().into_iter().map(Action::report));
        actions.push(Action::report(Report::OneWay(FailedDirection::Ours { received })));
        actions.push(Action::Advertise);
        self.check_at(Some(close_at));
    }

    /// Probes the lane where the schedule says so.
    fn probe_if_due(&mut self, now: Instant, seen: &Observation<'_>, actions: &mut Vec<Action>) {
        let Some(since) = self.episode.as_ref().map(|episode| episode.since) else { return };
        if !self.rules.apply(Rule::Probe) {
            return;
        }
        let bulk = seen.sensor.in_flight >= BULK_IN_FLIGHT;
        let turn = seen.sensor.last_sent.filter(|_| bulk).map(|last_sent| QuicTurn {
            rto: self.detector.rto(&seen.sensor),
            small_pass: seen.sensor.newest_acked_sent >= Some(since),
            last_sent,
        });
        if self.probes.due(now, since, turn) <= now {
            if self.health != Health::Alive && self.rules.apply(Rule::AdvertiseAgain) {
                actions.push(Action::Advertise);
            }
            self.probe(now, seen, actions);
        }
        self.check_at(Some(self.probes.due(now, since, turn)));
    }

    /// Sends a probe, and remembers what had come by then.
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

    fn close(&mut self, reason: CloseReason, actions: &mut Vec<Action>) {
        self.closed = true;
        self.next_check = None;
        actions.push(Action::Lane(LaneAction::Close(reason)));
    }
}
