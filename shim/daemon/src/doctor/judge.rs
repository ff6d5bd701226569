//! From observations to findings. Pure.
//!
//! Each module judges one thing. Of a path one fault is named: the first in the order of `paths` that explains what was
//! seen; whether it is an error or a warning follows from whether the peer is reached at all.

mod daemon;
mod fault;
mod locators;
mod paths;
mod setup;
mod uplinks;

use super::finding::{Diagnosis, Finding};
use super::observation::Observations;
use crate::config::Config;
use throughline::UplinkConfig;
use throughline_uplinks::NetworkState;

/// Returns what the observations of a host come to.
pub(super) fn diagnose(config: &Config, seen: &Observations) -> Diagnosis {
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(setup::judge(config, seen));
    findings.extend(uplinks::judge(config, seen));
    findings.extend(locators::judge(seen));
    findings.extend(paths::judge(config, seen));
    findings.extend(daemon::judge(config, seen));
    Diagnosis::new(findings)
}

/// Says why a configured uplink has no address.
pub(super) fn why_unaddressed(uplink: &UplinkConfig, network: &NetworkState) -> Finding {
    uplinks::unaddressed(uplink, network, false)
}

#[cfg(test)]
mod tests;
