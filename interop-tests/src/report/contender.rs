//! What is compared: a system, with or without BGP under it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::lab::bgp::Bgp;
use crate::lab::flow::Congestion;
use crate::lab::scenario::System;
use crate::process;

/// A system that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// What carries flows.
    pub system: System,
    /// What moves the site's own prefix to the other ISP.
    pub bgp: Option<Bgp>,
}

/// As short as operators who care set it; the default of 90 s would only make runs longer.
const HOLD: Duration = Duration::from_secs(9);
/// What follows a system's name.
const BGP: &str = "+bgp";
const BFD: &str = "+bfd";

impl Contender {
    /// Compared where nobody asks for others, as the command line has them.
    pub const USUAL: [&str; 6] = ["auto", "single", "mptcp", "tcp+bfd", "tcp+bgp", "tcp"];

    /// Returns whether it is ours.
    pub fn is_ours(self) -> bool {
        matches!(self.system, System::Throughline(_))
    }

    /// Returns what people call it.
    pub fn label(self) -> String {
        let system = match self.system {
            System::Throughline(mode) => format!("Throughline {mode}"),
            System::Tcp(Congestion::Usual) => "plain TCP".into(),
            System::Tcp(congestion) => format!("plain TCP ({})", title(congestion)),
            System::Mptcp => "MPTCP".into(),
        };
        let system = if self.bgp.is_some() { system.replace("plain ", "") } else { system };
        match self.bgp {
            None => system,
            Some(Bgp { bfd: true, .. }) => format!("{system} + BGP, BFD"),
            Some(Bgp { hold, .. }) => format!("{system} + BGP, hold {} s", hold.as_secs()),
        }
    }
}

/// Returns what people call a congestion control.
fn title(congestion: Congestion) -> &'static str {
    match congestion {
        Congestion::Usual => "usual",
        Congestion::Cubic => "CUBIC",
        Congestion::Bbr => "BBR",
        Congestion::Reno => "Reno",
    }
}

/// Returns what a contender needs that is not here, and how to get it.
pub fn missing(contender: Contender) -> Option<&'static str> {
    let kernel = Path::new("/proc/sys/net/mptcp/enabled");
    if contender.system == System::Mptcp && !kernel.exists() {
        return Some("this kernel has no MPTCP (Linux 5.6 or later with CONFIG_MPTCP)");
    }
    if let System::Tcp(congestion) = contender.system
        && !congestion.is_available()
    {
        return Some("this kernel has no such congestion control (modprobe tcp_bbr, say)");
    }
    if contender.bgp.is_some() && process::installed("bird").is_none() {
        return Some("`bird` is not installed (apt-get install bird2)");
    }
    None
}

impl fmt::Display for Contender {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.system)?;
        match self.bgp {
            None => Ok(()),
            Some(bgp) => f.write_str(if bgp.bfd { BFD } else { BGP }),
        }
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, bgp) = if let Some(name) = text.strip_suffix(BGP) {
            (name, Some(Bgp { hold: HOLD, bfd: false }))
        } else if let Some(name) = text.strip_suffix(BFD) {
            (name, Some(Bgp { hold: HOLD, bfd: true }))
        } else {
            (text, None)
        };
        let system = name.parse::<System>().map_err(|error| {
            format!("{error}, and with a prefix of one's own tcp+bgp, tcp+bfd, auto+bgp, …")
        })?;
        if system == System::Mptcp && bgp.is_some() {
            return Err("MPTCP takes part with the providers' addresses only: `mptcp`".into());
        }
        Ok(Self { system, bgp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_read_as_it_is_written() {
        for text in Contender::USUAL.into_iter().chain(["bond", "redundant", "auto+bgp", "tcp-bbr"])
        {
            let contender: Contender = text.parse().unwrap();
            assert_eq!(contender.to_string(), text);
        }
    }

    #[test]
    fn labels_say_what_is_under_a_system() {
        let label = |text: &str| text.parse::<Contender>().unwrap().label();
        assert_eq!(label("auto"), "Throughline auto");
        assert_eq!(label("tcp"), "plain TCP");
        assert_eq!(label("tcp+bgp"), "TCP + BGP, hold 9 s");
        assert_eq!(label("tcp-bbr"), "plain TCP (BBR)");
        assert_eq!(label("tcp+bfd"), "TCP + BGP, BFD");
    }

    #[test]
    fn what_is_no_system_is_answered_with_those_there_are() {
        let error = "quic".parse::<Contender>().unwrap_err();
        assert!(error.contains("`quic`") && error.contains("tcp+bgp"), "{error}");
        let error = "mptcp+bgp".parse::<Contender>().unwrap_err();
        assert!(error.contains("`mptcp`"), "{error}");
    }
}
