//! The receiving side of a lane: control messages, segments, probes.

use std::time::Instant;

use quinn::{Connection, ReadError, RecvStream};
use tokio::task::JoinSet;

use super::{LaneEnd, segment};
use crate::engine::session::SessionHandle;
use throughline_congestion::LaneSensor;
use throughline_proto::session::Violation;
use throughline_proto::types::LaneId;
use throughline_proto::wire::control::Decoder;
use throughline_proto::wire::datagram::Datagram;

/// Reads control messages until the stream or the peer's manners end.
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
            // Behind the last word comes the end.
            Ok(None) if session.is_over() => return LaneEnd::SessionOver,
            Ok(None) => return LaneEnd::ControlStream("ended".into()),
            Err(ReadError::ConnectionLost(error)) => return error.into(),
            Err(error) => return LaneEnd::ControlStream(error.to_string()),
        }
    }
}

/// Accepts segments; each is read by a task of its own. Their number is bounded by the stream
/// limit of the connection.
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

/// Answers probes, and passes on what the peer's answers say.
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
            // That the lane is alive the acknowledgement of the probe has said already.
            Ok(Some(Datagram::Pong { seq, received })) => sensor.on_pong(seq, received),
            Ok(None) => {}
            Err(error) => return LaneEnd::Datagram(error),
        }
    }
}
