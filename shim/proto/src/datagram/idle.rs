//! How long a datagram flow may be idle, as a NAT keeps its mappings.

use std::time::Duration;

use crate::types::Target;

/// As RFC 4787 REQ-5 recommends: WireGuard, SIP and games keep alive more often than that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// For DNS, where each query has a port of its own: longer than a resolver waits for an answer as a rule
/// (RFC 4787 §4.3 allows less than two minutes for well-known ports).
const DNS_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

const DNS_PORT: u16 = 53;

/// Returns how long a flow to `target` may be idle before either end ends it.
pub fn idle_timeout(target: &Target) -> Duration {
    match target.host_and_port() {
        Some((_, DNS_PORT)) => DNS_IDLE_TIMEOUT,
        _ => IDLE_TIMEOUT,
    }
}
