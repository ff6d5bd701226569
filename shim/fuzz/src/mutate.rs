//! New inputs out of old ones.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

/// No input gets longer: longer ones reach nothing that shorter ones do not.
const MAX_INPUT: usize = 4096;

/// Values at which lengths, counts and offsets of the wire change their encoding or meet a bound.
const NOTABLE: [u64; 12] = [
    0,
    1,
    63,
    64,
    16_383,
    16_384,
    (1 << 20) - 1,
    1 << 20,
    (1 << 30) - 1,
    1 << 30,
    (1 << 62) - 1,
    u64::MAX,
];

/// Returns an input that is made of `corpus`, or of nothing.
pub fn next_input(rng: &mut SmallRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = match corpus.choose(rng) {
        Some(seed) if rng.random_bool(0.9) => seed.clone(),
        _ => noise(rng, MAX_INPUT / 8),
    };
    for _ in 0..rng.random_range(0..6) {
        change(rng, &mut input, corpus);
    }
    input.truncate(MAX_INPUT);
    input
}

fn change(rng: &mut SmallRng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = rng.random_range(0..=input.len());
    let until = rng.random_range(at..=input.len().min(at + 64));
    match rng.random_range(0..8) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..until)),
        2 => drop(input.splice(at..at, noise(rng, 16))),
        3 => drop(input.splice(at..until, noise(rng, 16))),
        4 => {
            let value = NOTABLE[rng.random_range(0..NOTABLE.len())];
            let bytes = varint(value);
            drop(input.splice(at..until.min(at + bytes.len()), bytes));
        }
        5 => {
            let again = input[at..until].to_vec();
            drop(input.splice(at..at, again));
        }
        6 => {
            if let Some(other) = corpus.choose(rng) {
                let from = rng.random_range(0..=other.len());
                drop(input.splice(at.., other[from..].iter().copied()));
            }
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
    }
}

fn noise(rng: &mut SmallRng, max: usize) -> Vec<u8> {
    let len = rng.random_range(0..=max);
    (0..len).map(|_| rng.random()).collect()
}

/// RFC 9000 §16, in the shortest form; what is too large for it, in eight bytes as it is.
fn varint(value: u64) -> Vec<u8> {
    match value {
        0..64 => vec![value as u8],
        64..16_384 => (value as u16 | 1 << 14).to_be_bytes().to_vec(),
        16_384..1_073_741_824 => (value as u32 | 2 << 30).to_be_bytes().to_vec(),
        _ => (value | 3 << 62).to_be_bytes().to_vec(),
    }
}
