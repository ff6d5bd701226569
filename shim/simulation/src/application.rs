//! An application at one end of a flow: writes and reads as planned, and checks every byte.

use std::time::Instant;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use throughline_proto::session::{FlowError, Read, Session};
use throughline_proto::types::FlowId;

use crate::content;
use crate::link::{MS, Nanos};
use crate::plan::{Ending, Half, Pace};

/// What became of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    End,
    Dropped,
    Broken(FlowError),
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) plan: Half,
    /// The key of what it writes, and of what it is to read.
    keys: [u64; 2],
    pub(crate) id: FlowId,
    pub(crate) polite: bool,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) finished: bool,
    /// It reset the flow or dropped its writing half without an end.
    pub(crate) reset: bool,
    pub(crate) write_error: Option<FlowError>,
    pub(crate) read_end: Option<ReadEnd>,
    pub(crate) writer_gone: bool,
    /// When the next step is due, by half (0 writes, 1 reads).
    pub(crate) due: [Option<Nanos>; 2],
    /// When it has written and read so many bytes in all.
    pub(crate) log: [Vec<(Instant, u64)>; 2],
}

impl App {
    pub(crate) fn new(plan: Half, keys: [u64; 2], id: FlowId, polite: bool) -> Self {
        Self {
            plan,
            keys,
            id,
            polite,
            written: 0,
            read: 0,
            finished: false,
            reset: false,
            write_error: None,
            read_end: None,
            writer_gone: false,
            due: [None, None],
            log: [Vec::new(), Vec::new()],
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.writer_gone && self.read_end.is_some()
    }

    /// Writes some; returns how long to pause before more, unless there is something to wait for.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        s: &mut Session,
        rng: &mut SmallRng,
    ) -> Option<Nanos> {
        if self.writer_gone {
            return None;
        }
        if self.polite {
            match s.outcome(self.id) {
                None => return None,
                Some(Ok(())) => self.polite = false,
                Some(Err(error)) => {
                    self.stop_writing(now, s, Some(error));
                    return None;
                }
            }
        }
        let times = match self.plan.pace {
            Pace::Free => rng.random_range(1..12),
            Pace::Messages => 1,
            Pace::Echo => usize::MAX,
        };
        for _ in 0..times {
            let mut left = self.plan.total - self.written;
            if left == 0 || self.finished {
                return self.end_writing(now, s);
            }
            if self.plan.pace == Pace::Echo {
                left = left.min(self.read - self.written);
                if left == 0 {
                    return None;
                }
            }
            let (low, high) = self.plan.chunk;
            let len = left.min(rng.random_range(low..=high) as u64) as usize;
            match s.capacity(self.id) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    self.stop_writing(now, s, Some(error));
                    return None;
                }
            }
            let mut bytes = content::bytes(self.keys[0], self.written, len);
            match s.write(now, self.id, &mut bytes) {
                Ok(taken) => {
                    self.written += taken as u64;
                    self.log[0].push((now, self.written));
                }
                Err(error) => {
                    self.stop_writing(now, s, Some(error));
                    return None;
                }
            }
        }
        Some(self.plan.pause.max(MS / 100))
    }

    fn end_writing(&mut self, now: Instant, s: &mut Session) -> Option<Nanos> {
        match self.plan.ending {
            Ending::FinishAfterRead if self.read_end.is_none() => return None,
            Ending::Finish | Ending::FinishAfterRead => match s.finish(now, self.id) {
                Ok(()) => self.finished = true,
                Err(error) => {
                    self.stop_writing(now, s, Some(error));
                    return None;
                }
            },
            Ending::Reset => {
                self.reset = true;
                s.reset(now, self.id, 77);
            }
            Ending::Drop => self.reset = s.check_broken(self.id).is_ok(),
        }
        self.stop_writing(now, s, None);
        None
    }

    fn stop_writing(&mut self, now: Instant, s: &mut Session, error: Option<FlowError>) {
        self.write_error = error;
        self.writer_gone = true;
        s.drop_writer(now, self.id);
    }

    /// Reads some; returns how long to pause before more, unless there is something to wait for.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        s: &mut Session,
        rng: &mut SmallRng,
    ) -> Option<Nanos> {
        if self.read_end.is_some() {
            return None;
        }
        for _ in 0..8 {
            if self.plan.reading.drop_after.is_some_and(|after| self.read >= after) {
                self.stop_reading(now, s, ReadEnd::Dropped);
                return None;
            }
            let chunk = self.plan.reading.chunk;
            let got = match rng.random_bool(0.5) {
                true => s.read_at_most(now, self.id, chunk).map(|b| b.map(|b| vec![b])),
                false => {
                    let mut out = vec![Bytes::new(); (chunk / 100).clamp(1, 16)];
                    s.read(now, self.id, &mut out).map(|read| match read {
                        Read::Data(count) => Some(out[..count].to_vec()),
                        Read::Pending => None,
                        Read::End => Some(vec![Bytes::new()]),
                    })
                }
            };
            match got {
                Ok(None) => return None,
                Ok(Some(chunks)) if chunks.iter().all(Bytes::is_empty) => {
                    self.stop_reading(now, s, ReadEnd::End);
                    return None;
                }
                Ok(Some(chunks)) => {
                    chunks.iter().for_each(|chunk| self.check(chunk));
                    self.log[1].push((now, self.read));
                    if self.plan.pace == Pace::Echo {
                        self.due[0].get_or_insert(0);
                    }
                }
                Err(error) => {
                    self.stop_reading(now, s, ReadEnd::Broken(error));
                    return None;
                }
            }
            if self.plan.reading.pause > 0 {
                break;
            }
        }
        Some(self.plan.reading.pause.max(MS / 100))
    }

    fn stop_reading(&mut self, now: Instant, s: &mut Session, end: ReadEnd) {
        self.read_end = Some(end);
        s.drop_reader(now, self.id);
        if self.plan.ending == Ending::FinishAfterRead && !self.writer_gone {
            self.due[0].get_or_insert(0);
        }
    }

    fn check(&mut self, chunk: &Bytes) {
        let want = content::bytes(self.keys[1], self.read, chunk.len());
        assert!(
            *chunk == want,
            "flow {}: wrong bytes among the {} from {}",
            self.id,
            chunk.len(),
            self.read
        );
        self.read += chunk.len() as u64;
    }
}
