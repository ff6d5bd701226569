//! How often the restart notices of a session's peer are answered by probes: anybody can send one who knows the
//! addresses of a lane, and each answer is a probe on every lane.

use std::time::{Duration, Instant};

/// The least time between two answers, over all lanes of a session. Notices come twice as often for 20 s, so that
/// one that is answered late, or by the answer to another, costs nothing.
const ANSWER_INTERVAL: Duration = Duration::from_secs(1);

/// What follows from a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoticeAnswer {
    /// Every lane is to be probed.
    Probe,
    /// Every lane was probed since the notice came.
    Answered,
    /// It is to be asked again then.
    NotBefore(Instant),
}

/// Bounds the answers to notices.
#[derive(Debug, Default)]
pub(super) struct NoticeLimiter {
    answered_at: Option<Instant>,
}

impl NoticeLimiter {
    /// Returns what follows at `now` from a notice that was heard at `heard`.
    pub(super) fn answer(&mut self, heard: Instant, now: Instant) -> NoticeAnswer {
        if let Some(last) = self.answered_at {
            if last > heard {
                return NoticeAnswer::Answered;
            }
            if now < last + ANSWER_INTERVAL {
                return NoticeAnswer::NotBefore(last + ANSWER_INTERVAL);
            }
        }
        self.answered_at = Some(now);
        NoticeAnswer::Probe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn however_many_lanes_hear_notices_every_lane_is_probed_once_a_second() {
        let (mut limiter, t) = (NoticeLimiter::default(), Instant::now());
        assert_eq!(limiter.answer(t, t), NoticeAnswer::Probe);
        // On another lane, a moment later: it may be of another process than the first.
        let (next, last) = (t + 10 * MS, t + 20 * MS);
        let later = NoticeAnswer::NotBefore(t + ANSWER_INTERVAL);
        assert_eq!(limiter.answer(next, next), later);
        assert_eq!(limiter.answer(last, last), later);
        let then = t + ANSWER_INTERVAL;
        assert_eq!(limiter.answer(next, then), NoticeAnswer::Probe);
        assert_eq!(limiter.answer(last, then), NoticeAnswer::Answered, "by the same probes");
        assert_eq!(
            limiter.answer(then + MS, then + MS),
            NoticeAnswer::NotBefore(then + ANSWER_INTERVAL)
        );
    }
}
