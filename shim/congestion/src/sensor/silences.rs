//! Silences of which it is not known yet whether they were pauses of the path.
//!
//! That is so where bulk is in flight. A pause loses nothing: what was under way when it ended arrives, too. Where
//! large packets begin to vanish (RFC 8899 §4.3) the last ones that passed may be acknowledged late, since an end
//! whose window is full of what vanished sends no acknowledgements; and after that the probes of QUIC are, which are
//! small. Whoever took such a silence for a pause would wait for the next one to end instead of dialing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use throughline_proto::lane::PauseHistogram;

/// Silences that are kept; the oldest is forgotten. A path whose slots are 10 ms apart has so many in 0.6 s, and QUIC
/// on a satellite's 600 ms has another silence.
const MAX_WAITING: usize = 64;

/// So many full packets in a row that smaller ones have overtaken are no chance any more.
const MIN_SYSTEMATIC: u32 = 3;

/// A silence, and when the last packet was sent before it ended.
#[derive(Clone, Copy, Debug)]
struct Silence {
    length: Duration,
    last_sent: Instant,
}

/// The silences of a path that wait for what was under way.
#[derive(Debug, Default)]
pub(super) struct Silences(VecDeque<Silence>);

impl Silences {
    /// Takes in that a silence has ended; `last_sent` is when the last packet was sent.
    pub(super) fn ended(&mut self, length: Duration, last_sent: Instant) {
        if !PauseHistogram::counts(length) {
            return;
        }
        if self.0.len() == MAX_WAITING {
            self.0.pop_front();
        }
        self.0.push_back(Silence { length, last_sent });
    }

    /// Returns the next one that was a pause, given when the newest packet that arrived was sent, and how many full
    /// packets in a row smaller ones have overtaken.
    pub(super) fn next_pause(
        &mut self,
        arrived: Option<Instant>,
        overtaken: u32,
    ) -> Option<Duration> {
        let first = self.0.front()?;
        let was_pause = overtaken < MIN_SYSTEMATIC && arrived >= Some(first.last_sent);
        if was_pause { self.0.pop_front().map(|silence| silence.length) } else { None }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_silence_was_a_pause_once_what_was_under_way_at_its_end_arrives() {
        let (mut silences, start) = (Silences::default(), Instant::now());
        silences.ended(7 * MS, start);
        assert_eq!(silences.next_pause(Some(start), 0), None, "too short for one");
        silences.ended(50 * MS, start + 10 * MS);
        silences.ended(20 * MS, start + 80 * MS);
        assert_eq!(silences.next_pause(Some(start + 9 * MS), 0), None);
        assert_eq!(silences.next_pause(Some(start + 10 * MS), 0), Some(50 * MS));
        assert_eq!(silences.next_pause(Some(start + 10 * MS), 0), None);
        assert_eq!(
            silences.next_pause(Some(start + 90 * MS), MIN_SYSTEMATIC),
            None,
            "only small ones arrive"
        );
        assert_eq!(silences.next_pause(Some(start + 90 * MS), 1), Some(20 * MS));
        assert_eq!(silences.next_pause(Some(start + 90 * MS), 0), None);
    }

    #[test]
    fn those_that_wait_are_bounded() {
        let (mut silences, start) = (Silences::default(), Instant::now());
        (0..1000).for_each(|ms| silences.ended(10 * MS, start + ms * MS));
        assert_eq!(silences.0.len(), MAX_WAITING);
    }
}
