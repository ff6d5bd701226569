//! Does a packet from an uplink's address leave by that uplink (source-address-dependent routing,
//! RFC 8678)? Where it leaves by another one, that provider drops it (BCP 38). The kernel is asked;
//! what its answer means is judged here. Pure but for the question itself.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::grouping::Uplink;
use super::picture::{Found, Picture};
use super::watcher::Snapshot;
use crate::status::{ExitState, ExitStatus};
use throughline_proto::types::Class;

/// The way that the kernel would send a packet.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only netlink tells"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The interface that it leaves by.
    pub link: Option<u32>,
    /// The router that it is handed to; none where the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// It does not leave: the destination is this host.
    pub to_us: bool,
}

/// Who knows the way of packets.
pub trait Ways: Send {
    /// The way from one address to another, over an interface if one is named; `None` where no
    /// route leads there.
    ///
    /// # Errors
    /// It cannot be told.
    fn way(&mut self, from: IpAddr, to: SocketAddr, over: Option<u32>) -> io::Result<Option<Way>>;
}

/// What became of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub state: ExitState,
    /// The interface by which packets leave as things stand.
    pub interface: Option<String>,
    pub gateway: Option<IpAddr>,
    /// Bind the socket to this interface, and all is well.
    pub device: Option<String>,
}

impl Exit {
    /// Nobody can tell; then a lane is to be tried.
    pub const UNKNOWN: Self =
        Self { state: ExitState::Unknown, interface: None, gateway: None, device: None };

    /// Whether a lane can be up this way.
    pub fn is_usable(&self) -> bool {
        !matches!(self.state, ExitState::NoRoute | ExitState::Local)
    }

    pub fn status(self, local: IpAddr, remote: SocketAddr) -> ExitStatus {
        let Self { state, interface, gateway, .. } = self;
        ExitStatus { local, remote, interface, gateway, state }
    }
}

/// Judges how packets from `local`, an address of `uplink`, leave for `remote`.
pub fn judge(
    snapshot: &Snapshot,
    uplink: &Uplink,
    local: &Found,
    remote: SocketAddr,
    ways: &mut dyn Ways,
) -> Exit {
    let from = local.net.addr();
    let Ok(answer) = ways.way(from, remote, None) else { return Exit::UNKNOWN };
    let own_way = |ways: &mut dyn Ways| {
        let way = ways.way(from, remote, Some(local.link)).ok().flatten()?;
        is_own(&snapshot.picture, uplink, local, &way).then_some(way)
    };
    let picture = &snapshot.picture;
    let Some(way) = answer else {
        // A route that the other rules hide may still be there.
        return match own_way(ways) {
            Some(way) => bound(picture, local, &way),
            None => Exit { state: ExitState::NoRoute, ..Exit::UNKNOWN },
        };
    };
    if is_own(picture, uplink, local, &way) {
        return exit(picture, &way, ExitState::Own);
    }
    match own_way(ways) {
        Some(own) => bound(picture, local, &own),
        None if leads_nowhere(picture, uplink, local) => {
            Exit { state: ExitState::Local, ..Exit::UNKNOWN }
        }
        None => {
            let uplink = owner(snapshot, &way, uplink).map(|other| other.name.clone());
            exit(picture, &way, ExitState::Foreign { uplink })
        }
    }
}

fn exit(picture: &Picture, way: &Way, state: ExitState) -> Exit {
    let interface = way.link.and_then(|link| picture.link(link)).map(|link| link.name.clone());
    Exit { state, interface, gateway: way.gateway, device: None }
}

fn bound(picture: &Picture, local: &Found, way: &Way) -> Exit {
    Exit { device: Some(local.interface.clone()), ..exit(picture, way, ExitState::Bound) }
}

/// Whether a way is one of the uplink's own.
fn is_own(picture: &Picture, uplink: &Uplink, local: &Found, way: &Way) -> bool {
    // The site's own prefix may leave by every provider. An address that is on no link (a
    // loopback's, as routers have it) belongs to none.
    let anywhere = uplink.class == Class::ProviderIndependent
        || picture.link(local.link).is_none_or(|link| link.loopback);
    if way.to_us || anywhere {
        return true;
    }
    if way.link.is_some_and(|link| !uplink.addresses.iter().any(|a| a.link == link)) {
        return false;
    }
    // Two providers on one wire are told apart by whose prefix the router is in. A link-local
    // router (RFC 4861) may be anyone's.
    let Some(gateway) = way.gateway else { return true };
    let holds = |f: &Found| f.net.prefix_len() < f.net.max_prefix_len() && f.net.contains(&gateway);
    let ours = uplink.addresses.iter().any(holds);
    let theirs = picture.usable().iter().any(holds);
    ours || !theirs
}

/// Whether a network that nobody called an uplink has no router (containers', a wire between two
/// hosts). From its addresses only its neighbours are reached; where packets leave by another
/// network and are translated there, that is the uplink, and this would be the same one again.
fn leads_nowhere(picture: &Picture, uplink: &Uplink, local: &Found) -> bool {
    let routers = &picture.defaults;
    uplink.discovered && !routers.is_empty() && !routers.iter().any(|r| r.link == local.link)
}

/// The uplink that a way belongs to, other than `not`.
fn owner<'a>(snapshot: &'a Snapshot, way: &Way, not: &Uplink) -> Option<&'a Uplink> {
    let others = || snapshot.uplinks.iter().filter(|u| u.name != not.name);
    let by_router = |u: &&Uplink| {
        let gateway = way.gateway;
        u.addresses.iter().any(|a| gateway.is_some_and(|gateway| a.net.contains(&gateway)))
    };
    let by_link = |u: &&Uplink| u.addresses.iter().any(|a| Some(a.link) == way.link);
    others().find(by_router).or_else(|| others().find(by_link))
}

#[cfg(test)]
mod tests;
