//! One session, and a peer that says whatever it likes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use throughline_proto::flow::memory::Memory;
use throughline_proto::lane::{AddressListing, Observation, Overtaken, SensorSnapshot};
use throughline_proto::selection::Cost;
use throughline_proto::session::{LaneInfo, SegmentVerdict, Session, SessionConfig, WorkClass};
use throughline_proto::types::{
    Datagram, FailureCode, FlowId, LaneId, OpenFailure, Side, TrafficClass,
};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::codec::MAX_VARINT;
use throughline_proto::wire::control::Decoder;
use throughline_proto::wire::flow_datagram::FlowDatagram;
use throughline_proto::wire::hello::SessionParams;
use throughline_proto::wire::long_datagram::LongDatagramHeader;
use throughline_proto::wire::segment::SegmentHeader;

use super::decoders::{messages, open, open_datagrams};

const PARAMS: SessionParams =
    SessionParams { linger: Duration::from_secs(60), initial_window: 100_000, max_flows: 8 };

/// A session as tests use it, and what bounds its memory.
pub(super) fn session(side: Side) -> (Session, Arc<Memory>) {
    let memory = Arc::new(Memory::new(1 << 30));
    let max_flows = PARAMS.max_flows as usize;
    let config = SessionConfig {
        side,
        params: PARAMS,
        max_flows,
        first_window: 150_000,
        memory: memory.clone(),
    };
    (Session::new(config, PARAMS), memory)
}

/// Inputs that are long enough for many steps.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let noise = |seed| {
        let mut bytes = vec![0; 2048];
        SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    };
    (0..8).map(noise).collect()
}

/// The session never panics, holds no more than it granted, and forgets everything in the end.
pub(super) fn hostile_peer(input: &[u8]) {
    let (mut end, memory) = session(Side::Acceptor);
    let mut now = Instant::now();
    let mut steps = Unstructured::new(input);
    while !steps.is_empty() && step(&mut steps, &mut end, &mut now).is_ok() {
        while end.poll_event().is_some() {}
        assert!(end.flows().filter(|flow| !flow.local).count() <= 2 * PARAMS.max_flows as usize);
    }
    end.handle_session_lost("over");
    for id in end.flows().map(|flow| flow.id).collect::<Vec<_>>() {
        end.drop_reader(now, id);
        end.drop_writer(now, id);
    }
    assert_eq!((end.flows().count(), memory.used(), end.next_timeout()), (0, 0, None));
}

fn step(steps: &mut Unstructured, end: &mut Session, now: &mut Instant) -> Result<()> {
    let lane = LaneId(steps.int_in_range(1..=4)?);
    *now += Duration::from_millis(steps.int_in_range(0..=30)?);
    match steps.int_in_range(0..=10)? {
        10 => datagram(steps, end, *now)?,
        0 => end.handle_lane_attached(*now, lane, lane_info(lane)),
        1 => end.handle_lane_detached(*now, lane),
        2 => observe(steps, end, *now, lane)?,
        3 | 4 => message(steps, end, *now, lane)?,
        5 | 6 => segment(steps, end, *now)?,
        7 => application(steps, end, *now)?,
        8 => {
            for class in [WorkClass::Urgent, WorkClass::Datagrams, WorkClass::Bulk] {
                while steps.ratio(9, 10)? && end.poll_transmit(*now, lane, class).is_some() {}
            }
        }
        _ => end.handle_timeout(*now),
    }
    Ok(())
}

/// A message of a known kind, some bytes of which are others.
fn message(steps: &mut Unstructured, end: &mut Session, now: Instant, lane: LaneId) -> Result<()> {
    let messages = messages();
    let mut bytes = steps.choose(&messages)?.to_bytes().to_vec();
    for _ in 0..steps.int_in_range(0..=4)? {
        let at = steps.choose_index(bytes.len())?;
        bytes[at] = steps.arbitrary()?;
    }
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    while let Ok(Some(message)) = decoder.next_message() {
        let _ = end.handle_control(now, lane, message);
    }
    Ok(())
}

fn segment(steps: &mut Unstructured, end: &mut Session, now: Instant) -> Result<()> {
    let flow = FlowId(steps.int_in_range(0..=24)?);
    let offset = match steps.ratio(9, 10)? {
        true => steps.int_in_range(0..=110_000)?,
        false => steps.int_in_range(0..=1 << 50)?,
    };
    let resent = steps.arbitrary()?;
    let open = steps.ratio(3, 4)?.then(open);
    let header = SegmentHeader { flow, offset, resent, open };
    if end.handle_segment(now, &header) == Ok(SegmentVerdict::Read) {
        let mut chunks = [0; 3];
        for chunk in &mut chunks {
            *chunk = steps.int_in_range(0..=2_000)?;
        }
        let mut chunks = chunks.map(|len| Bytes::from(vec![1; len]));
        let _ = end.handle_segment_data(now, flow, offset, resent, &mut chunks);
    }
    Ok(())
}

fn datagram(steps: &mut Unstructured, end: &mut Session, now: Instant) -> Result<()> {
    let flow = FlowId(steps.int_in_range(0..=24)?);
    let open = match steps.int_in_range(0..=3)? {
        0 => None,
        1 => Some(open()),
        _ => Some(open_datagrams()),
    };
    let seq = match steps.ratio(9, 10)? {
        true => steps.int_in_range(0..=5_000)?,
        false => steps.int_in_range(0..=MAX_VARINT)?,
    };
    let payload = vec![1; steps.int_in_range(0..=1_400)?].into();
    let class = TrafficClass::from_byte(seq as u8);
    let header = LongDatagramHeader { flow, seq, open: open.clone(), class };
    let is_long = steps.ratio(1, 4)?;
    if is_long && end.handle_long_datagram(now, &header) != Ok(SegmentVerdict::Read) {
        return Ok(());
    }
    let _ = end.handle_datagram(now, FlowDatagram { flow, seq, open, class, payload });
    Ok(())
}

/// What an application does with a datagram flow.
pub(super) fn use_datagrams(
    steps: &mut Unstructured,
    end: &mut Session,
    now: Instant,
    id: FlowId,
) -> Result<()> {
    match steps.int_in_range(0..=9)? {
        0..=3 => {
            let len = steps.int_in_range(0..=1_400)?;
            let class = TrafficClass::from_byte(len as u8);
            let _ = end.send_datagram(now, id, Datagram::new(vec![7; len], class));
        }
        4..=6 => while let Ok(Some(_)) = end.receive_datagram(id) {},
        7 => end.accept(now, id),
        8 => end.fail_datagrams(now, id, FailureCode::Refused),
        _ => end.release_datagrams(now, id),
    }
    Ok(())
}

fn application(steps: &mut Unstructured, end: &mut Session, now: Instant) -> Result<()> {
    let ids: Vec<FlowId> = end.flows().map(|flow| flow.id).collect();
    if ids.is_empty() || steps.ratio(1, 20)? {
        let open = if steps.arbitrary()? { open() } else { open_datagrams() };
        let _ = end.open(now, open);
        return Ok(());
    }
    let id = *steps.choose(&ids)?;
    if end.flow(id).is_some_and(|flow| flow.datagrams.is_some()) {
        return use_datagrams(steps, end, now, id);
    }
    match steps.int_in_range(0..=8)? {
        0 | 1 => {
            let len = steps.int_in_range(0..=5_000)?;
            let _ = end.write(now, id, &mut vec![7; len].into());
        }
        2 | 3 => drop(end.read_at_most(now, id, steps.int_in_range(1..=9_000)?)),
        4 => end.accept(now, id),
        5 => end.refuse(now, id, OpenFailure::new(FailureCode::Other, "no")),
        6 => drop(end.finish(now, id)),
        7 => end.reset(now, id, 5),
        _ => {
            end.drop_reader(now, id);
            if steps.arbitrary()? {
                end.drop_writer(now, id);
            }
        }
    }
    Ok(())
}

/// Lanes of which some share an uplink or an address of the acceptor.
pub(super) fn lane_info(lane: LaneId) -> LaneInfo {
    LaneInfo {
        local_risk: lane.0 % 3,
        remote_risk: lane.0 % 2,
        cost: Cost::FREE,
        order: 0,
        version: VERSION,
    }
}

/// Shows the monitor of a lane acknowledgements that come, or that have stopped.
pub(super) fn observe(
    steps: &mut Unstructured,
    end: &mut Session,
    now: Instant,
    lane: LaneId,
) -> Result<()> {
    let silence = Duration::from_millis(steps.int_in_range(0..=400)?);
    let received = steps.int_in_range(0..=20)?;
    let address = *steps.choose(&[AddressListing::Listed, AddressListing::Unlisted])?;
    let last = now.checked_sub(silence).unwrap_or(now);
    let is_silent = silence > Duration::from_millis(10);
    let sensor = SensorSnapshot {
        in_flight: if is_silent { 50_000 } else { 0 },
        cwnd: 100_000,
        acked_bytes: steps.int_in_range(0..=1 << 30)?,
        lost_bytes: steps.int_in_range(0..=1 << 30)?,
        sent_bytes: 1 << 30,
        last_ack: Some(last),
        oldest_unacked: is_silent.then_some(last),
        newest_acked_sent: Some(last),
        newest_full_acked_sent: Some(last),
        last_full_ack: Some(last),
        last_sent: Some(now),
        overtaken: Overtaken {
            packets: steps.int_in_range(0..=64)?,
            turns: steps.int_in_range(0..=3)?,
        },
        ack_interval: Duration::from_millis(1),
        srtt: Duration::from_millis(20),
        rttvar: Duration::from_millis(2),
        min_rtt: Duration::from_millis(20),
        pauses: throughline_proto::lane::Pauses::default(),
        epoch: steps.int_in_range(0..=1)?,
    };
    let seen = Observation {
        sensor,
        received: &|| received,
        remote: SocketAddr::from(([192, 0, 2, 1], 443)),
        address,
        late_by: Duration::ZERO,
        resumed: steps.ratio(1, 20)?,
    };
    let _ = end.observe_lane(now, lane, &seen);
    Ok(())
}
