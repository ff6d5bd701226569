//! The kernel's own word on links, addresses and routes (`rtnetlink(7)`).
//!
//! A socket in the multicast groups is nothing but a bell: what it says is thrown away, and the
//! kernel is asked for the whole truth on another socket. So an overrun (ENOBUFS: the kernel had
//! no room for an event) is a bell like any other, and no order of events can leave a wrong picture
//! behind (IPv4 routes even vanish with their link without any event).

pub(super) mod ask;
mod decode;
pub(super) mod install;
pub(super) mod socket;

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tracing::debug;

use self::socket::Asker;
use super::picture::Picture;
use super::watcher::{Source, What};

/// `RTNLGRP_*`: links, addresses, routes and rules of both families.
const GROUPS: [u32; 7] = [1, 5, 9, 7, 11, 8, 19];

/// More than one event ever needs.
const BELL_BUFFER: usize = 64 << 10;

/// Watches by `rtnetlink`.
pub(super) struct Rtnetlink {
    bell: TokioSocket,
    buffer: Vec<u8>,
}

impl Rtnetlink {
    /// # Errors
    /// The system has no netlink sockets, or does not let us have one.
    pub(super) fn new() -> io::Result<Self> {
        let mut bell = TokioSocket::new(NETLINK_ROUTE)?;
        let socket = bell.socket_mut();
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self { bell, buffer: Vec::with_capacity(BELL_BUFFER) })
    }

    /// What the bell was about.
    fn heard(received: io::Result<()>, bytes: &[u8]) -> io::Result<Option<What>> {
        match received {
            Ok(()) => Ok(decode::subject(bytes)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) if error.raw_os_error() == Some(socket::ENOBUFS) => {
                debug!("netlink events were lost; everything is read anew");
                Ok(Some(What::Everything))
            }
            Err(error) => Err(error),
        }
    }
}

impl Source for Rtnetlink {
    async fn read(&mut self, what: What, before: Picture) -> io::Result<Picture> {
        let mut picture = before;
        // Links and addresses are few: the kernel answers within microseconds.
        if what != What::Routes {
            (picture.links, picture.addresses) = addresses(&mut Asker::new()?)?;
        }
        // There may be a million routes.
        if what != What::Addresses {
            let read = tokio::task::spawn_blocking(|| defaults(&mut Asker::new()?));
            picture.defaults = read.await.map_err(io::Error::other)??;
        }
        Ok(picture)
    }

    async fn changed(&mut self) -> io::Result<What> {
        loop {
            self.buffer.clear();
            let received = self.bell.recv(&mut self.buffer).await;
            let mut heard = Self::heard(received, &self.buffer)?;
            // Whatever else has come is part of the same change.
            loop {
                self.buffer.clear();
                let received = match self.bell.socket_ref().recv(&mut self.buffer, 0) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    received => received.map(|_| ()),
                };
                let more = Self::heard(received, &self.buffer)?;
                heard = [heard, more].into_iter().flatten().reduce(What::and);
            }
            if let Some(what) = heard {
                return Ok(what);
            }
        }
    }
}

type Addresses = (Vec<super::picture::Link>, Vec<super::picture::Address>);

fn addresses(asker: &mut Asker) -> io::Result<Addresses> {
    let mut links = Vec::new();
    asker.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            links.extend(decode::link(&link));
        }
    })?;
    let mut addresses = Vec::new();
    asker.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
        if let RouteNetlinkMessage::NewAddress(address) = message {
            addresses.extend(decode::address(&address));
        }
    })?;
    Ok((links, addresses))
}

fn defaults(asker: &mut Asker) -> io::Result<Vec<super::picture::DefaultRoute>> {
    let mut defaults = Vec::new();
    asker.dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()), |message| {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            decode::defaults(&route, &mut defaults);
        }
    })?;
    defaults.sort_unstable();
    defaults.dedup();
    Ok(defaults)
}
