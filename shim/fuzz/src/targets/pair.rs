//! Two honest sessions over lanes that come, go, fall silent and deliver in any order.
//!
//! What is checked: neither end takes the other's messages for a violation; what is read is what
//! was written, in order and once; and when lanes are well again everything arrives, and nothing
//! is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use throughline_proto::selection::Cost;
use throughline_proto::session::WorkClass;
use throughline_proto::types::{Datagram, FailureCode, FlowId, LaneId, OpenFailure, TrafficClass};

use super::decoders::{open, open_datagrams};
use super::session::observe;
pub(super) use super::session::seeds;
use super::world::World;

/// So many lanes at a time: enough for a primary, a secondary, a hedge and one that drains.
const MAX_LANES: usize = 4;

/// What the applications have done, by the flow and the end that did it.
#[derive(Default)]
struct Applications {
    written: BTreeMap<(FlowId, usize), u64>,
    read: BTreeMap<(FlowId, usize), u64>,
    /// How many datagrams were sent, and which arrived.
    sent: BTreeMap<(FlowId, usize), u64>,
    received: BTreeSet<(FlowId, usize, u64)>,
    finished: Vec<(FlowId, usize)>,
    /// Flows that an end was refused, or that one has reset or dropped: bytes of it may be lost.
    broken: Vec<FlowId>,
}

pub(super) fn two_sessions(input: &[u8]) {
    let mut world = World::new();
    let mut applications = Applications::default();
    world.attach();
    let mut steps = Unstructured::new(input);
    while !steps.is_empty() && step(&mut steps, &mut world, &mut applications).is_ok() {}
    heal(&mut world, &mut applications);
    for (flow, side) in applications.written.keys() {
        if !applications.broken.contains(flow) {
            let written = applications.written[&(*flow, *side)];
            let read = applications.read.get(&(*flow, 1 - side)).copied().unwrap_or(0);
            assert_eq!(written, read, "of flow {flow}");
        }
    }
}

fn step(
    steps: &mut Unstructured,
    world: &mut World,
    applications: &mut Applications,
) -> Result<()> {
    let side = usize::from(steps.arbitrary::<bool>()?);
    let lanes = world.lanes();
    let lane = if lanes.is_empty() { LaneId(0) } else { *steps.choose(&lanes)? };
    let times = steps.int_in_range(1..=8)?;
    match steps.int_in_range(0..=16)? {
        16 => {
            let (first, lost) = (steps.arbitrary()?, steps.ratio(1, 4)?);
            for _ in 0..times {
                world.deliver_datagram(side, lane, first, lost);
                world.deliver_long(side, lane, first, lost);
            }
        }
        0 if lanes.len() < MAX_LANES => world.attach(),
        1 => world.detach(lane),
        2 | 3 => {
            observe(steps, &mut world.ends[side], world.now, lane)?;
        }
        4 => {
            let (cost, draining) = (Cost::from_wire(steps.arbitrary()?), steps.arbitrary()?);
            world.ends[side].advertise_use(world.now, lane, cost, draining);
        }
        5 => world.ends[side].handle_local_migration(world.now, lane),
        6 => world.wait(Duration::from_millis(steps.int_in_range(0..=400)?)),
        7 | 8 => {
            let class =
                *steps.choose(&[WorkClass::Urgent, WorkClass::Datagrams, WorkClass::Bulk])?;
            for _ in 0..times {
                world.pull(side, lane, class);
            }
        }
        9 => {
            for _ in 0..times {
                world.deliver_control(side, lane);
            }
        }
        10 | 11 => {
            let nth = steps.int_in_range(0..=3)?;
            for _ in 0..times {
                world.deliver_segment(side, lane, nth);
            }
        }
        _ => application(steps, world, applications, side)?,
    }
    Ok(())
}

fn application(
    steps: &mut Unstructured,
    world: &mut World,
    applications: &mut Applications,
    side: usize,
) -> Result<()> {
    let now = world.now;
    if let Some(flow) = world.incoming[side].pop() {
        if steps.ratio(9, 10)? {
            world.ends[side].accept(now, flow);
        } else {
            world.ends[side].refuse(now, flow, OpenFailure::new(FailureCode::Other, "no"));
            applications.broken.push(flow);
        }
        return Ok(());
    }
    let flows: Vec<FlowId> = world.ends[side].flows().map(|flow| flow.id).collect();
    if flows.is_empty() || steps.ratio(1, 10)? {
        let open = if steps.ratio(2, 3)? { open() } else { open_datagrams() };
        let _ = world.ends[side].open(now, open);
        return Ok(());
    }
    let flow = *steps.choose(&flows)?;
    if is_of_datagrams(world, flow, side) {
        match steps.ratio(1, 3)? {
            true => {
                let longest = if steps.ratio(1, 4)? { 65_507 } else { 1_100 };
                applications.send(world, flow, side, steps.int_in_range(8..=longest)?);
            }
            false => applications.receive(world, flow, side),
        }
        return Ok(());
    }
    match steps.int_in_range(0..=15)? {
        0..=7 => applications.write(world, flow, side, steps.int_in_range(0..=40_000)?),
        8..=13 => drop(applications.read(world, flow, side, steps.int_in_range(1..=30_000)?)),
        14 => applications.finish(world, flow, side),
        _ => {
            world.ends[side].reset(now, flow, 5);
            applications.broken.push(flow);
        }
    }
    Ok(())
}

/// The class of a datagram: each has its own.
fn class_of(number: u64) -> TrafficClass {
    TrafficClass::from_byte(number as u8)
}

fn is_of_datagrams(world: &World, flow: FlowId, side: usize) -> bool {
    world.ends[side].flow(flow).is_some_and(|flow| flow.datagrams.is_some())
}

impl Applications {
    /// Sends a datagram that says which one it is.
    fn send(&mut self, world: &mut World, flow: FlowId, side: usize, len: usize) {
        let number = self.sent.entry((flow, side)).or_default();
        let mut bytes = vec![0; len];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let datagram = Datagram::new(bytes, class_of(*number));
        if world.ends[side].send_datagram(world.now, flow, datagram).is_ok() {
            *number += 1;
        }
    }

    /// Takes the datagrams that have arrived, none of which comes twice.
    fn receive(&mut self, world: &mut World, flow: FlowId, side: usize) {
        while let Ok(Some(datagram)) = world.ends[side].receive_datagram(flow) {
            let number = datagram.payload[..8].try_into().expect("eight bytes");
            let number = u64::from_be_bytes(number);
            assert_eq!(datagram.class, class_of(number), "datagram {number} of flow {flow}");
            let sent = self.sent.get(&(flow, 1 - side)).copied().unwrap_or(0);
            assert!(number < sent, "datagram {number} of flow {flow} was never sent");
            assert!(self.received.insert((flow, side, number)), "{flow}: {number} came twice");
        }
    }

    fn write(&mut self, world: &mut World, flow: FlowId, side: usize, len: u64) {
        let start = self.written.entry((flow, side)).or_default();
        let bytes: Vec<u8> = (*start..*start + len).map(|at| content(flow, side, at)).collect();
        if let Ok(taken) = world.ends[side].write(world.now, flow, &mut bytes.into()) {
            *start += taken as u64;
        }
    }

    fn read(&mut self, world: &mut World, flow: FlowId, side: usize, max: usize) -> bool {
        let Ok(Some(chunk)) = world.ends[side].read_at_most(world.now, flow, max) else {
            return false;
        };
        let start = self.read.entry((flow, side)).or_default();
        for (at, byte) in (*start..).zip(&chunk) {
            assert_eq!(*byte, content(flow, 1 - side, at), "byte {at} of flow {flow}");
        }
        *start += chunk.len() as u64;
        let written = self.written.get(&(flow, 1 - side)).copied().unwrap_or(0);
        assert!(*start <= written, "flow {flow}: more was read than written");
        !chunk.is_empty()
    }

    fn finish(&mut self, world: &mut World, flow: FlowId, side: usize) {
        if world.ends[side].finish(world.now, flow).is_ok() {
            self.finished.push((flow, side));
        }
    }
}

/// All is well again: lanes are new, everything is answered, read, finished and dropped.
fn heal(world: &mut World, applications: &mut Applications) {
    for lane in world.lanes() {
        world.detach(lane);
    }
    world.attach();
    world.attach();
    for round in 0..200 {
        world.rest();
        world.wait(Duration::from_millis(300));
        let mut is_idle = true;
        for side in 0..2 {
            while let Some(flow) = world.incoming[side].pop() {
                world.ends[side].accept(world.now, flow);
            }
            for flow in world.ends[side].flows().map(|flow| flow.id).collect::<Vec<_>>() {
                if is_of_datagrams(world, flow, side) {
                    applications.receive(world, flow, side);
                    continue;
                }
                while applications.read(world, flow, side, 1 << 20) {
                    is_idle = false;
                }
                if round > 0 {
                    applications.finish(world, flow, side);
                }
            }
        }
        if is_idle && round > 2 {
            break;
        }
    }
    drop_all(world);
}

/// The applications let go of what is left; both ends forget it.
fn drop_all(world: &mut World) {
    for side in 0..2 {
        for flow in world.ends[side].flows().map(|flow| flow.id).collect::<Vec<_>>() {
            if is_of_datagrams(world, flow, side) {
                world.ends[side].release_datagrams(world.now, flow);
                continue;
            }
            world.ends[side].drop_reader(world.now, flow);
            world.ends[side].drop_writer(world.now, flow);
        }
    }
    for _ in 0..50 {
        world.rest();
        world.wait(Duration::from_millis(300));
    }
    for (end, memory) in world.ends.iter().zip(&world.memory) {
        let left: Vec<FlowId> = end.flows().map(|flow| flow.id).collect();
        assert!(left.is_empty(), "flows that are not forgotten: {left:?}");
        assert_eq!(memory.used(), 0);
        assert_eq!(end.next_timeout(), None);
    }
}

/// What the end `side` writes to `flow` at the offset `at`.
fn content(flow: FlowId, side: usize, at: u64) -> u8 {
    (at.wrapping_mul(7) + flow.0 * 2 + side as u64).wrapping_rem(251) as u8
}
