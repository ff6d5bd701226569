//! Bulk that waits for room on a lane, in order with what becomes of its stream.

use super::work::{SegmentWrite, StreamOp};

/// The bulk that a lane has taken and has no room for.
///
/// What becomes of a segment's stream is urgent, so it overtakes bulk: it must not overtake the bytes
/// of that very stream. A stream that is finished takes no more of them, and bytes that a lane has
/// taken and does not write are never sent: the session counts on a lane that it trusts.
#[derive(Debug, Default)]
pub struct HeldWrite(Option<SegmentWrite>);

impl HeldWrite {
    /// Returns whether nothing waits, so that the lane may ask for bulk.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Holds bulk until there is room.
    pub fn hold(&mut self, write: SegmentWrite) {
        debug_assert!(self.is_empty(), "bulk that waits is replaced");
        self.0 = Some(write);
    }

    /// Returns what waits, to write as much of it as there is room for.
    pub fn get_mut(&mut self) -> Option<&mut SegmentWrite> {
        self.0.as_mut()
    }

    /// Takes out what waits, if there is `room` for all of it.
    pub fn take_if(&mut self, room: bool) -> Option<SegmentWrite> {
        self.0.take_if(|_| room)
    }

    /// Returns what is to be done now with the stream `key`, where the session wants `op`.
    ///
    /// The end of a stream follows the bytes that wait for it. A stream that is given up takes them
    /// along, and is reset even if they are acknowledged: where its header waits among them the peer
    /// would see an end without one.
    pub fn before(&mut self, key: u64, op: StreamOp) -> Option<StreamOp> {
        let Some(write) = self.0.as_mut().filter(|write| write.key == key) else { return Some(op) };
        match op {
            StreamOp::Finish => {
                write.last = true;
                None
            }
            StreamOp::Release | StreamOp::Reset => {
                self.0 = None;
                Some(StreamOp::Reset)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::session::Priority;

    fn held(key: u64) -> HeldWrite {
        let data = vec![Bytes::from_static(b"bulk")];
        let priority = Priority::Bulk;
        HeldWrite(Some(SegmentWrite { key, header: None, data, last: false, priority }))
    }

    #[test]
    fn the_end_of_a_stream_follows_the_bytes_that_wait_for_it() {
        let mut held = held(3);
        assert_eq!(held.before(3, StreamOp::Finish), None);
        let write = held.take_if(true).unwrap();
        assert!(write.last && write.data.concat() == b"bulk");
    }

    #[test]
    fn a_stream_that_is_given_up_takes_along_what_waits_for_it() {
        for op in [StreamOp::Release, StreamOp::Reset] {
            let mut held = held(3);
            assert_eq!(held.before(3, op), Some(StreamOp::Reset), "{op:?}");
            assert!(held.is_empty(), "{op:?}");
        }
    }

    #[test]
    fn what_becomes_of_other_streams_does_not_wait() {
        for op in [StreamOp::Finish, StreamOp::Release, StreamOp::Reset] {
            let mut held = held(3);
            assert_eq!(held.before(4, op), Some(op));
            assert!(!held.get_mut().unwrap().last);
        }
    }

    #[test]
    fn what_waits_is_taken_only_where_there_is_room() {
        let mut held = held(3);
        assert!(held.take_if(false).is_none() && !held.is_empty());
        assert!(held.take_if(true).is_some() && held.is_empty());
    }
}
