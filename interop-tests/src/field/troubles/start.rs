//! Troubles at the start.

use std::time::{Duration, Instant};

use throughline::Mode;

use super::names;
use super::stage::{Stage, or_never};
use crate::lab::Side;
use crate::lab::daemons::Setup;
use crate::lab::wan::Way;
use crate::support::Outcome;

const SECOND: Duration = Duration::from_secs(1);
/// The server's name.
const NAME: &str = "server.lab";

/// The first ISP is silent from before the start; later it is well.
pub(super) async fn first_dead(stage: &mut Stage) -> Outcome<String> {
    stage.lab.client.uplinks[0].wire.blackhole(Way::Both);
    let begun = Instant::now();
    stage.start(Setup { lanes: Some(1), ..Setup::of(Mode::Auto) }).await?;
    let lane = begun.elapsed();
    let flow = stage.new_flow(20 * SECOND).await?;
    stage.start_flows().await?;
    tokio::time::sleep(20 * SECOND).await;
    stage.lab.heal();
    let back = stage.lanes(2, 30 * SECOND).await?;
    let lane = lane.as_secs_f64();
    let flow = flow.as_secs_f64();
    Ok(format!(
        "a lane {lane:.2} s after the start, a flow {flow:.2} s later; the first ISP's lane \
         {} after healing",
        or_never(back)
    ))
}

/// No name server answers at the start; later the name is known.
pub(super) async fn names_dead(stage: &mut Stage) -> Outcome<String> {
    let rules = "table inet dns {\n chain f {\n type filter hook forward priority -10;\n\
                 udp dport 53 drop\n }\n}";
    for isp in &stage.lab.isps[..2] {
        isp.router.nft(rules)?;
    }
    names::none()?;
    let setup = Setup { lanes: Some(0), name: Some(NAME), ..Setup::of(Mode::Auto) };
    stage.start(setup).await?;
    tokio::time::sleep(12 * SECOND).await;
    let addresses = stage.lab.server.uplinks.iter().flat_map(|uplink| uplink.addresses());
    let addresses: Vec<_> = addresses.map(|address| address.to_string()).collect();
    names::lead(NAME, &addresses)?;
    let back = stage.lanes(2, 60 * SECOND).await?;
    stage.start_flows().await?;
    tokio::time::sleep(2 * SECOND).await;
    Ok(format!("both lanes {} after the name could be resolved", or_never(back)))
}

/// Both daemons are killed and started anew.
pub(super) async fn restart_both(stage: &mut Stage) -> Outcome<String> {
    stage.drop_flows();
    let lab = &stage.lab;
    let daemons = stage.daemons.as_mut().ok_or("no daemons run")?;
    daemons.restart(lab, Side::Server)?;
    daemons.restart(lab, Side::Client)?;
    let begun = Instant::now();
    let flow = stage.new_flow(30 * SECOND).await?;
    let lanes = stage.lanes(2, 30 * SECOND).await?;
    let lanes = lanes.map(|_| begun.elapsed());
    let sessions =
        [Side::Client, Side::Server].map(|side| stage.daemons().and_then(|d| d.sessions(side)));
    let [client, server] = sessions;
    let (client, server) = (client?.len(), server?.len());
    Ok(format!(
        "a flow after {:.2} s, both lanes after {}; {client} and {server} sessions",
        flow.as_secs_f64(),
        or_never(lanes)
    ))
}
