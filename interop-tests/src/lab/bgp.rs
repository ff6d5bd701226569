//! BGP: the client's site has a prefix of its own (PI) and announces it to both of its ISPs; BIRD
//! speaks for site, ISPs and core.
//!
//! The site's prefix is on its loopback interface, beside the providers' addresses. What comes from
//! it is routed by a table of its own, which BIRD fills: the first ISP is preferred. The core takes
//! the way that an ISP announces; with both, the first.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::host::Host;
use super::plan::{Prefix, transit};
use super::{Lab, enter};
use crate::process::{self, Process};
use crate::support::Outcome;

/// How BGP notices that a neighbour is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bgp {
    /// Without a word for so long, a session is over (RFC 4271 §4.4); usual are 90 s, or 9 s where
    /// somebody cares.
    pub hold: Duration,
    /// Bidirectional forwarding detection (RFC 5880): 3 × 100 ms.
    pub bfd: bool,
}

/// The running BIRDs. Dropping it ends them.
pub struct Speakers {
    _birds: Vec<Process>,
    _place: TempDir,
}

/// Private AS numbers (RFC 6996): the site's, the core's; an ISP's is [`ISPS_AS`] and its number.
const SITE_AS: u32 = 64510;
const CORE_AS: u32 = 64500;
const ISPS_AS: u32 = 64501;
/// The routing table of the site's own prefix.
const TABLE: u32 = 110;
/// How long until routes are there; BIRD delays connections by up to 5 s.
const PATIENCE: Duration = Duration::from_secs(30);

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
        let own = Prefix::independent()[0];
        lab.client.host.ip(&format!(
            "addr add {}/32 dev lo\nrule add from {} lookup {TABLE} priority {TABLE}",
            own.host, own.host
        ))?;
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
            allowed.push(own.cidr());
            isp.filter(&allowed)?;
            start(&isp.router, for_isp(isp.number, bgp))?;
        }
        let numbers: Vec<u8> = ours.map(|isp| isp.number).collect();
        start(&lab.core, for_core(&numbers, bgp))?;
        start(&lab.client.host, for_site(&numbers, bgp))?;
        let speakers = Self { _birds: birds, _place: place };
        let until = Instant::now() + PATIENCE;
        while !converged(lab, numbers.len())? {
            if Instant::now() >= until {
                let said: String = speakers._birds.iter().map(Process::log).collect();
                return Err(format!("no routes by BGP within {PATIENCE:?}: {said}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(speakers)
    }
}

/// Whether the core and all ISPs know the site's prefix, and the site its way out by the first.
fn converged(lab: &Lab, isps: usize) -> Outcome<bool> {
    let routes = |host: &Host, words: &[&str]| {
        let mut ip = Command::new("ip");
        ip.args(["-4", "route", "show"]).args(words);
        // A table is none until it has a route.
        host.output(ip).unwrap_or_default()
    };
    let prefix = Prefix::independent()[0].cidr();
    let first = super::isp::name(0);
    let known = lab.isps[..isps].iter().all(|isp| !routes(&isp.router, &[&prefix]).is_empty());
    let out = routes(&lab.client.host, &["table", &TABLE.to_string(), "default"]);
    let core = routes(&lab.core, &[&prefix]);
    Ok(known && core.contains(&first) && out.contains(&first))
}

/// What every speaker has.
fn common(router_id: &str, kernel: &str, bgp: Bgp) -> String {
    let hold = bgp.hold.as_secs();
    format!(
        "router id {router_id};\nlog stderr all;\nprotocol device {{ scan time 10; }}\n\
         protocol kernel {{ {kernel} ipv4 {{ import none; export where source = RTS_BGP; }}; }}\n\
         protocol bfd {{ interface \"*\" {{ min rx interval 100 ms; min tx interval 100 ms; \
         multiplier 3; }}; }}\n\
         template bgp neighbour {{ hold time {hold}; keepalive time {}; connect delay time 1; \
         connect retry time 2; error wait time 1, 4; }}\n",
        (hold / 3).max(1)
    )
}

fn bfd(bgp: Bgp) -> &'static str {
    if bgp.bfd { "bfd on;" } else { "" }
}

fn for_site(isps: &[u8], bgp: Bgp) -> String {
    let own = Prefix::independent()[0];
    let mut text = common(&own.host.to_string(), &format!("kernel table {TABLE};"), bgp);
    let cidr = own.cidr();
    let _ = writeln!(text, "protocol static {{ ipv4; route {cidr} unreachable; }}");
    for isp in isps {
        let provider = Prefix::of_isp(*isp)[0];
        let _ = writeln!(
            text,
            "protocol bgp isp{isp} from neighbour {{ local {} as {SITE_AS}; neighbor {} as {}; {}\n\
             ipv4 {{ import filter {{ bgp_local_pref = {}; accept; }}; \
             export where net = {cidr}; }}; }}",
            provider.host,
            provider.gateway,
            ISPS_AS + u32::from(*isp),
            bfd(bgp),
            200 - u32::from(*isp),
        );
    }
    text
}

fn for_isp(isp: u8, bgp: Bgp) -> String {
    let (own, provider) = (Prefix::independent()[0].cidr(), Prefix::of_isp(isp)[0]);
    let (core, here) = transit(isp)[0];
    let number = ISPS_AS + u32::from(isp);
    let mut text = common(&here.to_string(), "", bgp);
    let _ = writeln!(
        text,
        "protocol static {{ ipv4; route 0.0.0.0/0 via {core}; }}\n\
         protocol bgp customer from neighbour {{ local {} as {number}; \
         neighbor {} as {SITE_AS}; {}\n\
         ipv4 {{ import where net = {own}; export where net = 0.0.0.0/0; next hop self; }}; }}\n\
         protocol bgp core from neighbour {{ local {here} as {number}; \
         neighbor {core} as {CORE_AS};\n\
         ipv4 {{ import none; export where net = {own}; next hop self; }}; }}",
        provider.gateway,
        provider.host,
        bfd(bgp),
    );
    text
}

fn for_core(isps: &[u8], bgp: Bgp) -> String {
    let mut text = common(&transit(isps[0])[0].0.to_string(), "", bgp);
    for isp in isps {
        let (core, there) = transit(*isp)[0];
        let _ = writeln!(
            text,
            "protocol bgp isp{isp} from neighbour {{ local {core} as {CORE_AS}; \
             neighbor {there} as {};\n\
             ipv4 {{ import filter {{ bgp_local_pref = {}; accept; }}; export none; }}; }}",
            ISPS_AS + u32::from(*isp),
            200 - u32::from(*isp),
        );
    }
    text
}
