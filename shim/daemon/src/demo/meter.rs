//! The measurements of a flow: when its bytes arrived, and how long its echoes took.
//!
//! Times count from the start of the run and are passed in: this module reads no clock. Nothing is
//! smoothed: a gap is the time between two reads at the receiver, a round trip that of one message.

use std::ops::Range;
use std::time::Duration;

/// The resolution of rates; gaps are exact.
const BUCKET: Duration = Duration::from_millis(50);
/// Gaps shorter than this are not recorded: they do not matter, and there are many.
const MIN_GAP: Duration = Duration::from_millis(2);
/// An echo flow that has sent nothing for this long is not between two messages: it is dead.
const MAX_SEND_GAP: Duration = Duration::from_millis(200);

/// A bulk flow at its receiver.
#[derive(Debug, Default)]
pub(super) struct BulkMeter {
    last: Option<Duration>,
    gaps: Vec<Range<Duration>>,
    bytes: u64,
    buckets: Vec<u64>,
}

/// An interactive flow at its client.
#[derive(Debug, Default)]
pub(super) struct EchoMeter {
    /// When each message was sent, and when its answer came.
    messages: Vec<(Duration, Option<Duration>)>,
    answered: usize,
}

impl BulkMeter {
    /// Records a read of `bytes` at `at`.
    pub(super) fn read(&mut self, at: Duration, bytes: usize) {
        let since = self.last.replace(at).unwrap_or(at);
        if at.saturating_sub(since) >= MIN_GAP {
            self.gaps.push(since..at);
        }
        self.bytes += bytes as u64;
        let bucket = (at.as_nanos() / BUCKET.as_nanos()) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += bytes as u64;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the longest time without a read that overlaps `window`.
    ///
    /// A gap counts in full, and silence counts until `now`.
    pub(super) fn longest_gap(&self, window: &Range<Duration>, now: Duration) -> Duration {
        let silence = self.last.unwrap_or_default()..now;
        let gaps = self.gaps.iter().chain([&silence]);
        let overlapping = gaps.filter(|gap| gap.start < window.end && window.start < gap.end);
        overlapping.map(|gap| gap.end.saturating_sub(gap.start)).max().unwrap_or_default()
    }

    /// Returns the rate over `span`, in bit/s.
    pub(super) fn rate(&self, span: &Range<Duration>) -> f64 {
        let index = |at: Duration| (at.as_nanos() / BUCKET.as_nanos()) as usize;
        let (first, end) = (index(span.start), index(span.end).max(index(span.start) + 1));
        let bytes: u64 = (first..end).filter_map(|i| self.buckets.get(i)).sum();
        bytes as f64 * 8.0 / (BUCKET.as_secs_f64() * (end - first) as f64)
    }
}

impl EchoMeter {
    pub(super) fn sent(&mut self, at: Duration) {
        self.messages.push((at, None));
    }

    /// Records the answer to the oldest unanswered message.
    pub(super) fn answered(&mut self, at: Duration) {
        if let Some(message) = self.messages.get_mut(self.answered) {
            message.1 = Some(at);
            self.answered += 1;
        }
    }

    /// Returns the number of answers.
    pub(super) fn answers(&self) -> usize {
        self.answered
    }

    pub(super) fn all_answered(&self) -> bool {
        self.answered == self.messages.len()
    }

    /// Returns the worst round trip of a message in flight during `window`.
    ///
    /// An unanswered one counts until `now`, and so does the silence of a flow that stopped sending.
    pub(super) fn worst(&self, window: &Range<Duration>, now: Duration) -> Duration {
        let silence = self.messages.last().map_or(Duration::ZERO, |&(sent, _)| sent)..now;
        let silence = (silence.end.saturating_sub(silence.start) > MAX_SEND_GAP).then_some(silence);
        let trips = self.messages.iter().map(|&(sent, back)| sent..back.unwrap_or(now));
        let overlapping =
            trips.chain(silence).filter(|trip| trip.start < window.end && window.start < trip.end);
        overlapping.map(|trip| trip.end.saturating_sub(trip.start)).max().unwrap_or_default()
    }

    /// Returns how long the oldest unanswered message has been waiting.
    pub(super) fn waiting(&self, now: Duration) -> Duration {
        self.messages.get(self.answered).map_or(Duration::ZERO, |&(at, _)| now.saturating_sub(at))
    }

    /// Returns the last round trip.
    pub(super) fn last(&self) -> Option<Duration> {
        let (sent, back) = self.messages.get(self.answered.checked_sub(1)?)?;
        Some(back.as_ref()?.saturating_sub(*sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_longest_gap_is_the_longest_time_between_reads_that_overlaps_the_window() {
        let mut meter = BulkMeter::default();
        for at in [0, 10, 20, 90, 100, 400, 410] {
            meter.read(ms(at), 100);
        }
        assert_eq!(meter.longest_gap(&(ms(0)..ms(95)), ms(410)), ms(70));
        // A gap that began before the window counts in full.
        assert_eq!(meter.longest_gap(&(ms(50)..ms(99)), ms(410)), ms(70));
        assert_eq!(meter.longest_gap(&(ms(95)..ms(410)), ms(410)), ms(300));
        assert_eq!(meter.bytes(), 700);
    }

    #[test]
    fn the_gap_of_a_silent_flow_counts_until_now() {
        let mut meter = BulkMeter::default();
        meter.read(ms(10), 1);
        assert_eq!(meter.longest_gap(&(ms(5)..ms(100)), ms(5_000)), ms(4_990));
        assert_eq!(BulkMeter::default().longest_gap(&(ms(5)..ms(100)), ms(80)), ms(80));
    }

    #[test]
    fn the_rate_is_that_of_the_given_span() {
        let mut meter = BulkMeter::default();
        meter.read(ms(110), 125_000);
        meter.read(ms(160), 125_000);
        assert!((meter.rate(&(ms(100)..ms(200))) - 20_000_000.0).abs() < 1.0);
        assert!(meter.rate(&(ms(200)..ms(300))) < 1.0);
    }

    #[test]
    fn the_worst_echo_is_the_longest_round_trip_in_flight_during_the_window() {
        let mut meter = EchoMeter::default();
        for (sent, back) in [(0, 20), (20, 45), (40, 140)] {
            meter.sent(ms(sent));
            meter.answered(ms(back));
        }
        assert_eq!(meter.worst(&(ms(0)..ms(30)), ms(200)), ms(25));
        assert_eq!(meter.worst(&(ms(100)..ms(200)), ms(200)), ms(100));
        assert_eq!((meter.last(), meter.all_answered()), (Some(ms(100)), true));
    }

    #[test]
    fn the_gap_of_an_echo_that_stopped_sending_counts_until_now() {
        let mut meter = EchoMeter::default();
        meter.sent(ms(100));
        meter.answered(ms(120));
        assert_eq!(meter.worst(&(ms(0)..ms(200)), ms(180)), ms(20));
        assert_eq!(meter.worst(&(ms(0)..ms(200)), ms(3_100)), ms(3_000));
        assert_eq!(EchoMeter::default().worst(&(ms(0)..ms(200)), ms(900)), ms(900));
    }

    #[test]
    fn an_unanswered_echo_counts_until_now() {
        let mut meter = EchoMeter::default();
        meter.sent(ms(100));
        assert_eq!(meter.worst(&(ms(0)..ms(200)), ms(3_100)), ms(3_000));
        assert_eq!(meter.waiting(ms(700)), ms(600));
        assert!(!meter.all_answered());
    }
}
