//! When the acceptor of a session dials: where no lane of the initiator's answers, because its way
//! in has failed while ours may work.
//!
//! ```text
//!            no lane that the peer dialed is up             for DIAL_AFTER
//!  standing by ─────────────────────────────▶ waiting ────────────────────▶ dialing
//!       ▲                                        │ one is up                   │ one is up
//!       ├────────────────────────────────────────┘                            ▼
//!       └──────────────────────────────────────────────────────────────── retiring
//!                                    for RETIRE_AFTER: our lanes drain, and are closed
//! ```

use std::time::{Duration, Instant};

use crate::engine::quic::close;
use crate::engine::session::SessionHandle;
use throughline_proto::plan::LaneView;

/// How long no lane of the initiator's must answer before the acceptor dials: the initiator has by
/// then dialed every path that it has, twice. Both ends must not dial at once, or each failure
/// would make twice the lanes.
const DIAL_AFTER: Duration = Duration::from_secs(3);

/// How long a lane of the initiator's must have answered before ours drain.
const RETIRE_AFTER: Duration = Duration::from_secs(10);

/// What an acceptor does about lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// The initiator's lanes serve, or may be about to; asked again then, if not before.
    StandBy(Option<Instant>),
    /// Lanes are to be dialed and kept, as an initiator does.
    Dial,
    /// Lanes that were dialed here are to drain.
    Retire,
}

/// Decides whether the acceptor dials.
#[derive(Debug, Default)]
pub(super) struct Standby {
    silent_since: Option<Instant>,
    answering_since: Option<Instant>,
}

impl Standby {
    /// Decides, given whether a lane of the initiator's is up and whether we have lanes.
    pub(super) fn duty(&mut self, now: Instant, theirs_up: bool, ours: bool) -> Duty {
        if theirs_up {
            self.silent_since = None;
            let since = *self.answering_since.get_or_insert(now);
            return match (ours, now >= since + RETIRE_AFTER) {
                (false, _) => Duty::StandBy(None),
                (true, false) => Duty::StandBy(Some(since + RETIRE_AFTER)),
                (true, true) => Duty::Retire,
            };
        }
        self.answering_since = None;
        let since = *self.silent_since.get_or_insert(now);
        match now >= since + DIAL_AFTER {
            true => Duty::Dial,
            false => Duty::StandBy(Some(since + DIAL_AFTER)),
        }
    }
}

/// Poll interval for whether a lane is empty, which has no wake-up.
const RETIRE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Why our lanes retire where the peer's serve again.
pub(super) const ANSWERED_AGAIN: &str = "the peer's own lanes answer again";

/// Drains lanes of ours, closes those that have drained and are empty; returns when to come back.
pub(super) fn retire(
    session: &SessionHandle,
    now: Instant,
    ours: &[LaneView],
    reason: &'static str,
) -> Instant {
    session.with(|core, at| {
        for view in ours {
            let drains = core.session.lane_is_draining(view.id);
            let Some(lane) = core.lanes.get_mut(&view.id) else { continue };
            // The peer has heard of the drain by the next time.
            if drains && view.idle || view.is_down() {
                lane.end(close::REPLACED, reason);
                continue;
            }
            let cost = session.cost_of(lane);
            core.session.advertise_use(at, view.id, cost, true);
        }
    });
    now + RETIRE_POLL_INTERVAL
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_acceptor_dials_when_no_lane_of_the_initiators_has_answered_for_three_seconds() {
        let (mut standby, t) = (Standby::default(), Instant::now());
        assert_eq!(standby.duty(t, true, false), Duty::StandBy(None));
        assert_eq!(standby.duty(t + SECOND, false, false), Duty::StandBy(Some(t + 4 * SECOND)));
        assert_eq!(standby.duty(t + 3 * SECOND, true, false), Duty::StandBy(None));
        assert_eq!(standby.duty(t + 4 * SECOND, false, false), Duty::StandBy(Some(t + 7 * SECOND)));
        assert_eq!(standby.duty(t + 7 * SECOND, false, false), Duty::Dial);
        assert_eq!(standby.duty(t + 100 * SECOND, false, true), Duty::Dial);
    }

    #[test]
    fn its_lanes_retire_when_the_initiators_have_answered_for_ten_seconds() {
        let (mut standby, t) = (Standby::default(), Instant::now());
        assert_eq!(standby.duty(t, true, true), Duty::StandBy(Some(t + 10 * SECOND)));
        assert_eq!(standby.duty(t + 9 * SECOND, true, true), Duty::StandBy(Some(t + 10 * SECOND)));
        assert_eq!(standby.duty(t + 10 * SECOND, true, true), Duty::Retire);
        assert_eq!(standby.duty(t + 11 * SECOND, true, false), Duty::StandBy(None));
    }
}
