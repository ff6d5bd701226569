//! What flows carry: every byte follows from the flow's key and its offset.

use bytes::Bytes;

/// The bytes of the stream `key` from `offset`.
pub(crate) fn bytes(key: u64, offset: u64, len: usize) -> Bytes {
    let mut out = Vec::with_capacity(len + 16);
    let mut block = offset / 8;
    let skip = (offset % 8) as usize;
    while out.len() < len + skip {
        out.extend_from_slice(&mix(key, block).to_le_bytes());
        block += 1;
    }
    let out = Bytes::from(out);
    out.slice(skip..skip + len)
}

/// splitmix64.
fn mix(key: u64, block: u64) -> u64 {
    let mut z = key.wrapping_add(block.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
