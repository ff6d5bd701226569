use std::time::Duration;

use super::*;
use crate::{Duplication, Lateness, Loss, Oversize, Queue, Reordering};

const MS: Duration = Duration::from_millis(1);

fn link(profile: Profile) -> (Link<u32>, Instant) {
    (Link::new(profile, 7), Instant::now())
}

fn drain(link: &mut Link<u32>, now: Instant) -> Vec<Arrival<u32>> {
    std::iter::from_fn(|| link.release(now)).collect()
}

/// What arrives by `now`, in order.
fn delivered(link: &mut Link<u32>, now: Instant) -> Vec<u32> {
    let taken = drain(link, now).into_iter();
    taken
        .filter_map(|a| if let Arrival::Delivered(_, mark) = a { Some(mark) } else { None })
        .collect()
}

fn is_dropped(admission: &Admission<u32>, reason: DropReason) -> bool {
    matches!(admission, Admission::Dropped(_, found) if *found == reason)
}

#[test]
fn a_packet_arrives_after_its_sending_time_and_the_delay() {
    // 1,000 bytes at 8 Mbit/s take 1 ms.
    let (mut link, t0) = link(Profile::new(8_000_000, 10 * MS));
    assert_eq!(link.admit(t0, 1000, 1), Admission::Accepted);
    assert_eq!(link.admit(t0, 1000, 2), Admission::Accepted);
    assert_eq!(drain(&mut link, t0 + 10 * MS), []);
    assert_eq!(link.next_due(), Some(t0 + 11 * MS));
    assert_eq!(drain(&mut link, t0 + 11 * MS), [Arrival::Delivered(t0 + 11 * MS, 1)]);
    assert_eq!(drain(&mut link, t0 + 20 * MS), [Arrival::Delivered(t0 + 12 * MS, 2)]);
}

#[test]
fn a_full_queue_drops_what_comes_last_and_counts_it() {
    let (mut link, t0) = link(Profile::new(8_000_000, MS).queue(Queue::Bytes(3000)));
    let fates: Vec<_> = (0..5).map(|i| link.admit(t0, 1000, i) == Admission::Accepted).collect();
    assert_eq!(fates, [true, true, true, false, false]);
    // A millisecond later the line has sent one: there is room for one.
    assert_eq!(link.admit(t0 + MS, 1000, 5), Admission::Accepted);
    assert!(is_dropped(&link.admit(t0 + MS, 1000, 6), DropReason::QueueFull));
    assert_eq!(link.stats().queue_full.packets, 3);
}

#[test]
fn a_reliable_sender_meets_no_tail_drop_and_is_told_when_there_is_room() {
    let (mut link, t0) = link(Profile::new(8_000_000, MS).queue(Queue::Bytes(2000)));
    for i in 0..3 {
        assert_eq!(link.model().has_room(t0), i < 2);
        assert_eq!(link.admit_reliably(t0, 1000, i), Admission::Accepted);
    }
    assert_eq!(link.model().queueing_delay(t0), 3 * MS);
    assert!(link.model().has_room(t0 + 2 * MS));
}

#[test]
fn a_blackhole_swallows_what_comes_and_what_is_under_way() {
    let (mut link, t0) = link(Profile::new(0, 10 * MS));
    assert_eq!(link.admit(t0, 100, 1), Admission::Accepted);
    link.model_mut().set_blackhole(true);
    assert!(is_dropped(&link.admit(t0, 100, 2), DropReason::Blackhole));
    assert!(is_dropped(&link.admit_reliably(t0, 100, 2), DropReason::Blackhole));
    assert_eq!(drain(&mut link, t0 + 10 * MS), [Arrival::Blackholed(1)]);
    link.model_mut().set_blackhole(false);
    assert_eq!(link.admit(t0 + 20 * MS, 100, 3), Admission::Accepted);
    assert_eq!(drain(&mut link, t0 + 30 * MS), [Arrival::Delivered(t0 + 30 * MS, 3)]);
    assert_eq!(link.stats().blackholed.packets, 3);
    assert_eq!(link.stats().delivered.packets, 1);
}

#[test]
fn a_packet_over_the_mtu_vanishes_or_its_sender_is_told() {
    let (mut link, t0) = link(Profile { mtu: Some(1300), ..Profile::new(0, MS) });
    assert_eq!(link.admit(t0, 1300, 1), Admission::Accepted);
    assert!(is_dropped(&link.admit(t0, 1301, 2), DropReason::TooLarge { mtu: 1300 }));
    link.model_mut().profile_mut().oversize = Oversize::PacketTooBig;
    assert!(is_dropped(&link.admit(t0, 1301, 3), DropReason::PacketTooBig { mtu: 1300 }));
    assert_eq!(link.admit_reliably(t0, 65_000, 4), Admission::Accepted);
    assert_eq!((link.stats().too_large.packets, link.stats().too_large.bytes), (2, 2602));
}

#[test]
fn a_shorter_delay_lets_no_packet_overtake() {
    let (mut link, t0) = link(Profile::new(0, 10 * MS));
    assert_eq!(link.admit(t0, 100, 1), Admission::Accepted);
    link.model_mut().profile_mut().delay = MS;
    assert_eq!(link.admit(t0, 100, 2), Admission::Accepted);
    assert_eq!(drain(&mut link, t0 + 9 * MS), []);
    assert_eq!(delivered(&mut link, t0 + 10 * MS), [1, 2]);
}

#[test]
fn a_late_packet_is_overtaken_and_holds_up_no_other() {
    let late = Lateness::Exactly(5 * MS);
    let reordering = Reordering::Random { probability: 1.0, late };
    let (mut link, t0) = link(Profile { reordering, ..Profile::new(0, 10 * MS) });
    assert_eq!(link.admit(t0, 100, 1), Admission::Accepted);
    link.model_mut().profile_mut().reordering = Reordering::None;
    assert_eq!(link.admit(t0, 100, 2), Admission::Accepted);
    assert_eq!(delivered(&mut link, t0 + 10 * MS), [2]);
    assert_eq!(delivered(&mut link, t0 + 15 * MS), [1]);
}

#[test]
fn a_duplicate_comes_within_its_time() {
    let duplication = Duplication::Random { probability: 1.0, within: 20 * MS };
    let (mut link, t0) = link(Profile { duplication, ..Profile::new(0, MS) });
    (0..100).for_each(|i| assert_eq!(link.admit(t0, 100, i), Admission::Accepted));
    let mut marks = delivered(&mut link, t0 + MS);
    assert!(marks.len() >= 100 && link.next_due().is_some());
    marks.extend(delivered(&mut link, t0 + 21 * MS));
    marks.sort_unstable();
    assert_eq!(marks, (0..100).flat_map(|i| [i, i]).collect::<Vec<_>>());
}

#[test]
fn two_links_of_one_seed_lose_alike_and_at_the_asked_rate() {
    let run = || {
        let (mut link, t0) = link(Profile::new(0, MS).loss(Loss::Random(0.1)));
        (0..10_000).map(|i| link.admit(t0, 100, i) == Admission::Accepted).collect::<Vec<_>>()
    };
    let fates = run();
    assert_eq!(fates, run());
    let lost = fates.iter().filter(|accepted| !**accepted).count();
    assert!((900..1100).contains(&lost), "{lost} of 10000 lost at 10 %");
}

#[test]
fn periodic_loss_takes_every_so_many_packets_one() {
    let (mut link, t0) = link(Profile::new(0, MS).loss(Loss::Periodic(3)));
    let fates: Vec<_> = (0..7).map(|i| link.admit(t0, 100, i) == Admission::Accepted).collect();
    assert_eq!(fates, [true, true, false, true, true, false, true]);
}
