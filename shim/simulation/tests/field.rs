//! Bonds, and flows that look for the better lane, over real QUIC in virtual time.

use std::time::Duration;

use throughline_link::{Loss, Profile, Queue, Rate};
use throughline_proto::types::Mode;
use throughline_simulation::field::{Application, Field};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// A link one way: `mbit` Mbit/s, `rtt` milliseconds there and back, 50 ms of queue.
fn link(mbit: u64, rtt: u32) -> Profile {
    Profile::new(mbit * 1_000_000, rtt * MS / 2).queue(Queue::Time(50 * MS))
}

fn bonded(isps: [(u64, u32); 2]) -> f64 {
    let mut field = Field::new(1);
    for (mbit, rtt) in isps {
        field.isp(link(mbit, rtt), link(mbit, rtt));
    }
    let flow = field.flow(Mode::Bond, Application::Download, 200 * MS);
    field.run(12 * SEC);
    let goodput = field.goodput(flow, 2 * SEC, 12 * SEC);
    println!(
        "{isps:?}: {goodput:.1} Mbit/s, gap {:?}, resent {:.2} %, {:?} {:?}",
        field.longest_gap(flow, 2 * SEC, 12 * SEC),
        100.0 * field.resent(flow),
        field.report(0),
        field.report(1)
    );
    goodput
}

#[test]
fn a_bond_has_nearly_the_sum_of_unequal_lanes() {
    for (isps, bar) in [
        ([(100, 25), (100, 25)], 187.0),
        ([(300, 10), (80, 30)], 355.0),
        ([(200, 10), (20, 80)], 206.0),
        ([(50, 40), (12, 60)], 58.0),
    ] {
        let goodput = bonded(isps);
        assert!(goodput >= bar, "{isps:?}: {goodput} of {bar}");
    }
}

fn rate(field: &mut Field, isp: throughline_simulation::field::Isp, mbit: u64) {
    for link in [isp.up, isp.down] {
        field.change(link, |profile| profile.rate = Rate::from_bits(mbit * 1_000_000));
    }
}

#[test]
fn a_download_leaves_the_slow_lane_that_comes_first_in_order() {
    let mut field = Field::new(1);
    field.isp(link(20, 20), link(20, 20));
    field.isp(link(50, 20), link(50, 20));
    let flow = field.flow(Mode::Auto, Application::Download, 200 * MS);
    field.run(20 * SEC);
    for at in 0..20 {
        print!("{:.0} ", field.goodput(flow, at * SEC, (at + 1) * SEC));
    }
    println!("moves {:?}", field.moves(flow));
    let goodput = field.goodput(flow, 6 * SEC, 20 * SEC);
    assert!(goodput > 44.0, "{goodput}");
    let moves = field.moves(flow).iter().filter(|at| at.at > SEC).count();
    assert_eq!(moves, 1, "{:?}", field.moves(flow));
}

#[test]
fn a_download_leaves_a_lane_that_turns_bad_within_three_seconds() {
    for lossy in [true, false] {
        let mut field = Field::new(1);
        let bad = field.isp(link(50, 20), link(50, 20));
        field.isp(link(50, 20), link(50, 20));
        let flow = field.flow(Mode::Auto, Application::Download, 200 * MS);
        field.run(10 * SEC);
        match lossy {
            true => {
                for link in [bad.up, bad.down] {
                    field.change(link, |profile| profile.loss = Loss::Random(0.5));
                }
            }
            false => rate(&mut field, bad, 1),
        }
        field.run(20 * SEC);
        for at in 8..30 {
            print!("{:.0} ", field.goodput(flow, at * SEC, (at + 1) * SEC));
        }
        println!("lossy {lossy} moves {:?} {:?}", field.moves(flow), field.report(0));
        let goodput = field.goodput(flow, 13 * SEC, 30 * SEC);
        assert!(goodput > 0.9 * 47.0, "{goodput}");
    }
}

#[test]
fn short_transfers_and_messages_in_a_bond_have_the_latency_of_the_best_lane() {
    // The slow ISP comes first in order.
    let isps = [(20, 80), (200, 10)];
    let run = |isps: &[(u64, u32)], mode, application| {
        let mut field = Field::new(1);
        for &(mbit, rtt) in isps {
            field.isp(link(mbit, rtt), link(mbit, rtt));
        }
        let flow = field.flow(mode, application, 500 * MS);
        field.run(3 * SEC);
        let at = |part| field.latency_at(flow, part, 700 * MS, 2800 * MS);
        [at(0.5), at(0.95)]
    };
    for application in [
        Application::Echo(50 * MS),
        Application::Pages { size: 50_000, interval: 200 * MS },
        Application::Pages { size: 300_000, interval: 200 * MS },
    ] {
        let best = run(&isps[1..], Mode::Single, application);
        let bond = run(&isps, Mode::Bond, application);
        println!("{application:?}: best lane {best:?}, bond {bond:?}");
        for (best, bond) in best.into_iter().zip(bond) {
            assert!(
                bond <= best.mul_f64(1.25) + 2 * MS,
                "{application:?}: {bond:?}, {best:?} alone"
            );
        }
    }
}

#[test]
fn a_bond_has_no_less_than_its_best_lane_alone_beside_one_that_is_slow_far_or_lossy() {
    // What a flow has of the good lane alone.
    let alone = 47.6;
    for (name, bad) in [
        ("slow", link(1, 20)),
        ("far", link(10, 600)),
        ("lossy", link(50, 20).loss(Loss::Random(0.2))),
    ] {
        let mut field = Field::new(1);
        field.isp(link(50, 20), link(50, 20));
        field.isp(bad.clone(), bad);
        let flow = field.flow(Mode::Bond, Application::Download, 200 * MS);
        field.run(12 * SEC);
        let goodput = field.goodput(flow, 3 * SEC, 12 * SEC);
        let gap = field.longest_gap(flow, 3 * SEC, 12 * SEC);
        println!(
            "{name}: {goodput:.1}, alone {alone:.1}, gap {gap:?}, resent {:.3}",
            field.resent(flow)
        );
        assert!(goodput >= 0.98 * alone, "{name}: {goodput}, alone {alone}");
    }
}

#[test]
fn a_far_lane_takes_nothing_from_a_near_one_that_carries_all_that_waits_in_less_time() {
    // What an application may write ahead of the lanes arrives over the near one in 115 ms, over the far one in 300.
    let near = || Profile::new(100_000_000, 10 * MS).queue(Queue::Time(5 * MS));
    let run = |far: bool| {
        let mut field = Field::new(1);
        field.isp(near(), near());
        if far {
            field.isp(link(20, 600), link(20, 600));
        }
        let flow = field.flow(Mode::Bond, Application::Download, 200 * MS);
        field.run(16 * SEC);
        field.goodput(flow, 4 * SEC, 16 * SEC)
    };
    let (alone, both) = (run(false), run(true));
    println!("near alone {alone:.1}, with the far one {both:.1} Mbit/s");
    assert!(both >= alone, "{both}, {alone} alone");
}
