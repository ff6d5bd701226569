//! Relays bytes between an application's connection and a flow, or a [connection](relay_directly) of this host's
//! own.
//!
//! Both directions run concurrently in one future, and each ends on its own: the application's FIN
//! finishes our direction of the flow, and the end of the peer's direction shuts down the
//! connection's write side. A reset ends both directions:
//!
//! - If the application resets (or its connection fails), the flow is reset; bytes read before are
//!   delivered first.
//! - If the flow is reset, bytes that preceded the reset are delivered, for at most
//!   `RESET_FLUSH_TIMEOUT`. Then the connection is closed.
//!
//! Until both directions have ended the connection is one that a close resets ([`Stream`]): whatever closes it, be it that this process
//! is killed, its application sees a reset, and never mistakes a truncated stream for a complete one.
//!
//! For a hand-over the relay [parks](Parked) where each direction stands between two bytes, and goes on from
//! there, in this process or another.
//!
//! Bulk bytes are not copied: one read fills a chunk of a buffer that the flow then owns, and the
//! flow's chunks are written with one vectored write.

mod direct;
mod failure;
mod half;
mod progress;
mod stop;
mod to_flow;
mod to_tcp;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::sleep;

use self::failure::RelayFailure;
use self::stop::{Never, When};
use crate::proxy::freezer::Place;
use crate::proxy::stream::Stream;
use throughline::FlowStream;

pub(crate) use self::failure::{RESET_FLUSH_TIMEOUT, close_with_reset, tcp_failure};
pub use self::half::{Sink, Source};
pub use self::progress::{Down, FlowKey, OtherEnd, Parked, Progress, Up};
pub use self::stop::RelayEnd;
pub(crate) use self::stop::Stop;

/// The bytes that a relay moved, and how it ended.
#[derive(Debug)]
pub struct Relayed {
    /// Bytes from the application to the flow.
    pub to_flow: u64,
    /// Bytes from the flow to the application.
    pub to_tcp: u64,
    /// How the relay ended.
    pub end: RelayEnd,
}

/// What there is besides the flow to relay.
pub struct Joint {
    /// The application's connection.
    pub tcp: Stream,
    /// The ingress it came in by; none at the egress.
    pub ingress: Option<Arc<str>>,
    /// How far the relay is; as by default where it begins.
    pub progress: Progress,
}

/// Relays until both directions have ended or one side is reset. Sets `TCP_NODELAY`.
pub fn relay(joint: Joint, flow: FlowStream, place: Place) -> impl Future<Output = Relayed> {
    relay_flow(joint, flow, place, Never)
}

/// Relays as [`relay`] does, at the longest until `stop` completes: then both are reset.
pub fn relay_until<S: Future<Output = ()> + Send>(
    joint: Joint,
    flow: FlowStream,
    place: Place,
    stop: S,
) -> impl Future<Output = Relayed> {
    relay_flow(joint, flow, place, When(Box::pin(stop)))
}

fn relay_flow(
    joint: Joint,
    flow: FlowStream,
    place: Place,
    stop: impl Stop,
) -> impl Future<Output = Relayed> {
    let other_end = OtherEnd::Flow(flow.key());
    let (reader, writer) = flow.into_split();
    relay_halves(joint, reader, writer, (other_end, place), stop)
}

/// Relays as [`relay`] does, between the application's connection and one of this host's own.
pub fn relay_directly(
    joint: Joint,
    other: TcpStream,
    place: Place,
) -> impl Future<Output = Relayed> {
    relay_directly_until(joint, other, place, Never)
}

/// Relays as [`relay_directly`] does, at the longest until `stop` says so.
pub(crate) fn relay_directly_until(
    joint: Joint,
    other: TcpStream,
    place: Place,
    stop: impl Stop,
) -> impl Future<Output = Relayed> {
    let other = Arc::new(Stream::from(other));
    let (reader, writer) = direct::halves(other.clone());
    relay_halves(joint, reader, writer, (OtherEnd::Direct(other), place), stop)
}

async fn relay_halves(
    Joint { tcp, ingress, mut progress }: Joint,
    mut reader: impl Source,
    mut writer: impl Sink,
    (other_end, place): (OtherEnd, Place),
    mut stop: impl Stop,
) -> Relayed {
    tcp.set_nodelay();
    // Whoever closes it before its end, also the kernel for a process that was killed: the application must not
    // take what it has for everything.
    tcp.reset_on_close();
    if let OtherEnd::Direct(other) = &other_end {
        other.reset_on_close();
    }
    let tcp = Arc::new(tcp);
    let end = loop {
        let Progress { up, down } = &mut progress;
        let is_frozen = tokio::select! {
            biased;
            () = place.frozen() => true,
            () = stop.due() => false,
            result = relay_both(&tcp, &mut reader, &mut writer, (up, down)) => break end(result),
        };
        // Both directions stand between two bytes: what they hold is in their progress.
        if is_frozen {
            let (other_end, tcp, ingress) = (other_end.clone(), Arc::clone(&tcp), ingress.clone());
            let parked = Parked { other_end, tcp, ingress, progress: progress.clone() };
            // Boxed, as all that is rare here: ten thousand relays keep room for it.
            Box::pin(place.park(parked)).await;
        } else if let Some(end) = stop.end(&tcp, &progress) {
            break end;
        }
    };
    match end {
        RelayEnd::Finished => {
            tcp.end_on_close();
            if let OtherEnd::Direct(other) = &other_end {
                other.end_on_close();
            }
        }
        RelayEnd::TcpFailed(_) | RelayEnd::Stopped => writer.reset(),
        RelayEnd::FlowReset => {}
    }
    Relayed { to_flow: progress.up.moved, to_tcp: progress.down.moved, end }
}

fn end(result: Result<(), RelayFailure>) -> RelayEnd {
    match result {
        Ok(()) => RelayEnd::Finished,
        Err(RelayFailure::Tcp(error)) => RelayEnd::TcpFailed(error),
        Err(RelayFailure::Flow) => RelayEnd::FlowReset,
    }
}

async fn relay_both(
    tcp: &Stream,
    reader: &mut impl Source,
    writer: &mut impl Sink,
    (up, down): (&mut Up, &mut Down),
) -> Result<(), RelayFailure> {
    let to_flow = to_flow::pump(tcp, writer, up);
    let to_tcp = to_tcp::pump(tcp, reader, down);
    tokio::pin!(to_flow, to_tcp);
    // When one direction ends the other continues, unless the connection itself has failed.
    tokio::select! {
        ended = &mut to_flow => match ended {
            Ok(()) => tokio::select! {
                ended = &mut to_tcp => ended,
                error = Box::pin(tcp_failure(tcp)) => Err(RelayFailure::Tcp(error)),
            },
            Err(RelayFailure::Tcp(error)) => Err(RelayFailure::Tcp(error)),
            // Bytes that preceded the reset may not have reached the application yet.
            Err(RelayFailure::Flow) => tokio::select! {
                _ = &mut to_tcp => Err(RelayFailure::Flow),
                () = Box::pin(sleep(RESET_FLUSH_TIMEOUT)) => Err(RelayFailure::Flow),
            },
        },
        ended = &mut to_tcp => {
            ended?;
            to_flow.await
        }
    }
}

#[cfg(test)]
mod tests;
