//! Tells the peers at once that this process is in the place of one that ended without a word.
//!
//! A peer whose lanes are idle says nothing for up to 15 s, and would learn only then, by a stateless reset
//! (RFC 9000 §10.3), that who it counts on is gone. So a node keeps in a file where the lanes come from that
//! peers dialed ([`LaneFile`]). When it starts it reads that file, and sends a notice
//! ([`restart_notice`]) to each place, from the address that the lane led to: through whatever NAT and
//! firewall there is. The peer then asks its lanes, they are reset, it asks for its session, and that is over.
//! What the peer dials anew tells it as well, so a peer that is there again gets no more notices.
//!
//! A notice is a hint and nothing more. The file may be missing, out of date or wrong: then a peer learns as
//! late as it would without.
//!
//! **Tasks and their owner.** [`announce`] ends by itself, [`keep`] with the node, which both hold weakly.
//! Aborting either is safe.

mod lane_file;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use quinn::udp::{Transmit, UdpSocketState};
use tracing::{debug, info, warn};

use self::lane_file::{LaneFile, LanePlace};
use super::session::Origin;
use super::sessions::Sessions;
use super::supervise::supervise;
use throughline_proto::wire::restart_notice;

/// How far apart notices are: half of what an application is to wait at most.
const NOTICE_INTERVAL: Duration = Duration::from_millis(500);

/// How long the peers of a process that handed over have to come back before they are asked to look: some
/// handshakes over a path of this side of the world.
const RETURN_PATIENCE: Duration = Duration::from_secs(1);

/// How often each place is told: until every idle lane has sent its keep-alive (15 s), should the network have
/// been silent meanwhile.
const NOTICES: u32 = 40;

/// The file is written this far apart, so that a burst of lanes costs little.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// Writing takes this part of the time at most.
const WRITE_SHARE: u32 = 10;

/// What became of the process before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// It has ended, if there was one, and everything with it.
    Ended,
    /// It has handed everything over, and closed its lanes. Their other ends come back by themselves, but for
    /// those that did not hear of the close.
    HandedOver,
}

/// A listening socket, from which notices are sent.
pub(crate) struct Announcer {
    bound: SocketAddr,
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Announcer {
    /// Takes a second handle to a listening socket.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new(socket: &UdpSocket) -> io::Result<Self> {
        let (bound, socket) = (socket.local_addr()?, socket.try_clone()?);
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { bound, socket, state })
    }

    /// Returns whether lanes led to this socket that led to `local`.
    fn is_at(&self, local: SocketAddr) -> bool {
        let everywhere =
            self.bound.ip().is_unspecified() && self.bound.is_ipv4() == local.is_ipv4();
        self.bound.port() == local.port() && (everywhere || self.bound.ip() == local.ip())
    }

    fn send(&self, place: &LanePlace) {
        let notice = Transmit {
            destination: place.remote,
            ecn: None,
            contents: &restart_notice::to_bytes(),
            segment_size: None,
            src_ip: Some(place.local.ip()),
        };
        if let Err(error) = self.state.try_send((&self.socket).into(), &notice) {
            debug!(local = %place.local, remote = %place.remote, "no notice of the restart: {error}");
        }
    }
}

/// Tells the peers of an earlier process that it ended, and keeps in the file `path` what the next one needs for
/// that.
pub(crate) fn watch(
    sessions: &Arc<Sessions>,
    path: PathBuf,
    announcers: Vec<Announcer>,
    former: Former,
) {
    let file = Arc::new(LaneFile::open(path));
    tokio::spawn(announce(Arc::downgrade(sessions), file.clone(), announcers, former));
    let weak = Arc::downgrade(sessions);
    tokio::spawn(supervise("the keeper of the lane file", move || {
        keep(weak.clone(), file.clone())
    }));
}

/// Tells those who had lanes to an earlier process, from the sockets that these led to.
async fn announce(
    sessions: Weak<Sessions>,
    file: Arc<LaneFile>,
    mut announcers: Vec<Announcer>,
    former: Former,
) {
    let Some(mut changes) = sessions.upgrade().map(|registry| registry.changes()) else { return };
    file.retain_former(|place| announcers.iter().any(|a| a.is_at(place.local)));
    let lanes = file.former().len();
    match former {
        Former::HandedOver => tokio::time::sleep(RETURN_PATIENCE).await,
        Former::Ended if lanes > 0 => info!(
            lanes,
            "an earlier process of this node had lanes; their other ends are told that it ended"
        ),
        Former::Ended => {}
    }
    for _ in 0..NOTICES {
        let Some(registry) = give_up_closed(&sessions, &mut announcers) else { return };
        file.retain_former(|place| {
            let peer = registry.context.peers.resolve(place.peer);
            !registry.is_reached(peer) && announcers.iter().any(|a| a.is_at(place.local))
        });
        drop(registry);
        let former = file.former();
        if former.is_empty() {
            break;
        }
        for place in &former {
            announcers.iter().filter(|a| a.is_at(place.local)).for_each(|a| a.send(place));
        }
        let next = tokio::time::sleep(NOTICE_INTERVAL);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                changed = changes.changed() => {
                    if changed.is_err() || give_up_closed(&sessions, &mut announcers).is_none() {
                        return;
                    }
                }
            }
        }
    }
    file.retain_former(|_| false);
}

/// Drops the handles to the sockets of addresses that are no longer listened on, which would keep these open;
/// returns the sessions, unless the node is gone or shuts down.
fn give_up_closed(
    sessions: &Weak<Sessions>,
    announcers: &mut Vec<Announcer>,
) -> Option<Arc<Sessions>> {
    let registry = sessions.upgrade().filter(|registry| !registry.is_shutting_down())?;
    announcers.retain(|announcer| registry.context.listens_on(announcer.bound));
    Some(registry)
}

/// Keeps the file up to date with the lanes that peers dialed.
async fn keep(sessions: Weak<Sessions>, file: Arc<LaneFile>) {
    let Some(registry) = sessions.upgrade() else { return };
    let mut changes = registry.changes();
    drop(registry);
    loop {
        let Some(registry) = sessions.upgrade() else { return };
        // What a shutdown closes is told by the sessions; who does not hear of it is told by the next process.
        if registry.is_shutting_down() {
            return;
        }
        if registry.is_frozen() {
            // Another process is about to keep the file, or keeps it already.
            drop(registry);
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let places = accepted(&registry);
        drop(registry);
        let (began, writing) = (Instant::now(), file.clone());
        let written = tokio::task::spawn_blocking(move || writing.write(&places)).await;
        if let Ok(Err(error)) = written
            && file.is_news()
        {
            warn!(
                "cannot keep {}: {error}; after a crash some peers will notice only within 15 s",
                file.path().display()
            );
        }
        tokio::time::sleep(WRITE_INTERVAL.max(began.elapsed() * WRITE_SHARE)).await;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = file.former_shrunk() => {}
        }
    }
}

/// Returns where the lanes come from that peers dialed.
fn accepted(sessions: &Sessions) -> Vec<LanePlace> {
    let mut places = Vec::new();
    for session in sessions.all() {
        // The next process does not know by which number this one knows a peer.
        let peer = session.peer_key();
        session.with(|core, _| {
            for lane in core.lanes.values().filter(|l| matches!(l.origin, Origin::Accepted(_))) {
                let remote = lane.connection.remote_address();
                places.push(LanePlace { peer, local: lane.local(), remote });
            }
        });
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcer(addr: &str) -> Announcer {
        let mut announcer = Announcer::new(&UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        announcer.bound = addr.parse().unwrap();
        announcer
    }

    #[tokio::test]
    async fn a_notice_leaves_from_the_address_that_the_lane_led_to() {
        let at = |addr: &str, local: &str| announcer(addr).is_at(local.parse().unwrap());
        assert!(at("192.0.2.1:5443", "192.0.2.1:5443"));
        assert!(at("0.0.0.0:5443", "192.0.2.1:5443"));
        assert!(at("[::]:5443", "[2001:db8::1]:5443"));
        assert!(!at("[::]:5443", "192.0.2.1:5443"), "another family");
        assert!(!at("192.0.2.1:5444", "192.0.2.1:5443"), "another port");
        assert!(!at("192.0.2.2:5443", "192.0.2.1:5443"), "another address");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn lanes_that_are_settled_are_taken_out_of_the_file() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lanes");
        let place = LanePlace {
            peer: crate::identity::Identity::generate().peer_id(),
            local: "127.0.0.1:5443".parse().unwrap(),
            remote: "127.0.0.1:9".parse().unwrap(),
        };
        LaneFile::open(path.clone()).write(&[place]).unwrap();
        let before = std::fs::metadata(&path).unwrap().ino();
        let node = crate::Node::builder().build().await.unwrap();
        let file = Arc::new(LaneFile::open(path.clone()));
        let keeping = tokio::spawn(keep(Arc::downgrade(node.sessions()), file.clone()));
        // Written first with it, as nobody has said yet that it is settled: it is another file under the same name.
        let began = Instant::now();
        let wait = async || {
            assert!(began.elapsed() < Duration::from_secs(10), "still there");
            tokio::time::sleep(WRITE_INTERVAL / 10).await;
        };
        while std::fs::metadata(&path).unwrap().ino() == before {
            wait().await;
        }
        file.retain_former(|_| false);
        while !std::fs::read_to_string(&path).unwrap().is_empty() {
            wait().await;
        }
        keeping.abort();
        node.shutdown(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn a_notice_is_sent_with_its_source() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let listening = UdpSocket::bind("0.0.0.0:0").unwrap();
        let local = SocketAddr::new([127, 0, 0, 77].into(), listening.local_addr().unwrap().port());
        let id = crate::identity::Identity::generate().peer_id();
        let place = LanePlace { peer: id, local, remote: peer.local_addr().unwrap() };
        Announcer::new(&listening).unwrap().send(&place);
        let mut datagram = [0; 100];
        let (len, from) = peer.recv_from(&mut datagram).unwrap();
        assert!(restart_notice::is_notice(&datagram[..len]));
        assert_eq!(from, local);
    }
}
