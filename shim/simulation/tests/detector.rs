//! When a lane's monitors suspect it, on real connections over links of all kinds, in virtual time.
//!
//! `THROUGHLINE_DETECTOR_SEEDS=n` tries n seeds of generated weather instead of 2.
//! `THROUGHLINE_TRACES=directory` tries the recorded traces `*.up` and `*.down` of a directory as well, in
//! mahimahi's format.

use std::path::Path;
use std::time::Duration;

use throughline_link::{Jitter, Preset, Profile, Queue, Rate, Trace, Way};
use throughline_simulation::quic::{Congestion, Finding, Flow, FlowId, LinkId, Traffic};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Until then a lane may be wrong more often: it does not know its path yet.
const LEARNED: Duration = Duration::from_secs(20);

const LOADS: [Option<Way>; 3] = [Some(Way::Down), Some(Way::Up), None];

/// A lane with an echo and perhaps bulk, watched at both ends.
struct Lane {
    traffic: Traffic,
    flow: FlowId,
    links: [LinkId; 2],
}

impl Lane {
    fn new(seed: u64, profiles: [Profile; 2], bulk: Option<Way>) -> Self {
        let mut traffic = Traffic::new(seed);
        let links = profiles.map(|profile| traffic.link(profile));
        let flow = Flow::download(links[0], links[1], Congestion::Lane).bulk(bulk).echo(20 * MS);
        let flow = traffic.flow(flow);
        traffic.watch(flow);
        Self { traffic, flow, links }
    }

    /// How often the lane was found as bad as this from `from` on: at the end that found it more often.
    fn count(&self, from: Duration, what: Finding) -> usize {
        let findings = self.traffic.findings(self.flow);
        let count = |findings: &Vec<(Duration, Finding)>| {
            findings.iter().filter(|(at, found)| *at >= from && *found == what).count()
        };
        findings.iter().map(count).max().expect("two ends")
    }

    /// Silences the lane; returns how long each end takes to suspect it.
    fn fail(&mut self) -> [Duration; 2] {
        let at = self.traffic.network().elapsed();
        for link in self.links {
            self.traffic.network().set_blackhole(link, true);
        }
        self.traffic.run(3 * SEC);
        self.traffic.findings(self.flow).map(|findings| {
            let bad = |(found_at, found): &&(Duration, Finding)| {
                *found_at > at && *found >= Finding::Suspect
            };
            findings.iter().find(bad).map_or(Duration::MAX, |(found_at, _)| *found_at - at)
        })
    }
}

fn weather(preset: Preset, seed: u64) -> [Profile; 2] {
    [2 * seed, 2 * seed + 1].map(|seed| {
        let mut profile = Profile::new(1, 20 * MS).queue(Queue::Bytes(300_000));
        profile.rate = Rate::Trace(preset.weather(preset.usual_rate()).trace(seed, 300 * SEC));
        profile
    })
}

fn fibre(rtt: Duration) -> [Profile; 2] {
    [0, 1].map(|_| Profile::new(50_000_000, rtt / 2).queue(Queue::Time(50 * MS)))
}

#[test]
fn a_radio_link_that_pauses_is_left_less_than_twice_a_minute_and_its_failure_is_found() {
    let seeds =
        std::env::var("THROUGHLINE_DETECTOR_SEEDS").map_or(2, |n| n.parse().expect("a number"));
    let mut missed = Vec::new();
    for preset in [Preset::Lte, Preset::Wifi, Preset::Starlink, Preset::Pauses, Preset::Slots] {
        for bulk in LOADS {
            for seed in 0..seeds {
                let case = format!("{preset} {bulk:?} {seed}");
                let mut lane = Lane::new(seed, weather(preset, seed), bulk);
                lane.traffic.run(80 * SEC);
                let suspected = lane.count(LEARNED, Finding::Suspect);
                let all = lane.count(Duration::ZERO, Finding::Suspect);
                let given_up = [
                    lane.count(LEARNED, Finding::Failed),
                    lane.count(Duration::ZERO, Finding::Closed),
                ];
                let found = lane.fail();
                println!("{case}: {all}, {suspected} once it knew its path; found after {found:?}");
                // Their pauses last up to half a second, and a queue of as much follows.
                let soon = found.iter().all(|after| *after < SEC + 200 * MS);
                if suspected > 2 || given_up != [0, 0] || !soon {
                    missed.push(format!("{case}: {suspected}, {given_up:?}, {found:?}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_steady_path_is_never_suspected_and_its_failure_is_found_at_once() {
    for rtt in [20 * MS, 40 * MS, 100 * MS, 200 * MS] {
        for bulk in LOADS {
            let mut lane = Lane::new(1, fibre(rtt), bulk);
            lane.traffic.run(20 * SEC);
            let suspected = lane.count(2 * SEC, Finding::Suspect);
            assert_eq!(suspected, 0, "{rtt:?} {bulk:?}");
            let found = lane.fail();
            // The sender's clock stops; a thin flow's packet is late by an eighth, an acknowledgement's
            // delay, and the interval of messages.
            let [soon, thin] = [rtt / 2 + 15 * MS, rtt * 9 / 8 + 40 * MS];
            let bars = match bulk {
                Some(Way::Down) => [thin, soon],
                Some(_) => [soon, thin],
                None => [thin, thin],
            };
            assert!(found[0] < bars[0] && found[1] < bars[1], "{rtt:?} {bulk:?}: {found:?}");
        }
    }
}

#[test]
fn a_lane_with_much_jitter_is_neither_given_up_nor_replaced() {
    for jitter in [
        Jitter::Stepped { spread: 200 * MS, hold: 100 * MS },
        Jitter::Ordered { spread: 200 * MS },
        Jitter::Unordered { spread: 200 * MS },
    ] {
        for bulk in LOADS {
            let profiles = fibre(20 * MS).map(|mut profile| {
                profile.jitter = jitter;
                profile
            });
            let mut lane = Lane::new(1, profiles, bulk);
            lane.traffic.run(30 * SEC);
            let case = format!("{jitter:?} {bulk:?}");
            for bad in [Finding::Failed, Finding::Closed] {
                assert_eq!(lane.count(Duration::ZERO, bad), 0, "{case}: {bad:?}");
            }
            assert!(lane.count(3 * SEC, Finding::Suspect) <= 1, "{case}");
        }
    }
}

/// What a lane may cost in 140 s of a recorded link: suspicions, most of them while it does not know its path yet.
const SUSPICIONS: usize = 6;

/// Within this a failure of a recorded link is found: 1.7 s are its longest pause, and a lane is replaced for none
/// that is shorter than two seconds.
const FOUND_WITHIN: Duration = Duration::from_secs(3);

#[test]
fn a_recorded_link_raises_few_suspicions_and_its_failure_is_found() {
    let Some(directory) = std::env::var_os("THROUGHLINE_TRACES") else {
        println!("SKIPPED: THROUGHLINE_TRACES names no directory with recorded traces");
        return;
    };
    let mut ups: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    ups.retain(|path| path.extension().is_some_and(|extension| extension == "up"));
    assert!(!ups.is_empty(), "no traces in THROUGHLINE_TRACES");
    let mut missed = Vec::new();
    for up in ups {
        for (bulk, phase) in LOADS.into_iter().flat_map(|bulk| [0, 20, 47].map(|s| (bulk, s * SEC)))
        {
            let link = |path: &Path| {
                let trace = Trace::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
                let mut profile = Profile::new(1, 20 * MS).queue(Queue::Bytes(300_000));
                profile.rate = Rate::Trace(trace.shifted(phase));
                profile
            };
            let mut lane = Lane::new(1, [link(&up), link(&up.with_extension("down"))], bulk);
            lane.traffic.run(140 * SEC);
            let [suspect, failed, closed] = [Finding::Suspect, Finding::Failed, Finding::Closed]
                .map(|what| lane.count(Duration::ZERO, what));
            let found = lane.fail();
            let case = format!(
                "{up:?} {bulk:?} from {phase:?}: in 140 s suspect {suspect} ({} after 20 s), failed {failed}, \
                 closed {closed}; failure found after {found:?}",
                lane.count(LEARNED, Finding::Suspect)
            );
            println!("{case}");
            let soon = found.iter().all(|after| *after < FOUND_WITHIN);
            if suspect > SUSPICIONS || closed > 0 || !soon {
                missed.push(case);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
