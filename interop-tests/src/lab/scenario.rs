//! One run: a lab, a system, flows, a failure; and what the flows saw.

mod pulse;
mod watch;

use std::time::{Duration, Instant};

use throughline::Mode;

use pulse::Pulse;

use super::bgp::Speakers;
use super::daemons::{Daemons, Setup};
use super::failure::{Failure, Struck};
use super::flow::{Flow, Kind, Via};
use super::plan::Prefix;
use super::{Lab, Shape, Side};
use crate::measure::Record;
use crate::support::Outcome;

pub use watch::Watch;

/// What carries the flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Two daemons, flows in this mode.
    Throughline(Mode),
    /// Plain TCP over the first ISPs; from the site's own prefix, where it has one by BGP.
    Tcp,
    /// The kernel's Multipath TCP.
    Mptcp,
}

impl std::str::FromStr for System {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "tcp" => Ok(Self::Tcp),
            "mptcp" => Ok(Self::Mptcp),
            mode => mode.parse().map(Self::Throughline).map_err(|_| {
                format!(
                    "there is no system `{name}`; there are auto, single, bond, redundant, tcp and \
                     mptcp"
                )
            }),
        }
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The internet.
    pub shape: Shape,
    /// What carries the flows.
    pub system: System,
    /// What goes wrong.
    pub failure: Failure,
    /// Where.
    pub side: Side,
    /// What runs, all at once.
    pub flows: Vec<Kind>,
    /// How long a flow may take to end; see [`FINISH_TIMEOUT`].
    pub finish_timeout: Duration,
}

/// What the flows saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What each flow did.
    pub flows: Vec<FlowSeen>,
    /// The ISP that failed.
    pub victim: String,
    /// How late a thread woke that had nothing to wait for but a processor: where this is not small
    /// against a gap, the gap says more about the machine.
    pub machine: Duration,
    /// When it failed.
    pub struck: Struck,
    /// When flows were told to end.
    pub watched: Instant,
}

/// What a flow saw.
#[derive(Clone, Debug)]
pub struct FlowSeen {
    /// What it does.
    pub kind: Kind,
    /// Echo: the worst round trip of what was sent at the failure or after. Bulk: the longest time
    /// without a byte.
    pub gap: Duration,
    /// Bulk: how long after the failure it first ran at [`WELL`] for 100 ms.
    pub well: Option<Duration>,
    /// Bulk: Mbit/s over the last second before the failure, and from it until its effects are
    /// over.
    pub rates: Option<(f64, f64)>,
    /// What it carried, bytes or messages, all of them right; or what was wrong.
    pub end: Result<u64, String>,
    /// All that the receiver saw, to the flow's end.
    pub record: Record,
}

/// A bulk flow is well again at this rate, in bit/s.
pub const WELL: u64 = 150_000_000;

/// Before the failure flows find their lanes and their pace.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long a flow may take to end, usually: what is buffered has to be carried, by what is left,
/// and BGP may have to notice first.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

impl Scenario {
    /// Runs it once. Flows end when the failure's effects are over.
    ///
    /// # Errors
    /// When the lab or a daemon fails, or a flow cannot be opened. What happens to a flow after
    /// that is no error but a result.
    pub async fn run(&self) -> Outcome<Seen> {
        self.run_for(Watch::default()).await
    }

    /// Runs it once, and watches flows for longer than a gap is counted.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_for(&self, watch: Watch) -> Outcome<Seen> {
        let shape = self.shape_needed();
        let lab = Lab::new(shape)?;
        let _speakers = match shape.bgp {
            Some(bgp) => Some(Speakers::start(&lab, bgp).await?),
            None => None,
        };
        let (via, daemons) = self.bring_up(&lab).await?;
        let mut flows = Vec::new();
        for kind in &self.flows {
            flows.push(Flow::start(&lab, &via, *kind).await?);
        }
        tokio::time::sleep(WARM_UP).await;
        let pulse = Pulse::start();
        let victim = lab.busier(self.side, Duration::from_millis(200)).await;
        let drain = |uplink: &str| {
            let daemons = daemons.as_ref().ok_or("nothing to drain without Throughline")?;
            daemons.admin(self.side, &["uplink", "drain", uplink]).map(drop)
        };
        let struck = self.failure.strike(&lab, self.side, victim, drain).await?;
        tokio::time::sleep_until(struck.until.into()).await;
        let machine = pulse.worst(struck.since, struck.until);
        let mut seen = Vec::new();
        for flow in &flows {
            seen.push(observe(flow, struck).await);
        }
        let stuck = watch.over(&flows, struck).await;
        let watched = Instant::now();
        for ((flow, stuck), seen) in flows.into_iter().zip(stuck).zip(&mut seen) {
            let (kind, record) = (flow.kind, flow.record.clone());
            let finish_timeout =
                if stuck { watch::STUCK_FINISH_TIMEOUT } else { self.finish_timeout };
            seen.end = flow.finish(finish_timeout).await.map_err(|error| error.to_string());
            if kind == Kind::Echo {
                // Messages still out at `until` have come by now, or the flow has not ended.
                seen.gap = match &seen.end {
                    Ok(_) => record.worst(before(struck.since), struck.until).await,
                    Err(_) => struck.since.elapsed(),
                };
            }
        }
        let victim = lab.side(self.side).uplinks[victim].device.clone();
        if seen.iter().any(|flow| flow.end.is_err())
            && let Some(daemons) = &daemons
        {
            eprintln!("{}\n{}", daemons.client.log(), daemons.server.log());
        }
        Ok(Seen { flows: seen, victim, machine, struck, watched })
    }

    /// Returns the internet as the failure needs it.
    fn shape_needed(&self) -> Shape {
        let mut shape = self.shape;
        shape.nat |= self.failure.needs_nat();
        if self.failure.needs_lone_isp() {
            match self.side {
                Side::Client => shape.client_isps = 1,
                Side::Server => shape.server_isps = 1,
            }
        }
        shape
    }

    async fn bring_up(&self, lab: &Lab) -> Outcome<(Via, Option<Daemons>)> {
        let server = lab.server.uplinks[0].prefixes[0].host;
        Ok(match self.system {
            System::Throughline(mode) => {
                let setup = Setup { mode, standby: self.failure.needs_standby() };
                let daemons = Daemons::start(lab, setup).await?;
                (Via::Socks(daemons.socks), Some(daemons))
            }
            System::Tcp if lab.shape.bgp.is_some() => {
                // Both are of the first family that there is.
                (Via::TcpFrom(Prefix::independent(lab.shape.family)[0].host, server), None)
            }
            System::Tcp => (Via::Tcp(server), None),
            System::Mptcp => {
                super::mptcp::configure(lab)?;
                (Via::Mptcp(server), None)
            }
        })
    }
}

/// Messages under way at the failure count.
fn before(since: Instant) -> Instant {
    since - Duration::from_millis(20)
}

async fn observe(flow: &Flow, struck: Struck) -> FlowSeen {
    let Struck { begun, since, until } = struck;
    let (record, kind) = (&flow.record, flow.kind);
    let mut seen = FlowSeen {
        kind,
        gap: Duration::ZERO,
        well: None,
        rates: None,
        end: Ok(0),
        record: record.clone(),
    };
    if kind != Kind::Echo {
        let second = Duration::from_secs(1);
        let rate = async |from, to| record.rate(from, to).await / 1e6;
        seen.gap = record.longest_gap(since, until).await;
        seen.well = record.recovered(since, WELL).await;
        seen.rates = Some((rate(begun - second, begun).await, rate(since, until).await));
    }
    seen
}
