//! The wire encoding of what is sent most: facts, the headers of segments, and probes.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use throughline_proto::types::{FlowId, Mode, Target};
use throughline_proto::wire::control::{Decoder, Message};
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::fact::{FlowState, Open};
use throughline_proto::wire::segment::SegmentHeader;

fn flow_state() -> Message {
    let received = (0..8).map(|i| i * 100_000 + 1..(i + 1) * 100_000).collect();
    Message::FlowState(FlowState {
        flow: FlowId(70),
        version: 1_000,
        received,
        max_offset: 1 << 24,
        final_size: None,
        open: None,
        outcome: None,
        reset: None,
    })
}

fn codec(c: &mut Criterion) {
    let state = flow_state();
    c.bench_function("encode a flow's state", |b| b.iter(|| black_box(&state).to_bytes()));
    let bytes = state.to_bytes();
    c.bench_function("decode a flow's state", |b| {
        b.iter(|| {
            let mut decoder = Decoder::default();
            decoder.push(black_box(&bytes));
            decoder.next_message()
        });
    });
    let open = Some(Open { target: Target::service("echo"), mode: Mode::Auto });
    let header = SegmentHeader { flow: FlowId(70), offset: 1 << 33, resent: false, open };
    c.bench_function("encode a segment's header", |b| b.iter(|| black_box(&header).to_bytes()));
    let bytes = header.to_bytes();
    c.bench_function("decode a segment's header", |b| {
        b.iter(|| SegmentHeader::decode(&mut black_box(&bytes[..])));
    });
    let bytes = Datagram::Pong { seq: 70_000, received: 1 << 40 }.to_bytes(0);
    c.bench_function("decode the answer to a probe", |b| {
        b.iter(|| Datagram::decode(black_box(&bytes)));
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
