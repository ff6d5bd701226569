//! A busy machine is not taken for failing ISPs: two sessions over real QUIC, in virtual time, whose
//! processes wait for the processor.

use std::time::Duration;

use throughline_link::{Loss, Profile, Queue};
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

/// A path that loses a tenth and became longer by 100 ms, on machines whose own lateness hides what probes would show.
#[test]
fn a_download_on_a_busy_machine_leaves_an_isp_that_browns_out_within_two_seconds() {
    let mut seen = 0;
    for seed in 10..26 {
        let mut field = Field::new(seed);
        let profile = || Profile::new(50_000_000, 10 * MS).queue(Queue::Time(50 * MS));
        let bad = field.isp(profile(), profile());
        field.isp(profile(), profile());
        let flow = field.flow(Mode::Auto, Application::Download, 200 * MS);
        for end in [0, 1] {
            field.set_busy(end, 30 * MS);
        }
        field.run(4 * SEC + (seed as u32 * 37 % 1000) * MS);
        let begun = field.elapsed();
        for link in [bad.up, bad.down] {
            field.change(link, |profile| {
                profile.loss = Loss::Random(0.1);
                profile.delay += 50 * MS;
            });
        }
        field.run(4 * SEC);
        println!("{seed}: begun {begun:?}, {:?}", field.moves(flow));
        // The sender's end decides; the other one has no bulk to send.
        let mut leaves = field.moves(flow).iter().filter(|step| step.side == 1).map(|step| step.at);
        let Some(left) = leaves.next().map(|at| at.checked_sub(begun)) else {
            panic!("seed {seed}: it stays")
        };
        // It may have found the other ISP better before.
        let Some(left) = left else { continue };
        assert!(left < 2 * SEC, "seed {seed}: left after {left:?}");
        seen += 1;
    }
    assert!(seen >= 12, "{seen}");
}
