//! A tunnel on a stream (RFC 9113 §8.5). Each direction ends on its own, and a reset of either side ends
//! both: a part never looks like the whole.
//!
//! What came before a reset is delivered first, for at most [`RESET_FLUSH_TIMEOUT`], as by
//! [the relay](crate::proxy::relay).

mod outlet;

use std::io;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use self::outlet::{Inlet, Outlet};
use super::sending::Sending;
use crate::proxy::freezer::{Freezer, Stays};
use crate::proxy::ingress::outbound::Outbound;
use crate::proxy::relay::{RESET_FLUSH_TIMEOUT, close_with_reset};

/// Bytes of one read: a frame's.
const READ: usize = 16 * 1024;

/// Which side of a tunnel was reset.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    #[error("the client reset the stream: {0}")]
    Client(#[from] h2::Error),
    #[error("the way out was reset: {0}")]
    Outbound(#[from] io::Error),
}

/// Relays until both directions have ended, or one side is reset.
pub(super) async fn relay(
    received: RecvStream,
    mut sending: Sending,
    outbound: Outbound,
    freezer: &Freezer,
) -> Result<(), TunnelError> {
    let result = match outbound {
        Outbound::Flow(flow) => {
            let (mut reader, mut writer) = flow.into_split();
            let result = relay_both(received, &mut sending, &mut reader, &mut writer).await;
            if result.is_err() {
                writer.reset();
            }
            result
        }
        Outbound::Direct(tcp, _descriptor) => {
            let (mut reader, mut writer) = tcp.into_split();
            let _stays = freezer.stays(Stays::Direct);
            let result = tokio::select! {
                result = relay_both(received, &mut sending, &mut reader, &mut writer) => result,
                () = freezer.given() => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            };
            if let (Err(_), Ok(tcp)) = (&result, reader.reunite(writer)) {
                close_with_reset(tcp.into());
            }
            result
        }
    };
    if result.is_err() {
        sending.reset(Reason::CONNECT_ERROR).await;
    }
    result
}

async fn relay_both(
    received: RecvStream,
    sending: &mut Sending,
    reader: &mut impl Outlet,
    writer: &mut impl Inlet,
) -> Result<(), TunnelError> {
    let (mut up, mut down) = (pin!(up(received, writer)), pin!(down(reader, sending)));
    // The direction that a side has reset ends with what came before; the other one ends with it.
    tokio::select! {
        ended = &mut up => match ended {
            Ok(()) => down.await,
            Err(reset @ TunnelError::Outbound(_)) => {
                let _ = timeout(RESET_FLUSH_TIMEOUT, down).await;
                Err(reset)
            }
            Err(reset) => Err(reset),
        },
        ended = &mut down => match ended {
            Ok(()) => up.await,
            Err(reset @ TunnelError::Client(_)) => {
                let _ = timeout(RESET_FLUSH_TIMEOUT, up).await;
                Err(reset)
            }
            Err(reset) => Err(reset),
        },
    }
}

/// Moves what the client sends, until it ends that or resets the stream.
async fn up(mut received: RecvStream, writer: &mut impl Inlet) -> Result<(), TunnelError> {
    loop {
        let data = tokio::select! {
            data = received.data() => data,
            reset = writer.is_reset() => return Err(reset.into()),
        };
        let Some(data) = data else { break };
        let data = data?;
        writer.write_all(&data).await?;
        received.flow_control().release_capacity(data.len())?;
    }
    Ok(writer.shutdown().await?)
}

/// Moves what comes by the way out, until that ends or is reset.
async fn down(reader: &mut impl Outlet, sending: &mut Sending) -> Result<(), TunnelError> {
    let mut buffer = BytesMut::new();
    let mut flush = Flush::default();
    loop {
        buffer.reserve(READ);
        let read = tokio::select! {
            read = reader.read_buf(&mut buffer) => read?,
            reset = sending.is_reset() => return Err(reset.into()),
        };
        if read == 0 {
            return Ok(sending.end()?);
        }
        flush.send(buffer.split().freeze(), reader, sending).await?;
    }
}

/// The time that is left for a client that does not read, once the way out is reset.
#[derive(Default)]
struct Flush {
    until: Option<Instant>,
}

impl Flush {
    async fn send(
        &mut self,
        data: Bytes,
        reader: &mut impl Outlet,
        sending: &mut Sending,
    ) -> Result<(), TunnelError> {
        let mut sent = pin!(sending.data(data));
        let until = match self.until {
            Some(until) => until,
            None => {
                tokio::select! {
                    biased;
                    sent = &mut sent => return Ok(sent?),
                    _ = reader.is_reset() => {}
                }
                *self.until.insert(Instant::now() + RESET_FLUSH_TIMEOUT)
            }
        };
        match timeout_at(until, sent).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}

#[cfg(test)]
mod tests;
