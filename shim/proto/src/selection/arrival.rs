//! When bytes would arrive over a lane, and which lane had better leave them to another.
//!
//! Lanes pull, so that placement is a matter of declining: a lane that has room takes a flow's next
//! bytes unless *everything* that waits of the flow would arrive over a faster lane before one chunk
//! would over this one. That is the rule of ECF (Lim, Nahum, Towsley and Gibbens, CoNEXT 2017), for
//! lanes that pull. While much waits every lane is used, and the sum of their rates is had. At the
//! end of a transfer, and for a flow that writes little at a time, the bytes go where they arrive
//! first, and nobody waits for a chunk on the slow lane.

use std::time::Duration;

use super::Candidate;
use crate::types::LaneId;

/// A lane is given chunks that it sends in about this time, so that what follows on a faster lane
/// does not wait long for the end of one.
const CHUNK_TIME: Duration = Duration::from_millis(20);

/// A lane that is quick enough to send more than the most in this time is given as much: a chunk costs the
/// receiver a task's turn and a write, whatever its size, and who waits for it does not notice.
const QUICK_TIME: Duration = Duration::from_micros(500);
const QUICK_FACTOR: u64 = 4;

/// The bytes of a packet, about.
const PACKET: f64 = 1400.0;

/// Of more bytes than this the loss recovery of the last ones matters: the others are recovered
/// meanwhile.
const MAX_CHUNK_AT_RISK: u64 = 64 * 1024;

/// The round trips that loss recovery takes (RFC 9002 §6.1.2: 9/8 until a loss is declared), and what it
/// sends again needs.
const LOSS_RECOVERY: f64 = 1.25;

/// The least chunk: some ten packets.
const MIN_CHUNK: u64 = 16 * 1024;

impl Candidate {
    /// Returns the rate of the lane in bytes a second: its window each round trip, and no more than
    /// it was measured to deliver lately with bulk waiting. `None` while nothing is known.
    fn sends(&self) -> Option<f64> {
        let rtt = self.rtt.as_secs_f64();
        if rtt <= 0.0 || self.evidence.cwnd == 0 {
            return None;
        }
        let window = self.evidence.cwnd as f64 / rtt;
        let measured = self.evidence.rate.filter(|_| !self.evidence.full_for.is_zero());
        Some(measured.map_or(window, |rate| window.min(rate as f64)).max(1.0))
    }

    /// Returns after how long the last of `bytes` arrives that the lane is given now. Of a lane for
    /// which bulk waits a quarter of the window comes first, which QUIC has and did not send.
    fn arrival(&self, bytes: u64) -> Option<Duration> {
        let first = if self.evidence.full_for.is_zero() { 0 } else { self.evidence.cwnd / 4 };
        let seconds = (first + bytes) as f64 / self.sends()?;
        let path = self.rtt / 2 + self.evidence.mean_wait + self.recovery(bytes);
        Some(path + Duration::from_secs_f64(seconds.min(3600.0)))
    }

    /// Returns how long the last of `bytes` is delayed on average because some packet is lost: it is
    /// found a round trip later, and sent again.
    fn recovery(&self, bytes: u64) -> Duration {
        let arrives = 1.0 - f64::from(self.evidence.loss.min(1000)) / 1000.0;
        let all_arrive = arrives.powf(bytes.min(MAX_CHUNK_AT_RISK) as f64 / PACKET);
        self.rtt.mul_f64(LOSS_RECOVERY * (1.0 - all_arrive))
    }

    /// Returns the size of a chunk for this lane: `max` at most, and some times that where the lane is so quick
    /// that nobody notices.
    pub fn chunk(&self, max: u64) -> u64 {
        let Some(rate) = self.sends() else { return max };
        let in_time = |time: Duration| (rate * time.as_secs_f64()) as u64;
        // No more than what waits in QUIC anyway.
        let quick = in_time(QUICK_TIME).min(self.evidence.cwnd / 4);
        let max = quick.clamp(max, QUICK_FACTOR * max);
        in_time(CHUNK_TIME).clamp(MIN_CHUNK.min(max), max)
    }
}

/// Returns whether `lane` leaves the next `chunk` bytes of a flow to a faster lane that the flow
/// `uses`, over which all the `backlog` bytes that wait arrive before that.
pub fn leaves_to_faster(
    lanes: &[Candidate],
    lane: LaneId,
    uses: impl Fn(LaneId) -> bool,
    chunk: u64,
    backlog: u64,
) -> bool {
    let Some(slow) = lanes.iter().find(|l| l.id == lane) else { return false };
    let Some(here) = slow.arrival(chunk.min(backlog)) else { return false };
    let mut others =
        lanes.iter().filter(|l| l.id != lane && l.is_up() && !l.late && !l.evidence.collapsed);
    others.any(|fast| {
        let margin = fast.evidence.rttvar.max(slow.evidence.rttvar);
        uses(fast.id) && fast.arrival(backlog).is_some_and(|there| there + margin < here)
    })
}
