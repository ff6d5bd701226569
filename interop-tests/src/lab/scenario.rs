//! One run: a lab, a system, flows, a failure; and what the flows saw.

mod pulse;
mod watch;

use std::time::{Duration, Instant};

use pulse::Pulse;

use super::bgp::Speakers;
use super::compete::{Competing, Competition, Rival};
use super::failure::{Failure, Struck};
use super::flow::{Flow, Kind, Via};
use super::system::BroughtUp;
use super::{Lab, Shape, Side};
use crate::measure::Record;
use crate::support::Outcome;

pub use super::system::System;
pub use watch::Watch;

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
    /// Other people's traffic over the client's first ISP.
    pub competition: Competition,
    /// How long a flow may take to end; see [`FINISH_TIMEOUT`].
    pub finish_timeout: Duration,
}

/// What the flows saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What each flow did.
    pub flows: Vec<FlowSeen>,
    /// Other people's traffic, and what each carried in Mbit/s, as [`FlowSeen::rates`].
    pub rivals: Vec<(Rival, (f64, f64))>,
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
        let lab = Lab::new(self.shape_needed())?;
        let _speakers = match lab.shape.bgp {
            Some(bgp) => Some(Speakers::start(&lab, bgp).await?),
            None => None,
        };
        let BroughtUp { via, daemons } =
            self.system.bring_up(&lab, self.failure.needs_standby(), 0).await?;
        let (flows, competing) = self.start_flows(&lab, &via).await?;
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
        let rivals = competing.rates(struck).await;
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
        competing.finish().await?;
        Ok(Seen { flows: seen, rivals, victim, machine, struck, watched })
    }

    /// Returns the internet as the failure needs it.
    fn shape_needed(&self) -> Shape {
        let mut shape = self.shape.clone();
        shape.nat |= self.failure.needs_nat();
        if self.failure.needs_lone_isp() {
            match self.side {
                Side::Client => shape.client_isps = 1,
                Side::Server => shape.server_isps = 1,
            }
        }
        shape
    }

    /// Starts the flows and the other people's, in the order that was asked for.
    async fn start_flows(&self, lab: &Lab, via: &Via) -> Outcome<(Vec<Flow>, Competing)> {
        let bulk = self.flows.iter().copied().find(|kind| *kind != Kind::Echo);
        let direction = bulk.unwrap_or(Kind::Download);
        let mut competing = None;
        if self.competition.first {
            competing = Some(self.competition.start(lab, direction).await?);
            tokio::time::sleep(WARM_UP).await;
        }
        let mut flows = Vec::new();
        for kind in &self.flows {
            flows.push(Flow::start(lab, via, *kind).await?);
        }
        tokio::time::sleep(WARM_UP).await;
        let Some(competing) = competing else {
            let competing = self.competition.start(lab, direction).await?;
            if !self.competition.rivals.is_empty() {
                tokio::time::sleep(WARM_UP).await;
            }
            return Ok((flows, competing));
        };
        Ok((flows, competing))
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
