//! The buffer by which all dialed lanes receive that a thread drives.
//!
//! quinn wants 32 buffers for each endpoint, each as long as what the system hands over at once: 2 MiB. An endpoint
//! that accepts serves many lanes by them; but each dialed lane has an endpoint, and so has each dial. That was 16 MiB
//! while two ISPs were silent; and memory that was used before and is used again has to be cleared, and is resident
//! from then on: with a hundred peers hundreds of megabytes after the first failure. So an endpoint that dials gets
//! short buffers, and what the system hands over comes by a buffer of the thread, from which it is dealt out, whole
//! datagrams to each short one. That is one copy more, while the bytes are in the processor's cache.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::task::{Poll, ready};

use quinn::udp::RecvMeta;

/// The least length of a short buffer: some datagrams of the internet's.
pub(super) const SHORT: usize = 8 * 1024;

/// The most bytes that the system hands over at once.
const AT_ONCE: usize = 64 * 1024;

/// How many times that is received together, at the most.
const MESSAGES: usize = 4;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; MESSAGES * AT_ONCE].into());
}

/// Receives by the thread's buffer, and deals out what came to `bufs`, which are of one length.
pub(super) fn receive(
    poll: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Poll<io::Result<usize>>,
    bufs: &mut [IoSliceMut<'_>],
    metas: &mut [RecvMeta],
) -> Poll<io::Result<usize>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut parts = buffer.chunks_mut(AT_ONCE).map(IoSliceMut::new);
        let mut messages: [_; MESSAGES] =
            std::array::from_fn(|_| parts.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let mut arrived = [RecvMeta::default(); MESSAGES];
        let together = together(bufs);
        let count = ready!(poll(&mut messages[..together], &mut arrived[..together]))?;
        let mut used = 0;
        for (message, meta) in messages.iter().zip(&arrived).take(count) {
            used += deal(&message[..meta.len], meta, &mut bufs[used..], &mut metas[used..]);
        }
        Poll::Ready(Ok(used))
    })
}

/// Returns how many messages have room in `bufs` whatever the length of their datagrams: of a datagram that is longer
/// than half of a buffer one fits, and of shorter ones as many as fill more than half.
fn together(bufs: &[IoSliceMut<'_>]) -> usize {
    let half = bufs.first().map_or(1, |buf| (buf.len() / 2).max(1));
    (bufs.len() / AT_ONCE.div_ceil(half)).clamp(1, MESSAGES)
}

/// Deals out one message; returns how many of `bufs` it took. Datagrams that are longer than a buffer are dropped: the
/// peer knows how long they may be.
fn deal(
    message: &[u8],
    meta: &RecvMeta,
    bufs: &mut [IoSliceMut<'_>],
    metas: &mut [RecvMeta],
) -> usize {
    let length = bufs.first().map_or(0, |buf| buf.len());
    let whole = length - length % meta.stride.max(1);
    if whole == 0 || meta.stride == 0 {
        return 0;
    }
    let parts = message.chunks(whole);
    let mut used = 0;
    for (part, (buf, slot)) in parts.zip(bufs.iter_mut().zip(metas)) {
        buf[..part.len()].copy_from_slice(part);
        *slot = RecvMeta { len: part.len(), ..*meta };
        used += 1;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What quinn finds after messages of these lengths and datagrams came together.
    fn dealt(short: usize, messages: &[(usize, usize)]) -> Vec<Vec<u8>> {
        let mut memory = vec![0; 32 * short];
        let mut bufs: Vec<_> = memory.chunks_mut(short).map(IoSliceMut::new).collect();
        let mut metas = [RecvMeta::default(); 32];
        let poll = |bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]| {
            assert!(messages.len() <= bufs.len());
            for (at, (len, stride)) in messages.iter().enumerate() {
                let bytes = (0..*len).map(|i| (i % 251 + at) as u8);
                bufs[at].iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
                metas[at] = RecvMeta { len: *len, stride: *stride, ..RecvMeta::default() };
            }
            Poll::Ready(Ok(messages.len()))
        };
        let Poll::Ready(Ok(count)) = receive(poll, &mut bufs, &mut metas) else { panic!() };
        let found = bufs.iter().zip(&metas).take(count);
        found.flat_map(|(b, m)| b[..m.len].chunks(m.stride).map(<[u8]>::to_vec)).collect()
    }

    /// What was sent.
    fn sent(messages: &[(usize, usize)]) -> Vec<Vec<u8>> {
        let bytes = |(at, (len, _)): (usize, &(usize, usize))| -> Vec<u8> {
            (0..*len).map(|i| (i % 251 + at) as u8).collect()
        };
        let all = messages.iter().enumerate().map(|m| (bytes(m), m.1.1));
        all.flat_map(|(b, stride)| b.chunks(stride).map(<[u8]>::to_vec).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn every_datagram_is_found_whole_and_in_order_whatever_their_length() {
        for short in [SHORT, 13_312, 16_376] {
            for stride in [1, 20, 900, 1_200, 1_452, 4_096, 4_097, 6_656, 8_192] {
                let most = (65_507 / stride).min(64) * stride;
                for len in [1, stride, most - stride + 1, most] {
                    let messages = [(len.max(1), stride), (most, stride)];
                    assert_eq!(dealt(short, &messages), sent(&messages), "{short} {stride} {len}");
                }
            }
        }
        let three = [(65_504, 16_376); 3];
        assert_eq!(dealt(16_376, &three), sent(&three));
    }

    #[test]
    fn what_is_longer_than_announced_is_dropped_and_nothing_else() {
        let messages = [(9_000, 9_000), (100, 100)];
        assert_eq!(dealt(SHORT, &messages), sent(&messages)[1..]);
        assert_eq!(dealt(SHORT, &[(0, 0)]), Vec::<Vec<u8>>::new());
    }
}
