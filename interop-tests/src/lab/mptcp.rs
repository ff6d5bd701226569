//! Kernel MPTCP between the sites: every address takes part.

use super::Lab;
use crate::support::Outcome;

/// Subflows and addresses that each end takes.
const LIMIT: u32 = 4;

/// Lets the client open subflows from each of its addresses, and the server announce its.
pub(super) fn configure(lab: &Lab) -> Outcome {
    for (site, flag) in [(&lab.client, "subflow"), (&lab.server, "signal")] {
        let host = &site.host;
        host.sysctl("net/mptcp/enabled", "1")?;
        host.ip(&format!("mptcp limits set subflow {LIMIT} add_addr_accepted {LIMIT}"))?;
        for uplink in &site.uplinks {
            for address in uplink.addresses() {
                let device = &uplink.device;
                host.ip(&format!("mptcp endpoint add {address} dev {device} {flag}"))?;
            }
        }
    }
    Ok(())
}
