use super::*;

const MS: Duration = Duration::from_millis(1);

/// A reporter that is asked about one suspicion at a time, as a monitor asks.
struct Lane {
    reporter: Reporter,
    since: Option<Instant>,
}

impl Lane {
    fn new() -> (Self, Instant) {
        (Self { reporter: Reporter::default(), since: None }, Instant::now())
    }

    fn observe(
        &mut self,
        now: Instant,
        silence: Option<u32>,
        peers: bool,
        resent: u64,
    ) -> (Vec<Report>, Option<Instant>) {
        let ours = silence.map(|ms| (SuspicionRule::Bulk, ms * MS));
        if ours.is_none() && !peers {
            let since = self.since.take().unwrap();
            return (self.reporter.end(now, since, resent), None);
        }
        let since = *self.since.get_or_insert(now);
        self.reporter.observe(now, since, ours, peers, resent)
    }
}

fn suspected(silence: u32, suppressed: u64) -> Report {
    let detected_by = SuspectedBy::Us { rule: SuspicionRule::Bulk, silence: silence * MS };
    Report::Suspected { detected_by, suppressed }
}

const BY_PEER: Report = Report::Suspected { detected_by: SuspectedBy::Peer, suppressed: 0 };

#[test]
fn a_brief_suspicion_is_counted_and_reported_with_the_next_that_lasts() {
    let (mut lane, t) = Lane::new();
    for i in 0..3 {
        let raised = t + i * 200 * MS;
        let due = Some(raised + REPORT_AFTER);
        assert_eq!(lane.observe(raised, Some(12), false, 5), (vec![], due));
        assert_eq!(lane.observe(raised + 20 * MS, Some(32), false, 5), (vec![], due));
        let withdrawn = (vec![Report::Withdrawn { after: 40 * MS }], None);
        assert_eq!(lane.observe(raised + 40 * MS, None, false, 5), withdrawn);
    }
    let t = t + 1000 * MS;
    lane.observe(t, Some(12), false, 5);
    let reports = lane.observe(t + REPORT_AFTER, Some(112), false, 5);
    assert_eq!(reports, (vec![suspected(112, 3)], None));
    assert_eq!(lane.observe(t + 150 * MS, Some(162), false, 5), (vec![], None));
    let recovered = (vec![Report::Recovered { after: 300 * MS }], None);
    assert_eq!(lane.observe(t + 300 * MS, None, false, 5), recovered);
    assert_eq!(lane.reporter.count(), 4);
}

#[test]
fn a_suspicion_because_of_which_bytes_were_sent_again_is_reported_however_brief() {
    let (mut lane, t) = Lane::new();
    lane.observe(t, Some(12), false, 5);
    let reports = lane.observe(t + 3 * MS, Some(15), false, 6);
    assert_eq!(reports, (vec![suspected(15, 0)], None));
    lane.observe(t + 5 * MS, None, false, 6);
    // Observed only when it was over already.
    lane.observe(t + 10 * MS, Some(12), false, 6);
    let reports = lane.observe(t + 12 * MS, None, false, 7);
    let recovered = Report::Recovered { after: 2 * MS };
    assert_eq!(reports, (vec![suspected(12, 0), recovered], None));
}

#[test]
fn a_late_acknowledgement_does_not_shorten_the_silence_that_is_reported() {
    let (mut lane, t) = Lane::new();
    lane.observe(t, Some(12), false, 0);
    lane.observe(t + 5 * MS, Some(0), false, 0);
    let reports = lane.observe(t + 8 * MS, Some(3), false, 1);
    assert_eq!(reports, (vec![suspected(12, 0)], None));
}

#[test]
fn an_end_that_withdraws_before_its_suspicion_is_reported_is_not_named() {
    let (mut lane, t) = Lane::new();
    lane.observe(t, Some(12), true, 0);
    lane.observe(t + 20 * MS, None, true, 0);
    let reports = lane.observe(t + REPORT_AFTER, None, true, 0);
    assert_eq!(reports, (vec![BY_PEER], None));
}

#[test]
fn each_end_is_reported_once_and_at_the_end_of_the_lane_what_was_not() {
    let (mut lane, t) = Lane::new();
    lane.observe(t, None, true, 0);
    assert_eq!(lane.observe(t + REPORT_AFTER, None, true, 0), (vec![BY_PEER], None));
    let reports = lane.observe(t + 120 * MS, Some(12), true, 0);
    assert_eq!(reports, (vec![suspected(12, 0)], None));
    assert_eq!(lane.reporter.report(), vec![]);
    lane.reporter.forget();
    lane.since = None;
    lane.observe(t + 500 * MS, Some(12), true, 0);
    assert_eq!(lane.reporter.report(), vec![suspected(12, 0), BY_PEER]);
    assert_eq!(lane.reporter.report(), vec![]);
}

#[test]
fn bytes_sent_again_are_counted_for_a_while_and_reported_in_one() {
    let (mut reporter, t) = (HedgeReporter::default(), Instant::now());
    let suspects = |id| move || vec![LaneId(id)];
    assert_eq!(reporter.observe(t, 0, suspects(1)), (None, None));
    assert_eq!(reporter.observe(t, 10, suspects(2)), (None, Some(t + 100 * MS)));
    assert_eq!(reporter.observe(t + 99 * MS, 30, suspects(3)), (None, Some(t + 100 * MS)));
    let hedged = Report::Hedged { bytes: 30, instead_of: vec![LaneId(2)] };
    assert_eq!(reporter.observe(t + 100 * MS, 30, suspects(4)), (Some(hedged), None));
    assert_eq!(reporter.observe(t + 300 * MS, 30, suspects(5)), (None, None));
}
