//! A path's MTU falls and rises again under a lane's transport settings, in virtual time.

use std::time::Duration;

use throughline_link::{Profile, Queue};
use throughline_simulation::quic::{Congestion, Flow, Traffic};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// What fits into an Ethernet packet over IPv6.
const FULL: u16 = 1452;

fn profile(mtu: Option<usize>) -> Profile {
    let mut profile = Profile::new(20_000_000, 10 * MS).queue(Queue::Time(50 * MS));
    profile.mtu = mtu;
    profile
}

#[test]
fn a_lane_with_bulk_uses_the_whole_packet_again_soon_after_the_paths_mtu_has_risen() {
    let mut traffic = Traffic::new(1);
    let [up, down] = [0, 1].map(|_| traffic.link(profile(None)));
    let flow = traffic.flow(Flow::download(up, down, Congestion::Lane));
    let mut sizes = Vec::new();
    for at in 0..40u32 {
        let mtu = (10..20).contains(&at).then_some(1280);
        for link in [up, down] {
            traffic.network().change(link, |profile| profile.mtu = mtu);
        }
        traffic.run(SEC);
        sizes.push(traffic.mtus(flow)[1]);
    }
    assert_eq!(sizes[9], FULL);
    assert!(sizes[19] <= 1252, "{sizes:?}");
    assert_eq!(sizes[33], FULL, "{sizes:?}");
}

#[test]
fn a_lane_that_began_on_a_narrow_path_uses_the_whole_packet_within_a_minute() {
    for has_bulk in [true, false] {
        let mut traffic = Traffic::new(1);
        let [up, down] = [0, 1].map(|_| traffic.link(profile(Some(1280))));
        let flow = Flow::download(up, down, Congestion::Lane);
        let flow = traffic.flow(if has_bulk { flow } else { flow.bulk(None).echo(5 * SEC) });
        traffic.run(10 * SEC);
        assert!(traffic.mtus(flow).iter().all(|mtu| (1200..=1252).contains(mtu)));
        for link in [up, down] {
            traffic.network().change(link, |profile| profile.mtu = None);
        }
        traffic.run(65 * SEC);
        assert_eq!(traffic.mtus(flow), [FULL; 2], "bulk: {has_bulk}");
    }
}

#[test]
fn the_search_on_a_path_that_stays_narrow_costs_an_idle_lane_little() {
    let mut sent = [None, Some(1400)].map(|mtu| {
        let mut traffic = Traffic::new(1);
        let [up, down] = [0, 1].map(|_| traffic.link(profile(mtu)));
        traffic.flow(Flow::download(up, down, Congestion::Lane).bulk(None).echo(15 * SEC));
        traffic.run(600 * SEC);
        let stats = traffic.stats(up);
        stats.delivered.bytes + stats.too_large.bytes
    });
    sent.sort_unstable();
    let per_minute = (sent[1] - sent[0]) / 10;
    println!("{per_minute} bytes a minute");
    assert!(per_minute < 15_000, "{per_minute} bytes a minute");
}
