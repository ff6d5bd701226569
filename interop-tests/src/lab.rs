//! The lab: an internet of ISPs on one machine, with a site at either end.
//!
//! # Model
//!
//! ```text
//!              isp-a ─┐         ┌─ isp-c
//!   client ═══        ├── core ──┤       ═══ server
//!              isp-b ─┘         └─ isp-d
//! ```
//!
//! Everything is a Linux network namespace. A **site** ([`site`]) is a host with an address from
//! each of its ISPs and routes by source. An **ISP** ([`isp`]) is a router that forwards from its
//! customer only what it gave it (BCP 38), behind a NAT where asked. The **core** joins the ISPs.
//! The double lines are wires of an emulated wide area network ([`wan`]): that is where rate,
//! delay and queue are, and where things fail.
//!
//! # Life-cycle
//!
//! [`enter`] takes the whole program into namespaces of its own, where it is root. A [`Lab`] is
//! made in some 200 ms and gone when it is dropped. What a crash leaves behind dies with the
//! program: no namespace has a name, and programs started in the lab are killed.
//!
//! # What it never does
//!
//! Touch the machine's own network, or need anything outside of it.

pub mod access;
pub mod activity;
pub mod bgp;
pub mod compete;
pub mod daemons;
pub mod enter;
pub mod failure;
pub mod flow;
pub mod footprint;
pub mod host;
pub mod isp;
mod mptcp;
pub mod namespace;
pub mod plan;
pub mod scenario;
pub mod site;
pub mod system;
pub mod trial;
pub mod wan;

use std::time::Duration;

use access::Access;
use bgp::Bgp;
use host::Host;
use isp::Isp;
use plan::{Family, Prefix};
use site::{Site, Uplink};
use wan::{End, Queue, Wan, Way};

use crate::support::Outcome;

/// What a lab is like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many ISPs the client's site has, 1 to 4.
    pub client_isps: u8,
    /// How many the server's has, 1 to 4.
    pub server_isps: u8,
    /// Bit/s each way of every ISP.
    pub rate: u64,
    /// The round trip between the sites without queueing.
    pub rtt: Duration,
    /// What each ISP queues before it drops.
    pub queue: Duration,
    /// The families in use.
    pub family: Family,
    /// Whether the client's ISPs translate addresses (IPv4 only).
    pub nat: bool,
    /// What the client's ISPs are like, each by itself, in place of rate, round trip and queue. Where
    /// there is any, nothing else is slow or far: the server's ISPs have no limit and no delay.
    pub access: Vec<Access>,
    /// Whether the client's site has a prefix of its own of each family, too, and announces it.
    pub bgp: Option<Bgp>,
}

impl Default for Shape {
    /// Two ISPs at either end of 200 Mbit/s, 20 ms between the sites, queues of 50 ms, IPv4.
    fn default() -> Self {
        Self {
            client_isps: 2,
            server_isps: 2,
            rate: 200_000_000,
            rtt: Duration::from_millis(20),
            queue: Duration::from_millis(50),
            family: Family::V4,
            nat: false,
            access: Vec::new(),
            bgp: None,
        }
    }
}

/// The number of the server's first ISP, where the client has no more than so many.
const SERVERS_FIRST: u8 = 2;

impl Shape {
    /// Returns the numbers of the server's ISPs.
    fn servers(&self) -> std::ops::Range<u8> {
        let first = self.client_isps.max(SERVERS_FIRST);
        first..first + self.server_isps
    }

    /// Returns what ISP `number` is like.
    fn access_of(&self, number: u8) -> Access {
        let queue = Queue::Time(self.queue);
        if self.access.is_empty() {
            // Each way crosses two wires.
            return Access::fixed(self.rate, self.rtt / 2, queue);
        }
        if number >= self.servers().start {
            return Access::fixed(0, Duration::ZERO, queue);
        }
        let usual = || Access::fixed(self.rate, self.rtt, queue);
        self.access.get(usize::from(number)).cloned().unwrap_or_else(usual)
    }
}

/// A running lab.
pub struct Lab {
    /// Where applications are.
    pub client: Site,
    /// Where their servers are.
    pub server: Site,
    /// All ISPs: the client's, then the server's.
    pub isps: Vec<Isp>,
    /// What joins the ISPs.
    pub core: Host,
    /// What it was made like.
    pub shape: Shape,
    _wan: Wan,
}

/// An end of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where applications are.
    Client,
    /// Where servers are.
    Server,
}

impl Side {
    /// Returns the one at the other end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl Lab {
    /// Makes it. Call [`enter::enter`] or [`enter::enter_test`] first.
    ///
    /// # Errors
    /// When we are not in namespaces of our own, or one of its parts cannot be made.
    pub fn new(shape: Shape) -> Outcome<Self> {
        if !enter::is_inside() {
            return Err("the lab is made in namespaces of its own: call `enter` first".into());
        }
        let core = Host::router("core")?;
        let mut wan = Wan::default();
        let (client, mut isps) =
            Self::site(&mut wan, &core, &shape, "client", 0..shape.client_isps, shape.nat)?;
        let (server, more) = Self::site(&mut wan, &core, &shape, "server", shape.servers(), false)?;
        isps.extend(more);
        wan.start()?;
        for isp in &isps {
            isp.settle()?;
        }
        core.settle()?;
        Ok(Self { client, server, isps, core, shape, _wan: wan })
    }

    fn site(
        wan: &mut Wan,
        core: &Host,
        shape: &Shape,
        name: &str,
        numbers: std::ops::Range<u8>,
        nat: bool,
    ) -> Outcome<(Site, Vec<Isp>)> {
        let host = Host::new(name)?;
        let (mut uplinks, mut isps) = (Vec::new(), Vec::new());
        for number in numbers {
            let device = isp::name(number);
            let router = Host::router(&device)?;
            let access = shape.access_of(number);
            let near = End { namespace: host.namespace(), device: &device };
            let far = End { namespace: router.namespace(), device: isp::SITE };
            let wire = wan.wire(&near, &far, access)?;
            isps.push(Isp::new(router, number, nat, wire.clone(), core)?);
            let given =
                if nat { vec![Prefix::behind_nat(number)] } else { Prefix::of_isp(number).into() };
            let prefixes = given.into_iter().filter(|p| shape.family.has(p.host)).collect();
            uplinks.push(Uplink { isp: number, device, wire, prefixes });
        }
        let site = Site { host, uplinks, family: shape.family };
        site.configure()?;
        Ok((site, isps))
    }

    /// Returns a site.
    pub fn side(&self, side: Side) -> &Site {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Returns the ISP of an uplink.
    pub fn isp(&self, uplink: &Uplink) -> Outcome<&Isp> {
        Ok(self.isps.iter().find(|isp| isp.number == uplink.isp).ok_or("no such ISP")?)
    }

    /// Returns the uplink of a site that carried most in `span` from now: its place in the list.
    pub async fn busier(&self, side: Side, span: Duration) -> usize {
        let carried = || -> Vec<u64> {
            self.side(side).uplinks.iter().map(|u| u.wire.stats().delivered_bytes()).collect()
        };
        let before = carried();
        tokio::time::sleep(span).await;
        let moved = carried().into_iter().zip(before).map(|(after, before)| after - before);
        // The first of equals: the preferred one.
        moved
            .enumerate()
            .max_by_key(|(index, bytes)| (*bytes, usize::MAX - index))
            .map_or(0, |m| m.0)
    }

    /// Heals every wire.
    pub fn heal(&self) {
        for isp in &self.isps {
            isp.wire.heal(Way::Both);
        }
    }
}
