//! Bulk over radio links, beside what CUBIC has of each, over real QUIC in virtual time.

use std::time::Duration;

use throughline_link::{Preset, Profile, Queue, Rate, Way};
use throughline_proto::types::Mode;
use throughline_simulation::field::{Application, Field};
use throughline_simulation::quic::{Congestion, Flow, Traffic, percentile};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

const WARM: Duration = Duration::from_secs(2);
const UNTIL: Duration = Duration::from_secs(32);

/// A link up and down.
type Link = [Profile; 2];

/// Two links of a phone that moves, with 40 ms and 300 kB of queue.
fn links(mbit: [u64; 2], seed: u64) -> [Link; 2] {
    let link = |mbit: u64, seed| {
        let trace = Preset::Lte.weather(mbit * 1_000_000).trace(seed, 60 * SEC);
        Profile::new(1, 20 * MS).rate(Rate::Trace(trace)).queue(Queue::Bytes(300_000))
    };
    let pair = |mbit, seed| [2 * seed, 2 * seed + 1].map(|seed| link(mbit, seed));
    [pair(mbit[0], 100 * seed), pair(mbit[1], 100 * seed + 50)]
}

/// Returns what CUBIC has of a link, in Mbit/s.
fn cubic(link: &Link, way: Way) -> f64 {
    let mut traffic = Traffic::new(1);
    let [up, down] = link.clone().map(|profile| traffic.link(profile));
    let bulk = traffic.flow(Flow::download(up, down, Congestion::Cubic).bulk(Some(way)));
    traffic.run(UNTIL);
    traffic.goodput(bulk, WARM, UNTIL)
}

/// Returns what bulk has of both, in Mbit/s, its longest gap, and the 99th percentile of an echo beside it.
fn ours(links: &[Link; 2], mode: Mode, way: Way) -> (f64, Duration, Duration) {
    let mut field = Field::new(1);
    for [up, down] in links.iter().cloned() {
        field.isp(up, down);
    }
    let application = if way == Way::Up { Application::Upload } else { Application::Download };
    let bulk = field.flow(mode, application, 200 * MS);
    let echo = field.flow(Mode::Auto, Application::Echo(20 * MS), 200 * MS);
    field.run(UNTIL);
    let p99 = percentile(field.latencies(echo, WARM, UNTIL).iter().copied(), 0.99);
    (field.goodput(bulk, WARM, UNTIL), field.longest_gap(bulk, WARM, UNTIL), p99)
}

#[test]
fn a_link_whose_rate_wanders_is_not_taken_for_a_competitor() {
    let mut parts = [Vec::new(), Vec::new()];
    let mut delays = Vec::new();
    for (mbit, way, seed) in [[13, 5], [30, 30]]
        .into_iter()
        .flat_map(|mbit| [Way::Down, Way::Up].map(|way| (mbit, way)))
        .flat_map(|(mbit, way)| (0..4).map(move |seed| (mbit, way, seed)))
    {
        let links = links(mbit, seed);
        let tcp = links.each_ref().map(|link| cubic(link, way));
        let (auto, gap, _) = ours(&links, Mode::Auto, way);
        let (bond, bond_gap, p99) = ours(&links, Mode::Bond, way);
        println!(
            "{mbit:?} {way:?}, seed {seed}: cubic {:.1} and {:.1}; auto {auto:.1} Mbit/s, gap {gap:?}; bond {bond:.1}, \
             {bond_gap:?}, echo {p99:?}",
            tcp[0], tcp[1]
        );
        parts[0].push(auto / tcp[0].max(tcp[1]));
        parts[1].push(bond / (tcp[0] + tcp[1]));
        delays.push(p99);
    }
    let [auto, bond] = parts.map(|part| part.iter().sum::<f64>() / part.len() as f64);
    let p99 = percentile(delays.iter().copied(), 0.5);
    println!("auto {auto:.3} of the better link, bond {bond:.3} of the sum, echo {p99:?}");
    assert!(auto >= 0.95, "{auto}");
    assert!(bond >= 0.9, "{bond}");
}
