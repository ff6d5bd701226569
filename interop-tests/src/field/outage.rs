//! A total outage: both ISPs silent for long, idle flows.

use std::time::{Duration, Instant};

use super::bar::{Limit, bar};
use super::options::Options;
use super::table::Table;
use crate::lab::daemons::{Daemons, Setup};
use crate::lab::flow::{Idle, Via};
use crate::lab::wan::Way;
use crate::lab::{Lab, Shape, Side};
use crate::support::Outcome;
use throughline::Mode;

/// A sample of what the outage costs, at so many seconds.
const SAMPLES: [u64; 9] = [5, 15, 60, 120, 300, 600, 1200, 1800, 2700];
/// What the bar is about.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// From then on the rate stays as it is.
const SETTLED: Duration = Duration::from_secs(5 * 60);
/// How long the daemons have to come back.
const BACK_WITHIN: Duration = Duration::from_secs(120);
/// How long an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How often the memory is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether they have.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let head = ["After", "kB out of each uplink so far", "kbit/s since the row before"];
    let head: Vec<_> = head.into_iter().chain(["RSS MB", "Descriptors"]).collect();
    let (minutes, count) = (options.outage.as_secs_f64() / 60.0, options.idle_flows);
    let title = format!("Both ISPs silent for {minutes:.1} minutes, idle flows: {count}");
    let mut table = Table::new(title, &head);
    let lab = Lab::new(Shape::default())?;
    let daemons = Daemons::start(&lab, Setup::of(Mode::Auto)).await?;
    let mut flows = Vec::new();
    for _ in 0..count {
        let mut flow = Idle::open(&lab, &Via::Socks(daemons.socks)).await?;
        flow.ask(ANSWERS_WITHIN).await?;
        flows.push(flow);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = daemons.footprint(Side::Client);
    row(&mut table, "before", &daemons, None);
    let wires: Vec<_> = lab.client.uplinks.iter().map(|uplink| &uplink.wire).collect();
    wires.iter().for_each(|wire| wire.blackhole(Way::Both));
    let (begun, base) = (Instant::now(), sent(&lab));
    let (mut last, mut rate, mut peak) = ((Duration::ZERO, 0.0), 0.0, 0);
    let samples = SAMPLES.map(Duration::from_secs).into_iter();
    for at in samples.filter(|at| *at < options.outage).chain([options.outage]) {
        peak = peak.max(most_until(&daemons, begun + at).await);
        let bytes = worst(&sent(&lab), &base);
        rate = (bytes - last.1) * 8.0 / (at - last.0).as_secs_f64() / 1e3;
        last = (at, bytes);
        let shown = format!("{} s", at.as_secs());
        row(&mut table, &shown, &daemons, Some((bytes, rate)));
    }
    let bytes = worst(&sent(&lab), &base);
    wires.iter().for_each(|wire| wire.heal(Way::Both));
    let back = back(&daemons).await?;
    let mut answer = Ok(Duration::ZERO);
    for flow in &mut flows {
        answer = worse(answer, flow.ask(ANSWERS_WITHIN).await);
    }
    // If it went on like after the last sample but one.
    let left = HOUR.saturating_sub(options.outage).as_secs_f64();
    let hour = (bytes + rate * 1e3 / 8.0 * left) / 1e6;
    let grown = before.map(|before| peak.saturating_sub(before.rss_kib) as f64 / 1024.0);
    table.bar(bar("MB out of an uplink", Some(bytes / 1e6), Limit::AtMost(2.0)));
    let what = "MB out of an uplink in an hour, if the last rate stays";
    let hour = Some(hour).filter(|_| options.outage >= SETTLED);
    table.bar(bar(what, hour, Limit::AtMost(2.0)));
    table.bar(bar("MB of RSS more", grown, Limit::AtMost(25.0)));
    let limit = if options.outage <= Duration::from_secs(60) { 0.5 } else { 5.0 };
    let back = back.map_or(f64::MAX, |time| time.as_secs_f64());
    table.bar(bar("seconds until a lane is back", Some(back), Limit::AtMost(limit)));
    table.bars.push(match answer {
        Ok(time) => format!("the flows went on: answers within {:.0} ms", time.as_secs_f64() * 1e3),
        Err(error) => format!("a flow: **{error}**"),
    });
    Ok(table)
}

/// Returns the longer time, or what went wrong.
fn worse(a: Outcome<Duration>, b: Outcome<Duration>) -> Outcome<Duration> {
    Ok(a?.max(b?))
}

/// Returns the most memory that the client takes until then, in KiB.
async fn most_until(daemons: &Daemons, until: Instant) -> u64 {
    let mut most = 0;
    while Instant::now() < until {
        let next = until.min(Instant::now() + MEMORY_INTERVAL);
        tokio::time::sleep_until(next.into()).await;
        most = most.max(daemons.footprint(Side::Client).map_or(0, |found| found.rss_kib));
    }
    most
}

/// Returns how long after the healing the client has a lane that answers.
async fn back(daemons: &Daemons) -> Outcome<Option<Duration>> {
    let healed = Instant::now();
    while healed.elapsed() < BACK_WITHIN {
        if daemons.lanes(Side::Client)?.iter().any(|lane| lane["state"] == "up") {
            return Ok(Some(healed.elapsed()));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(None)
}

fn row(table: &mut Table, at: &str, daemons: &Daemons, sent: Option<(f64, f64)>) {
    let footprint = daemons.footprint(Side::Client);
    table.row(vec![
        at.to_owned(),
        sent.map_or("–".into(), |(bytes, _)| format!("{:.0}", bytes / 1e3)),
        sent.map_or("–".into(), |(_, rate)| format!("{rate:.1}")),
        footprint.map_or("–".into(), |found| format!("{:.1}", found.rss_kib as f64 / 1024.0)),
        footprint.map_or("–".into(), |found| found.descriptors.to_string()),
    ]);
}

/// Returns the bytes that the client has sent into each of its uplinks, whatever became of them.
fn sent(lab: &Lab) -> Vec<f64> {
    let up = lab.client.uplinks.iter().map(|uplink| uplink.wire.stats().up);
    up.map(|stats| (stats.delivered.bytes + stats.blackholed.bytes) as f64).collect()
}

/// Returns the most that an uplink has sent since.
fn worst(now: &[f64], before: &[f64]) -> f64 {
    now.iter().zip(before).map(|(now, before)| now - before).fold(0.0, f64::max)
}
