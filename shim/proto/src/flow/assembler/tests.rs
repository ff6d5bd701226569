//! Tests of the assembler against a model, and against peers that send single bytes.

use rand::{Rng, SeedableRng};

use super::super::ranges::RangeSet;
use super::small_chunks::{COPY_BELOW, JOIN_UP_TO};
use super::*;

#[test]
fn any_order_with_overlaps_and_duplicates_gives_every_byte_once_in_order() {
    let mut rng = rand::rngs::SmallRng::seed_from_u64(3);
    for _ in 0..100 {
        let len = rng.random_range(1..20_000u64);
        let longest = [5, 400, 3000][rng.random_range(0..3)];
        let model: Vec<u8> = (0..len).map(|_| rng.random()).collect();
        let mut assembler = Assembler::default();
        let mut received = RangeSet::new();
        let mut out = Vec::new();
        let mut total = 0;
        while (out.len() as u64) < len {
            let start = rng.random_range(0..len);
            let end = rng.random_range(start..=len.min(start + longest));
            let chunk = Bytes::copy_from_slice(&model[start as usize..end as usize]);
            total += end - start;
            assert_eq!(assembler.insert(start, chunk), received.insert(start..end));
            assert_eq!(assembler.received(usize::MAX), received.iter().collect::<Vec<_>>());
            assert_eq!(assembler.duplicate(), total - received.len());
            assert_eq!(assembler.highest(), received.iter().last().map_or(0, |r| r.end));
            if rng.random_bool(0.3) {
                let mut bufs = vec![Bytes::new(); rng.random_range(1..4)];
                let count = assembler.pop(&mut bufs);
                bufs[..count].iter().for_each(|b| out.extend_from_slice(b));
            } else if let Some(chunk) = assembler.pop_at_most(rng.random_range(1..longest as usize))
            {
                out.extend_from_slice(&chunk);
            }
            assert_eq!(assembler.read_offset(), out.len() as u64);
        }
        assert_eq!(out, model);
        assert!(assembler.out_of_order.is_empty() && assembler.chunk_count() == 0);
    }
}

#[test]
fn received_bytes_are_not_replaced() {
    let mut assembler = Assembler::default();
    assembler.insert(2, Bytes::from_static(b"cd"));
    assembler.insert(0, Bytes::from_static(b"abXYe"));
    assert_eq!(assembler.pop_at_most(9).unwrap(), &b"abcde"[..]);
}

#[test]
fn discarded_bytes_still_count_as_received() {
    let mut assembler = Assembler::default();
    assembler.insert(0, Bytes::from_static(b"abc"));
    assembler.discard();
    assert_eq!((assembler.readable(), assembler.head(), assembler.read_offset()), (0, 3, 3));
}

impl Assembler {
    /// Returns how many chunks are held.
    fn chunk_count(&self) -> usize {
        self.in_order.chunk_count() + self.out_of_order.chunk_count()
    }
}

/// Returns the test byte at an offset.
fn byte(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn bytes_of(range: Range<u64>) -> Bytes {
    range.map(byte).collect::<Vec<u8>>().into()
}

/// Reads all readable bytes and compares them.
fn drain(assembler: &mut Assembler) {
    let mut out = [const { Bytes::new() }; 7];
    loop {
        let mut at = assembler.read_offset();
        let count = assembler.pop(&mut out);
        if count == 0 {
            return;
        }
        for chunk in &out[..count] {
            assert!(!chunk.is_empty());
            assert_eq!(chunk, &bytes_of(at..at + chunk.len() as u64));
            at += chunk.len() as u64;
        }
    }
}

#[test]
fn single_bytes_in_order_are_joined() {
    let mut assembler = Assembler::default();
    const WINDOW: u64 = 256 << 10;
    for at in 0..WINDOW {
        assembler.insert(at, bytes_of(at..at + 1));
    }
    assert_eq!(assembler.chunk_count(), WINDOW as usize / JOIN_UP_TO);
    drain(&mut assembler);
    assert_eq!(assembler.read_offset(), WINDOW);
}

#[test]
fn single_bytes_in_any_order_are_joined() {
    const END: u64 = 64 << 10;
    let mut rng = rand::rngs::SmallRng::seed_from_u64(7);
    let mut shuffled: Vec<u64> = (1..END).collect();
    rand::seq::SliceRandom::shuffle(&mut shuffled[..], &mut rng);
    let orders: [Vec<u64>; 4] = [
        (1..END).collect(),
        (1..END).rev().collect(),
        // Every other byte, then those between: no two consecutive chunks are adjacent.
        (1..END).step_by(2).chain((2..END).step_by(2)).collect(),
        shuffled,
    ];
    for order in orders {
        let mut assembler = Assembler::default();
        for at in order {
            assembler.insert(at, bytes_of(at..at + 1));
        }
        assert_eq!(assembler.out_of_order.ranges(), &RangeSet::from_iter(std::iter::once(1..END)));
        // Two adjacent copies are together longer than may be joined.
        assert!(assembler.chunk_count() <= 2 * END as usize / JOIN_UP_TO + 1);
        assembler.insert(0, bytes_of(0..1));
        assert!(assembler.chunk_count() <= 2 * END as usize / JOIN_UP_TO + 2);
        drain(&mut assembler);
        assert_eq!((assembler.read_offset(), assembler.duplicate()), (END, 0));
    }
}

#[test]
fn single_bytes_between_large_chunks_cost_two_chunks_per_kib_at_most() {
    for first in [0, 1] {
        let mut assembler = Assembler::default();
        let mut at = first;
        for _ in 0..500 {
            for len in [1, 1, COPY_BELOW as u64] {
                assembler.insert(at, bytes_of(at..at + len));
                at += len;
            }
        }
        assert_eq!(assembler.chunk_count(), 1000);
        assembler.insert(0, bytes_of(0..first));
        drain(&mut assembler);
        assert_eq!(assembler.read_offset(), at);
    }
}

#[test]
fn bulk_is_not_copied() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let whole = bytes_of(0..3 * 1200);
        let mut assembler = Assembler::default();
        for index in order {
            let from = index * 1200;
            assembler.insert(from as u64, whole.slice(from..from + 1200));
        }
        let mut out = [const { Bytes::new() }; 4];
        assert_eq!(assembler.pop(&mut out), 3);
        for (index, chunk) in out[..3].iter().enumerate() {
            assert_eq!(chunk.as_ptr(), whole[index * 1200..].as_ptr());
        }
    }
}

#[test]
fn one_range_more_than_there_is_room_for_is_rejected_before_it_is_inserted() {
    let mut assembler = Assembler::default();
    for at in [10, 20, 30] {
        assert!(assembler.has_room(&(at..at + 5), 3));
        assembler.insert(at, bytes_of(at..at + 5));
    }
    for none in [6..9, 16..19, 36..40, 26..27] {
        assert!(!assembler.has_room(&none, 3), "{none:?}");
    }
    for fine in [0..1, 0..9, 9..10, 15..16, 11..12, 16..21, 33..99, 6..50, 26..26] {
        assert!(assembler.has_room(&fine, 3), "{fine:?}");
    }
}
