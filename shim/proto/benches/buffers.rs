//! The send buffer and the assembler of a flow: each byte of a bulk flow goes through both.

use std::hint::black_box;
use std::ops::Range;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use throughline_proto::flow::assembler::Assembler;
use throughline_proto::flow::send_buffer::SendBuffer;

/// What a relay reads at a time.
const CHUNK: usize = 64 * 1024;

/// What QUIC delivers at a time: the payload of a packet.
const PACKET: usize = 1200;

/// A flow's whole window at 200 Mbit/s and 40 ms.
const WINDOW: usize = 1 << 20;

fn chunks(size: usize) -> Vec<(u64, Bytes)> {
    let all = Bytes::from(vec![7; WINDOW]);
    let starts = (0..WINDOW).step_by(size);
    starts.map(|at| (at as u64, all.slice(at..WINDOW.min(at + size)))).collect()
}

fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    (0..WINDOW as u64 / size).map(move |i| i * size..(i + 1) * size)
}

fn send_buffer(c: &mut Criterion) {
    let mut benches = c.benchmark_group("send buffer");
    benches.throughput(Throughput::Bytes(WINDOW as u64));
    let filled = || {
        let mut buffer = SendBuffer::default();
        chunks(CHUNK).into_iter().for_each(|(_, chunk)| buffer.push(chunk));
        buffer
    };
    benches.bench_function("push, slice and acknowledge in order", |b| {
        b.iter_batched(
            || chunks(CHUNK),
            |chunks| {
                let mut buffer = SendBuffer::default();
                chunks.into_iter().for_each(|(_, chunk)| buffer.push(chunk));
                for range in ranges(CHUNK as u64) {
                    black_box(buffer.slice(range.clone()));
                    buffer.ack(range);
                }
                buffer
            },
            BatchSize::SmallInput,
        );
    });
    benches.bench_function("acknowledge every other range, then the rest", |b| {
        b.iter_batched(
            filled,
            |mut buffer| {
                ranges(4096).step_by(2).for_each(|range| {
                    black_box(buffer.ack(range));
                });
                ranges(4096).skip(1).step_by(2).for_each(|range| {
                    black_box(buffer.ack(range));
                });
                buffer
            },
            BatchSize::SmallInput,
        );
    });
    benches.finish();
}

fn assembler(c: &mut Criterion) {
    let mut benches = c.benchmark_group("assembler");
    benches.throughput(Throughput::Bytes(WINDOW as u64));
    benches.bench_function("packets in order", |b| {
        b.iter_batched(
            || chunks(PACKET),
            |chunks| assemble(chunks.into_iter()),
            BatchSize::SmallInput,
        );
    });
    benches.bench_function("packets of two lanes, half a window apart", |b| {
        let interleaved = || {
            let mut first = chunks(PACKET);
            let later = first.split_off(first.len() / 2);
            later.into_iter().zip(first).flat_map(|(late, early)| [late, early])
        };
        b.iter_batched(interleaved, assemble, BatchSize::SmallInput);
    });
    benches.finish();
}

fn assemble(chunks: impl Iterator<Item = (u64, Bytes)>) -> Assembler {
    let mut assembler = Assembler::default();
    let mut out = [const { Bytes::new() }; 32];
    for (offset, chunk) in chunks {
        assembler.insert(offset, chunk);
        while assembler.pop(&mut out) == out.len() {}
    }
    assembler
}

criterion_group!(benches, send_buffer, assembler);
criterion_main!(benches);
