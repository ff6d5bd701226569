//! CUBIC (RFC 9438), counted in bytes.
//!
//! Pure: it knows no quinn and no clock, so its tests run in virtual time. Slow start until the
//! first loss or until somebody sets the window; then the cubic curve, but never slower than Reno
//! would be. While the application does not fill the window the window does not grow, and the curve's
//! time stands still (RFC 9438 §5.8).

use std::time::{Duration, Instant};

/// β_cubic: what a loss leaves of the window (RFC 9438 §4.6).
const BETA: f64 = 0.7;
/// C: how steep the curve is, in segments per second cubed (§5).
const C: f64 = 0.4;
/// α_cubic = 3·(1−β)/(1+β): Reno's increase at CUBIC's decrease (§4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// The least window, in packets (`kMinimumWindow`, RFC 9002 §7.2).
const MIN_PACKETS: u64 = 2;

/// The window of one path.
#[derive(Clone, Debug)]
pub(super) struct Cubic {
    mtu: u64,
    window: u64,
    ssthresh: u64,
    /// Losses of packets sent up to here belong to a reduction already made.
    recovery_start: Option<Instant>,
    /// The window before the last reduction: the curve's plateau.
    w_max: f64,
    curve: Option<Curve>,
    /// Since when the application has not filled the window.
    limited_since: Option<Instant>,
}

/// One congestion avoidance stage.
#[derive(Clone, Debug)]
struct Curve {
    start: Instant,
    /// Seconds from `start` to the plateau.
    k: f64,
    plateau: f64,
    /// Reno's window.
    w_est: f64,
    /// The exact window; `Cubic::window` is its whole part.
    window: f64,
}

impl Cubic {
    /// A path with an initial window of `initial` bytes and packets of `mtu` bytes.
    pub(super) fn new(initial: u64, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        Self {
            mtu,
            window: initial.max(MIN_PACKETS * mtu),
            ssthresh: u64::MAX,
            recovery_start: None,
            w_max: 0.0,
            curve: None,
            limited_since: None,
        }
    }

    /// The congestion window in bytes.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// The slow start threshold, once there is one.
    pub(super) fn ssthresh(&self) -> Option<u64> {
        (self.ssthresh != u64::MAX).then_some(self.ssthresh)
    }

    /// Whether the window still grows exponentially.
    pub(super) fn in_slow_start(&self) -> bool {
        self.window < self.ssthresh
    }

    /// A packet of `bytes`, sent at `sent`, was acknowledged at `now`. `limited`: the application,
    /// not the window, bounded what was in flight. `rtt` is the smoothed round-trip time.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        limited: bool,
        rtt: Duration,
    ) {
        if self.recovery_start.is_some_and(|start| sent <= start) {
            return;
        }
        if limited {
            self.limited_since.get_or_insert(now);
            return;
        }
        if let (Some(since), Some(curve)) = (self.limited_since.take(), &mut self.curve) {
            curve.start += now.saturating_duration_since(since);
        }
        if self.in_slow_start() {
            self.window = self.window.saturating_add(bytes);
        } else {
            self.avoid_congestion(now, bytes, rtt);
        }
    }

    /// The window is `window` for a reason of the caller's, and slow start is over; a curve begins
    /// there.
    pub(super) fn set_window(&mut self, window: u64) {
        self.window = window.max(MIN_PACKETS * self.mtu);
        self.ssthresh = self.ssthresh.min(self.window);
        self.curve = None;
    }

    /// Packets were lost or marked, the newest of them sent at `sent`.
    pub(super) fn on_congestion(&mut self, now: Instant, sent: Instant) {
        let recovering = self.recovery_start.is_some_and(|start| sent <= start);
        if !recovering {
            self.reduce(now);
        }
    }

    /// Packets are now `mtu` bytes.
    pub(super) fn on_mtu_update(&mut self, mtu: u16) {
        self.mtu = u64::from(mtu);
        self.window = self.window.max(MIN_PACKETS * self.mtu);
        if let Some(curve) = &mut self.curve {
            curve.window = curve.window.max(self.window as f64);
        }
    }

    fn reduce(&mut self, now: Instant) {
        self.recovery_start = Some(now);
        let window = self.window as f64;
        // Fast convergence (RFC 9438 §4.7): a window that did not come back to its last plateau
        // shares the path with a newcomer; leave it room.
        self.w_max = if window < self.w_max { window * (1.0 + BETA) / 2.0 } else { window };
        self.ssthresh = ((window * BETA) as u64).max(MIN_PACKETS * self.mtu);
        self.window = self.ssthresh;
        self.curve = None;
        self.limited_since = None;
    }

    fn avoid_congestion(&mut self, now: Instant, bytes: u64, rtt: Duration) {
        let mtu = self.mtu as f64;
        let w_max = self.w_max;
        let start_window = self.window as f64;
        let curve = self.curve.get_or_insert_with(|| Curve::new(now, start_window, w_max, mtu));
        let bytes = bytes as f64;
        let share = bytes / curve.window;
        let t = now.saturating_duration_since(curve.start);

        // §4.3: Reno's estimate; beyond the plateau it grows as Reno itself.
        let alpha = if curve.w_est < curve.plateau { ALPHA } else { 1.0 };
        curve.w_est += alpha * share * mtu;

        if curve.at(t, mtu) < curve.w_est {
            curve.window = curve.window.max(curve.w_est);
        } else {
            // §4.4, §4.5: towards where the curve is a round trip from now, at most by half.
            let target = curve.at(t + rtt, mtu).clamp(curve.window, curve.window * 1.5);
            curve.window += (target - curve.window) * share;
        }
        self.window = curve.window as u64;
    }
}

impl Curve {
    fn new(start: Instant, window: f64, w_max: f64, mtu: f64) -> Self {
        // §4.2; without a reduction before (HyStart++ ended slow start) the plateau is here.
        let plateau = w_max.max(window);
        let k = ((plateau - window) / mtu / C).cbrt();
        Self { start, k, plateau, w_est: window, window }
    }

    /// W_cubic(t) in bytes (Figure 1).
    fn at(&self, t: Duration, mtu: f64) -> f64 {
        C * (t.as_secs_f64() - self.k).powi(3) * mtu + self.plateau
    }
}

#[cfg(test)]
mod tests;
