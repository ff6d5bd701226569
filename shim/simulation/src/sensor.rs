//! What an end of a lane thinks of its health: the real judge, fed with what this end saw.
//!
//! A false alarm may be raised besides, or the kernel may say that the lane's address is gone; both
//! last until a packet is acknowledged that was sent after.

use std::time::{Duration, Instant};

use throughline_proto::health::{HealthState, SensorSnapshot, Verdict};
use throughline_proto::session::Health;

use crate::connection::End;
use crate::link::{MS, Nanos};

/// A lane in doubt is probed this often, and twice as often at first.
const PING_EVERY: Nanos = 100 * MS;
const PING_EARLY: (Nanos, Nanos) = (500 * MS, 50 * MS);

/// Acknowledgements within this are one tick of their clock.
const TICK: Nanos = MS;

/// A packet of so many bytes is a full one.
const FULL: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Sensor {
    judge: HealthState,
    /// Since when somebody else says that it is silent: an alarm without a reason, or the kernel.
    alarm: Option<Nanos>,
    stranded: bool,
    verdict: Option<Health>,
    look_at: Option<Nanos>,
    epoch: u64,
    last_ack: Option<Nanos>,
    newest_acked_sent: Option<Nanos>,
    newest_full: Option<Nanos>,
    last_full: Option<Nanos>,
    tick: Option<Nanos>,
    ack_interval: Nanos,
    /// Since when the session doubts the lane, and when it is probed next.
    doubted_since: Option<Nanos>,
    ping_at: Option<Nanos>,
    /// The session does not trust the lane: it is to be probed.
    pub(crate) doubted: bool,
    told: Option<(Health, Option<Nanos>)>,
}

impl Sensor {
    pub(crate) fn new(max_ack_delay: Nanos) -> Self {
        Self {
            judge: HealthState::new(Duration::from_nanos(max_ack_delay)),
            alarm: None,
            stranded: false,
            verdict: None,
            look_at: None,
            epoch: 0,
            last_ack: None,
            newest_acked_sent: None,
            newest_full: None,
            last_full: None,
            tick: None,
            ack_interval: TICK,
            doubted_since: None,
            ping_at: None,
            doubted: false,
            told: None,
        }
    }

    /// At `now` packets were acknowledged: the newest of them was `sent` then, the newest full one
    /// then.
    pub(crate) fn acked(&mut self, now: Nanos, sent: Nanos, full: Option<Nanos>, srtt: Nanos) {
        self.last_ack = Some(now);
        self.newest_acked_sent = self.newest_acked_sent.max(Some(sent));
        if full > self.newest_full {
            (self.newest_full, self.last_full) = (full, Some(now));
        }
        if self.alarm.is_some_and(|since| sent > since) {
            (self.alarm, self.stranded) = (None, false);
        }
        let Some(last) = self.tick else {
            self.tick = Some(now);
            return;
        };
        let interval = (now - last).min(srtt);
        if now - last >= TICK {
            self.tick = Some(now);
            let (old, weight) = if interval > self.ack_interval { (3, 4) } else { (15, 16) };
            self.ack_interval = (old * self.ack_interval + interval) / weight;
        }
    }

    /// Nothing is outstanding: the clock of acknowledgements stops.
    pub(crate) fn idle(&mut self) {
        self.tick = None;
    }

    /// Whether a packet of so many bytes is a full one.
    pub(crate) fn is_full(size: u64) -> bool {
        size >= FULL
    }

    /// The lane moved: its new path begins innocent, and unproven.
    pub(crate) fn moved(&mut self) {
        self.epoch += 1;
        (self.alarm, self.stranded) = (None, false);
        (self.newest_acked_sent, self.newest_full, self.tick) = (None, None, None);
        self.ack_interval = TICK;
    }

    /// The kernel says that nothing can leave from the lane's address.
    pub(crate) fn strand(&mut self, now: Nanos) {
        self.alarm.get_or_insert(now);
        self.stranded = true;
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.verdict == Some(Health::Suspect { confirmed: true })
    }

    pub(crate) fn has_proved_after(&self, moved: Nanos) -> bool {
        self.newest_acked_sent > Some(moved)
    }

    pub(crate) fn false_alarm(&mut self, now: Nanos) {
        self.alarm.get_or_insert(now);
    }

    pub(crate) fn next(&self) -> Option<Nanos> {
        let ping = self.doubted.then(|| self.ping_at.unwrap_or(0));
        [self.look_at, ping].into_iter().flatten().min()
    }

    pub(crate) fn wants_ping(&mut self, now: Nanos) -> bool {
        if !self.doubted {
            (self.ping_at, self.doubted_since) = (None, None);
            return false;
        }
        let since = *self.doubted_since.get_or_insert(now);
        if self.ping_at.is_some_and(|at| at > now) {
            return false;
        }
        let early = now < since + PING_EARLY.0;
        self.ping_at = Some(now + if early { PING_EARLY.1 } else { PING_EVERY });
        true
    }

    fn snapshot(end: &End, base: Instant) -> SensorSnapshot {
        let instant = |at: Nanos| base + Duration::from_nanos(at);
        let sensor = &end.sensor;
        SensorSnapshot {
            in_flight: end.in_flight(),
            cwnd: end.window,
            acked_bytes: 0,
            lost_bytes: 0,
            sent_bytes: 0,
            last_ack: sensor.last_ack.map(instant),
            oldest_unacked: end.oldest_beyond_acked().map(instant),
            newest_acked_sent: sensor.newest_acked_sent.map(instant),
            newest_full_acked_sent: sensor.newest_full.map(instant),
            last_full_ack: sensor.last_full.map(instant),
            last_sent: None,
            ack_interval: Duration::from_nanos(sensor.ack_interval),
            srtt: Duration::from_nanos(end.srtt),
            rttvar: Duration::from_nanos(end.var),
            min_rtt: Duration::from_nanos(end.srtt),
            epoch: sensor.epoch,
        }
    }

    /// What to tell the session, if there is news: health, round trip, proof.
    pub(crate) fn judge(
        end: &mut End,
        now: Nanos,
        base: Instant,
    ) -> Option<(Health, Duration, Option<Instant>)> {
        let seen = Self::snapshot(end, base);
        let nanos = |at: Instant| at.saturating_duration_since(base).as_nanos() as Nanos;
        let sensor = &mut end.sensor;
        let (health, look_at) = match sensor.judge.judge(base + Duration::from_nanos(now), &seen) {
            Verdict::Alive { check_at } => (Health::Alive, check_at),
            Verdict::Suspect { progressless, recheck_at, .. } => {
                let confirmed = progressless >= sensor.judge.rto(&seen);
                (Health::Suspect { confirmed }, Some(recheck_at))
            }
        };
        sensor.look_at = look_at.map(nanos);
        let health = match (health, sensor.alarm) {
            _ if sensor.stranded => Health::Suspect { confirmed: true },
            (Health::Alive, Some(_)) => Health::Suspect { confirmed: false },
            (health, _) => health,
        };
        sensor.verdict = Some(health);
        let news = Some((health, sensor.newest_full));
        if sensor.told == news {
            return None;
        }
        sensor.told = news;
        let proved = sensor.newest_full.map(|at| base + Duration::from_nanos(at));
        Some((health, Duration::from_nanos(end.srtt), proved))
    }
}
