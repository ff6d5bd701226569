//! The receiving side of a lane: control messages, segments, probes.
//!
//! The readers are parts of the lane's task. Dropping one at any await is safe: what QUIC has
//! acknowledged and nobody read is still in the peer's send buffers, as only the session's
//! acknowledgements free them.

use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use quinn::{Connection, ReadError, RecvStream};
use tokio::task::{JoinError, JoinSet, yield_now};

use super::datagrams;
use super::end::LaneEnd;
use super::long_datagrams::Unfinished;
use super::receive_window::ReceiveWindow;
use super::segment;
use crate::engine::session::SessionHandle;
use throughline_congestion::LaneSensor;
use throughline_proto::session::Violation;
use throughline_proto::types::LaneId;
use throughline_proto::wire::control::{Decoder, Message};
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::flow_datagram::FlowDatagram;

/// Messages taken without a pause. A peer can send tens of thousands in one packet train; other tasks
/// of this thread have their turn in between.
const MESSAGES_PER_YIELD: usize = 32;

/// Segments accepted without a pause: each is a task, and a peer can begin a thousand at once.
const SEGMENTS_PER_YIELD: usize = 16;

/// Reads control messages until the stream ends or the peer violates the protocol.
pub(super) async fn control(
    session: &SessionHandle,
    id: LaneId,
    mut recv: RecvStream,
    mut decoder: Decoder,
) -> LaneEnd {
    let mut taken_in_a_row = 0;
    loop {
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => {
                    taken_in_a_row += 1;
                    if taken_in_a_row % MESSAGES_PER_YIELD == 0 {
                        yield_now().await;
                    }
                    let ends_sync = matches!(message, Message::EndOfSync);
                    let (taken, came_up) = session.with(|core, now| {
                        // Said again it changes nothing.
                        let comes_up = ends_sync && !core.session.lane_is_up(id);
                        (core.session.handle_control(now, id, message), comes_up)
                    });
                    if let Err(violation) = taken {
                        return violation.into();
                    }
                    if came_up {
                        session.lane_states_changed();
                    }
                }
                Ok(None) => break,
                Err(error) => return Violation::from(error).into(),
            }
        }
        match recv.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            // The end follows the peer's close message, of which the driver has perhaps not heard yet.
            Ok(None) if session.with(|core, _| core.session.closed().is_some()) => {
                return LaneEnd::SessionOver;
            }
            Ok(None) => return LaneEnd::ControlEnded,
            Err(ReadError::ConnectionLost(error)) => return error.into(),
            Err(error) => return LaneEnd::ControlRead(error),
        }
    }
}

/// Accepts segments, each read by a task of its own. The tasks end with this function; their number
/// is bounded by the connection's stream limit.
pub(super) async fn segments(
    session: &SessionHandle,
    connection: &Connection,
    window: &Arc<ReceiveWindow>,
) -> LaneEnd {
    let mut readers: JoinSet<Result<(), LaneEnd>> = JoinSet::new();
    let unfinished = Unfinished::default();
    let mut accepted_in_a_row = 0;
    loop {
        tokio::select! {
            accepted = connection.accept_uni() => match accepted {
                Ok(recv) => {
                    let (session, window) = (session.clone(), window.clone());
                    readers.spawn(segment::read(session, recv, window, unfinished.clone()));
                    accepted_in_a_row += 1;
                    if accepted_in_a_row % SEGMENTS_PER_YIELD == 0 {
                        yield_now().await;
                    }
                }
                Err(error) => return error.into(),
            },
            Some(done) = readers.join_next(), if !readers.is_empty() => {
                if let Err(end) = ended(done) {
                    return end;
                }
            }
        }
    }
}

/// Takes in how a segment's reader ended. One that panicked has lost bytes that QUIC acknowledged, so the
/// lane ends with it, and the peer sends them again.
fn ended(done: Result<Result<(), LaneEnd>, JoinError>) -> Result<(), LaneEnd> {
    match done.map_err(JoinError::try_into_panic) {
        Ok(ended) => ended,
        Err(Ok(payload)) => Err(LaneEnd::Panicked(payload.into())),
        // Nobody aborts one while its lane lives.
        Err(Err(_)) => Ok(()),
    }
}

/// Takes the datagrams of flows, answers probes, and passes the peer's answers to the sensor.
pub(super) async fn datagrams(
    session: &SessionHandle,
    id: LaneId,
    connection: &Connection,
    sensor: &LaneSensor,
) -> LaneEnd {
    let clock = Instant::now();
    let (mut of_flows, mut taken_in_a_row) = (Vec::new(), 0);
    loop {
        // All that are there: a packet may hold many.
        let read = tokio::select! {
            biased;
            read = connection.read_datagram(), if of_flows.len() < datagrams::TAKEN_AT_ONCE => Some(read),
            () = ready(()), if !of_flows.is_empty() => None,
        };
        let Some(read) = read else {
            match datagrams::take(session, &mut of_flows, &mut taken_in_a_row).await {
                Ok(()) => continue,
                Err(end) => return end,
            }
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                let taken = datagrams::take(session, &mut of_flows, &mut taken_in_a_row).await;
                return taken.err().unwrap_or_else(|| error.into());
            }
        };
        match FlowDatagram::decode(&bytes) {
            Ok(None) => {}
            Ok(Some(datagram)) => {
                of_flows.push(datagram);
                continue;
            }
            Err(error) => return LaneEnd::Datagram(error),
        }
        match Datagram::decode(&bytes) {
            Ok(Some(Datagram::Ping { seq })) => {
                // As long as the probe, so that the answer proves as much. If it does not fit,
                // the transport's acknowledgement has to do.
                let len = bytes.len().min(connection.max_datagram_size().unwrap_or(0));
                let received = clock.elapsed().as_micros() as u64;
                let pong = Datagram::Pong { seq, received };
                let _ = connection.send_datagram(pong.to_bytes(len));
            }
            // The acknowledgement of the probe has already shown that the lane is alive.
            Ok(Some(Datagram::Pong { seq, received })) => sensor.on_pong(seq, received),
            Ok(Some(Datagram::Notice { narrow })) => {
                // What came before does not wait for others meanwhile.
                if let Err(end) = datagrams::take(session, &mut of_flows, &mut taken_in_a_row).await
                {
                    return end;
                }
                session.with(|core, now| core.session.handle_notice(now, id, narrow));
                yield_now().await;
            }
            Ok(None) => {}
            Err(error) => return LaneEnd::Datagram(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_segment_whose_reader_panics_ends_its_lane() {
        let mut readers: JoinSet<Result<(), LaneEnd>> = JoinSet::new();
        readers.spawn(async { Ok(()) });
        assert!(ended(readers.join_next().await.unwrap()).is_ok());
        readers.spawn(async { panic!("a fault") });
        let end = ended(readers.join_next().await.unwrap()).unwrap_err();
        assert_eq!(end.to_string(), "internal error: a fault");
        assert!(!end.is_violation(), "the peer is not to blame");
    }
}
