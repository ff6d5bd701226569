//! The application at one end of a flow.

use std::time::{Duration, Instant};

use quinn_proto::{Connection, Dir, Event, StreamEvent, StreamId};
use throughline_congestion::LaneSensor;
use throughline_proto::wire::datagram::Datagram;

use super::bulk::BulkSender;
use super::echo::{Answering, Asking, read};

/// What an end sends and answers.
#[derive(Debug)]
pub(super) struct End {
    bulk: Option<BulkSender>,
    asking: Option<Asking>,
    answering: Answering,
    /// The streams of bulk that comes in.
    incoming: Vec<StreamId>,
    /// The clock that pings are answered by.
    clock: Option<Instant>,
}

/// What happened while an end acted.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Bytes of bulk that arrived.
    pub(super) arrived: u64,
    /// When the questions were asked that were answered.
    pub(super) answered: Vec<Instant>,
}

impl End {
    pub(super) fn new(bulk: bool, echo: Option<Duration>) -> Self {
        Self {
            bulk: bulk.then(BulkSender::default),
            asking: echo.map(Asking::new),
            answering: Answering::default(),
            incoming: vec![],
            clock: None,
        }
    }

    /// Reads and writes all that the connection has and takes.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        sensor: Option<&LaneSensor>,
    ) -> Done {
        let mut done = Done::default();
        let clock = *self.clock.get_or_insert(now);
        while let Some(event) = connection.poll() {
            match event {
                Event::Stream(StreamEvent::Readable { id }) if self.incoming.contains(&id) => {
                    done.arrived += self.receive(connection, id);
                }
                _ => {}
            }
        }
        while let Some(id) = connection.streams().accept(Dir::Uni) {
            self.incoming.push(id);
            done.arrived += self.receive(connection, id);
        }
        while let Some(bytes) = connection.datagrams().recv() {
            match Datagram::decode(&bytes) {
                Ok(Some(Datagram::Ping { seq })) => {
                    let received = now.duration_since(clock).as_micros() as u64;
                    let pong = Datagram::Pong { seq, received };
                    let _ = connection.datagrams().send(pong.to_bytes(bytes.len()), true);
                }
                Ok(Some(Datagram::Pong { seq, received })) => {
                    if let Some(sensor) = sensor {
                        sensor.on_pong(seq, received);
                    }
                }
                _ => {}
            }
        }
        match &mut self.asking {
            Some(asking) => done.answered = asking.drive(now, connection),
            None => self.answering.drive(connection),
        }
        if let Some(bulk) = &mut self.bulk {
            bulk.drive(now, connection, sensor);
        }
        done
    }

    fn receive(&mut self, connection: &mut Connection, id: StreamId) -> u64 {
        let (bytes, ended) = read(connection, id);
        if ended {
            self.incoming.retain(|other| *other != id);
        }
        bytes as u64
    }

    /// Returns when the end has to act next by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        self.asking.as_ref().and_then(Asking::next)
    }

    /// Returns when the questions were asked that are not answered yet.
    pub(super) fn asked(&self) -> impl Iterator<Item = Instant> {
        self.asking.iter().flat_map(Asking::open)
    }
}
