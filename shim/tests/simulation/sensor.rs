//! What an end of a lane thinks of its health.
//!
//! Suspect: the oldest unacknowledged packet is older than the RTO and no acknowledgement came
//! for 12 ms, or a false alarm was raised. Confirmed: no progress for a probe timeout. Cleared by
//! the acknowledgement of a packet sent after the suspicion.

use std::time::{Duration, Instant};

use throughline::state::session::Health;

use crate::connection::End;
use crate::link::{MS, Nanos};

const SILENCE: Nanos = 12 * MS;
const PING_EVERY: Nanos = 100 * MS;

#[derive(Debug, Default)]
pub(crate) struct Sensor {
    suspect: Option<Nanos>,
    confirmed: bool,
    last_ack: Nanos,
    /// When the newest packet that is acknowledged was sent.
    proved: Option<Nanos>,
    ping_at: Option<Nanos>,
    /// The session does not trust the lane: it is to be probed.
    pub(crate) doubted: bool,
    told: Option<(Option<Nanos>, bool, Option<Nanos>)>,
}

impl Sensor {
    pub(crate) fn acked(&mut self, now: Nanos, sent: Nanos) {
        self.last_ack = now;
        self.proved = self.proved.max(Some(sent));
        if self.suspect.is_some_and(|since| sent > since) {
            (self.suspect, self.confirmed) = (None, false);
        }
    }

    /// The lane moved: its new path begins innocent, and unproven.
    pub(crate) fn moved(&mut self) {
        (self.suspect, self.confirmed) = (None, false);
    }

    /// The kernel says that nothing can leave from the lane's address.
    pub(crate) fn strand(&mut self, now: Nanos) {
        self.suspect.get_or_insert(now);
        self.confirmed = true;
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.suspect.is_some() && self.confirmed
    }

    pub(crate) fn has_proved_after(&self, moved: Nanos) -> bool {
        self.proved > Some(moved)
    }

    pub(crate) fn false_alarm(&mut self, now: Nanos) {
        self.suspect.get_or_insert(now);
    }

    fn confirm_at(&self, end: &End) -> Option<Nanos> {
        let since = self.suspect.filter(|_| !self.confirmed)?;
        Some(since.max(self.last_ack) + end.rto() + 25 * MS)
    }

    fn suspect_at(&self, end: &End) -> Option<Nanos> {
        let oldest = end.oldest().filter(|_| self.suspect.is_none())?;
        Some((oldest + end.rto()).max(self.last_ack + SILENCE))
    }

    pub(crate) fn next(&self, end: &End) -> Option<Nanos> {
        let ping = self.ping_at.filter(|_| self.suspect.is_some() || self.doubted);
        [self.confirm_at(end), self.suspect_at(end), ping].into_iter().flatten().min()
    }

    pub(crate) fn wants_ping(&mut self, now: Nanos) -> bool {
        if self.suspect.is_none() && !self.doubted {
            self.ping_at = None;
            return false;
        }
        if self.ping_at.is_some_and(|at| at > now) {
            return false;
        }
        self.ping_at = Some(now + PING_EVERY);
        true
    }

    /// What to tell the session, if there is news: health, round trip, proof.
    pub(crate) fn judge(
        end: &mut End,
        now: Nanos,
        base: Instant,
    ) -> Option<(Health, Duration, Option<Instant>)> {
        if end.sensor.suspect_at(end).is_some_and(|at| at <= now) {
            end.sensor.suspect = Some(now);
        }
        if end.sensor.confirm_at(end).is_some_and(|at| at <= now) {
            end.sensor.confirmed = true;
        }
        let sensor = &mut end.sensor;
        let news = Some((sensor.suspect, sensor.confirmed, sensor.proved));
        if sensor.told == news {
            return None;
        }
        sensor.told = news;
        let health = match sensor.suspect {
            None => Health::Alive,
            Some(_) => Health::Suspect { confirmed: sensor.confirmed },
        };
        let proved = sensor.proved.map(|at| base + Duration::from_nanos(at));
        Some((health, Duration::from_nanos(end.srtt), proved))
    }
}
