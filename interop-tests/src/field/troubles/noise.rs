//! What else changes while something fails.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::{Stage, or_never};
use crate::lab::Side;
use crate::lab::wan::Way;
use crate::support::Outcome;

/// How often something changes.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long the ISP is silent beside a noise.
const SILENCE: Duration = Duration::from_secs(10);
/// A firewall that counts, and nothing else.
const FIREWALL: &str = "table inet noise\ndelete table inet noise\n\
    table inet noise {\n chain out {\n type filter hook output priority 0;\n counter\n }\n}";

/// The busier ISP is silent for a while, with noise.
pub(super) async fn beside_a_failure(stage: &Stage) -> Outcome<String> {
    let victim = stage.lab.busier(Side::Client, Duration::from_millis(200)).await;
    stage.lab.client.uplinks[victim].wire.blackhole(Way::Both);
    let changes = make(stage, SILENCE).await?;
    stage.lab.heal();
    let back = stage.lanes(2, Duration::from_secs(20)).await?;
    Ok(format!("{changes} changes; both lanes {} after healing", or_never(back)))
}

/// All ISPs are silent, with noise.
pub(super) async fn in_an_outage(stage: &Stage, length: Duration) -> Outcome<String> {
    let before = stage.sent();
    stage.lab.client.uplinks.iter().for_each(|uplink| uplink.wire.blackhole(Way::Both));
    let changes = make(stage, length).await?;
    let sent = stage.sent().into_iter().zip(before).map(|(now, before)| now - before).max();
    stage.lab.heal();
    let back = stage.lanes(1, Duration::from_secs(20)).await?;
    let kilobytes = sent.unwrap_or_default() / 1000;
    Ok(format!(
        "{changes} changes; {kilobytes} kB out of an uplink; a lane after {}",
        or_never(back)
    ))
}

/// Makes noise for a while; returns how many changes there were.
async fn make(stage: &Stage, length: Duration) -> Outcome<usize> {
    let (until, mut changes) = (Instant::now() + length, 0);
    let host = &stage.lab.client.host;
    let device = &stage.lab.client.uplinks[1].device;
    while Instant::now() < until {
        let begun = Instant::now();
        let verb = if changes % 2 == 0 { "add" } else { "del" };
        host.ip(&format!(
            "addr {verb} 198.18.11.77/24 dev {device}\n\
             addr {verb} 10.99.0.1/24 dev lo\n\
             route {verb} 198.51.100.0/24 via 198.18.11.1 dev {device}\n\
             rule {verb} from 198.51.100.7 lookup 7 priority 700"
        ))?;
        host.nft(FIREWALL)?;
        for side in [Side::Client, Side::Server] {
            let process = stage.daemons()?.process(side).id();
            kill(Pid::from_raw(process as i32), Signal::SIGHUP)?;
        }
        changes += 1;
        tokio::time::sleep_until((begun + INTERVAL).into()).await;
    }
    Ok(changes)
}
