use super::super::handle::WireHandle;
use super::super::profile::{Queue, Way};
use super::*;

const MS: Duration = Duration::from_millis(1);

fn link(profile: Profile) -> (WireHandle, Link, Instant) {
    let wire = WireHandle::new(profile);
    let now = Instant::now();
    let link = Link::new(Arc::clone(&wire.links()[0]), 7, now);
    (wire, link, now)
}

/// A packet of `length` bytes, the first of which is its mark.
fn packet(mark: u8, length: usize) -> Vec<u8> {
    let mut packet = vec![0; length];
    packet[0] = mark;
    packet
}

fn drain(link: &mut Link, now: Instant) -> Vec<(u8, bool)> {
    std::iter::from_fn(|| link.release(now)).map(|(packet, arrives)| (packet[0], arrives)).collect()
}

#[test]
fn a_packet_arrives_after_its_sending_time_and_the_delay() {
    // 1,000 bytes at 8 Mbit/s take 1 ms.
    let (_wire, mut link, t0) = link(Profile::new(8_000_000, 10 * MS));
    assert_eq!(link.admit(t0, packet(1, 1000)), Admission::Accepted);
    assert_eq!(link.admit(t0, packet(2, 1000)), Admission::Accepted);
    assert_eq!(drain(&mut link, t0 + 10 * MS), []);
    assert_eq!(link.next_due(), Some(t0 + 11 * MS));
    assert_eq!(drain(&mut link, t0 + 11 * MS), [(1, true)]);
    assert_eq!(drain(&mut link, t0 + 20 * MS), [(2, true)]);
}

#[test]
fn a_full_queue_drops_what_comes_last_and_counts_it() {
    let mut profile = Profile::new(8_000_000, MS);
    profile.queue = Queue::Bytes(3000);
    let (wire, mut link, t0) = link(profile);
    let fates: Vec<_> =
        (0..5).map(|i| link.admit(t0, packet(i, 1000)) == Admission::Accepted).collect();
    assert_eq!(fates, [true, true, true, false, false]);
    // A millisecond later the line has sent one: there is room for one.
    assert_eq!(link.admit(t0 + MS, packet(5, 1000)), Admission::Accepted);
    assert!(matches!(link.admit(t0 + MS, packet(6, 1000)), Admission::Dropped(_)));
    link.synchronise();
    assert_eq!(wire.stats().up.queue.packets, 3);
}

#[test]
fn a_blackhole_swallows_what_comes_and_what_is_under_way() {
    let (wire, mut link, t0) = link(Profile::new(0, 10 * MS));
    assert_eq!(link.admit(t0, packet(1, 100)), Admission::Accepted);
    wire.blackhole(Way::Up);
    link.synchronise();
    assert!(matches!(link.admit(t0, packet(2, 100)), Admission::Dropped(_)));
    assert_eq!(drain(&mut link, t0 + 10 * MS), [(1, false)]);
    wire.heal(Way::Both);
    link.synchronise();
    assert_eq!(link.admit(t0 + 20 * MS, packet(3, 100)), Admission::Accepted);
    assert_eq!(drain(&mut link, t0 + 30 * MS), [(3, true)]);
    link.synchronise();
    assert_eq!(wire.stats().up.blackhole.packets, 2);
    assert_eq!(wire.stats().down, LinkStats::default());
}

#[test]
fn a_shorter_delay_lets_no_packet_overtake() {
    let (wire, mut link, t0) = link(Profile::new(0, 10 * MS));
    assert_eq!(link.admit(t0, packet(1, 100)), Admission::Accepted);
    wire.change(Way::Up, |profile| profile.delay = MS);
    link.synchronise();
    assert_eq!(link.admit(t0, packet(2, 100)), Admission::Accepted);
    assert_eq!(drain(&mut link, t0 + 9 * MS), []);
    assert_eq!(drain(&mut link, t0 + 10 * MS), [(1, true), (2, true)]);
}

#[test]
fn a_late_packet_is_overtaken_and_holds_up_no_other() {
    let mut profile = Profile::new(0, 10 * MS);
    (profile.reorder, profile.late_by) = (1.0, 5 * MS);
    let (wire, mut link, t0) = link(profile);
    assert_eq!(link.admit(t0, packet(1, 100)), Admission::Accepted);
    wire.change(Way::Up, |profile| profile.reorder = 0.0);
    link.synchronise();
    assert_eq!(link.admit(t0, packet(2, 100)), Admission::Accepted);
    assert_eq!(drain(&mut link, t0 + 10 * MS), [(2, true)]);
    assert_eq!(drain(&mut link, t0 + 15 * MS), [(1, true)]);
}

#[test]
fn a_packet_over_the_largest_size_vanishes_or_its_sender_is_told() {
    let mut profile = Profile::new(0, MS);
    profile.mtu = 1300;
    let (wire, mut link, t0) = link(profile);
    assert_eq!(link.admit(t0, packet(1, 1300)), Admission::Accepted);
    assert!(matches!(link.admit(t0, packet(2, 1301)), Admission::Dropped(_)));
    wire.change(Way::Up, |profile| profile.oversize = Oversize::TooBig);
    link.synchronise();
    assert!(matches!(link.admit(t0, packet(3, 1301)), Admission::TooBig(_, 1300)));
    link.synchronise();
    assert_eq!(wire.stats().up.oversize.packets, 2);
}

#[test]
fn two_links_of_one_seed_lose_alike_and_at_the_asked_rate() {
    let run = || {
        let mut profile = Profile::new(0, MS);
        profile.loss = 0.1;
        let (_wire, mut link, t0) = link(profile);
        (0..10_000)
            .map(|_| link.admit(t0, packet(0, 100)) == Admission::Accepted)
            .collect::<Vec<_>>()
    };
    let fates = run();
    assert_eq!(fates, run());
    let lost = fates.iter().filter(|accepted| !**accepted).count();
    assert!((900..1100).contains(&lost), "{lost} of 10000 lost at 10 %");
}
