//! The way out of datagrams: a flow through a peer, or a socket of this host's own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::proxy::connections::Place;
use crate::proxy::parked::{DatagramsOut, Idle};
use crate::proxy::udp;
use throughline::{Datagram, DatagramError, DatagramFlow};

/// An open way out.
pub enum DatagramOutbound {
    /// A flow through a peer.
    Flow(DatagramFlow),
    /// A socket of this host's own.
    Direct(Direct),
}

/// A connected socket, its descriptor's place, and when it was last used.
pub struct Direct {
    socket: Arc<UdpSocket>,
    idle_timeout: Duration,
    used_at: Mutex<Instant>,
    /// The source address, or the way, that it was connected with is gone.
    broken: CancellationToken,
    _places: DirectPlaces,
}

/// What a socket of this host's own takes; nothing where another process has begun it and none is left.
type DirectPlaces = (Option<OwnedSemaphorePermit>, Option<Place>);

/// Why a way out is of no more use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// It ended in its time.
    Ended(String),
    /// The destination is refused, or refuses.
    Refused(String),
}

impl DatagramOutbound {
    /// Creates one of this host's own, which ends when it is idle for too long.
    pub fn direct(socket: UdpSocket, idle: Idle, places: DirectPlaces) -> Self {
        let (socket, Idle { timeout: idle_timeout, since }) = (Arc::new(socket), idle);
        let now = Instant::now();
        let used_at = Mutex::new(now.checked_sub(since).unwrap_or(now));
        let broken = CancellationToken::new();
        Self::Direct(Direct { socket, idle_timeout, used_at, broken, _places: places })
    }

    /// Returns where it leads, for a process that goes on with it.
    pub fn standing(&self) -> DatagramsOut {
        match self {
            Self::Flow(flow) => DatagramsOut::Flow(flow.key()),
            Self::Direct(direct) => {
                let idle =
                    Idle { timeout: direct.idle_timeout, since: direct.used_at.lock().elapsed() };
                DatagramsOut::Direct(Arc::clone(&direct.socket), idle)
            }
        }
    }

    /// Sends a datagram. What is too long, or finds no room, is lost, as in the network; what is over is known by
    /// [`recv_many`](Self::recv_many).
    pub fn send(&self, datagram: Datagram) {
        match self {
            Self::Flow(flow) => {
                let _ = flow.send(datagram);
            }
            Self::Direct(direct) => {
                *direct.used_at.lock() = Instant::now();
                if let Err(error) = udp::try_send(&direct.socket, &datagram)
                    && udp::is_final(&error)
                {
                    direct.broken.cancel();
                }
            }
        }
    }

    /// Sends datagrams, each as by [`send`](Self::send), and leaves the list empty.
    pub fn send_many(&self, datagrams: &mut Vec<Datagram>) {
        match self {
            Self::Flow(flow) => {
                let _ = flow.send_many(datagrams);
                datagrams.clear();
            }
            Self::Direct(_) => datagrams.drain(..).for_each(|datagram| self.send(datagram)),
        }
    }

    /// Waits for datagrams, and adds those that are there to the list. Cancel-safe.
    ///
    /// # Errors
    /// Why there will be no more, after what came before, which is in the list.
    pub async fn recv_many(&self, datagrams: &mut Vec<Datagram>) -> Result<(), Over> {
        match self {
            Self::Flow(flow) => match flow.recv_many(datagrams, udp::AT_ONCE).await {
                Ok(_) => Ok(()),
                Err(DatagramError::Refused(failure) | DatagramError::Unreachable(failure)) => {
                    Err(Over::Refused(failure.to_string()))
                }
                Err(error) => Err(Over::Ended(error.to_string())),
            },
            Self::Direct(direct) => direct.recv_many(datagrams).await,
        }
    }
}

impl Direct {
    async fn recv_many(&self, datagrams: &mut Vec<Datagram>) -> Result<(), Over> {
        loop {
            let idle_at = *self.used_at.lock() + self.idle_timeout;
            tokio::select! {
                received = udp::receive_many(&self.socket, datagrams) => {
                    if !datagrams.is_empty() {
                        *self.used_at.lock() = Instant::now();
                    }
                    match received {
                        Err(error) if udp::is_final(&error) => {
                            return Err(Over::Refused(error.to_string()));
                        }
                        Ok(()) | Err(_) if !datagrams.is_empty() => return Ok(()),
                        Ok(()) | Err(_) => {}
                    }
                }
                () = self.broken.cancelled() => {
                    return Err(Over::Ended("its way is gone".to_owned()));
                }
                () = sleep_until(idle_at) => {
                    if *self.used_at.lock() + self.idle_timeout <= Instant::now() {
                        return Err(Over::Ended("idle for too long".to_owned()));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn how_long_it_was_idle_in_another_process_counts() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect("127.0.0.1:9").await.unwrap();
        let (timeout, rest) = (Duration::from_secs(3600), Duration::from_millis(50));
        let idle = Idle { timeout, since: timeout.checked_sub(rest).unwrap() };
        let out = DatagramOutbound::direct(socket, idle, (None, None));
        let DatagramsOut::Direct(_, standing) = out.standing() else { panic!("a flow") };
        assert!(standing.timeout == timeout && standing.since >= idle.since, "{standing:?}");
        assert_eq!(
            out.recv_many(&mut Vec::new()).await,
            Err(Over::Ended("idle for too long".to_owned()))
        );
    }
}
