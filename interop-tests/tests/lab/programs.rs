//! Real programs that need a network of their own, while each of the client's ISPs dies: a tunnel by WireGuard, a host
//! behind a router that intercepts, and a browser, which goes to addresses of loopback without any proxy. The others are
//! in `tests/programs`; PROGRAMS.md says what each proves.

mod browser;
mod router;
mod transfer;
mod wireguard;

use std::time::Duration;

use interop_tests::lab::daemons::Daemons;
use interop_tests::lab::wan::Way;
use interop_tests::lab::{Lab, Side};
use interop_tests::support::{Outcome, eventually};

/// How long an ISP is dead at least: what was in sockets' buffers does not count.
const DEAD: Duration = Duration::from_secs(1);

/// What a step may take on a machine under load.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Silences the ISP in use and then the other one. So much more must be `done` before, during and after each.
async fn each_isp_dies(lab: &Lab, daemons: &Daemons, done: impl Fn() -> u64, step: u64) -> Outcome {
    more(&done, step, "before the first failure").await?;
    let first = lab.busier(Side::Client, Duration::from_millis(200)).await;
    for victim in [first, 1 - first] {
        let uplink = &lab.client.uplinks[victim];
        println!("    {} is dead", uplink.device);
        uplink.wire.blackhole(Way::Both);
        tokio::time::sleep(DEAD).await;
        more(&done, step, &format!("while {} is dead", uplink.device)).await?;
        uplink.wire.heal(Way::Both);
        daemons.lanes_up(2, STEP_TIMEOUT).await?;
        more(&done, step, &format!("after {} came back", uplink.device)).await?;
    }
    Ok(())
}

async fn more(done: &impl Fn() -> u64, step: u64, when: &str) -> Outcome {
    let before = done();
    let moved = eventually(STEP_TIMEOUT, async || (done() >= before + step).then_some(())).await;
    moved.ok_or_else(|| {
        format!("{when}: {} instead of {step} in {STEP_TIMEOUT:?}", done() - before).into()
    })
}
