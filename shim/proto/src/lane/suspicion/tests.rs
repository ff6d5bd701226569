use super::*;
use crate::lane::observation::Overtaken;
use crate::lane::pauses::Pauses;

const MS: Duration = Duration::from_millis(1);

/// A lane seen in virtual time, 20 ms of round trip, nothing outstanding.
struct Lane {
    start: Instant,
    detector: SuspicionDetector,
    seen: SensorSnapshot,
}

impl Lane {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            detector: SuspicionDetector::new(5 * MS),
            seen: SensorSnapshot {
                in_flight: 0,
                cwnd: 1 << 20,
                acked_bytes: 0,
                lost_bytes: 0,
                sent_bytes: 0,
                last_ack: None,
                oldest_unacked: None,
                newest_acked_sent: None,
                newest_full_acked_sent: None,
                last_full_ack: None,
                last_sent: None,
                overtaken: Overtaken::default(),
                ack_interval: MS,
                srtt: 20 * MS,
                rttvar: MS,
                min_rtt: 20 * MS,
                pauses: Pauses::default(),
                epoch: 0,
            },
        }
    }

    fn at(&self, ms: u32) -> Instant {
        self.start + ms * MS
    }

    /// At `now`, the acknowledgement of what was sent at `sent` has arrived; `oldest` is next.
    fn acked(&mut self, now: u32, sent: u32, oldest: Option<u32>) {
        self.seen.last_ack = Some(self.at(now));
        self.seen.newest_acked_sent = Some(self.at(sent));
        self.seen.newest_full_acked_sent = self.seen.newest_acked_sent;
        self.seen.last_full_ack = self.seen.last_ack;
        self.seen.oldest_unacked = oldest.map(|ms| self.at(ms));
    }

    fn evaluate(&mut self, ms: u32) -> Verdict {
        let now = self.at(ms);
        self.detector.evaluate(now, &self.seen)
    }

    fn suspect(&mut self, ms: u32) -> bool {
        matches!(self.evaluate(ms), Verdict::Suspect { .. })
    }

    /// When it becomes suspect if nothing more happens.
    fn due(&mut self) -> Option<Instant> {
        match self.evaluate(0) {
            Verdict::Alive { check_at } => check_at,
            Verdict::Late { check_at } => Some(check_at),
            Verdict::Suspect { since, .. } => Some(since),
        }
    }

    /// Bulk under way at 1000 ms, acknowledged up to what was sent at 980 ms.
    fn bulk() -> Self {
        let mut lane = Self::new();
        lane.seen.in_flight = 500_000;
        lane.acked(1000, 980, Some(981));
        lane
    }
}

#[test]
fn an_idle_lane_is_never_suspect_and_needs_no_timer() {
    let mut lane = Lane::new();
    assert_eq!(lane.evaluate(0), Verdict::Alive { check_at: None });
    lane.acked(10, 0, None);
    assert_eq!(lane.evaluate(100_000), Verdict::Alive { check_at: None });
}

#[test]
fn a_lane_that_has_just_sent_after_long_idleness_gets_its_whole_timeout() {
    let mut lane = Lane::new();
    lane.acked(10, 0, Some(60_000));
    lane.seen.in_flight = 64 << 10;
    assert!(!lane.suspect(60_029));
    assert!(lane.suspect(60_030));
}

#[test]
fn thin_flows_wait_for_the_retransmission_timeout_and_its_floor() {
    let mut lane = Lane::new();
    lane.seen.oldest_unacked = Some(lane.at(100));
    assert_eq!(lane.due(), Some(lane.at(130)), "20 + 4·1 + 5 is below the floor");
    lane.seen.rttvar = 10 * MS;
    assert_eq!(lane.due(), Some(lane.at(165)), "20 + 4·10 + 5");
    lane.seen.srtt = 100 * MS;
    assert_eq!(lane.due(), Some(lane.at(245)));
}

#[test]
fn a_thin_flow_needs_silence_too() {
    let mut lane = Lane::new();
    lane.acked(128, 90, Some(100));
    assert!(!lane.suspect(139), "an acknowledgement came 11 ms ago");
    assert!(lane.suspect(140));
}

#[test]
fn a_stopped_acknowledgement_clock_raises_suspicion_within_ten_milliseconds() {
    let mut lane = Lane::bulk();
    assert_eq!(lane.due(), Some(lane.at(1010)));
    assert!(!lane.suspect(1009));
    assert!(lane.suspect(1010));
}

#[test]
fn a_slow_clock_is_given_four_of_its_intervals() {
    let mut lane = Lane::bulk();
    lane.seen.ack_interval = 4 * MS;
    assert_eq!(lane.due(), Some(lane.at(1016)));
}

#[test]
fn little_in_flight_makes_no_clock() {
    let mut lane = Lane::bulk();
    lane.seen.in_flight = 15 * 1200;
    assert_eq!(lane.due(), Some(lane.at(1012)), "only the thin rule's silence is left");
    lane.acked(1000, 980, Some(995));
    assert_eq!(lane.due(), Some(lane.at(1025)), "and the thin rule's timeout");
}

#[test]
fn the_gap_between_two_bursts_is_not_a_stopped_clock() {
    let mut lane = Lane::bulk();
    lane.acked(1000, 980, Some(995));
    assert!(!lane.suspect(1019), "the second burst's acknowledgement is due at 1015");
    assert_eq!(lane.due(), Some(lane.at(1020)));
}

#[test]
fn a_queue_that_fills_while_acknowledgements_keep_coming_is_not_a_dead_path() {
    let mut lane = Lane::bulk();
    // The round trip grows from 20 to 70 ms in five of them; smoothing follows behind.
    for step in 0..100 {
        let now = 1000 + step * 2;
        let rtt = 20 + step / 2;
        lane.seen.srtt = (20 + step / 4) * MS;
        lane.seen.rttvar = (1 + step / 10) * MS;
        lane.acked(now, now - rtt, Some(now - rtt + 1));
        assert!(!lane.suspect(now), "just acknowledged at {now}");
        assert!(!lane.suspect(now + 9), "{now} + 9");
    }
}

#[test]
fn delayed_acknowledgements_are_waited_for() {
    let mut lane = Lane::new();
    lane.detector = SuspicionDetector::new(25 * MS);
    lane.seen.oldest_unacked = Some(lane.at(100));
    assert!(!lane.suspect(100 + 20 + 25), "a peer without ACK_FREQUENCY may wait 25 ms");
    assert_eq!(lane.due(), Some(lane.at(149)));

    let mut lane = Lane::bulk();
    lane.detector = SuspicionDetector::new(25 * MS);
    assert!(lane.suspect(1010), "bulk is acknowledged by count, whatever the delay");
}

#[test]
fn a_suspicion_keeps_its_start_and_measures_what_passes_without_progress() {
    let mut lane = Lane::bulk();
    assert!(lane.suspect(1010));
    let Verdict::Suspect { since, progressless, recheck_at } = lane.evaluate(1025) else {
        panic!()
    };
    assert_eq!((since, progressless), (lane.at(1010), 15 * MS));
    assert_eq!(recheck_at, lane.at(1055));
    // An old packet's acknowledgement is a sign of life, but does not end the suspicion.
    lane.acked(1030, 985, Some(986));
    let Verdict::Suspect { since, progressless, .. } = lane.evaluate(1040) else { panic!() };
    assert_eq!((since, progressless), (lane.at(1010), 10 * MS));
}

#[test]
fn only_a_packet_sent_after_the_suspicion_was_raised_ends_it() {
    let mut lane = Lane::bulk();
    assert!(lane.suspect(1010));
    lane.acked(1020, 1005, Some(1006));
    assert!(lane.suspect(1020));
    lane.acked(1025, 1010, Some(1011));
    assert!(lane.suspect(1025), "sent in the same moment is not after");
    lane.acked(1032, 1011, Some(1012));
    assert_eq!(lane.evaluate(1032), Verdict::Alive { check_at: Some(lane.at(1042)) });
}

#[test]
fn a_suspect_with_nothing_outstanding_stays_so_until_something_new_is_acknowledged() {
    let mut lane = Lane::bulk();
    assert!(lane.suspect(1010));
    lane.acked(1020, 1005, None);
    assert!(lane.suspect(2000));
    lane.acked(2021, 2001, None);
    assert_eq!(lane.evaluate(2021), Verdict::Alive { check_at: None });
}

#[test]
fn a_lane_on_a_new_path_begins_without_suspicion() {
    let mut lane = Lane::bulk();
    assert!(lane.suspect(1010));
    lane.seen.epoch = 1;
    lane.seen.oldest_unacked = Some(lane.at(1012));
    assert!(!lane.suspect(1012));
}

#[test]
fn a_late_timer_of_our_own_holds_suspicion_back_once() {
    let mut lane = Lane::bulk();
    lane.evaluate(1000);
    // SIGSTOP for three seconds: the timer of 1010 fires at 4000.
    let now = lane.at(4000);
    lane.detector.timer_fired(now, 2990 * MS);
    assert_eq!(lane.evaluate(4000), Verdict::Alive { check_at: Some(lane.at(4010)) });
    // Late again with nothing acknowledged in between: not excused.
    let now = lane.at(4020);
    lane.detector.timer_fired(now, 10 * MS);
    assert!(lane.suspect(4020));
}

#[test]
fn a_late_timer_after_an_acknowledgement_is_excused_again() {
    let mut lane = Lane::bulk();
    lane.evaluate(1000);
    lane.detector.timer_fired(lane.at(4000), 2990 * MS);
    lane.acked(4001, 3990, Some(3991));
    assert!(!lane.suspect(4001));
    assert_eq!(lane.due(), Some(lane.at(4016)), "the hold ended with the acknowledgement");
    lane.detector.timer_fired(lane.at(5000), 980 * MS);
    assert!(!lane.suspect(5000));
    assert!(lane.suspect(5010));
}

#[test]
fn a_timer_that_is_a_little_late_holds_nothing_back() {
    let mut lane = Lane::bulk();
    lane.evaluate(1000);
    lane.detector.timer_fired(lane.at(1013), 3 * MS);
    assert!(lane.suspect(1013));
}

#[test]
fn a_small_packet_ends_no_suspicion_and_is_no_progress() {
    let mut lane = Lane::new();
    lane.acked(20, 0, Some(1));
    assert!(lane.suspect(60));
    lane.seen.last_ack = Some(lane.at(90));
    lane.seen.newest_acked_sent = Some(lane.at(70));
    let Verdict::Suspect { progressless, .. } = lane.evaluate(100) else { panic!("ended") };
    assert_eq!(progressless, 40 * MS);
    lane.acked(120, 100, None);
    assert!(!lane.suspect(121), "a full one does");
}

#[test]
fn a_suspicion_names_the_rule_that_raised_it() {
    let mut lane = Lane::bulk();
    assert!(lane.suspect(1010));
    assert_eq!(lane.detector.raised_by(), SuspicionRule::Bulk);
    let mut lane = Lane::new();
    lane.seen.oldest_unacked = Some(lane.at(100));
    assert!(lane.suspect(200));
    assert_eq!(lane.detector.raised_by(), SuspicionRule::Thin);
}

#[test]
fn a_silence_that_is_usual_for_the_path_is_late_and_a_longer_one_suspect() {
    let mut lane = Lane::bulk();
    lane.seen.pauses.suspect_after = 180 * MS;
    assert!(!lane.suspect(1009));
    let Verdict::Late { check_at } = lane.evaluate(1010) else { panic!("not late") };
    assert_eq!(check_at, lane.at(1035), "thin flows are sent twice meanwhile");
    assert!(!lane.suspect(1180), "the acknowledgement was due at 1001");
    assert!(lane.suspect(1181));
    // A packet of a thin flow is due a round trip after it was sent.
    let mut lane = Lane::new();
    lane.seen.pauses.suspect_after = 180 * MS;
    lane.seen.oldest_unacked = Some(lane.at(100));
    assert!(matches!(lane.evaluate(130), Verdict::Late { .. }));
    assert!(!lane.suspect(299));
    assert!(lane.suspect(300));
}

#[test]
fn an_acknowledgement_ends_lateness_at_once() {
    let mut lane = Lane::bulk();
    lane.seen.pauses.suspect_after = 180 * MS;
    assert!(matches!(lane.evaluate(1100), Verdict::Late { .. }));
    lane.acked(1101, 985, Some(986));
    assert_eq!(lane.evaluate(1101), Verdict::Alive { check_at: Some(lane.at(1111)) });
}

#[test]
fn what_our_own_scheduling_delays_is_no_silence() {
    let mut lane = Lane::bulk();
    lane.detector.timer_fired(lane.at(999), 4 * MS);
    assert!(!lane.suspect(1012));
    assert!(lane.suspect(1014));
}
