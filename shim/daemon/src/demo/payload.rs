//! The payload: a pseudo-random stream that depends on the seed alone.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// The trailer field with the hash of the sent bytes.
pub(super) const HASH_TRAILER: &str = "x-sha-256";
/// Bytes generated at a time.
const CHUNK: usize = 64 * 1024;

/// A position in the stream of a seed.
pub(super) struct Payload {
    seed: u64,
    word: u64,
}

impl Payload {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, word: 0 }
    }

    /// Returns the next `len` bytes; `len` is a multiple of 8.
    pub(super) fn next(&mut self, len: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            // splitmix64 in counter mode: no part of the stream repeats, so that bytes which
            // end up in a wrong place are wrong bytes.
            let mut z = self.seed ^ self.word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
            self.word += 1;
        }
        Bytes::from(bytes)
    }
}

/// An HTTP body: the stream until `stop` is set or up to a length, with its hash in a trailer.
pub(super) struct PayloadBody {
    payload: Payload,
    stop: Arc<AtomicBool>,
    left: u64,
    hasher: Option<Sha256>,
    sent: Arc<Mutex<Sent>>,
}

/// The sent part of a body; complete once the body has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl PayloadBody {
    pub(super) fn new(seed: u64, stop: Arc<AtomicBool>, limit: Option<u64>) -> Self {
        let left = limit.unwrap_or(u64::MAX);
        let (payload, hasher) = (Payload::new(seed), Some(Sha256::new()));
        Self { payload, stop, left, hasher, sent: Arc::default() }
    }

    /// Returns the sent part, which is updated as the body is read.
    pub(super) fn sent(&self) -> Arc<Mutex<Sent>> {
        Arc::clone(&self.sent)
    }
}

impl Body for PayloadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let Some(hasher) = &mut this.hasher else { return Poll::Ready(None) };
        if this.left > 0 && !this.stop.load(Ordering::Relaxed) {
            let mut chunk = this.payload.next(CHUNK);
            chunk.truncate(usize::try_from(this.left).unwrap_or(CHUNK).min(CHUNK));
            this.left -= chunk.len() as u64;
            hasher.update(&chunk);
            this.sent.lock().bytes += chunk.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let hash = this.hasher.take().map(|hasher| hex(&hasher.finalize())).unwrap_or_default();
        this.sent.lock().sha256.clone_from(&hash);
        let mut trailers = HeaderMap::new();
        if let Ok(hash) = hash.parse() {
            trailers.insert(HASH_TRAILER, hash);
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

/// Formats bytes as lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_is_the_same_however_it_is_read() {
        let (mut whole, mut parts) = (Payload::new(3), Payload::new(3));
        let whole = whole.next(4096);
        assert_eq!(whole, [parts.next(1024), parts.next(3072)].concat());
        assert_ne!(whole, Payload::new(4).next(4096));
        assert_ne!(whole[..1024], whole[1024..2048]);
    }
}
