//! The network between the two ends: uplinks with their addresses, prefixes of the peer, and a road
//! from each to each.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use rand::Rng;
use rand::rngs::SmallRng;
use throughline_proto::path::{Path, PathKey};
use throughline_proto::types::AddressClass;

use crate::link::{Link, Nanos};
use crate::plan::Net;

/// An uplink of the initiator.
#[derive(Debug)]
struct Uplink {
    metered: bool,
    class: AddressClass,
    draining: bool,
    /// The address that is listed, if one is, and how often it has been replaced.
    listed: Option<IpAddr>,
    renumbered: u8,
    /// Addresses from which packets leave and to which they come.
    alive: Vec<IpAddr>,
}

/// Where a packet goes along: which uplink, which prefix of the peer.
pub(crate) type Road = (usize, usize);

pub(crate) struct Network {
    uplinks: Vec<Uplink>,
    remotes: usize,
    /// The two directions of each road, by the side that sends.
    roads: BTreeMap<Road, [Link; 2]>,
    /// The peer drains lanes to this prefix.
    pub(crate) peer_drains: Vec<bool>,
    /// The acceptor's system says that its link with this prefix has no carrier.
    pub(crate) carrier_lost: Vec<bool>,
}

fn address(uplink: usize, generation: u8) -> IpAddr {
    IpAddr::from([10, 0, uplink as u8, generation])
}

fn locator(remote: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, remote as u8, 1], 5443))
}

/// The road between two addresses.
pub(crate) fn road(key: PathKey) -> Road {
    let third = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => usize::from(ip.octets()[2]),
        IpAddr::V6(_) => unreachable!("the simulated internet is an IPv4 one"),
    };
    (third(key.local), third(key.remote.ip()))
}

impl Network {
    pub(crate) fn new(net: &Net, mut link: impl FnMut() -> Link) -> Self {
        let uplink = |(number, class): (usize, &AddressClass)| Uplink {
            metered: net.metered == Some(number),
            class: *class,
            draining: false,
            listed: Some(address(number, 1)),
            renumbered: 1,
            alive: vec![address(number, 1)],
        };
        let uplinks: Vec<Uplink> = net.uplinks.iter().enumerate().map(uplink).collect();
        let all = (0..uplinks.len()).flat_map(|u| (0..net.remotes).map(move |r| (u, r)));
        let roads = all.map(|road| (road, [link(), link()])).collect();
        Self {
            uplinks,
            remotes: net.remotes,
            roads,
            peer_drains: vec![false; net.remotes],
            carrier_lost: vec![false; net.remotes],
        }
    }

    /// Every path there is now.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        for (number, uplink) in self.uplinks.iter().enumerate() {
            for (local, remote) in
                uplink.listed.iter().flat_map(|l| (0..self.remotes).map(|r| (*l, r)))
            {
                paths.push(Path {
                    uplink: format!("isp-{number}"),
                    order: number as u32,
                    class: uplink.class,
                    metered: uplink.metered,
                    draining: uplink.draining,
                    local,
                    remote: locator(remote),
                });
            }
        }
        paths
    }

    pub(crate) fn link(&mut self, road: Road, side: usize) -> &mut Link {
        &mut self.roads.get_mut(&road).expect("a road that was never built")[side]
    }

    pub(crate) fn rtt(&self, road: Road) -> Nanos {
        self.roads[&road].iter().map(Link::delay).sum()
    }

    /// Whether a handshake gets through now.
    pub(crate) fn is_open(&self, now: Nanos, key: PathKey) -> bool {
        self.is_alive(key.local) && self.roads[&road(key)].iter().all(|link| now >= link.hole_until)
    }

    /// Whether the address is ours, listed or deprecated.
    pub(crate) fn is_alive(&self, local: IpAddr) -> bool {
        self.uplinks.iter().any(|u| u.alive.contains(&local))
    }

    fn holes(&mut self, fits: impl Fn(&Road) -> bool, hole: impl Fn(usize, &mut Link)) {
        for (_, links) in self.roads.iter_mut().filter(|(road, _)| fits(road)) {
            links.iter_mut().enumerate().for_each(|(side, link)| hole(side, link));
        }
    }

    /// Roads that fit go silent in some directions (bit 0: to the acceptor, bit 1: back).
    pub(crate) fn silence(&mut self, fits: impl Fn(&Road) -> bool, directions: u8, until: Nanos) {
        self.holes(fits, |side, link| {
            if directions & (1 << side) != 0 {
                link.hole_until = link.hole_until.max(until);
            }
        });
    }

    /// Large packets are lost on roads that fit.
    pub(crate) fn narrow(&mut self, fits: impl Fn(&Road) -> bool, until: Nanos) {
        self.holes(fits, |_, link| link.narrow_until = until);
    }

    pub(crate) fn weather(&mut self, road: Road, rough: bool, rng: &mut SmallRng) {
        if let Some(links) = self.roads.get_mut(&road) {
            let holes = links.each_ref().map(|link| link.hole_until);
            *links = [Link::draw(rng, rough), Link::draw(rng, rough)];
            links.iter_mut().zip(holes).for_each(|(link, hole)| link.hole_until = hole);
        }
    }

    /// The uplink's addresses are taken away.
    pub(crate) fn unlist(&mut self, uplink: usize) {
        let uplink = &mut self.uplinks[uplink];
        (uplink.listed, uplink.alive) = (None, Vec::new());
    }

    /// The uplink has an address: the same again, or another one; an old one dies if it is not to
    /// be kept as deprecated.
    pub(crate) fn list(&mut self, number: usize, other: bool, keep: bool) {
        let uplink = &mut self.uplinks[number];
        uplink.renumbered += u8::from(other);
        let new = address(number, uplink.renumbered);
        if !keep {
            uplink.alive.clear();
        }
        uplink.listed = Some(new);
        if !uplink.alive.contains(&new) {
            uplink.alive.push(new);
        }
    }

    /// What is deprecated on the uplink dies.
    pub(crate) fn expire(&mut self, number: usize) {
        let uplink = &mut self.uplinks[number];
        uplink.alive.retain(|a| Some(*a) == uplink.listed);
    }

    pub(crate) fn drain(&mut self, uplink: usize, draining: bool) {
        self.uplinks[uplink].draining = draining;
    }

    pub(crate) fn uplinks(&self) -> usize {
        self.uplinks.len()
    }

    pub(crate) fn remotes(&self) -> usize {
        self.remotes
    }

    /// No more misfortune.
    pub(crate) fn heal(&mut self) {
        for number in 0..self.uplinks.len() {
            if self.uplinks[number].listed.is_none() {
                self.list(number, true, false);
            }
            self.expire(number);
            self.uplinks[number].draining = false;
        }
        self.peer_drains.fill(false);
        self.carrier_lost.fill(false);
        self.roads.values_mut().flatten().for_each(Link::heal);
    }
}

/// One of the network's roads.
pub(crate) fn any_road(network: &Network, rng: &mut SmallRng) -> Road {
    (rng.random_range(0..network.uplinks()), rng.random_range(0..network.remotes()))
}
