//! Probes paths: asks, with one packet and no state at the peer, whether it can be reached.
//!
//! **Tasks and their owner.** One task per socket receives its answers; it belongs to the [`Prober`],
//! ends by itself soon after the last probe that it may have to wait for, and holds nothing else.
//! Dropping the prober aborts it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use quinn::udp::UdpSocketState;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::engine::quic::meter::Meter;
use crate::engine::quic::socket::{self, SocketOptions};
use throughline_proto::path::{Path, PathKey};
use throughline_proto::wire::path_probe::PathProbe;
use throughline_uplinks::Device;

/// How long a socket is used. A NAT that keeps a wrong mapping for as long as packets use it has
/// another port to map after this.
const SOCKET_LIFE: Duration = Duration::from_secs(30);

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers that wait to be taken: there are no more probes than that at once.
const ANSWERS: usize = 64;

/// Probes the paths of one session.
pub(super) struct Prober {
    sockets: Vec<Opened>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<PathKey>,
    answers: mpsc::Receiver<PathKey>,
    meter: Meter,
}

/// A socket on one of our addresses, which its task keeps open.
struct Opened {
    local: IpAddr,
    device: Device,
    probe: PathProbe,
    at: Instant,
    socket: Weak<UdpSocket>,
}

impl Prober {
    /// Returns one whose packets `meter` counts.
    pub(super) fn new(meter: Meter) -> Self {
        let (sender, answers) = mpsc::channel(ANSWERS);
        Self { sockets: Vec::new(), tasks: JoinSet::new(), sender, answers, meter }
    }

    /// Sends a probe.
    ///
    /// # Errors
    /// The system's: there is no socket on our address, or no such packet can leave.
    pub(super) fn probe(&mut self, path: &Path, device: Device) -> io::Result<()> {
        while self.tasks.try_join_next().is_some() {}
        self.sockets.retain(|s| s.at.elapsed() < SOCKET_LIFE && s.socket.strong_count() > 0);
        let known = self.sockets.iter().find(|s| s.local == path.local && s.device == device);
        let known = known.and_then(|s| Some((s.socket.upgrade()?, s.probe)));
        let (socket, probe) = match known {
            Some(known) => known,
            None => self.open(path.local, device)?,
        };
        let len = SockRef::from(&*socket).send_to(&probe.to_bytes(), &path.remote.into())?;
        self.meter.count(path.local, len, None);
        Ok(())
    }

    /// Waits for an answer. Cancel-safe.
    pub(super) async fn answered(&mut self) -> PathKey {
        match self.answers.recv().await {
            Some(key) => key,
            // We hold a sender, so that there always is one.
            None => std::future::pending().await,
        }
    }

    fn open(&mut self, local: IpAddr, device: Device) -> io::Result<(Arc<UdpSocket>, PathProbe)> {
        let options = SocketOptions { device: device.clone() };
        let socket = socket::bind((local, 0).into(), &options)?;
        // As for a lane: such packets are not fragmented.
        UdpSocketState::new((&socket).into())?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let probe = PathProbe::new(rand::random(), rand::random());
        let heard = (self.sender.clone(), self.meter.clone());
        let answers = receive(socket.clone(), local, probe, heard);
        self.tasks.spawn(async move {
            let _ = tokio::time::timeout(SOCKET_LIFE + ANSWER_TIMEOUT, answers).await;
        });
        let weak = Arc::downgrade(&socket);
        self.sockets.push(Opened { local, device, probe, at: Instant::now(), socket: weak });
        Ok((socket, probe))
    }
}

/// Reports each answer to a probe that arrives at the socket.
async fn receive(
    socket: Arc<UdpSocket>,
    local: IpAddr,
    probe: PathProbe,
    (answers, meter): (mpsc::Sender<PathKey>, Meter),
) {
    let mut datagram = [0; 256];
    loop {
        match socket.recv_from(&mut datagram).await {
            Ok((len, from)) if probe.is_answered_by(&datagram[..len]) => {
                meter.count(local, len, None);
                let remote = SocketAddr::new(from.ip(), from.port());
                let _ = answers.try_send(PathKey { local, remote });
            }
            Ok((len, _)) => meter.count(local, len, None),
            // The next probe opens another socket.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(remote: SocketAddr) -> Path {
        Path {
            uplink: "isp".to_owned(),
            order: 0,
            class: Default::default(),
            metered: false,
            draining: false,
            local: [127, 0, 0, 1].into(),
            remote,
        }
    }

    #[tokio::test]
    async fn an_acceptor_answers_a_probe_and_nobody_else_does() {
        let mut prober = Prober::new(Meter::default());
        let unanswering = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        prober.probe(&path(unanswering.local_addr().unwrap()), None).unwrap();
        let mut seen = [0; 2000];
        assert_eq!(unanswering.recv(&mut seen).unwrap(), 1200);

        let identity = crate::identity::Identity::generate();
        let listen = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let remote = listen.local_addr().unwrap();
        let config = crate::engine::quic::transport::endpoint_config(&identity, remote);
        let allowed = crate::engine::quic::tls::PeerSet::new([]).into();
        let server =
            crate::engine::quic::transport::server_config(&Default::default(), &identity, allowed);
        let runtime = Arc::new(quinn::TokioRuntime);
        let _endpoint =
            quinn::Endpoint::new(config, Some(server.for_endpoint()), listen, runtime).unwrap();
        prober.probe(&path(remote), None).unwrap();
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, prober.answered()).await;
        assert_eq!(answered.unwrap(), path(remote).key());
        assert_eq!(prober.sockets.len(), 1, "one socket serves an address");
    }
}
