//! Numbered bytes: what is at each place of a stream follows from a seed, so that any end can say
//! whether a byte is right.

/// Writes the content of stream `seed` from `offset` on.
pub(super) fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = word(seed, at / 8);
        let word = &word[(at % 8) as usize..];
        let len = word.len().min(rest.len());
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&word[..len]);
        rest = later;
        at += len as u64;
    }
}

/// Returns the place of the first byte that is not the content of stream `seed` from `offset` on.
pub(super) fn first_wrong(seed: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    let mut expected = vec![0; bytes.len()];
    fill(seed, offset, &mut expected);
    let wrong = expected.iter().zip(bytes).position(|(expected, got)| expected != got)?;
    Some(offset + wrong as u64)
}

/// SplitMix64 of the number of a word.
fn word(seed: u64, number: u64) -> [u8; 8] {
    let mut z = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_stream_are_the_whole() {
        let mut whole = [0; 100];
        fill(7, 0, &mut whole);
        for (from, len) in [(0, 1), (3, 9), (8, 8), (17, 83), (99, 1)] {
            let mut part = vec![0; len];
            fill(7, from as u64, &mut part);
            assert_eq!(part, whole[from..from + len]);
        }
    }

    #[test]
    fn a_byte_that_is_wrong_lost_or_doubled_is_seen() {
        let mut whole = vec![0; 64];
        fill(1, 1000, &mut whole);
        assert_eq!(first_wrong(1, 1000, &whole), None);
        assert_eq!(first_wrong(2, 1000, &whole[..8]), Some(1000));
        let mut flipped = whole.clone();
        flipped[30] ^= 1;
        assert_eq!(first_wrong(1, 1000, &flipped), Some(1030));
        let mut lost = whole.clone();
        lost.remove(20);
        assert!(first_wrong(1, 1000, &lost).is_some_and(|at| (1020..1024).contains(&at)));
    }
}
