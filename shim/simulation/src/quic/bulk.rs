//! A bulk transfer, as a lane's pump sends it.

use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{Connection, Dir, StreamId};
use throughline_congestion::{DELAY_PROBE_INTERVAL, LaneSensor};
use throughline_proto::wire::datagram::Datagram;

/// Bytes that the session hands over at once.
const CHUNK: usize = 64 << 10;
/// Bytes of one segment, each a stream of its own.
const SEGMENT: usize = 1 << 20;
/// Congestion windows that a sender other than a lane may have in QUIC, as TCP's send buffer grows to
/// (`tcp_sndbuf_expand` in Linux).
const OTHERS_SEND_WINDOW: u64 = 2;

/// The sender of a bulk transfer without end.
#[derive(Debug, Default)]
pub(super) struct BulkSender {
    stream: Option<StreamId>,
    /// Bytes of the current segment that are not written yet.
    left: usize,
    chunk: Bytes,
    probed_at: Option<Instant>,
}

impl BulkSender {
    /// Writes what the connection takes; on a lane no more than its window allows, and with its probes.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        sensor: Option<&LaneSensor>,
    ) {
        if connection.is_handshaking() {
            return;
        }
        loop {
            if self.chunk.is_empty() {
                self.chunk = Bytes::from_static(&[7; CHUNK]);
            }
            match sensor {
                Some(sensor) => {
                    connection.set_send_window(sensor.bulk_window());
                    self.probe_delay(now, connection, sensor);
                }
                None => {
                    let window = connection.stats().path.cwnd * OTHERS_SEND_WINDOW;
                    connection.set_send_window(window.max(CHUNK as u64));
                }
            }
            if self.left == 0 {
                let Some(stream) = connection.streams().open(Dir::Uni) else { return };
                self.stream = Some(stream);
                self.left = SEGMENT;
            }
            let Some(stream) = self.stream else { return };
            match connection.send_stream(stream).write_chunks(&mut [self.chunk.clone()]) {
                Ok(written) => {
                    let _ = self.chunk.split_to(written.bytes);
                    self.left -= written.bytes;
                    if self.left == 0 {
                        let _ = connection.send_stream(stream).finish();
                    }
                }
                // Blocked; or the connection is over.
                Err(_) => return,
            }
        }
    }

    fn probe_delay(&mut self, now: Instant, connection: &mut Connection, sensor: &LaneSensor) {
        if self.probed_at.is_none_or(|at| now >= at + DELAY_PROBE_INTERVAL) {
            self.probed_at = Some(now);
            let ping = Datagram::Ping { seq: sensor.on_ping() };
            let _ = connection.datagrams().send(ping.to_bytes(0), true);
        }
    }
}
