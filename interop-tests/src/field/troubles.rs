//! Troubles of all kinds: what administrators, ISPs and kernels do beside failing. One echo and one
//! download at a rate that costs the machine little, and what became of them and of the lanes.

mod kind;
mod links;
mod names;
mod noise;
mod stage;
mod start;

use std::time::{Duration, Instant};

use super::options::Options;
use super::table::Table;
use crate::lab::Shape;
use crate::lab::access::{Access, Usual};
use crate::lab::failure::Failure;
use crate::lab::plan::Family;
use crate::lab::wan::Way;
use crate::support::Outcome;

pub(super) use kind::Trouble;
use stage::{Prelude, Stage};

/// A rate of each ISP that costs the machine little.
const MBITS: u64 = 10;
/// How long all is watched after a trouble is over.
const AFTERMATH: Duration = Duration::from_secs(12);

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let head = [
        "Trouble",
        "Echo: worst ms",
        "Download: longest gap ms",
        "Lanes that answer, uplinks",
        "Lanes that ended",
        "kB out of an uplink",
        "Remark",
    ];
    let mut table = Table::new(format!("Troubles, on ISPs of {MBITS} Mbit/s, 20 ms"), &head);
    for trouble in options.troubles() {
        for _ in 0..options.runs() {
            let cells = match run(trouble).await {
                Ok(cells) => cells,
                Err(error) => vec![
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                    format!("**{error}**"),
                ],
            };
            table.row([trouble.to_string()].into_iter().chain(cells).collect());
        }
    }
    Ok(table)
}

/// Makes one trouble, and returns the cells after its name.
async fn run(trouble: Trouble) -> Outcome<Vec<String>> {
    let mut stage = Stage::new(shape(trouble)?, prelude(trouble)).await?;
    let begun = Instant::now();
    let remark = act(trouble, &mut stage).await?;
    tokio::time::sleep(AFTERMATH).await;
    stage.finish(begun, remark).await
}

/// Returns the internet for it.
fn shape(trouble: Trouble) -> Outcome<Shape> {
    let usual = Shape { rate: MBITS * 1_000_000, ..Shape::default() };
    let access = |links: &[&str]| -> Outcome<Vec<Access>> {
        let parse = |(number, link): (u8, &&str)| Access::parse(link, number, &Usual::default());
        Ok((0..).zip(links).map(parse).collect::<Result<_, _>>()?)
    };
    Ok(match trouble {
        Trouble::Rebinding => Shape { nat: true, ..usual },
        Trouble::FamilyDead => Shape { family: Family::Both, ..usual },
        Trouble::ThreeIsps => Shape { client_isps: 3, ..usual },
        Trouble::FourIsps => Shape { client_isps: 4, server_isps: 4, ..usual },
        Trouble::Policer => Shape { access: access(&["100 police=10,32kB", "10"])?, ..usual },
        Trouble::Asymmetric => Shape { access: access(&["20/0.5", "20/0.5"])?, ..usual },
        Trouble::Satellite => {
            let link = "10 rtt=600ms loss=1% queue=200ms";
            Shape { access: access(&[link, link])?, ..usual }
        }
        _ => usual,
    })
}

/// Returns what is there before it begins.
fn prelude(trouble: Trouble) -> Prelude {
    match trouble {
        Trouble::FirstDead | Trouble::NamesDead | Trouble::TooNarrow => Prelude::Nothing,
        _ => Prelude::Flows,
    }
}

async fn act(trouble: Trouble, stage: &mut Stage) -> Outcome<String> {
    let seconds = Duration::from_secs;
    match trouble {
        Trouble::Noise => noise::beside_a_failure(stage).await,
        Trouble::NoiseInOutage => noise::in_an_outage(stage, seconds(60)).await,
        Trouble::Flapping => links::flap(stage).await,
        Trouble::Device => links::device(stage).await,
        Trouble::FirstDead => start::first_dead(stage).await,
        Trouble::NamesDead => start::names_dead(stage).await,
        Trouble::RenumberClient | Trouble::RenumberServer => {
            let side = trouble.side();
            stage.strike(Failure::Renumbering, side).await?;
            Ok(String::new())
        }
        Trouble::Rebinding => {
            for isp in &stage.lab.isps[..2] {
                isp.rebind_nat()?;
            }
            Ok("both NATs at once".into())
        }
        Trouble::RestartBoth => start::restart_both(stage).await,
        Trouble::FamilyDead => links::family_dead(stage).await,
        Trouble::ThreeIsps | Trouble::FourIsps => links::each_in_turn(stage).await,
        Trouble::Policer | Trouble::Asymmetric => {
            tokio::time::sleep(seconds(5)).await;
            Ok(String::new())
        }
        Trouble::Satellite => {
            stage.lab.client.uplinks[0].wire.blackhole(Way::Both);
            tokio::time::sleep(seconds(10)).await;
            stage.lab.heal();
            Ok("the first ISP silent for 10 s".into())
        }
        Trouble::Narrow => links::narrow(stage, 1240).await,
        Trouble::TooNarrow => links::too_narrow(stage, 1200).await,
        Trouble::UdpDropped => links::udp(stage, "drop", seconds(70)).await,
        Trouble::UdpRejected => {
            links::udp(stage, "reject with icmpx type admin-prohibited", seconds(70)).await
        }
        Trouble::UdpLocal => links::udp_here(stage, seconds(70)).await,
    }
}
