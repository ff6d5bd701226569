//! What a flow carries, and what becomes of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use throughline_proto::session::{Read, Session};
use throughline_proto::types::{FlowId, Mode, Target};
use throughline_proto::wire::fact::Open;

use crate::content;

/// Bytes that an application hands over at once, as the relay does at the most.
const CHUNK: usize = 256 << 10;

/// Bytes of a message.
const MESSAGE: usize = 64;

/// How exactly the times are known at which bytes arrived.
const ARRIVAL_PRECISION: Duration = Duration::from_millis(1);

/// What a flow carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// Bytes without end from the acceptor to the initiator.
    Download,
    /// Bytes without end from the initiator to the acceptor.
    Upload,
    /// So many bytes from the acceptor, every interval.
    Pages {
        /// The bytes of each.
        size: u64,
        /// The time from one to the next.
        interval: Duration,
    },
    /// Small messages from the initiator at this interval, which the acceptor sends back.
    Echo(Duration),
}

/// A flow left a lane for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// When it did.
    pub at: Duration,
    /// The end whose bytes it carries: 0 for the initiator.
    pub side: usize,
    /// The number of the ISP that it left; `None` where the lane was gone.
    pub from: Option<usize>,
    /// The lane that it left was suspect.
    pub suspect: bool,
}

/// A flow of a run.
pub(super) struct Running {
    key: u64,
    mode: Mode,
    application: Application,
    after: Duration,
    id: Option<FlowId>,
    /// Bytes that the initiator and the acceptor wrote.
    written: [u64; 2],
    /// Bytes that the initiator and the acceptor read.
    read: [u64; 2],
    /// When the next message or page begins.
    next: Option<Duration>,
    /// Where the bytes end that were asked for, and when.
    asked: VecDeque<(u64, Duration)>,
    /// When each message or page was complete, and how long it took.
    pub(super) latencies: Vec<(Duration, Duration)>,
    /// When bytes arrived at a bulk flow's reader, and how many.
    pub(super) arrived: Vec<(Duration, u64)>,
    pub(super) primaries: [Option<throughline_proto::types::LaneId>; 2],
    /// When either end moved the flow to another lane, and from which ISP.
    pub(super) moves: Vec<Move>,
}

impl Running {
    pub(super) fn new(key: u64, mode: Mode, application: Application, after: Duration) -> Self {
        Self {
            key,
            mode,
            application,
            after,
            id: None,
            written: [0; 2],
            read: [0; 2],
            next: Some(after),
            asked: VecDeque::new(),
            latencies: Vec::new(),
            arrived: Vec::new(),
            primaries: [None; 2],
            moves: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> Option<FlowId> {
        self.id
    }

    /// Returns when the application acts by itself.
    pub(super) fn next_due(&self, epoch: Instant) -> Option<Instant> {
        self.next.map(|next| epoch + next)
    }

    /// Opens the flow if it is time, and a lane is up.
    pub(super) fn open(
        &mut self,
        elapsed: Duration,
        up: bool,
        now: Instant,
        session: &mut Session,
    ) -> Option<FlowId> {
        if self.id.is_some() || elapsed < self.after {
            return None;
        }
        if !up {
            self.next = Some(elapsed + Duration::from_millis(1));
            return None;
        }
        let open = Open { target: Target::service("field"), mode: self.mode };
        self.id = session.open(now, open).ok();
        self.next = match self.application {
            Application::Download | Application::Upload => None,
            Application::Pages { .. } | Application::Echo(_) => Some(elapsed),
        };
        self.id
    }

    /// Reads and writes all that can be.
    pub(super) fn act(&mut self, now: Instant, elapsed: Duration, sessions: &mut [Session; 2]) {
        let Some(id) = self.id else { return };
        self.ask(elapsed);
        for (side, session) in sessions.iter_mut().enumerate() {
            if session.flow(id).is_some() {
                self.read(id, side, now, elapsed, session);
            }
        }
        for (side, session) in sessions.iter_mut().enumerate() {
            if session.flow(id).is_some() {
                self.write(id, side, now, session);
            }
        }
    }

    /// Asks for the next message or page if it is time.
    fn ask(&mut self, elapsed: Duration) {
        let (size, interval) = match self.application {
            Application::Echo(interval) => (MESSAGE as u64, interval),
            Application::Pages { size, interval } => (size, interval),
            Application::Download | Application::Upload => return,
        };
        while self.next.is_some_and(|next| next <= elapsed) {
            let before = self.asked.back().map_or(self.read[0], |(end, _)| *end);
            self.asked.push_back((before + size, elapsed));
            self.next = Some(elapsed + interval);
        }
    }

    /// Returns where what an end writes ends for now.
    fn writes_up_to(&self, side: usize) -> u64 {
        let asked = self.asked.back().map_or(0, |(end, _)| *end);
        match (self.application, side) {
            (Application::Download, 1) | (Application::Upload, 0) => u64::MAX,
            (Application::Echo(_), 0) | (Application::Pages { .. }, 1) => asked,
            (Application::Echo(_), _) => self.read[1],
            _ => 0,
        }
    }

    fn write(&mut self, id: FlowId, side: usize, now: Instant, session: &mut Session) {
        loop {
            let left = self.writes_up_to(side).saturating_sub(self.written[side]);
            let room = if left > 0 { session.capacity(id).expect("the flow lives") } else { 0 };
            let len = left.min(room).min(CHUNK as u64) as usize;
            if len == 0 {
                return;
            }
            let mut bytes = content::bytes(self.key(side), self.written[side], len);
            self.written[side] +=
                session.write(now, id, &mut bytes).expect("the flow lives") as u64;
        }
    }

    fn read(
        &mut self,
        id: FlowId,
        side: usize,
        now: Instant,
        elapsed: Duration,
        session: &mut Session,
    ) {
        let mut out = vec![Bytes::new(); 32];
        while let Read::Data(count) = session.read(now, id, &mut out).expect("the flow lives") {
            for chunk in &out[..count] {
                let expected = content::bytes(self.key(1 - side), self.read[side], chunk.len());
                assert!(*chunk == expected, "flow {id}: wrong bytes from {}", self.read[side]);
                self.read[side] += chunk.len() as u64;
                self.count_arrival(elapsed, chunk.len() as u64);
            }
        }
        while side == 0 && self.asked.front().is_some_and(|(end, _)| *end <= self.read[0]) {
            let (_, at) = self.asked.pop_front().unwrap_or_default();
            self.latencies.push((at, elapsed - at));
        }
    }

    /// Takes note of bytes that arrived, with a millisecond's precision: a run may take hours.
    fn count_arrival(&mut self, at: Duration, bytes: u64) {
        match self.arrived.last_mut() {
            Some((last, sum)) if at < *last + ARRIVAL_PRECISION => *sum += bytes,
            _ => self.arrived.push((at, bytes)),
        }
    }

    /// Returns how many bytes both ends have read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.iter().sum()
    }

    /// Returns the messages that wait for their answer, and since when.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Duration> {
        self.asked.iter().map(|(_, at)| *at)
    }

    fn key(&self, side: usize) -> u64 {
        2 * self.key + side as u64
    }
}
