//! A lab with two daemons and flows, to which trouble comes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use throughline::Mode;

use crate::lab::daemons::{Daemons, Setup};
use crate::lab::failure::Failure;
use crate::lab::flow::{Flow, Idle, Kind, Via};
use crate::lab::{Lab, Shape, Side};
use crate::support::Outcome;

/// What is there before a trouble begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prelude {
    /// Daemons with lanes, and flows.
    Flows,
    /// A lab.
    Nothing,
}

/// The lab, and what runs in it.
pub(super) struct Stage {
    pub(super) lab: Lab,
    /// Both daemons, once they run.
    pub(super) daemons: Option<Daemons>,
    flows: Vec<Flow>,
    /// What the client had sent into each uplink when all had begun.
    base: Vec<u64>,
}

/// Before the trouble flows find their lanes and their pace.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long a flow may take to end.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);
/// Poll interval for a lane.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Stage {
    pub(super) async fn new(shape: Shape, prelude: Prelude) -> Outcome<Self> {
        let lab = Lab::new(shape)?;
        let mut stage = Self { lab, daemons: None, flows: Vec::new(), base: Vec::new() };
        if prelude == Prelude::Flows {
            stage.start(Setup::of(Mode::Auto)).await?;
            stage.start_flows().await?;
            tokio::time::sleep(WARM_UP).await;
        }
        stage.base = stage.sent();
        Ok(stage)
    }

    /// Starts the daemons.
    pub(super) async fn start(&mut self, setup: Setup) -> Outcome {
        self.daemons = Some(Daemons::start(&self.lab, setup).await?);
        Ok(())
    }

    /// Starts an echo and a download.
    pub(super) async fn start_flows(&mut self) -> Outcome {
        let via = self.via()?;
        for kind in [Kind::Echo, Kind::Download] {
            self.flows.push(Flow::start(&self.lab, &via, kind).await?);
        }
        Ok(())
    }

    /// Gives the flows up: they cannot survive what comes.
    pub(super) fn drop_flows(&mut self) {
        self.flows.clear();
    }

    pub(super) fn via(&self) -> Outcome<Via> {
        Ok(Via::Socks(self.daemons()?.socks))
    }

    pub(super) fn daemons(&self) -> Outcome<&Daemons> {
        Ok(self.daemons.as_ref().ok_or("no daemons run")?)
    }

    /// Does a failure to a side's first ISP.
    pub(super) async fn strike(&self, failure: Failure, side: Side) -> Outcome {
        failure.strike(&self.lab, side, 0, |_| Ok(())).await.map(drop)
    }

    /// Returns how long it took until a new flow was answered.
    pub(super) async fn new_flow(&self, timeout: Duration) -> Outcome<Duration> {
        let (via, begun) = (self.via()?, Instant::now());
        loop {
            let opened = Idle::open(&self.lab, &via).await;
            match opened {
                Ok(mut flow) => {
                    flow.ask(timeout).await?;
                    return Ok(begun.elapsed());
                }
                Err(error) if begun.elapsed() > timeout => return Err(error),
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Returns how long it took until lanes over `count` uplinks answer, if they do within `timeout`.
    pub(super) async fn lanes(&self, count: usize, timeout: Duration) -> Outcome<Option<Duration>> {
        let begun = Instant::now();
        while begun.elapsed() < timeout {
            if self.answering()?.len() >= count {
                return Ok(Some(begun.elapsed()));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(None)
    }

    /// Returns the client's uplinks with a lane that answers.
    pub(super) fn answering(&self) -> Outcome<BTreeSet<String>> {
        let lanes = self.daemons()?.lanes(Side::Client)?;
        let up = lanes.iter().filter(|lane| lane["state"] == "up");
        Ok(up.map(|lane| lane["uplink"].to_string().replace('"', "")).collect())
    }

    /// Returns the bytes that the client has sent into each of its uplinks, whatever became of them.
    pub(super) fn sent(&self) -> Vec<u64> {
        let up = self.lab.client.uplinks.iter().map(|uplink| uplink.wire.stats().up);
        up.map(|stats| stats.delivered.bytes + stats.blackholed.bytes).collect()
    }

    /// Ends the flows, and returns the cells: what they saw since, and what became of the lanes.
    pub(super) async fn finish(
        mut self,
        begun: Instant,
        mut remark: String,
    ) -> Outcome<Vec<String>> {
        let sent = self.sent().into_iter().zip(&self.base).map(|(now, base)| now - base);
        let sent = sent.max().unwrap_or_default() as f64 / 1e3;
        let (until, mut shown) = (Instant::now(), ["–".to_owned(), "–".to_owned()]);
        let lanes = self.daemons()?.lanes(Side::Client)?;
        let up = lanes.iter().filter(|lane| lane["state"] == "up").count();
        let uplinks: Vec<_> = self.answering()?.into_iter().collect();
        let ended = self.ended()?;
        for flow in std::mem::take(&mut self.flows) {
            let (kind, record) = (flow.kind, flow.record.clone());
            if kind != Kind::Echo {
                shown[1] = milliseconds(record.longest_gap(begun, until).await);
            }
            if let Err(error) = flow.finish(FINISH_TIMEOUT).await {
                let daemons = self.daemons()?;
                eprintln!("{}\n{}", daemons.client.log(), daemons.server.log());
                return Err(error);
            }
            if kind == Kind::Echo {
                shown[0] = milliseconds(record.worst(begun, until).await);
            }
        }
        let worst = self.warnings()?;
        if !worst.is_empty() {
            remark = format!("{remark}; log: {worst}");
        }
        let lanes = format!("{up} of {}: {}", lanes.len(), uplinks.join(" "));
        Ok(shown.into_iter().chain([lanes, ended, format!("{sent:.0}"), remark]).collect())
    }

    /// Returns why lanes ended, each reason with how often.
    fn ended(&self) -> Outcome<String> {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for event in self.daemons()?.events(Side::Client)? {
            if event["event"] == "lane-down" {
                *reasons.entry(event["reason"].to_string().replace('"', "")).or_default() += 1;
            }
        }
        let said = reasons.into_iter().map(|(reason, count)| format!("{count} × {reason}"));
        Ok(said.collect::<Vec<_>>().join("; "))
    }

    /// Returns what the daemons warned of, each once.
    fn warnings(&self) -> Outcome<String> {
        let daemons = self.daemons()?;
        let mut seen = BTreeSet::new();
        for log in [daemons.client.log(), daemons.server.log()] {
            for line in
                log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR "))
            {
                let said = line.split_once(" WARN ").map_or(line, |(_, said)| said);
                seen.insert(said.chars().take(140).collect::<String>());
            }
        }
        Ok(seen.into_iter().take(4).collect::<Vec<_>>().join(" / "))
    }
}

pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e3)
}

pub(super) fn or_never(time: Option<Duration>) -> String {
    time.map_or("**never**".into(), |time| format!("{:.2} s", time.as_secs_f64()))
}
