//! A busy machine is not taken for failing ISPs: two sessions over real QUIC, in virtual time, whose
//! processes wait for the processor.

use std::time::Duration;

use throughline_link::{Profile, Queue};
use throughline_proto::types::Mode;
use throughline_simulation::field::{Application, Field};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Waits of a machine whose processors all have two other processes to run.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

#[test]
fn a_busy_machine_replaces_no_lane_and_sends_next_to_nothing_twice() {
    for ends in [&[0][..], &[1], &[0, 1]] {
        let mut field = Field::new(1);
        for _ in 0..2 {
            let profile = Profile::new(20_000_000, 10 * MS).queue(Queue::Time(50 * MS));
            field.isp(profile.clone(), profile);
        }
        let flows = [Application::Download, Application::Echo(20 * MS)]
            .map(|application| field.flow(Mode::Auto, application, 300 * MS));
        field.run(2 * SEC);
        for end in ends {
            field.set_busy(*end, LONGEST_WAIT);
        }
        field.run(15 * SEC);
        // The first waits of the other end's machine are a surprise.
        let moves = flows.map(|flow| {
            let moves = field.moves(flow).iter();
            moves.filter(|step| step.suspect && step.at > 4 * SEC).count()
        });
        let resent = field.resent(flows[0]);
        let reports = [0, 1].map(|isp| field.report(isp));
        println!("{ends:?}: moves {moves:?}, {resent:.4} again, {reports:?}");
        assert_eq!(reports.map(|report| report.closed), [0, 0], "{ends:?}");
        assert_eq!(moves, [0, 0], "{ends:?}");
        assert!(resent < 0.01, "{ends:?}: {resent}");
    }
}
