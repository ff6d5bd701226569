//! The law against RFC 8289's own pseudo-code over a real queue.

use std::collections::VecDeque;

use super::*;
use crate::{DropReason, Fate, LinkModel, Profile, Queue};

const MS: Duration = Duration::from_millis(1);
const BYTES: usize = 1000;
/// 8 Mbit/s: a packet a millisecond.
const RATE: u64 = 8_000_000;

/// RFC 8289 §5.3 to §5.6, with its names, over packets that are told apart by their number.
#[derive(Default)]
struct Reference {
    queue: VecDeque<(usize, Instant)>,
    first_above_time: Option<Instant>,
    drop_next: Option<Instant>,
    count: u32,
    lastcount: u32,
    dropping: bool,
    dropped: Vec<usize>,
}

impl Reference {
    const TARGET: Duration = Duration::from_millis(5);
    const INTERVAL: Duration = Duration::from_millis(100);

    fn dodequeue(&mut self, now: Instant) -> (Option<usize>, bool) {
        let Some((number, tstamp)) = self.queue.pop_front() else {
            self.first_above_time = None;
            return (None, false);
        };
        let bytes = self.queue.len() * BYTES;
        if now - tstamp < Self::TARGET || bytes <= MAX_PACKET as usize {
            self.first_above_time = None;
            return (Some(number), false);
        }
        let since = *self.first_above_time.get_or_insert(now + Self::INTERVAL);
        (Some(number), now >= since)
    }

    fn control_law(t: Instant, count: u32) -> Instant {
        t + Self::INTERVAL.div_f64(f64::from(count).sqrt())
    }

    fn deque(&mut self, now: Instant) -> Option<usize> {
        let (mut packet, mut ok_to_drop) = self.dodequeue(now);
        if self.dropping {
            self.dropping &= ok_to_drop;
            while self.dropping && self.drop_next.is_some_and(|at| now >= at) {
                self.dropped.extend(packet);
                self.count += 1;
                (packet, ok_to_drop) = self.dodequeue(now);
                if ok_to_drop {
                    self.drop_next = self.drop_next.map(|at| Self::control_law(at, self.count));
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            self.dropped.extend(packet);
            (packet, _) = self.dodequeue(now);
            self.dropping = true;
            let delta = self.count.saturating_sub(self.lastcount);
            let lately = self.drop_next.is_some_and(|at| now - at < 16 * Self::INTERVAL);
            self.count = if delta > 1 && lately { delta } else { 1 };
            self.drop_next = Some(Self::control_law(now, self.count));
            self.lastcount = self.count;
        }
        packet
    }
}

/// Arrivals: by turns more than the line sends, and a little less, so that it begins and ends to drop.
fn arrivals(t0: Instant) -> Vec<Instant> {
    let (mut at, mut all) = (t0, Vec::new());
    for (load, milliseconds) in [(1.25, 6000), (0.8, 2000), (1.5, 4000), (0.8, 3000), (1.1, 3000)] {
        let end = at + milliseconds * MS;
        while at < end {
            all.push(at);
            at += MS.div_f64(load);
        }
    }
    all
}

/// What the reference drops: the line dequeues the next packet when it has sent one.
fn reference_drops(arrivals: &[Instant]) -> Vec<usize> {
    let mut reference = Reference::default();
    let (mut next, mut now) = (0, arrivals[0]);
    while next < arrivals.len() || !reference.queue.is_empty() {
        if reference.queue.is_empty() {
            now = now.max(arrivals[next]);
        }
        while next < arrivals.len() && arrivals[next] <= now {
            reference.queue.push_back((next, arrivals[next]));
            next += 1;
        }
        if reference.deque(now).is_some() {
            now += MS;
        }
    }
    reference.dropped
}

fn model(codel: CoDel) -> LinkModel {
    LinkModel::new(Profile::new(RATE, MS).queue(Queue::CoDel(codel)), 7)
}

fn model_drops(arrivals: &[Instant]) -> Vec<usize> {
    let mut model = model(CoDel::default());
    let dropped = arrivals.iter().enumerate().filter(|(_, at)| {
        model.transmit(**at, BYTES) == Fate::Dropped(DropReason::QueueManagement)
    });
    dropped.map(|(number, _)| number).collect()
}

#[test]
fn the_same_packets_are_dropped_as_by_the_pseudo_code_of_rfc_8289() {
    let arrivals = arrivals(Instant::now());
    let (wanted, found) = (reference_drops(&arrivals), model_drops(&arrivals));
    assert!(wanted.len() > 100, "the load must make it drop: {}", wanted.len());
    let differs = wanted.iter().zip(&found).position(|(wanted, found)| wanted != found);
    assert_eq!(differs.map(|index| (wanted[index], found[index])), None, "wanted, found");
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn drops_come_at_the_interval_over_the_root_of_their_count() {
    let arrivals = arrivals(Instant::now());
    let mut model = model(CoDel::default());
    let mut drops = Vec::new();
    for at in &arrivals[..5000] {
        let dequeued = *at + model.queueing_delay(*at);
        if model.transmit(*at, BYTES) == Fate::Dropped(DropReason::QueueManagement) {
            drops.push(dequeued);
        }
    }
    for (index, pair) in drops.windows(2).take(10).enumerate() {
        let law = Duration::from_millis(100).div_f64(((index + 1) as f64).sqrt());
        let between = pair[1] - pair[0];
        assert!(between.abs_diff(law) < 3 * MS, "drop {index}: {between:?}, {law:?} by the law");
    }
}

#[test]
fn a_burst_shorter_than_the_interval_is_let_pass() {
    let (mut model, t0) = (model(CoDel::default()), Instant::now());
    let fates = (0..90).map(|_| model.transmit(t0, BYTES));
    assert!(fates.into_iter().all(|fate| matches!(fate, Fate::Arrives { .. })));
}

#[test]
fn a_full_queue_drops_at_once() {
    let (mut model, t0) = (model(CoDel { limit: 5000, ..CoDel::default() }), Instant::now());
    let fates: Vec<_> = (0..7).map(|_| model.transmit(t0, BYTES)).collect();
    assert!(fates[..5].iter().all(|fate| matches!(fate, Fate::Arrives { .. })));
    assert_eq!(fates[5..], [Fate::Dropped(DropReason::QueueFull); 2]);
}
