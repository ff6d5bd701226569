//! `throughline doctor`: what is wrong with a host, its uplinks and the paths to its peers, and what to do about it.
//!
//! ```text
//! look      I/O: reads the host, asks the daemon, probes every path     bounded: see below
//!   ▾
//! observation                                                          plain data
//!   ▾
//! judge     pure: observations to findings                             tested by tables
//!   ▾
//! finding   severity, cause and cure, for people and programs
//! ```
//!
//! **It disturbs nothing.** Each probe has a socket of its own and ends in seconds; a lane that it begins is never
//! attached to a session (`throughline::probe`). A daemon that runs is asked, and goes on.
//!
//! **It ends.** Names have three seconds, the daemon its own deadline, probes the time that is asked
//! for, side by side; a path for which there is no time is a finding. Silences (`--nat`) and bursts (`--rate`) take more,
//! and are looked for only where they are asked for.

mod burst;
mod examination;
mod finding;
mod judge;
mod look;
mod observation;

use std::path::Path;

use crate::catalogue::Code;
use crate::config::{Config, ConfigError};
pub use examination::Examination;
pub use finding::{Diagnosis, Finding, Severity};
use throughline::UplinkConfig;
use throughline_uplinks::NetworkState;

/// Examines this host as `config`, which is of the file at `path`, has it; a daemon that runs with it is asked.
pub async fn examine(path: &Path, config: &Config, examination: &Examination) -> Diagnosis {
    let seen = look::observe(config, examination).await;
    judge::diagnose(config, &seen).of_file(path)
}

/// Says why a configured uplink has no address.
pub(crate) fn why_unaddressed(uplink: &UplinkConfig, network: &NetworkState) -> String {
    judge::why_unaddressed(uplink, network).cause
}

/// Returns what a configuration that cannot be read comes to.
pub fn of_config_error(path: &Path, error: &ConfigError) -> Diagnosis {
    let cure = "Correct it; `throughline check -c FILE` reads it again without a daemon.";
    let subject = format!("configuration {}", path.display());
    let finding = Finding::new(Code::ConfigInvalid, Severity::Error, subject, error.to_string());
    Diagnosis::new(vec![finding.cure(cure)]).of_file(path)
}
