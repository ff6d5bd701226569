//! The network state by `rtnetlink(7)`, and the requests that change it.
//!
//! A socket in the multicast groups only notifies: the content of a notification is not used, and the
//! kernel is asked for the whole state on another socket. So an overrun (ENOBUFS: the kernel had no
//! room for a notification) is a notification like any other, and no order of notifications can leave
//! a wrong state behind (IPv4 routes even vanish with their link without any).

mod decode;
mod kernel_routes;
mod lock;
mod messages;
mod route_lookup;
mod route_manager;
mod socket;

pub(crate) use self::route_lookup::KernelRouteLookup;
pub(crate) use self::route_manager::{RouteManager, may_manage_routes, remove_leftovers};

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tracing::debug;

use self::socket::RequestSocket;
use crate::network_state::NetworkState;
use crate::source::{ChangeKind, Source};

/// `RTNLGRP_*`: links, addresses, routes and rules of both families.
const GROUPS: [u32; 7] = [1, 5, 9, 7, 11, 8, 19];

/// Larger than any notification.
const NOTIFICATION_BUFFER: usize = 64 << 10;

/// The source of the network state on Linux.
pub(super) struct NetlinkSource {
    notifications: TokioSocket,
    buffer: Vec<u8>,
}

impl NetlinkSource {
    /// # Errors
    /// The system has no netlink sockets, or does not let us have one.
    pub(super) fn new() -> io::Result<Self> {
        let mut notifications = TokioSocket::new(NETLINK_ROUTE)?;
        let socket = notifications.socket_mut();
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self { notifications, buffer: Vec::with_capacity(NOTIFICATION_BUFFER) })
    }

    /// Returns what a notification is about.
    fn kind_of(received: io::Result<()>, bytes: &[u8]) -> io::Result<Option<ChangeKind>> {
        match received {
            Ok(()) => Ok(decode::subject(bytes)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) if error.raw_os_error() == Some(socket::ENOBUFS) => {
                debug!("netlink notifications were lost; everything is read anew");
                Ok(Some(ChangeKind::Everything))
            }
            Err(error) => Err(error),
        }
    }
}

impl Source for NetlinkSource {
    async fn read(&mut self, what: ChangeKind, before: NetworkState) -> io::Result<NetworkState> {
        let mut network = before;
        // Links and addresses are few: the kernel answers within microseconds.
        if what != ChangeKind::Routes {
            (network.links, network.addresses) = addresses(&mut RequestSocket::new()?)?;
        }
        // There may be a million routes.
        if what != ChangeKind::Addresses {
            let read = tokio::task::spawn_blocking(|| defaults(&mut RequestSocket::new()?));
            network.defaults = read.await.map_err(io::Error::other)??;
        }
        Ok(network)
    }

    async fn changed(&mut self) -> io::Result<ChangeKind> {
        loop {
            self.buffer.clear();
            let received = self.notifications.recv(&mut self.buffer).await;
            let mut kind = Self::kind_of(received, &self.buffer)?;
            // Whatever else has come is part of the same change.
            loop {
                self.buffer.clear();
                let received = match self.notifications.socket_ref().recv(&mut self.buffer, 0) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    received => received.map(|_| ()),
                };
                let more = Self::kind_of(received, &self.buffer)?;
                kind = [kind, more].into_iter().flatten().reduce(ChangeKind::merge);
            }
            if let Some(what) = kind {
                return Ok(what);
            }
        }
    }
}

type Addresses = (Vec<super::network_state::Link>, Vec<super::network_state::Address>);

fn addresses(socket: &mut RequestSocket) -> io::Result<Addresses> {
    let mut links = Vec::new();
    socket.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            links.extend(decode::link(&link));
        }
    })?;
    let mut addresses = Vec::new();
    socket.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
        if let RouteNetlinkMessage::NewAddress(address) = message {
            addresses.extend(decode::address(&address));
        }
    })?;
    Ok((links, addresses))
}

fn defaults(socket: &mut RequestSocket) -> io::Result<Vec<super::network_state::DefaultRoute>> {
    let mut defaults = Vec::new();
    socket.dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()), |message| {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            decode::defaults(&route, &mut defaults);
        }
    })?;
    defaults.sort_unstable();
    defaults.dedup();
    Ok(defaults)
}
