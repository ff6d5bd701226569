//! Lanes that carry little, late or not at all, over real QUIC in virtual time.

use std::time::Duration;

use throughline_link::{Loss, Preset, Profile, Queue, Rate, Trace};
use throughline_proto::types::Mode;
use throughline_simulation::field::{Application, Field, Isp};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// How often 48 bulk flows leave their first lane for nothing in their first three seconds.
const MAX_FIRST_MOVES: usize = 12;

fn fibre(rate: u64) -> Profile {
    Profile::new(rate, 10 * MS).queue(Queue::Time(50 * MS))
}

fn lte(seed: u64) -> Profile {
    let trace = Preset::Lte.weather(Preset::Lte.usual_rate()).trace(seed, 60 * SEC);
    let mut profile = Profile::new(1, 20 * MS).queue(Queue::Bytes(300_000));
    profile.rate = Rate::Trace(trace);
    profile
}

/// A link that carries nothing for 225 ms of every second.
fn pausing() -> Profile {
    let opportunities: String =
        (0..1000).filter(|ms| *ms >= 225).map(|ms| format!("{ms}\n")).collect();
    let mut profile = fibre(1);
    profile.rate = Rate::Trace(Trace::parse(&opportunities).expect("a trace"));
    profile
}

fn closed(field: &Field) -> [u32; 2] {
    [0, 1].map(|isp| field.report(isp).closed)
}

#[test]
fn a_clean_link_raises_no_suspicion_in_its_first_second() {
    for rate in [20, 35, 50, 100] {
        for application in [Application::Download, Application::Upload] {
            let mut field = Field::new(rate);
            for _ in 0..2 {
                field.isp(fibre(1_000_000 * rate), fibre(1_000_000 * rate));
            }
            for application in [application, Application::Echo(20 * MS)] {
                field.flow(Mode::Auto, application, 20 * MS);
            }
            field.run(SEC);
            let reports = [0, 1].map(|isp| field.report(isp).suspicions);
            assert_eq!(reports, [0, 0], "{rate} Mbit/s, {application:?}");
        }
    }
}

#[test]
fn a_lane_that_loses_half_or_pauses_is_not_closed() {
    for seed in 0..3 {
        let mut field = Field::new(seed);
        let bad = field.isp(fibre(20_000_000), fibre(20_000_000));
        field.isp(fibre(20_000_000), fibre(20_000_000));
        field.flow(Mode::Auto, Application::Download, 200 * MS);
        field.flow(Mode::Auto, Application::Echo(20 * MS), 200 * MS);
        field.run(3 * SEC);
        for link in [bad.up, bad.down] {
            field.change(link, |profile| profile.loss = Loss::Random(0.5));
        }
        field.run(8 * SEC);
        println!("half is lost: {:?}", field.report(0));
        assert_eq!(closed(&field), [0, 0], "half is lost, {seed}");
    }
    for (up, down) in [(fibre(20_000_000), pausing()), (pausing(), fibre(20_000_000))] {
        let mut field = Field::new(1);
        field.isp(up, down);
        field.isp(fibre(10_000_000), fibre(10_000_000));
        field.flow(Mode::Auto, Application::Download, 200 * MS);
        field.flow(Mode::Auto, Application::Upload, 200 * MS);
        field.run(15 * SEC);
        println!("pauses: {:?}", field.report(0));
        assert_eq!(closed(&field), [0, 0], "it pauses");
    }
}

/// A link whose weather is of a kind, with 40 to 110 ms there and back and a queue of 150 ms.
fn weather(preset: Preset, seed: u64) -> Profile {
    let rate = 1_000_000 * (20 + 7 * (seed % 5));
    let trace = preset.weather(rate).trace(seed, 20 * SEC);
    let delay = (20 + 9 * (seed as u32 % 5)) * MS;
    Profile::new(1, delay).queue(Queue::Time(150 * MS)).rate(Rate::Trace(trace))
}

#[test]
fn bulk_that_begins_beside_an_echo_seldom_leaves_a_radio_link_for_a_first_pause() {
    let mut moves = 0;
    for preset in [Preset::Wander, Preset::Starlink, Preset::Pauses, Preset::Slots] {
        for seed in 0..6 {
            let mut field = Field::new(seed);
            for isp in 0..2 {
                let [up, down] = [0, 1].map(|way| weather(preset, 4 * seed + 2 * isp + way));
                field.isp(up, down);
            }
            field.flow(Mode::Auto, Application::Echo(20 * MS), 200 * MS);
            let bulk = [Application::Download, Application::Upload]
                .map(|bulk| field.flow(Mode::Auto, bulk, 1200 * MS));
            field.run(4 * SEC);
            let left = bulk.map(|flow| field.moves(flow).iter().filter(|m| m.suspect).count());
            println!("{preset} {seed}: {left:?}");
            moves += left.iter().sum::<usize>();
        }
    }
    assert!(moves <= MAX_FIRST_MOVES, "{moves}");
}

/// Two LTE links, a download, and an echo; after 20 s the link of the download fails, or had failed before all began.
/// Returns the echo's times after that, and the download's longest gap.
fn failing_lte(seed: u64, fails: bool, used: usize) -> (usize, Vec<Duration>, Duration) {
    let mut field = Field::new(seed);
    let isps: Vec<Isp> =
        (0..2).map(|isp| field.isp(lte(8 * seed + 2 * isp), lte(8 * seed + 2 * isp + 1))).collect();
    let fail = |field: &mut Field, isp: usize| {
        for link in [isps[isp].up, isps[isp].down] {
            field.set_blackhole(link, true);
        }
    };
    if !fails {
        fail(&mut field, used);
    }
    let bulk = field.flow(Mode::Single, Application::Download, 200 * MS);
    let echo = field.flow(Mode::Auto, Application::Echo(20 * MS), 200 * MS);
    field.run(20 * SEC);
    let used = if fails { field.lane_of(bulk, 1).expect("the flow is on a lane") } else { used };
    fail(&mut field, used);
    field.run(8 * SEC);
    let gap = field.longest_gap(bulk, 20 * SEC, 26 * SEC);
    (used, field.latencies(echo, 20 * SEC, 21 * SEC), gap)
}

#[test]
fn a_radio_link_that_fails_is_left_for_another() {
    for seed in 0..4 {
        let (used, failed, gap) = failing_lte(seed, true, 0);
        let (_, other, _) = failing_lte(seed, false, used);
        let worst = |latencies: &[Duration]| latencies.iter().max().copied().unwrap_or_default();
        let [failed, other] = [failed, other].map(|latencies| worst(&latencies));
        println!("{seed}: echo {failed:?}, over the other link {other:?}; gap {gap:?}");
        assert!(failed <= other, "{seed}: {failed:?}, {other:?}");
        // Three pauses of half a second.
        assert!(gap < 3 * SEC / 2, "{seed}: {gap:?}");
    }
}
