//! The buffer by which all dialed lanes receive that a thread drives.
//!
//! quinn wants 32 buffers for each endpoint, each as long as the longest message: what the system hands over at once,
//! the datagrams of one sender in a row (UDP GRO). That is 2 MiB. An endpoint that listens serves many lanes by them;
//! but each dialed lane has an endpoint, and so has each dial. What an endpoint leaves the next one takes, cleared, so
//! that it is resident: 2 MiB for each of as many as there ever were at a time. So an endpoint that dials gets short
//! buffers. Messages come by a buffer of the thread, from which they are dealt out, whole datagrams to each short
//! buffer. That is one copy more, while the bytes are in the processor's cache.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::task::{Poll, ready};

use quinn::udp::RecvMeta;

/// The least length of a short buffer: some datagrams of the internet's.
pub(super) const MIN_SHORT: usize = 8 * 1024;

/// The most bytes of a message.
const MAX_MESSAGE: usize = 64 * 1024;

/// The most messages that are received together: as many as have room in the longest of short buffers.
const MAX_MESSAGES: usize = 3;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_MESSAGES * MAX_MESSAGE].into());
}

/// Receives by the thread's buffer, and deals out what came to `bufs`, which are of one length.
pub(super) fn receive(
    poll: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Poll<io::Result<usize>>,
    bufs: &mut [IoSliceMut<'_>],
    metas: &mut [RecvMeta],
) -> Poll<io::Result<usize>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut parts = buffer.chunks_mut(MAX_MESSAGE).map(IoSliceMut::new);
        let mut messages: [_; MAX_MESSAGES] =
            std::array::from_fn(|_| parts.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let mut arrived = [RecvMeta::default(); MAX_MESSAGES];
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
    (bufs.len() / MAX_MESSAGE.div_ceil(half)).clamp(1, MAX_MESSAGES)
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

    /// The sender's port, and a datagram of it.
    type Datagram = (u16, Vec<u8>);

    /// What quinn finds after messages of these lengths and datagrams came together.
    fn dealt(short: usize, messages: &[(usize, usize)]) -> Vec<Datagram> {
        let mut memory = vec![0; 32 * short];
        let mut bufs: Vec<_> = memory.chunks_mut(short).map(IoSliceMut::new).collect();
        let mut metas = [RecvMeta::default(); 32];
        let poll = |bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]| {
            assert!(messages.len() <= bufs.len());
            for (at, (len, stride)) in messages.iter().enumerate() {
                let bytes = (0..*len).map(|i| (i % 251 + at) as u8);
                bufs[at].iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
                let addr = ([127, 0, 0, 1], at as u16).into();
                metas[at] = RecvMeta { addr, len: *len, stride: *stride, ..RecvMeta::default() };
            }
            Poll::Ready(Ok(messages.len()))
        };
        let Poll::Ready(Ok(count)) = receive(poll, &mut bufs, &mut metas) else { panic!() };
        let found = bufs.iter().zip(&metas).take(count);
        let datagrams = |(b, m): (&IoSliceMut<'_>, &RecvMeta)| -> Vec<Datagram> {
            b[..m.len].chunks(m.stride).map(|d| (m.addr.port(), d.to_vec())).collect()
        };
        found.flat_map(datagrams).collect()
    }

    /// What was sent.
    fn sent(messages: &[(usize, usize)]) -> Vec<Datagram> {
        let datagrams = |(at, (len, stride)): (usize, &(usize, usize))| -> Vec<Datagram> {
            let bytes: Vec<u8> = (0..*len).map(|i| (i % 251 + at) as u8).collect();
            bytes.chunks(*stride).map(|d| (at as u16, d.to_vec())).collect()
        };
        messages.iter().enumerate().flat_map(datagrams).collect()
    }

    #[test]
    fn every_datagram_is_found_whole_and_in_order_whatever_their_length() {
        for short in [MIN_SHORT, 8_832, 13_312, 16_376] {
            for stride in [1, 20, 900, 1_200, 1_452, 4_096, 4_097, 6_656, 8_192] {
                let most = (65_507 / stride).min(64) * stride;
                for len in [1, stride, most - stride + 1, most] {
                    let messages = [(len, stride), (most, stride)];
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
        assert_eq!(dealt(MIN_SHORT, &messages), sent(&messages)[1..]);
        assert_eq!(dealt(MIN_SHORT, &[(0, 0)]), []);
    }
}
