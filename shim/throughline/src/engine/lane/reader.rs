//! The receiving side of a lane: control messages, segments, probes.
//!
//! The readers are parts of the lane's task. Dropping one at any await is safe: what QUIC has
//! acknowledged and nobody read is still in the peer's send buffers, as only the session's
//! acknowledgements free them.

use std::time::Instant;

use quinn::{Connection, ReadError, RecvStream};
use tokio::task::JoinSet;

use super::end::LaneEnd;
use super::segment;
use crate::engine::session::SessionHandle;
use throughline_congestion::LaneSensor;
use throughline_proto::session::Violation;
use throughline_proto::types::LaneId;
use throughline_proto::wire::control::Decoder;
use throughline_proto::wire::datagram::Datagram;

/// Reads control messages until the stream ends or the peer violates the protocol.
pub(super) async fn control(
    session: &SessionHandle,
    id: LaneId,
    mut recv: RecvStream,
    mut decoder: Decoder,
) -> LaneEnd {
    loop {
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => {
                    let taken =
                        session.with(|core, now| core.session.handle_control(now, id, message));
                    if let Err(violation) = taken {
                        return violation.into();
                    }
                }
                Ok(None) => break,
                Err(error) => return Violation::from(error).into(),
            }
        }
        match recv.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            // The end follows the peer's close message.
            Ok(None) if session.is_over() => return LaneEnd::SessionOver,
            Ok(None) => return LaneEnd::ControlEnded,
            Err(ReadError::ConnectionLost(error)) => return error.into(),
            Err(error) => return LaneEnd::ControlRead(error),
        }
    }
}

/// Accepts segments, each read by a task of its own. The tasks end with this function; their number
/// is bounded by the connection's stream limit.
pub(super) async fn segments(session: &SessionHandle, connection: &Connection) -> LaneEnd {
    let mut readers: JoinSet<Result<(), LaneEnd>> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_uni() => match accepted {
                Ok(recv) => {
                    readers.spawn(segment::read(session.clone(), recv));
                }
                Err(error) => return error.into(),
            },
            Some(done) = readers.join_next(), if !readers.is_empty() => {
                if let Ok(Err(end)) = done {
                    return end;
                }
            }
        }
    }
}

/// Answers probes, and passes the peer's answers to the sensor.
pub(super) async fn datagrams(connection: &Connection, sensor: &LaneSensor) -> LaneEnd {
    let clock = Instant::now();
    loop {
        let bytes = match connection.read_datagram().await {
            Ok(bytes) => bytes,
            Err(error) => return error.into(),
        };
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
            Ok(None) => {}
            Err(error) => return LaneEnd::Datagram(error),
        }
    }
}
