//! What the system offers.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use tokio::process::Command;
use tokio::time::timeout;

use crate::config::Config;
use crate::doctor::observation::HostFacts;
use crate::proxy::connections::Descriptors;

/// The number of CAP_NET_ADMIN (capability.h).
const CAP_NET_ADMIN: u32 = 12;

/// Where nft may be, where `PATH` does not say.
const NFT: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];

/// Bounds the start of a program, which takes milliseconds.
const START_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn facts(config: &Config) -> HostFacts {
    let intercepts = config.ingresses.iter().any(|ingress| ingress.kind.intercepts().is_some());
    #[expect(
        clippy::disallowed_methods,
        reason = "whether the wall clock is right is the question"
    )]
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    HostFacts {
        descriptor_limit: Descriptors::after_raise().bounds().0,
        offloads: throughline::probe::offloads().ok(),
        receive_buffer: read("/proc/sys/net/core/rmem_max").and_then(|size| size.parse().ok()),
        clock_s: since_1970.map_or(0, |duration| duration.as_secs()),
        is_network_admin: is_network_admin(),
        has_nft: !intercepts || has_nft().await,
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Returns whether this process has the capability; where the system does not say, it is assumed.
fn is_network_admin() -> bool {
    let status = read("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_none_or(|mask| mask >> CAP_NET_ADMIN & 1 == 1)
}

async fn has_nft() -> bool {
    for program in NFT {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = timeout(START_TIMEOUT, command.kill_on_drop(true).status()).await;
        if started.is_ok_and(|status| status.is_ok_and(|status| status.success())) {
            return true;
        }
    }
    false
}
