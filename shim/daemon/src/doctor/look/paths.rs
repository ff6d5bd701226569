//! Probes every path to the peers.
//!
//! **Tasks and their owner.** One task per path, in a set that is dropped, and with it every probe, at the deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{rate, silences, udp};
use crate::config::Peer;
use crate::doctor::examination::Examination;
use crate::doctor::observation::{LaneSeen, LocatorSeen, PathSeen, UdpAnswer};
use crate::report::EgressReport;
use throughline::probe::{LaneAnswer, LaneProbe};
use throughline::{Identity, PeerId};
use throughline_uplinks::Uplinks;

/// Paths that are probed at once: with a packet or two each no burst that a policer would mind, and fewer than the
/// set-ups that a peer may have under way (32).
const AT_ONCE: usize = 16;

/// All probes together have so many times the time that one answer may take.
const ROUNDS: u32 = 3;

/// How long the size of packets is searched for, after the handshake.
const MTU_TIMEOUT: Duration = Duration::from_secs(2);

/// Probes each path from the uplinks to the addresses of the peers.
pub(super) async fn probe(
    uplinks: &Uplinks,
    identity: &Identity,
    peers: &[&Peer],
    locators: &[LocatorSeen],
    examination: &Examination,
) -> Vec<PathSeen> {
    let mut paths = Vec::new();
    let mut waiting: Vec<(usize, LaneProbe)> = Vec::new();
    for peer in peers {
        let keys: Vec<PeerId> = peer.config.keys().collect();
        for path in paths_to(uplinks, &peer.config.name, locators) {
            let (local, remote) = (path.local(), path.remote());
            if path.route.state != "no-route" {
                let probe = LaneProbe {
                    identity: identity.clone(),
                    expected: keys.clone(),
                    local,
                    device: uplinks.device(local, remote),
                    remote,
                    link_mtu: uplinks.link_mtu(local, remote),
                    timeout: examination.timeout,
                    mtu_timeout: MTU_TIMEOUT.min(examination.timeout),
                };
                waiting.push((paths.len(), probe));
            }
            paths.push(path);
        }
    }
    let deadline = Instant::now() + examination.timeout * ROUNDS;
    // A router ignores who asks for its address by one that is not of its link (ARP), and what waits behind that
    // question waits with it. So such sources come last.
    let network = &uplinks.now().network;
    let is_foreign = |(index, _): &(usize, _)| {
        let path = &paths[*index];
        let own = network.addresses.iter().find(|address| address.net.addr() == path.local());
        let is_off_link = |router: IpAddr| {
            router.is_ipv4() && own.is_some_and(|address| !address.net.contains(&router))
        };
        path.route.state == "wrong-uplink" || path.route.gateway.is_some_and(is_off_link)
    };
    let (foreign, own): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_foreign);
    let all: Vec<_> = own.iter().chain(&foreign).cloned().collect();
    for batch in [own, foreign] {
        run(batch, deadline, &mut paths).await;
    }
    rate::probe(&all, examination, &mut paths).await;
    silences::probe(all, examination, &mut paths).await;
    for path in &mut paths {
        let known = uplinks.path_mtu(path.local(), path.remote());
        path.mtu = [path.mtu, known].into_iter().flatten().min();
        let next_hop = path.route.gateway.unwrap_or_else(|| path.remote().ip());
        path.next_hop_is_silent = is_silent_neighbour(next_hop);
    }
    paths
}

/// Makes the probes, side by side, until the deadline at the latest.
async fn run(batch: Vec<(usize, LaneProbe)>, deadline: Instant, paths: &mut [PathSeen]) {
    let mut probes = JoinSet::new();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    for (index, probe) in batch {
        let turns = turns.clone();
        probes.spawn(async move {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            let (local, remote, limit) = (probe.local, probe.remote, probe.timeout);
            let device = probe.device.clone();
            let datagram = udp::probe((local, device.as_deref()), remote, limit);
            let (datagram, lane) = tokio::join!(datagram, probe.run());
            (index, datagram, lane_seen(lane))
        });
    }
    while let Ok(Some(ended)) = timeout_at(deadline, probes.join_next()).await {
        if let Ok((index, (udp, mtu), lane)) = ended {
            let path = &mut paths[index];
            (path.udp, path.mtu, path.lane) = (udp, mtu, lane);
        }
    }
}

/// Returns the paths to the addresses of a peer, none of which was probed yet.
fn paths_to(uplinks: &Uplinks, peer: &str, locators: &[LocatorSeen]) -> Vec<PathSeen> {
    let mut remotes: Vec<SocketAddr> = Vec::new();
    for locator in locators.iter().filter(|locator| locator.peer == peer) {
        let found = locator.addresses.iter().flatten().filter(|addr| !locator.own.contains(addr));
        for addr in found {
            if !remotes.contains(addr) {
                remotes.push(*addr);
            }
        }
    }
    let mut paths = Vec::new();
    for uplink in uplinks.status(&remotes) {
        let routes = uplink.egress_checks.iter().map(EgressReport::from);
        // A network that was discovered and has no router leads nowhere.
        for route in routes.filter(|route| route.state != "local") {
            paths.push(PathSeen {
                peer: peer.to_owned(),
                uplink: uplink.name.clone(),
                interface: uplinks.interface(route.local).unwrap_or_else(|| "-".to_owned()),
                route,
                mtu: None,
                next_hop_is_silent: false,
                udp: UdpAnswer::NotSent,
                lane: LaneSeen::NotTried,
                silences: Vec::new(),
                rate: None,
            });
        }
    }
    paths
}

/// Returns whether the kernel asks for this neighbour and has no answer: of IPv4, where a file says so.
fn is_silent_neighbour(next_hop: IpAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
    table.lines().skip(1).any(|line| {
        // Address, type, flags: 0x0 is incomplete.
        let mut fields = line.split_whitespace();
        let address = fields.next().and_then(|address| address.parse::<IpAddr>().ok());
        address == Some(next_hop) && fields.nth(1) == Some("0x0")
    })
}

fn lane_seen(answer: LaneAnswer) -> LaneSeen {
    match answer {
        LaneAnswer::Reached(reached) => LaneSeen::Reached {
            rtt: reached.rtt,
            mtu: reached.mtu,
            mtu_sought: reached.mtu_sought,
            seen_from: reached.seen_from,
        },
        LaneAnswer::CannotBind(error) => LaneSeen::CannotBind(error.to_string()),
        LaneAnswer::Silent => LaneSeen::Silent,
        LaneAnswer::UnexpectedKey(key) => LaneSeen::OtherKey(key),
        LaneAnswer::KeyUnknownThere => LaneSeen::KeyUnknownThere,
        LaneAnswer::NoCommonVersion(reason) => LaneSeen::NoCommonVersion(reason),
        LaneAnswer::Rejected(reason) => LaneSeen::Rejected(reason),
        LaneAnswer::Failed(reason) => LaneSeen::Failed(reason),
    }
}
