//! A session's work: what a lane asks of it under the session's lock.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use throughline_proto::flow::memory::Memory;
use throughline_proto::selection::Cost;
use throughline_proto::session::{
    LaneInfo, Session, SessionConfig, SessionEvent, Transmit, WorkClass,
};
use throughline_proto::types::{FlowId, LaneId, Mode, Side, Target};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::control::Decoder;
use throughline_proto::wire::fact::Open;
use throughline_proto::wire::hello::SessionParams;
use throughline_proto::wire::segment::SegmentHeader;

const LANES: [LaneId; 2] = [LaneId(1), LaneId(2)];

/// As much as a lane is given at a time.
const CHUNK: usize = 64 * 1024;

/// Two sessions over two lanes.
struct Pair {
    now: Instant,
    ends: [Session; 2],
    decoders: [[Decoder; 2]; 2],
}

impl Pair {
    fn new() -> Self {
        let ends = [Side::Initiator, Side::Acceptor].map(|side| {
            let params = SessionParams {
                linger: Duration::from_secs(60),
                initial_window: 1 << 24,
                max_flows: 4096,
            };
            let memory = Arc::new(Memory::new(1 << 40));
            Session::new(
                SessionConfig { side, params, max_flows: 4096, first_window: 0, memory },
                params,
            )
        });
        let mut pair = Self { now: Instant::now(), ends, decoders: Default::default() };
        for lane in LANES {
            let info = LaneInfo {
                local_risk: lane.0,
                remote_risk: lane.0,
                cost: Cost::FREE,
                order: 0,
                version: VERSION,
            };
            pair.ends.iter_mut().for_each(|end| end.handle_lane_attached(pair.now, lane, info));
        }
        pair.carry();
        pair
    }

    fn open(&mut self) -> FlowId {
        let open = Open { target: Target::service("x"), mode: Mode::Auto };
        let flow = self.ends[0].open(self.now, open).expect("there is room");
        self.carry();
        flow
    }

    /// Delivers everything at once, and accepts what is opened.
    fn carry(&mut self) {
        let mut is_quiet = false;
        while !std::mem::replace(&mut is_quiet, true) {
            for side in 0..2 {
                for (lane, id) in LANES.into_iter().enumerate() {
                    for class in [WorkClass::Urgent, WorkClass::Bulk] {
                        while let Some(work) = self.ends[side].poll_transmit(self.now, id, class) {
                            is_quiet = false;
                            self.deliver(side, lane, work);
                        }
                    }
                }
                while let Some(event) = self.ends[side].poll_event() {
                    if let SessionEvent::Incoming(flow) = event {
                        self.ends[side].accept(self.now, flow);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, side: usize, lane: usize, work: Transmit) {
        let end = &mut self.ends[1 - side];
        match work {
            Transmit::Control(bytes) => {
                let decoder = &mut self.decoders[side][lane];
                decoder.push(&bytes);
                while let Ok(Some(message)) = decoder.next_message() {
                    end.handle_control(self.now, LANES[lane], message).expect("ours is allowed");
                }
            }
            Transmit::Segment(write) => deliver_first(end, self.now, write.header, write.data),
            _ => {}
        }
    }
}

/// Delivers a write that begins a segment; one that goes on with a segment is not needed here.
fn deliver_first(end: &mut Session, now: Instant, header: Option<Bytes>, mut data: Vec<Bytes>) {
    if let Some(header) = header {
        let header = SegmentHeader::decode(&mut &header[..]).expect("ours can be read");
        end.handle_segment(now, &header).expect("ours is allowed");
        end.handle_segment_data(now, header.flow, header.offset, header.resent, &mut data)
            .expect("ours is allowed");
    }
}

fn bulk(c: &mut Criterion) {
    let mut benches = c.benchmark_group("session");
    benches.throughput(Throughput::Bytes(CHUNK as u64));
    let chunk = Bytes::from(vec![7; CHUNK]);
    benches.bench_function("write 64 KiB and give it to a lane", |b| {
        b.iter_batched(
            || {
                let mut pair = Pair::new();
                let flow = pair.open();
                (pair, flow, chunk.clone())
            },
            |(mut pair, flow, mut chunk)| {
                let written = pair.ends[0].write(pair.now, flow, &mut chunk);
                let given = LANES.map(|lane| {
                    pair.ends[0]
                        .poll_transmit(pair.now, lane, WorkClass::Bulk)
                        .map(black_box)
                        .is_some()
                });
                (pair, written, given)
            },
            BatchSize::SmallInput,
        );
    });
    benches.finish();
}

fn polls(c: &mut Criterion) {
    for flows in [1, 100, 1000] {
        let mut pair = Pair::new();
        let ids: Vec<FlowId> = (0..flows).map(|_| pair.open()).collect();
        c.bench_function(&format!("poll a lane with nothing to do, {flows} flows"), |b| {
            b.iter(|| pair.ends[0].poll_transmit(pair.now, LANES[0], WorkClass::Urgent).is_some());
        });
        c.bench_function(&format!("an echo's byte there and taken, {flows} flows"), |b| {
            b.iter(|| {
                pair.now += Duration::from_millis(20);
                let mut byte = Bytes::from_static(b"x");
                let _ = pair.ends[0].write(pair.now, ids[0], &mut byte);
                pair.carry();
                let read = pair.ends[1].read_at_most(pair.now, ids[0], 10);
                pair.now += Duration::from_millis(20);
                pair.ends.iter_mut().for_each(|end| end.handle_timeout(pair.now));
                pair.carry();
                black_box(read.is_ok())
            });
        });
    }
}

criterion_group!(benches, bulk, polls);
criterion_main!(benches);
