//! The datagrams of flows on a lane, both ways.
//!
//! QUIC sends DATAGRAM frames before all streams, first come first served, and drops the oldest where too many wait.
//! So they wait in the session, a queue for each flow, and QUIC is given them only as they leave: while the congestion
//! window has room for more, at most [`MAX_BURST`] at a time. Where bulk fills the window one may wait there, so that
//! each batch of packets takes one along: a flood keeps neither pings nor the control stream waiting, and bulk not
//! datagrams.

use quinn::{Connection, SendDatagramError};
use tokio::task::yield_now;

use super::end::LaneEnd;
use crate::engine::session::SessionHandle;
use throughline_congestion::{DATAGRAM_BUFFER, LaneSensor};
use throughline_proto::session::{LongDatagram, Transmit, WorkClass};
use throughline_proto::types::LaneId;
use throughline_proto::wire::flow_datagram::FlowDatagram;

/// The most bytes of datagrams that QUIC holds: a batch of packets for the kernel.
const MAX_BURST: usize = 16 * 1024;

/// What QUIC counts for a datagram beside its bytes.
const RECORD: usize = 64;

/// Datagrams written without a pause, so that control messages have their turn in between.
const MAX_IN_A_ROW: usize = 32;

/// Datagrams taken without a pause: other tasks of this thread have their turn in between.
pub(super) const TAKEN_PER_YIELD: usize = 64;

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
    mut send_long: impl FnMut(LongDatagram),
) -> Result<Written, LaneEnd> {
    for _ in 0..MAX_IN_A_ROW {
        // Between two calls: quinn holds the connection's lock for as long as it sends a batch.
        if session.with(|core, _| core.session.has_datagrams(id)) && !has_room(connection, sensor) {
            return Ok(Written::AsManyAsFit);
        }
        let next = session.with(|core, now| {
            core.session.set_long_datagram_window(id, sensor.bulk_window());
            core.session.poll_transmit(now, id, WorkClass::Datagrams)
        });
        let bytes = match next {
            Some(Transmit::Datagram(bytes)) => bytes,
            Some(Transmit::LongDatagram(long)) => {
                send_long(long);
                continue;
            }
            _ => return Ok(Written::All),
        };
        match connection.send_datagram(bytes) {
            Ok(()) => {}
            Err(SendDatagramError::ConnectionLost(error)) => return Err(error.into()),
            // The path has become narrower since, or the peer takes none: lost, as on the way.
            Err(_) => {}
        }
    }
    Ok(Written::Enough)
}

/// Returns whether QUIC is to be given another datagram.
fn has_room(connection: &Connection, sensor: &LaneSensor) -> bool {
    // Before anything is looked at: what leaves meanwhile wakes the writer.
    sensor.want_room();
    let held = DATAGRAM_BUFFER.saturating_sub(connection.datagram_send_buffer_space());
    let next = connection.max_datagram_size().unwrap_or(0);
    let fits = sensor.has_room((held + next) as u64);
    held <= RECORD || (held + next <= MAX_BURST && fits)
}

/// Takes a datagram of a flow.
pub(super) async fn take(
    session: &SessionHandle,
    datagram: FlowDatagram,
    in_a_row: &mut usize,
) -> Result<(), LaneEnd> {
    session.with(|core, now| core.session.handle_datagram(now, datagram))?;
    *in_a_row += 1;
    if in_a_row.is_multiple_of(TAKEN_PER_YIELD) {
        yield_now().await;
    }
    Ok(())
}
