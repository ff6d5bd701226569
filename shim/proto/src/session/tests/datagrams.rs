//! Tests of datagram flows between two sessions: which lanes carry them, what is dropped, and how they end.

use super::*;
use crate::datagram::{MAX_AGE, MAX_BYTES};
use crate::types::{Datagram, FailureCode, OpenFailure, TrafficClass};
use crate::wire::long_datagram::MAX_DATAGRAM;

pub(super) const VOICE: usize = 160;

/// The class of a datagram: each has its own.
fn class_of(number: u32) -> TrafficClass {
    TrafficClass::from_byte(number as u8)
}

/// A datagram that says which one it is.
fn numbered(number: u32, len: usize) -> Datagram {
    let mut bytes = vec![0; len];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Datagram::new(bytes, class_of(number))
}

impl Pair {
    pub(super) fn open_datagrams(&mut self, mode: Mode) -> FlowId {
        let open = Open { target: Target::datagram_service("x"), mode };
        self.ends[A].open(self.now, open).unwrap()
    }

    /// Opens a datagram flow that the other end accepts.
    pub(super) fn joined_datagrams(&mut self, mode: Mode) -> FlowId {
        let id = self.open_datagrams(mode);
        self.run();
        self.ends[B].accept(self.now, id);
        self.pass(ms(20));
        id
    }

    pub(super) fn send(&mut self, side: usize, id: FlowId, number: u32, len: usize) {
        self.ends[side].send_datagram(self.now, id, numbered(number, len)).unwrap();
        self.run();
    }

    /// Returns the numbers of all that have arrived, in their order, each with its class.
    pub(super) fn received(&mut self, side: usize, id: FlowId) -> Vec<u32> {
        let classed = self.received_with_classes(side, id).into_iter();
        let with_its_class = classed.map(|(number, class)| {
            assert_eq!(class, class_of(number), "{number}");
            number
        });
        with_its_class.collect()
    }

    fn received_with_classes(&mut self, side: usize, id: FlowId) -> Vec<(u32, TrafficClass)> {
        let end = &mut self.ends[side];
        let next = || end.receive_datagram(id).ok().flatten();
        let number = |d: &Datagram| u32::from_be_bytes(d.payload[..4].try_into().unwrap());
        std::iter::from_fn(next).map(|datagram| (number(&datagram), datagram.class)).collect()
    }

    /// Attaches a lane of an older version, as where an end was updated after it.
    fn attach_old(&mut self, lane: LaneId, version: u64) {
        let (local_risk, remote_risk) = (lane.0, lane.0);
        let info = LaneInfo { local_risk, remote_risk, cost: Cost::FREE, order: 0, version };
        self.wires.insert(lane, Wire::default());
        self.ends.iter_mut().for_each(|end| end.handle_lane_attached(self.now, lane, info));
        self.run();
    }

    /// Returns how many datagrams of a flow were written to a lane, which is held, and have not arrived.
    fn waiting_on(&self, lane: LaneId) -> usize {
        let is_datagram = |t: &&Transmit| matches!(t, Transmit::Datagram(_));
        self.wires[&lane].waiting[A].iter().filter(is_datagram).count()
    }
}

#[test]
fn datagrams_arrive_before_the_open_is_answered_and_in_both_directions() {
    let mut pair = Pair::new(1);
    let id = pair.open_datagrams(Mode::Auto);
    pair.send(A, id, 1, VOICE);
    assert_eq!(pair.count(B, &SessionEvent::Incoming(id)), 1);
    assert_eq!(pair.received(B, id), [1]);
    pair.ends[B].accept(pair.now, id);
    pair.run();
    assert_eq!(pair.count(A, &SessionEvent::Answered(id)), 1);
    assert!(pair.received(A, id).is_empty());
    pair.send(B, id, 7, VOICE);
    assert_eq!(pair.count(A, &SessionEvent::Readable(id)), 1);
    assert_eq!(pair.received(A, id), [7]);
}

#[test]
fn a_datagram_opens_its_flow_where_the_facts_are_lost() {
    let mut pair = Pair::new(1);
    let id = pair.open_datagrams(Mode::Auto);
    pair.ends[A].send_datagram(pair.now, id, numbered(3, VOICE)).unwrap();
    let now = pair.now;
    while pair.ends[A].poll_transmit(now, L1, WorkClass::Urgent).is_some() {}
    pair.run();
    assert_eq!(pair.received(B, id), [3]);
    // And one that does not is no violation: its open may be on its way.
    let (flow, class, payload) = (FlowId(40), TrafficClass::DEFAULT, Bytes::new());
    let unknown = FlowDatagram { flow, seq: 0, open: None, class, payload };
    assert_eq!(pair.ends[B].handle_datagram(now, unknown), Ok(()));
    assert!(pair.ends[B].flow(FlowId(40)).is_none());
}

#[test]
fn a_thin_flow_goes_over_two_lanes_in_mode_auto_and_is_delivered_once() {
    for (mode, lanes) in [(Mode::Auto, 2), (Mode::Redundant, 2), (Mode::Single, 1)] {
        let mut pair = Pair::new(2);
        let id = pair.joined_datagrams(mode);
        pair.hold(L1);
        pair.hold(L2);
        for number in 0..50 {
            pair.send(A, id, number, VOICE);
            pair.now += ms(20);
        }
        let given = pair.waiting_on(L1) + pair.waiting_on(L2);
        assert_eq!(given, 50 * lanes, "{mode}");
        pair.release(L2);
        pair.release(L1);
        assert_eq!(pair.received(B, id), (0..50).collect::<Vec<_>>(), "{mode}");
    }
}

#[test]
fn a_lane_that_dies_unnoticed_takes_nothing_of_a_thin_flow_with_it() {
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Auto);
    for number in 0..100 {
        if number == 30 {
            pair.hold(L1);
        }
        if number == 35 {
            pair.health(A, L1, Health::Suspect { confirmed: false });
        }
        pair.send(A, id, number, VOICE);
        pair.now += ms(20);
    }
    assert_eq!(pair.received(B, id), (0..100).collect::<Vec<_>>());
    pair.detach(L1);
    pair.send(A, id, 100, VOICE);
    assert_eq!(pair.received(B, id), [100]);
}

#[test]
fn a_thick_flow_goes_over_one_lane_and_moves_on_suspicion() {
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Auto);
    (0..300).for_each(|number| pair.send(A, id, number, 1000));
    pair.received(B, id);
    pair.hold(L1);
    pair.hold(L2);
    (0..10).for_each(|number| pair.send(A, id, number, 1000));
    assert_eq!((pair.waiting_on(L1), pair.waiting_on(L2)), (10, 0));
    pair.health(A, L1, Health::Suspect { confirmed: false });
    (0..10).for_each(|number| pair.send(A, id, number, 1000));
    assert_eq!((pair.waiting_on(L1), pair.waiting_on(L2)), (10, 10));
}

#[test]
fn what_no_lane_has_taken_goes_over_another() {
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Single);
    let now = pair.now;
    // Nothing is pulled: the lanes have no room.
    (0..5).for_each(|n| pair.ends[A].send_datagram(now, id, numbered(n, VOICE)).unwrap());
    pair.ends[A].assume_health(now, L1, Health::Suspect { confirmed: true }, ms(20), None);
    pair.hold(L1);
    pair.run();
    assert_eq!(pair.received(B, id), [0, 1, 2, 3, 4]);
}

#[test]
fn flows_take_turns_so_that_a_flood_delays_another_by_one_datagram() {
    let mut pair = Pair::new(1);
    let (flood, thin) = (pair.joined_datagrams(Mode::Auto), pair.joined_datagrams(Mode::Auto));
    let now = pair.now;
    let end = &mut pair.ends[A];
    (0..1000).for_each(|n| end.send_datagram(now, flood, numbered(n, 1000)).unwrap());
    end.send_datagram(now, thin, numbered(0, VOICE)).unwrap();
    let mut next = || {
        let Some(Transmit::Datagram(bytes)) = end.poll_transmit(now, L1, WorkClass::Datagrams)
        else {
            return None;
        };
        Some(FlowDatagram::decode(&bytes).unwrap().unwrap().flow)
    };
    let first: Vec<_> = std::iter::from_fn(&mut next).take(2).collect();
    assert!(first.contains(&thin), "{first:?}");
    // Control is not behind it.
    end.fail_datagrams(now, thin, FailureCode::Refused);
    let urgent = end.poll_transmit(now, L1, WorkClass::Urgent);
    assert!(matches!(urgent, Some(Transmit::Control(_))));
}

#[test]
fn a_lane_is_given_no_more_than_it_has_room_for_and_what_is_left_in_its_order() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    let (now, mut out) = (pair.now, Vec::new());
    let end = &mut pair.ends[A];
    (0..20).for_each(|n| end.send_datagram(now, id, numbered(n, 1000)).unwrap());
    let mut poll = |room, one_may_wait, most| {
        let polled = end.poll_datagrams(now, L1, (room, one_may_wait), most, &mut out);
        let of = |transmit: Transmit| match transmit {
            Transmit::Datagram(bytes) => FlowDatagram::decode(&bytes).unwrap().unwrap().seq,
            other => panic!("{other:?}"),
        };
        (polled, out.drain(..).map(of).collect::<Vec<_>>())
    };
    assert_eq!(poll(0, false, 32), (DatagramsPolled::NoRoom, vec![]));
    assert_eq!(poll(0, true, 32), (DatagramsPolled::NoRoom, vec![0]));
    // Each counts some bytes more than it has.
    assert_eq!(poll(3000, false, 32), (DatagramsPolled::NoRoom, vec![1, 2]));
    assert_eq!(poll(usize::MAX, false, 4), (DatagramsPolled::Enough, vec![3, 4, 5, 6]));
    assert_eq!(poll(usize::MAX, true, 32), (DatagramsPolled::All, (7..20).collect()));
    assert_eq!(poll(usize::MAX, true, 32), (DatagramsPolled::All, vec![]));
    // It has come to the end of its work, and is woken for the next.
    pair.send(A, id, 20, 1000);
    assert_eq!(pair.received(B, id), [20]);
}

#[test]
fn a_flood_that_nobody_sends_or_reads_is_bounded_at_both_ends() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    pair.hold(L1);
    let now = pair.now;
    (0..5000).for_each(|n| pair.ends[A].send_datagram(now, id, numbered(n, 1000)).unwrap());
    assert!(pair.ends[A].buffered <= MAX_BYTES as u64);
    let of = |pair: &Pair, side: usize| {
        let datagrams = pair.ends[side].flow(id).unwrap().datagrams.as_ref().unwrap();
        (datagrams.tx.dropped(), datagrams.rx.received())
    };
    assert!(of(&pair, A).0.overflow > 4000);
    pair.release(L1);
    assert_eq!(pair.ends[A].buffered, 0);
    // What the window allows, and the newest.
    (0..500).for_each(|n| pair.send(A, id, n, 1000));
    let received = pair.received(B, id);
    assert!(received.len() <= params().initial_window as usize / 1000);
    assert_eq!(received.last(), Some(&499));
    assert!(of(&pair, B).1.overflow > 400);
    // Those that waited for too long do not go out.
    pair.hold(L1);
    pair.detach(L1);
    pair.ends[A].send_datagram(pair.now, id, numbered(1, VOICE)).unwrap();
    pair.now += MAX_AGE + ms(1);
    pair.ends[A].send_datagram(pair.now, id, numbered(2, VOICE)).unwrap();
    pair.attach(L2);
    pair.run();
    assert_eq!(pair.received(B, id), [2]);
    assert_eq!(of(&pair, A).0.expired, 1);
}

#[test]
fn one_that_is_longer_than_a_packet_is_sent_and_one_that_is_too_long_refused() {
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Auto);
    for (lane, len) in [(L1, 1400), (L2, 1300)] {
        pair.ends[A].set_max_datagram(lane, len);
    }
    let in_packet = pair.ends[A].max_in_packet(id);
    assert!((1290..1300).contains(&in_packet), "{in_packet}");
    pair.hold(L1);
    pair.hold(L2);
    pair.send(A, id, 1, in_packet);
    assert_eq!((pair.waiting_on(L1), pair.waiting_on(L2)), (1, 1));
    // Where it fits it is a frame.
    pair.send(A, id, 2, in_packet + 1);
    assert_eq!((pair.waiting_on(L1), pair.waiting_on(L2)), (2, 1));
    let max = MAX_DATAGRAM;
    pair.send(A, id, 3, max);
    let refused = pair.ends[A].send_datagram(pair.now, id, numbered(4, max + 1));
    assert_eq!(refused, Err(DatagramError::TooLong { len: max + 1, max }));
    pair.release(L1);
    pair.release(L2);
    assert_eq!(pair.received(B, id), [1, 2, 3]);
}

#[test]
fn an_idle_flow_is_over_at_both_ends_and_one_that_waits_for_a_lane_is_not() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    let open = |text: &str| Open { target: text.parse().unwrap(), mode: Mode::Auto };
    let dns = pair.ends[A].open(pair.now, open("10.0.0.1:53/udp")).unwrap();
    pair.run();
    pair.ends[B].accept(pair.now, dns);
    pair.pass(Duration::from_secs(9));
    pair.send(A, id, 1, VOICE);
    assert_eq!(pair.ends[A].receive_datagram(dns), Ok(None));
    pair.pass(Duration::from_secs(2));
    for side in [A, B] {
        assert_eq!(pair.ends[side].receive_datagram(dns), Err(DatagramError::Idle));
        pair.ends[side].release_datagrams(pair.now, dns);
    }
    // Hours without a lane.
    pair.detach(L1);
    pair.pass(Duration::from_secs(7200));
    pair.attach(L1);
    pair.pass(Duration::from_secs(290));
    pair.send(A, id, 2, VOICE);
    assert_eq!(pair.received(B, id), [1, 2]);
    pair.pass(Duration::from_secs(310));
    assert_eq!(pair.ends[A].receive_datagram(id), Err(DatagramError::Idle));
    [A, B].into_iter().for_each(|side| pair.ends[side].release_datagrams(pair.now, id));
    pair.assert_empty();
}

#[test]
fn a_flow_that_is_released_ends_at_the_other_end_after_what_was_written() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    pair.ends[A].send_datagram(pair.now, id, numbered(1, VOICE)).unwrap();
    pair.ends[A].release_datagrams(pair.now, id);
    pair.run();
    assert_eq!(pair.received(B, id), [1]);
    pair.pass(ms(100));
    assert_eq!(pair.ends[B].receive_datagram(id), Err(DatagramError::Ended));
    pair.ends[B].release_datagrams(pair.now, id);
    pair.assert_empty();
    // The end does not overtake what was sent on a slower lane.
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Single);
    pair.hold(L1);
    pair.send(A, id, 1, VOICE);
    pair.ends[A].release_datagrams(pair.now, id);
    pair.pass(ms(80));
    pair.release(L1);
    assert_eq!(pair.received(B, id), [1]);
    // Where nothing can be sent it ends by time.
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    pair.ends[A].send_datagram(pair.now, id, numbered(1, VOICE)).unwrap();
    pair.ends[A].release_datagrams(pair.now, id);
    pair.ends[A].handle_timeout(pair.now + MAX_AGE);
    assert!(pair.ends[A].flow(id).unwrap().is_reset());
}

#[test]
fn a_destination_that_cannot_be_reached_ends_the_flow_with_the_reason() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    pair.ends[B].fail_datagrams(pair.now, id, FailureCode::Refused);
    pair.run();
    let Err(DatagramError::Unreachable(failure)) = pair.ends[A].receive_datagram(id) else {
        panic!("it goes on");
    };
    assert_eq!(failure.code, FailureCode::Refused);
    let refused = pair.open_datagrams(Mode::Auto);
    pair.run();
    let failure = OpenFailure::new(FailureCode::NotAllowed, "no");
    pair.ends[B].refuse(pair.now, refused, failure.clone());
    pair.run();
    let sent = pair.ends[A].send_datagram(pair.now, refused, Bytes::new());
    assert_eq!(sent, Err(DatagramError::Refused(failure)));
}

#[test]
fn a_peer_of_an_older_version_is_not_sent_what_it_would_not_understand() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Redundant);
    // A lane of an older version comes beside, as where an end was updated between the two.
    pair.attach_old(L2, 1);
    pair.hold(L2);
    pair.send(A, id, 1, VOICE);
    assert_eq!(pair.waiting_on(L2), 0);
    pair.ends[B].fail_datagrams(pair.now, id, FailureCode::Refused);
    pair.run();
    assert!(pair.wires[&L2].waiting.iter().all(VecDeque::is_empty), "its facts neither");
    let open = Open { target: Target::datagram_service("x"), mode: Mode::Auto };
    assert_eq!(pair.ends[A].open(pair.now, open), Err(OpenError::NoDatagrams));
}

#[test]
fn on_a_lane_of_an_older_version_datagrams_have_no_class_and_arrive_all_the_same() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Redundant);
    let unclassed = |numbers: &[u32]| -> Vec<_> {
        numbers.iter().map(|number| (*number, TrafficClass::DEFAULT)).collect()
    };
    // One that opens its flow, and one that is longer than a packet, among the others.
    pair.attach_old(L2, 2);
    pair.detach(L1);
    let opened = pair.open_datagrams(Mode::Auto);
    pair.send(A, opened, 1, VOICE);
    pair.send(A, id, 2, VOICE);
    pair.send(A, id, 3, 8_000);
    pair.send(B, id, 4, VOICE);
    assert_eq!(pair.received_with_classes(B, opened), unclassed(&[1]));
    assert_eq!(pair.received_with_classes(B, id), unclassed(&[2, 3]));
    assert_eq!(pair.received_with_classes(A, id), unclassed(&[4]));
    // The peer's end is updated: its next lane brings them.
    pair.attach(L1);
    pair.detach(L2);
    pair.send(A, id, 5, VOICE);
    pair.send(A, id, 6, 8_000);
    assert_eq!(pair.received(B, id), [5, 6]);
}

#[test]
fn what_is_said_to_fit_a_packet_fits_it_whatever_its_class() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    let len = pair.ends[A].max_in_packet(id);
    pair.hold(L1);
    for number in [0, 0xb9] {
        pair.send(A, id, number, len);
        pair.send(A, id, number, len + 2);
    }
    let sent = pair.wires[&L1].waiting[A].iter();
    let is_packet = |sent: &Transmit| match sent {
        Transmit::Datagram(_) => Some(true),
        Transmit::LongDatagram(_) => Some(false),
        _ => None,
    };
    let in_packets: Vec<_> = sent.filter_map(is_packet).collect();
    assert_eq!(in_packets, [true, false, true, false]);
}

#[test]
fn a_segment_of_a_datagram_flow_and_a_datagram_of_one_of_bytes_are_violations() {
    let mut pair = Pair::new(1);
    let (datagrams, bytes) = (pair.joined_datagrams(Mode::Auto), pair.joined(A, Mode::Auto));
    let header = SegmentHeader { flow: datagrams, offset: 0, resent: false, open: None };
    let violation = pair.ends[B].handle_segment(pair.now, &header);
    assert_eq!(violation, Err(Violation::NotOfBytes(datagrams)));
    let (seq, class, payload) = (0, TrafficClass::DEFAULT, Bytes::new());
    let datagram = |flow| FlowDatagram { flow, seq, open: None, class, payload: payload.clone() };
    let violation = pair.ends[B].handle_datagram(pair.now, datagram(bytes));
    assert_eq!(violation, Err(Violation::NotOfDatagrams(bytes)));
    let never = FlowId(99);
    let violation = pair.ends[B].handle_datagram(pair.now, datagram(never));
    assert_eq!(violation, Err(Violation::NeverOpened(never)));
}

#[test]
fn a_session_that_is_handed_over_goes_on_with_its_numbers() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    (0..5).for_each(|number| pair.send(A, id, number, VOICE));
    (0..3).for_each(|number| pair.send(B, id, number, VOICE));
    let records: Vec<_> = pair.ends[A].snapshot().collect();
    let memory = Arc::new(Memory::new(1 << 30));
    let config = SessionConfig {
        side: Side::Initiator,
        params: params(),
        max_flows: 8,
        first_window: 0,
        memory,
    };
    let mut restored = Session::restore(config, &records[0]).unwrap();
    assert_eq!(restored.restore_flow(&records[1]).unwrap(), id);
    pair.detach(L1);
    pair.ends[A] = restored;
    pair.attach(L2);
    pair.run();
    pair.send(A, id, 5, VOICE);
    pair.send(B, id, 3, VOICE);
    assert_eq!(pair.received(B, id), [0, 1, 2, 3, 4, 5]);
    assert_eq!(pair.received(A, id), [3]);
    pair.pass(Duration::from_secs(301));
    assert_eq!(pair.ends[A].receive_datagram(id), Err(DatagramError::Idle));
}
