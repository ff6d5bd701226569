//! Tests of datagrams that are longer than a packet: each is a stream of its own, of which there are not too many, and
//! which is given up in time.

use super::*;
use crate::datagram::{
    Dropped, LONG_DEADLINE, MAX_AGE, MAX_LONG, MAX_LONG_BYTES, MAX_LONG_OF_FLOW,
};
use crate::types::{FailureCode, TrafficClass};

const LONG: usize = 8_000;
const LONGEST: usize = 65_507;

impl Pair {
    fn dropped(&self, side: usize, id: FlowId) -> Dropped {
        self.ends[side].flow(id).unwrap().datagrams.as_ref().unwrap().tx.dropped()
    }

    fn under_way(&self, lane: LaneId) -> (usize, usize) {
        let long = &self.ends[A].lanes[&lane].long;
        (long.under_way().count(), long.bytes())
    }

    /// Gives up all that a held lane carries of long datagrams, as it does after their deadline.
    fn give_up(&mut self, lane: LaneId) {
        let waiting = std::mem::take(&mut self.wires.get_mut(&lane).unwrap().waiting[A]);
        for work in waiting {
            match work {
                Transmit::LongDatagram(long) => {
                    let of = (long.flow, long.seq);
                    self.ends[A].handle_long_datagram_ended(self.now, lane, of, false);
                }
                other => self.wires.get_mut(&lane).unwrap().waiting[A].push_back(other),
            }
        }
        self.run();
    }
}

#[test]
fn they_arrive_both_ways_among_short_ones_and_before_the_open_is_answered() {
    for mode in [Mode::Auto, Mode::Single, Mode::Redundant] {
        let mut pair = Pair::new(2);
        let id = pair.open_datagrams(mode);
        pair.ends[A].send_datagram(pair.now, id, Bytes::from(vec![0; LONGEST])).unwrap();
        let now = pair.now;
        // What opens the flow is lost; the long datagram opens it.
        for lane in [L1, L2] {
            while pair.ends[A].poll_transmit(now, lane, WorkClass::Urgent).is_some() {}
        }
        pair.run();
        assert_eq!(pair.received(B, id), [0]);
        pair.ends[B].accept(pair.now, id);
        pair.run();
        for (number, len) in [LONG, 100, LONGEST, 1200, LONG].into_iter().enumerate() {
            pair.send(A, id, number as u32, len);
            pair.send(B, id, number as u32, len);
        }
        assert_eq!(pair.received(A, id), [0, 1, 2, 3, 4], "{mode}");
        assert_eq!(pair.received(B, id), [0, 1, 2, 3, 4], "{mode}");
        assert_eq!((pair.under_way(L1), pair.under_way(L2)), ((0, 0), (0, 0)));
    }
}

#[test]
fn a_thin_flows_go_over_two_lanes_and_a_lane_that_dies_takes_none_with_it() {
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Auto);
    let mut received = Vec::new();
    for number in 0..20 {
        match number {
            5 => pair.hold(L1),
            10 => pair.health(A, L1, Health::Suspect { confirmed: true }),
            15 => pair.detach(L1),
            _ => {}
        }
        pair.send(A, id, number, LONG);
        pair.pass(ms(1000));
        // They are more than the window holds.
        received.extend(pair.received(B, id));
    }
    assert_eq!(received, (0..20).collect::<Vec<_>>());
    assert_eq!(pair.dropped(A, id), Dropped::default());
}

#[test]
fn a_lane_carries_no_more_than_the_bounds_and_goes_on_when_some_have_arrived() {
    let mut pair = Pair::new(1);
    let flows: Vec<_> = (0..6).map(|_| pair.joined_datagrams(Mode::Single)).collect();
    pair.hold(L1);
    for flow in &flows {
        (0..30).for_each(|number| pair.send(A, *flow, number, LONG));
        assert_eq!(pair.received(B, *flow), []);
    }
    let (count, bytes) = pair.under_way(L1);
    assert!(
        count <= MAX_LONG && bytes <= MAX_LONG_BYTES && count > MAX_LONG - 8,
        "{count}, {bytes}"
    );
    let most = MAX_LONG_OF_FLOW / LONG;
    assert!(count <= flows.len() * most);
    pair.release(L1);
    for flow in &flows {
        assert_eq!(
            pair.received(B, *flow).len(),
            30.min(100_000 / (LONG + 64)),
            "what its window holds"
        );
        assert_eq!(pair.dropped(A, *flow), Dropped::default());
    }
    assert_eq!(pair.under_way(L1), (0, 0));
    // A path that takes little has little; one alone passes always.
    pair.ends[A].set_long_datagram_window(L1, 32_000);
    pair.hold(L1);
    (0..20).for_each(|number| pair.send(A, flows[0], number, LONG));
    assert_eq!(pair.under_way(L1), (4, 32_000));
    pair.release(L1);
    pair.received(B, flows[0]);
    pair.send(A, flows[0], 7, LONGEST);
    assert_eq!(pair.received(B, flows[0]), [7]);
}

#[test]
fn what_waits_behind_them_waits_no_longer_than_allowed_and_the_rest_is_counted() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Single);
    pair.ends[A].set_long_datagram_window(L1, 10_000);
    pair.hold(L1);
    (0..4).for_each(|number| pair.send(A, id, number, LONG));
    pair.pass(MAX_AGE);
    assert_eq!(pair.dropped(A, id), Dropped { expired: 3, ..Dropped::default() });
    pair.pass(LONG_DEADLINE);
    pair.give_up(L1);
    assert_eq!(pair.dropped(A, id), Dropped { expired: 3, late: 1, ..Dropped::default() });
    pair.release(L1);
    pair.send(A, id, 9, LONG);
    assert_eq!(pair.received(B, id), [9]);
}

#[test]
fn one_is_lost_only_where_no_lane_brings_it() {
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Redundant);
    pair.hold(L1);
    pair.send(A, id, 1, LONG);
    pair.give_up(L1);
    assert_eq!((pair.dropped(A, id).late, pair.received(B, id)), (0, vec![1]));
    pair.hold(L2);
    pair.send(A, id, 2, LONG);
    pair.give_up(L1);
    pair.detach(L2);
    assert_eq!(pair.dropped(A, id).late, 1);
}

#[test]
fn a_flow_that_is_released_ends_when_they_have_arrived_or_were_given_up() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    pair.hold(L1);
    pair.send(A, id, 1, LONG);
    pair.ends[A].release_datagrams(pair.now, id);
    pair.pass(ms(1500));
    pair.release(L1);
    assert_eq!(pair.received(B, id), [1]);
    pair.pass(ms(200));
    assert_eq!(pair.ends[B].receive_datagram(id), Err(DatagramError::Ended));
    pair.ends[B].release_datagrams(pair.now, id);
    pair.assert_empty();
    // The lane goes, and what it carried with it.
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    pair.hold(L1);
    pair.send(A, id, 1, LONG);
    pair.ends[A].release_datagrams(pair.now, id);
    pair.detach(L1);
    pair.pass(ms(200));
    assert!(pair.ends[A].flow(id).unwrap().is_reset());
}

#[test]
fn a_peer_may_not_send_one_of_a_flow_of_bytes_or_of_none_and_who_is_gone_hears_none() {
    let mut pair = Pair::new(1);
    let (id, bytes) = (pair.joined_datagrams(Mode::Auto), pair.joined(A, Mode::Auto));
    let header =
        |flow| LongDatagramHeader { flow, seq: 0, open: None, class: TrafficClass::DEFAULT };
    let now = pair.now;
    let end = &mut pair.ends[B];
    assert_eq!(end.handle_long_datagram(now, &header(id)), Ok(SegmentVerdict::Read));
    let violation = end.handle_long_datagram(now, &header(bytes));
    assert_eq!(violation, Err(Violation::NotOfDatagrams(bytes)));
    let violation = end.handle_long_datagram(now, &header(FlowId(99)));
    assert_eq!(violation, Err(Violation::NeverOpened(FlowId(99))));
    // Its open may be under way.
    assert_eq!(end.handle_long_datagram(now, &header(FlowId(40))), Ok(SegmentVerdict::Read));
    end.handle_long_datagram_dropped(id);
    let received = end.flow(id).unwrap().datagrams.as_ref().unwrap().rx.received();
    assert_eq!(received.unfinished, 1);
    end.fail_datagrams(now, id, FailureCode::Refused);
    assert_eq!(end.handle_long_datagram(now, &header(id)), Ok(SegmentVerdict::Stop));
}

#[test]
fn what_waits_is_never_more_than_was_set_aside_however_long_it_is() {
    let whole = Arc::new(Memory::new(160_000));
    let part = Arc::new(Memory::for_peer(whole.clone(), 160_000));
    let params = SessionParams { initial_window: 16 << 10, ..params() };
    let (side, memory) = (Side::Acceptor, part.clone());
    let config = SessionConfig { side, params, max_flows: 100, first_window: 0, memory };
    let mut end = Session::new(config, params);
    for flow in 0..8 {
        let target = Target::datagram_service("calls".to_owned());
        let datagram = FlowDatagram {
            flow: FlowId(2 * flow),
            seq: 0,
            open: Some(Open { target, mode: Mode::Auto }),
            class: TrafficClass::DEFAULT,
            payload: vec![0; 60_000].into(),
        };
        end.handle_datagram(Instant::now(), datagram).unwrap();
    }
    let queues = || end.flows().filter_map(|flow| Some(&flow.datagrams.as_ref()?.rx));
    let waiting: usize = queues().map(|queue| queue.bytes()).sum();
    assert!(waiting > 120_000, "what there is room for waits: {waiting}");
    assert!(waiting as u64 <= part.used() && part.used() <= 2 * 160_000, "{waiting}");
    assert_eq!(queues().map(|queue| queue.received().overflow).sum::<u64>(), 5);
    drop(end);
    assert_eq!((part.used(), whole.used()), (0, 0));
}
