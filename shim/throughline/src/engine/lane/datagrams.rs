//! The datagrams of flows on a lane, both ways.
//!
//! QUIC sends DATAGRAM frames before all streams, first come first served, and drops the oldest where too many wait.
//! So they wait in the session, a queue for each flow, and QUIC is given them only as they leave: while the congestion
//! window has room for more, and no more at a time than leaves before the writer is back ([`Burst`]). Where bulk fills the window one may wait there, so that
//! each batch of packets takes one along: a flood keeps neither pings nor the control stream waiting, and bulk not
//! datagrams.

use quinn::{Connection, SendDatagramError};
use tokio::task::yield_now;

use super::burst::{Burst, RECORD};
use super::end::LaneEnd;
use crate::engine::session::SessionHandle;
use throughline_congestion::{DATAGRAM_BUFFER, LaneSensor};
use throughline_proto::session::{DatagramsPolled, LongDatagram, Transmit};
use throughline_proto::types::LaneId;
use throughline_proto::wire::flow_datagram::FlowDatagram;

/// Datagrams written without a pause, so that control messages have their turn in between.
const MAX_IN_A_ROW: usize = 32;

/// Datagrams taken at once, under one lock of the session.
pub(super) const TAKEN_AT_ONCE: usize = 32;

/// Datagrams taken without a pause: other tasks of this thread have their turn in between.
const TAKEN_PER_YIELD: usize = 64;

/// Why no further datagram was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// None waits.
    All,
    /// Others wait for room: [`LaneSensor::room`].
    AsManyAsFit,
    /// Something else is to be looked at first.
    Enough,
}

/// Gives QUIC the datagrams that may leave now.
pub(super) fn write(
    session: &SessionHandle,
    id: LaneId,
    connection: &Connection,
    sensor: &LaneSensor,
    burst: &mut Burst,
    mut send_long: impl FnMut(LongDatagram),
) -> Result<Written, LaneEnd> {
    let (mut batch, mut left) = (Vec::new(), MAX_IN_A_ROW);
    while left > 0 {
        // Between two calls: quinn holds the connection's lock for as long as it sends a batch.
        let waits = session.with(|core, _| core.session.has_datagrams(id));
        let room = if waits { room(connection, sensor, burst) } else { (0, false) };
        let polled = session.with(|core, now| {
            core.session.set_long_datagram_window(id, sensor.bulk_window());
            core.session.poll_datagrams(now, id, room, left, &mut batch)
        });
        left -= batch.len();
        for transmit in batch.drain(..) {
            match transmit {
                Transmit::Datagram(bytes) => match connection.send_datagram(bytes) {
                    Ok(()) => {}
                    Err(SendDatagramError::ConnectionLost(error)) => return Err(error.into()),
                    // The path has become narrower since, or the peer takes none: lost, as on the way.
                    Err(_) => {}
                },
                Transmit::LongDatagram(long) => send_long(long),
                _ => {}
            }
        }
        match polled {
            DatagramsPolled::All => return Ok(Written::All),
            DatagramsPolled::NoRoom if waits => return Ok(Written::AsManyAsFit),
            // The first has come since there was none.
            DatagramsPolled::NoRoom | DatagramsPolled::Enough => {}
        }
    }
    Ok(Written::Enough)
}

/// Returns how many bytes of datagrams more QUIC is to be given, each counted with [`RECORD`], and whether it holds none:
/// then one may wait there.
fn room(connection: &Connection, sensor: &LaneSensor, burst: &mut Burst) -> (usize, bool) {
    // Before anything is looked at: what leaves meanwhile wakes the writer.
    sensor.want_room();
    let held = DATAGRAM_BUFFER.saturating_sub(connection.datagram_send_buffer_space());
    let packet = connection.max_datagram_size().unwrap_or(0);
    let window = usize::try_from(sensor.free_window()).unwrap_or(usize::MAX);
    (burst.room(held, window, packet), held <= RECORD)
}

/// Takes datagrams of flows.
pub(super) async fn take(
    session: &SessionHandle,
    datagrams: &mut Vec<FlowDatagram>,
    in_a_row: &mut usize,
) -> Result<(), LaneEnd> {
    *in_a_row += datagrams.len();
    session.with(|core, now| {
        datagrams.drain(..).try_for_each(|datagram| core.session.handle_datagram(now, datagram))
    })?;
    if *in_a_row >= TAKEN_PER_YIELD {
        *in_a_row = 0;
        yield_now().await;
    }
    Ok(())
}
