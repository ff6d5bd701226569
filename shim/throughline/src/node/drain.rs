//! Drains an uplink, and resumes it; sets how much of one may be used: changes what is known of it, what every lane
//! advertises, and wakes the drivers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::engine::allowances::{Allowance, GRACE};
use crate::engine::drains::{Drain, UnknownUplink};
use crate::engine::session::{LaneEntry, SessionHandle};
use crate::engine::sessions::Sessions;
use crate::events::EventKind;
use throughline_proto::types::LaneId;
use throughline_uplinks::Uplink;

/// The longest time to wait for lanes that are asked whether they answer: by then a dead one is suspected, on all
/// but the slowest paths.
const MAX_ANSWER_WAIT: Duration = Duration::from_secs(3);

/// How long after the end of a drill it is told: then it has ended for every packet.
const AFTER_CUT: Duration = Duration::from_millis(1);

/// How often it is looked whether they have.
const ANSWER_POLL: Duration = Duration::from_millis(10);

impl Sessions {
    /// Drains the uplink `name`, or ends that: advertises it to the peers and has lanes planned anew.
    pub(super) fn set_drained(&self, name: &str, draining: bool) -> Result<Drain, UnknownUplink> {
        let snapshot = self.context.uplinks.now();
        let uplinks = &snapshot.uplinks;
        // One that was discovered and is gone now may still be drained.
        if !uplinks.iter().any(|u| u.name == name) && !self.context.drains.contains(name) {
            let known = uplinks.iter().map(|u| u.name.clone()).collect();
            return Err(UnknownUplink { name: name.to_owned(), known });
        }
        let changed = self.context.drains.set(name, draining);
        let only_way_to = if draining { self.only_reached_over(name) } else { Vec::new() };
        let usable = |u: &Uplink| {
            u.name != name && !u.addresses.is_empty() && !self.context.is_being_left(&u.name)
        };
        let last = draining && !uplinks.iter().any(usable);
        if changed {
            let kind = match draining {
                true => EventKind::DrainStarted { last },
                false => EventKind::DrainEnded,
            };
            self.context.events.emit_uplink(name, kind);
            for session in self.all() {
                session.advertise_uses();
                session.wake_driver();
            }
        }
        Ok(Drain { uplink: name.to_owned(), draining, changed, last, only_way_to })
    }

    /// Checks that there is an uplink `name` to be limited, or that it is: one that is gone may be.
    pub(super) fn check_limitable(&self, name: &str) -> Result<(), UnknownUplink> {
        match self.context.allowances.of(name) {
            Allowance::Everything => self.known(name).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Sets how much of the uplink `name` may be used, which may come only later; returns whether that is a change.
    pub(super) fn allow(&self, name: &str, allowance: Allowance) -> bool {
        let changed = self.context.allowances.set(name, allowance);
        if changed {
            for session in self.all() {
                session.advertise_uses();
                session.wake_driver();
            }
        }
        changed
    }

    /// Closes the lanes over an uplink that may not be used, once their flows have had time to leave it.
    pub(super) async fn end_lanes_over(sessions: Weak<Self>, name: String) {
        tokio::time::sleep(GRACE).await;
        let Some(sessions) = sessions.upgrade() else { return };
        // It may have been allowed again.
        if sessions.context.allowances.forbids(&name) {
            sessions.all().for_each(|session| session.end_forbidden_lanes(&name));
        }
    }

    /// Returns whether no other uplink has an address and may be used.
    pub(super) fn is_last(&self, name: &str) -> bool {
        let usable = |u: &Uplink| {
            u.name != name && !u.addresses.is_empty() && !self.context.allowances.forbids(&u.name)
        };
        !self.context.uplinks.now().uplinks.iter().any(usable)
    }

    /// Returns what has gone over each uplink since the last call, which begins to count it.
    pub(super) fn take_bytes(&self) -> BTreeMap<String, u64> {
        let mut by_uplink = BTreeMap::new();
        for (ours, bytes) in self.context.meter.take() {
            if let Some(uplink) = self.context.uplink_of(ours) {
                *by_uplink.entry(uplink).or_default() += bytes;
            }
        }
        by_uplink
    }

    pub(super) fn known(&self, name: &str) -> Result<Uplink, UnknownUplink> {
        let snapshot = self.context.uplinks.now();
        snapshot.uplinks.iter().find(|uplink| uplink.name == name).cloned().ok_or_else(|| {
            let known = snapshot.uplinks.iter().map(|u| u.name.clone()).collect();
            UnknownUplink { name: name.to_owned(), known }
        })
    }

    /// Cuts the uplink `name` off for a drill; returns its addresses, which are cut off.
    pub(super) fn cut_uplink(
        &self,
        name: &str,
        duration: Duration,
        asked_by: &str,
    ) -> Result<Vec<IpAddr>, UnknownUplink> {
        let addresses: Vec<IpAddr> =
            self.known(name)?.addresses.iter().map(|a| a.net.addr()).collect();
        let kind = EventKind::CutStarted { duration, asked_by: asked_by.to_owned() };
        self.context.events.emit_uplink(name, kind);
        self.context.cuts.add(&addresses, Instant::now() + duration);
        Ok(addresses)
    }

    /// Emits that a drill is over once it is, unless another one has made it longer.
    pub(super) async fn emit_end_of_cut(
        sessions: Weak<Self>,
        (name, addresses): (String, Vec<IpAddr>),
        duration: Duration,
    ) {
        tokio::time::sleep(duration + AFTER_CUT).await;
        let Some(sessions) = sessions.upgrade() else { return };
        let is_cut = |address: &IpAddr| sessions.context.cuts.is_cut(*address, Instant::now);
        if !addresses.iter().any(is_cut) {
            sessions.context.events.emit_uplink(&name, EventKind::CutEnded);
        }
    }

    /// Returns the names of the peers to which lanes over an uplink answer and, of those over uplinks that are
    /// not drained, no other.
    pub(super) fn only_reached_over(&self, name: &str) -> Vec<String> {
        let asked_at = self.context.drains.asked_at();
        let has_no_other = |session: &SessionHandle| {
            session.with(|core, _| {
                let is_other = |(id, lane): (&LaneId, &LaneEntry)| {
                    let uplink = lane.uplink();
                    uplink.is_none_or(|u| u != name && !self.context.is_being_left(u))
                        && core.session.lane_is_up(*id)
                        && asked_at.is_none_or(|at| lane.attached_at > at || has_answered(lane, at))
                };
                // Whether that one answers at this moment is no matter: there is no other way.
                core.lanes.values().any(|lane| lane.uplink() == Some(name))
                    && !core.lanes.iter().any(is_other)
            })
        };
        let mut peers: Vec<String> =
            self.all().filter(has_no_other).map(|session| session.name().to_string()).collect();
        peers.dedup();
        peers
    }

    /// Has every lane asked whether it answers, and returns when each has, or is suspected, or
    /// [`MAX_ANSWER_WAIT`] is over.
    pub(super) async fn probe_all(&self) {
        let asked_at = Instant::now();
        self.context.drains.set_asked_at(asked_at);
        let mut asked = JoinSet::new();
        for session in self.all() {
            asked.spawn(async move { session.probe_lanes().await });
        }
        asked.join_all().await;
        let deadline = asked_at + MAX_ANSWER_WAIT;
        while Instant::now() < deadline && !self.all().all(|session| is_judged(&session, asked_at))
        {
            tokio::time::sleep(ANSWER_POLL).await;
        }
    }
}

/// Returns whether each lane of a session has answered what was sent since `asked_at`, or is suspected.
fn is_judged(session: &SessionHandle, asked_at: Instant) -> bool {
    session.with(|core, _| {
        core.lanes.iter().all(|(id, lane)| core.is_suspect(*id) || has_answered(lane, asked_at))
    })
}

/// Returns whether a lane has answered something that was sent since `asked_at`.
fn has_answered(lane: &LaneEntry, asked_at: Instant) -> bool {
    lane.sensor.snapshot().newest_acked_sent.is_some_and(|sent| sent >= asked_at)
}
