//! A trial: flows over links that do not fail, and what they get; beside other people's traffic, or
//! while a link turns bad.

use std::time::{Duration, Instant};

use super::activity::{Activity, Snapshot};
use super::compete::{Competition, Rival};
use super::flow::{Flow, Kind};
use super::system::{BroughtUp, System};
use super::wan::{Profile, Way};
use super::{Lab, Shape, Side};
use crate::measure::Record;
use crate::support::Outcome;

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The internet.
    pub shape: Shape,
    /// What carries the flows.
    pub system: System,
    /// Over which of the client's uplinks plain TCP runs.
    pub uplink: usize,
    /// What runs, all at once.
    pub flows: Vec<Kind>,
    /// Other people's traffic.
    pub competition: Competition,
    /// How long flows run before they are measured.
    pub warm_up: Duration,
    /// How long they are measured.
    pub length: Duration,
    /// What happens, when they begin to be measured, to the link that carries most.
    pub turn: Option<fn(&mut Profile)>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Each flow.
    pub flows: Vec<FlowTried>,
    /// Each rival, with its Mbit/s in each second.
    pub rivals: Vec<(Rival, Vec<f64>)>,
    /// What the daemons did, if there are any.
    pub activity: Option<Activity>,
}

/// What a flow got.
#[derive(Clone, Debug)]
pub struct FlowTried {
    /// What it does.
    pub kind: Kind,
    /// Bulk: Mbit/s in each second.
    pub seconds: Vec<f64>,
    /// Echo: the median and the 99th percentile of the round trips.
    pub trips: Option<[Duration; 2]>,
    /// Bulk: the longest time without a byte.
    pub gap: Duration,
    /// What it carried, all of it right; or what was wrong.
    pub end: Result<u64, String>,
}

/// How long a flow may take to end, on links that have been made well again.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);
/// What they are like then, so that nobody waits for what is in the buffers.
const WELL: u64 = 200_000_000;
const WELL_DELAY: Duration = Duration::from_millis(5);

impl Trial {
    /// Returns a bulk or other flow by itself over these links, to be changed.
    pub fn new(shape: Shape, system: System, flows: &[Kind], length: Duration) -> Self {
        Self {
            shape,
            system,
            uplink: 0,
            flows: flows.to_vec(),
            competition: Competition::default(),
            warm_up: Duration::from_secs(5),
            length,
            turn: None,
        }
    }

    /// Runs it once.
    ///
    /// # Errors
    /// When the lab or a daemon fails, or a flow cannot be opened. What happens to a flow after
    /// that is no error but a result.
    pub async fn run(&self) -> Outcome<Tried> {
        let lab = Lab::new(self.shape.clone())?;
        let BroughtUp { via, daemons } = self.system.bring_up(&lab, false, self.uplink).await?;
        let bulk = self.flows.iter().copied().find(|kind| *kind != Kind::Echo);
        let direction = bulk.unwrap_or(Kind::Download);
        let mut early = None;
        if self.competition.first {
            early = Some(self.competition.start(&lab, direction).await?);
            tokio::time::sleep(self.warm_up).await;
        }
        let mut flows = Vec::new();
        for kind in &self.flows {
            flows.push(Flow::start(&lab, &via, *kind).await?);
        }
        tokio::time::sleep(self.warm_up).await;
        let competing = match early {
            Some(competing) => competing,
            None => self.competition.start(&lab, direction).await?,
        };
        let before = daemons.as_ref().map(Snapshot::take).transpose()?;
        if let Some(turn) = self.turn {
            let victim = lab.busier(Side::Client, Duration::from_millis(200)).await;
            lab.client.uplinks[victim].wire.change(Way::Both, turn);
        }
        let from = Instant::now();
        tokio::time::sleep(self.length).await;
        let to = Instant::now();
        let activity = match (&before, &daemons) {
            (Some(before), Some(daemons)) => Some(before.activity(daemons)?),
            _ => None,
        };
        let mut rivals = Vec::new();
        for (rival, record) in competing.records() {
            rivals.push((rival, seconds(record, from, to).await));
        }
        for uplink in lab.client.uplinks.iter().chain(&lab.server.uplinks) {
            uplink.wire.change(Way::Both, |profile| *profile = Profile::new(WELL, WELL_DELAY));
        }
        competing.finish().await?;
        let mut tried = Vec::new();
        for flow in flows {
            tried.push(finish(flow, from, to).await);
        }
        Ok(Tried { flows: tried, rivals, activity })
    }
}

impl Tried {
    /// Returns the mean rate of the first bulk flow, in Mbit/s.
    pub fn mbits(&self) -> Option<f64> {
        self.flows.iter().find(|flow| flow.kind != Kind::Echo).map(|flow| mean(&flow.seconds))
    }

    /// Returns the median and the 99th percentile of the first echo.
    pub fn trips(&self) -> Option<[Duration; 2]> {
        self.flows.iter().find_map(|flow| flow.trips)
    }

    /// Returns what was wrong, if anything was.
    pub fn wrong(&self) -> Option<&str> {
        self.flows.iter().find_map(|flow| flow.end.as_ref().err()).map(String::as_str)
    }
}

async fn finish(flow: Flow, from: Instant, to: Instant) -> FlowTried {
    let (kind, record) = (flow.kind, flow.record.clone());
    let end = flow.finish(FINISH_TIMEOUT).await.map_err(|error| error.to_string());
    let (mut trips, mut rates, mut gap) = (None, Vec::new(), Duration::ZERO);
    if kind == Kind::Echo {
        // Messages still out at `to` have come by now.
        let both = (record.quantile(0.5, from, to).await, record.quantile(0.99, from, to).await);
        trips = both.0.zip(both.1).map(|(p50, p99)| [p50, p99]);
    } else {
        rates = seconds(&record, from, to).await;
        gap = record.longest_gap(from, to).await;
    }
    FlowTried { kind, seconds: rates, trips, gap, end }
}

async fn seconds(record: &Record, from: Instant, to: Instant) -> Vec<f64> {
    let rates = record.rates(from, to, Duration::from_secs(1)).await;
    rates.into_iter().map(|rate| rate / 1e6).collect()
}

/// Returns the mean of numbers; 0 of none.
pub fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}
