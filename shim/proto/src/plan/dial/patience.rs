//! How patiently each uplink is tried while paths over it have no lane.
//!
//! A dial is dear: the first flight of a post-quantum handshake is two packets, sent again and
//! again until the dial times out. A path probe ([`PlanActions::probe`]) is one packet and keeps no
//! state, so probes look for a path that recovers, and an answer brings the dial at once. Dials
//! without such evidence become rare; they remain because a firewall may drop probes.
//!
//! What an uplink spends is limited whatever happens, by one [`RateLimit`] for its probes and one
//! for its dials without evidence. Within these limits it is tried faster after an *impulse*: all
//! lanes were lost, the kernel reported a change, a probe was answered, an application wrote. So a
//! flapping interface or a chatty application spends what was saved, and no more.
//!
//! [`PlanActions::probe`]: crate::plan::PlanActions::probe

use std::time::{Duration, Instant};

use super::attempts::Urgency;
use super::rate_limit::RateLimit;

/// The interval of probes over an uplink after an impulse: a path that recovers is found within
/// this and a round trip, and has a lane two round trips later.
pub(in crate::plan) const FAST_PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a total outage is probed at [`FAST_PROBE_INTERVAL`]. Most outages are over in a minute.
const FAST_PROBE_PERIOD: Duration = Duration::from_secs(60);

/// How long other impulses last: a route follows its address, and an answer another, within this.
const IMPULSE_PERIOD: Duration = Duration::from_secs(5);

/// The longest interval of probes while flows wait: a recovered path has a lane within 5 s.
const MAX_PROBE_INTERVAL: Duration = Duration::from_millis(4800);

/// The longest interval of probes while no flow waits.
const MAX_IDLE_PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// The interval grows by a tenth of the time for which the uplink has been tried in vain.
const GROWTH: u32 = 10;

/// Probes over one uplink in the long run: a little more than [`MAX_PROBE_INTERVAL`] needs.
const PROBE_LIMIT: Duration = Duration::from_millis(4400);

/// Probes over one uplink at once: those of [`FAST_PROBE_PERIOD`], and some for later impulses.
const PROBE_BURST: u32 = 280;

/// Dials over one uplink without evidence that a path answers, in the long run.
const DIAL_LIMIT: Duration = Duration::from_secs(180);

/// The same at once: every path of a dual-stack uplink to two providers, twice and a half.
const DIAL_BURST: u32 = 10;

/// Probes over one uplink because an application wrote, in the long run: one that writes all the
/// time must leave enough for what the kernel reports.
const HURRY_LIMIT: Duration = Duration::from_secs(30);

/// The same at once.
const HURRY_BURST: u32 = 5;

/// The patience with one uplink.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// Since when paths over the uplink have been tried, if some are.
    tried_since: Option<Instant>,
    /// Probes are fast until then.
    fast_until: Option<Instant>,
    last_probe: Option<Instant>,
    /// A probe is due at once.
    is_due: bool,
    /// How many probes there were, to take the paths in turn.
    pub(super) probes: u32,
    probe_limit: RateLimit,
    dial_limit: RateLimit,
    hurry_limit: RateLimit,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tried_since: None,
            fast_until: None,
            last_probe: None,
            is_due: false,
            probes: 0,
            probe_limit: RateLimit::new(PROBE_LIMIT, PROBE_BURST),
            dial_limit: RateLimit::new(DIAL_LIMIT, DIAL_BURST),
            hurry_limit: RateLimit::new(HURRY_LIMIT, HURRY_BURST),
        }
    }
}

impl Patience {
    /// Notes that some path over the uplink is to be found, or that none is.
    pub(super) fn trying(&mut self, now: Instant, some: bool) {
        self.tried_since = some.then(|| self.tried_since.unwrap_or(now));
        if !some {
            (self.last_probe, self.is_due) = (None, false);
        }
    }

    /// Has the uplink probed fast for a total outage that begins now.
    pub(super) fn outage_begins(&mut self, now: Instant) {
        self.tried_since = Some(now);
        self.fast_for(now, FAST_PROBE_PERIOD);
    }

    /// Has the uplink probed fast for a while, beginning now.
    pub(super) fn impulse(&mut self, now: Instant) {
        self.is_due = true;
        self.fast_for(now, IMPULSE_PERIOD);
    }

    /// Has the uplink probed now, unless an application asked for that too often.
    pub(super) fn hurry(&mut self, now: Instant) {
        if !self.is_due && self.tried_since.is_some() && self.hurry_limit.next(now).is_none() {
            self.hurry_limit.take(now);
            self.is_due = true;
        }
    }

    fn fast_for(&mut self, now: Instant, period: Duration) {
        self.fast_until = Some(self.fast_until.map_or(now + period, |at| at.max(now + period)));
    }

    /// Returns when the next probe is due.
    pub(super) fn next_probe(&self, now: Instant, urgency: Urgency, jitter: f64) -> Instant {
        // The first dials have just begun.
        let since = self.last_probe.or(self.tried_since).unwrap_or(now);
        let interval = match self.is_due {
            true => FAST_PROBE_INTERVAL,
            false => self.interval(now, urgency).mul_f64(jitter),
        };
        let due = since + interval;
        self.probe_limit.next(now).map_or(due, |at| due.max(at))
    }

    fn interval(&self, now: Instant, urgency: Urgency) -> Duration {
        if self.fast_until.is_some_and(|until| now < until) {
            return FAST_PROBE_INTERVAL;
        }
        let longest = match urgency {
            Urgency::Outage | Urgency::Demand => MAX_PROBE_INTERVAL,
            Urgency::Idle => MAX_IDLE_PROBE_INTERVAL,
        };
        let begin = self.fast_until.max(self.tried_since).unwrap_or(now);
        let tried = now.saturating_duration_since(begin);
        (FAST_PROBE_INTERVAL + tried / GROWTH).min(longest)
    }

    /// Counts a probe.
    pub(super) fn probed(&mut self, now: Instant) {
        self.last_probe = Some(now);
        self.is_due = false;
        self.probes = self.probes.wrapping_add(1);
        self.probe_limit.take(now);
    }

    /// Returns when a dial without evidence is admitted, if that is not now.
    pub(super) fn next_dial(&self, now: Instant) -> Option<Instant> {
        self.dial_limit.next(now)
    }

    /// Counts a dial without evidence.
    pub(super) fn dialed(&mut self, now: Instant) {
        self.dial_limit.take(now);
    }
}
