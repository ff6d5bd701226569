//! BGP: the client's site has a prefix of its own (PI) and announces it to both of its ISPs; BIRD
//! speaks for site, ISPs and core.
//!
//! The site's prefix is on its loopback interface, beside the providers' addresses. What comes from
//! it is routed by a table of its own, which BIRD fills: the first ISP is preferred. The core takes
//! the way that an ISP announces; with both, the first. With IPv4 and IPv6 there is a prefix of
//! each, and each is announced in sessions of its own family.

mod config;

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::host::Host;
use super::plan::Prefix;
use super::{Lab, enter};
use crate::process::{self, Process};
use crate::support::Outcome;
use config::{Channel, TABLE};

pub use config::Bgp;

/// The running BIRDs. Dropping it ends them.
pub struct Speakers {
    _birds: Vec<Process>,
    _place: TempDir,
}

/// How long until routes are there; BIRD delays connections by up to 5 s.
const CONVERGENCE_TIMEOUT: Duration = Duration::from_secs(30);

impl Speakers {
    /// Gives the client its own prefix, starts BIRD everywhere, and waits until the prefix is
    /// reached from the core and the way out of it is known.
    ///
    /// # Errors
    /// When BIRD is not installed, or the routes do not come.
    pub(super) async fn start(lab: &Lab, bgp: Bgp) -> Outcome<Self> {
        if process::installed("bird").is_none() {
            return Err("`bird` is not installed (apt-get install bird2)".into());
        }
        let channels = Channel::of(lab.shape.family);
        for own in channels.iter().map(|channel| channel.own.host) {
            // Without a length it is a host's.
            let batch = format!(
                "addr add {own} dev lo\nrule add from {own} lookup {TABLE} priority {TABLE}"
            );
            lab.client.host.ip_of(own, &batch)?;
        }
        let place = tempfile::tempdir_in(enter::PLACE)?;
        let mut birds = Vec::new();
        let mut start = |host: &Host, text: String| -> Outcome {
            let file = place.path().join(format!("{}.conf", host.name()));
            std::fs::write(&file, text)?;
            let mut bird = Command::new("bird");
            bird.arg("-f").arg("-c").arg(&file).arg("-s").arg(file.with_extension("sock"));
            birds.push(host.start("bird", bird)?);
            Ok(())
        };
        let ours = lab.isps.iter().filter(|isp| isp.number < 2);
        for isp in ours.clone() {
            let mut allowed = Prefix::of_isp(isp.number).map(|prefix| prefix.cidr()).to_vec();
            allowed.extend(channels.iter().map(|channel| channel.own.cidr()));
            isp.filter(&allowed)?;
            start(&isp.router, config::for_isp(isp.number, bgp, &channels))?;
        }
        let numbers: Vec<u8> = ours.map(|isp| isp.number).collect();
        start(&lab.core, config::for_core(&numbers, bgp, &channels))?;
        start(&lab.client.host, config::for_site(&numbers, bgp, &channels))?;
        let speakers = Self { _birds: birds, _place: place };
        let until = Instant::now() + CONVERGENCE_TIMEOUT;
        while !channels.iter().all(|channel| converged(lab, numbers.len(), channel)) {
            if Instant::now() >= until {
                let said: String = speakers._birds.iter().map(Process::log).collect();
                return Err(
                    format!("no routes by BGP within {CONVERGENCE_TIMEOUT:?}: {said}").into()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(speakers)
    }
}

/// Returns whether the core and all ISPs know the site's prefix, and the site its way out by the first.
fn converged(lab: &Lab, isps: usize, channel: &Channel) -> bool {
    let routes = |host: &Host, arguments: &[&str]| {
        let mut ip = Command::new("ip");
        ip.args([channel.flag(), "route", "show"]).args(arguments);
        // `ip` refuses to show a table that has no route yet.
        host.output(ip).unwrap_or_default()
    };
    let prefix = channel.own.cidr();
    let first = super::isp::name(0);
    let known = lab.isps[..isps].iter().all(|isp| !routes(&isp.router, &[&prefix]).is_empty());
    let out = routes(&lab.client.host, &["table", &TABLE.to_string(), "default"]);
    let core = routes(&lab.core, &[&prefix]);
    known && core.contains(&first) && out.contains(&first)
}
