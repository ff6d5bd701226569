//! Other people's traffic: real senders that share the client's first ISP with ours.

mod udp;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use throughline::Mode;

use super::Lab;
use super::access::rate;
use super::daemons::{Daemons, Setup};
use super::failure::Struck;
use super::flow::{Congestion, Flow, Kind, TcpRoute, Via};
use crate::measure::Record;
use crate::support::Outcome;

use udp::Stream;

/// How long a rival may take to end: the buffers of a starved one drain slowly, and nobody waits
/// for its bytes.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// A sender that competes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// The kernel's TCP.
    Tcp(Congestion),
    /// Another pair of daemons.
    Throughline(Mode),
    /// UDP that does not listen, in bit/s.
    Udp(u64),
}

/// What competes, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Competition {
    /// A bulk flow of each, in the direction of ours.
    pub rivals: Vec<Rival>,
    /// They are there before ours.
    pub first: bool,
}

/// Rivals that run.
pub struct Competing(Vec<(Rival, Sender)>);

enum Sender {
    Flow(Flow, Option<Daemons>),
    Udp(Stream),
}

impl Competition {
    /// Starts a bulk flow of each rival.
    ///
    /// # Errors
    /// When one cannot be started; the message says what is missing.
    pub async fn start(&self, lab: &Lab, direction: Kind) -> Outcome<Competing> {
        let mut competing = Vec::new();
        for (number, rival) in (1..).zip(&self.rivals) {
            competing.push((*rival, rival.start(lab, direction, number).await?));
        }
        Ok(Competing(competing))
    }
}

impl Rival {
    async fn start(self, lab: &Lab, direction: Kind, number: u16) -> Outcome<Sender> {
        let to = lab.server.uplinks[0].prefixes[0].host;
        Ok(match self {
            Self::Tcp(congestion) => {
                if !congestion.is_available() {
                    let hint =
                        format!("this kernel has no {congestion}: modprobe tcp_{congestion}");
                    return Err(hint.into());
                }
                // Routing would pick the first ISP, but not once that has lost its address.
                let from = Some(lab.client.uplinks[0].prefixes[0].host);
                let via = Via::Tcp(TcpRoute { from, to, congestion });
                Sender::Flow(Flow::start(lab, &via, direction).await?, None)
            }
            Self::Throughline(mode) => {
                let setup = Setup { lone: true, ..Setup::of(mode) };
                let daemons = Daemons::start_beside(lab, setup, number).await?;
                let flow = Flow::start(lab, &Via::Socks(daemons.socks), direction).await?;
                Sender::Flow(flow, Some(daemons))
            }
            Self::Udp(rate) => Sender::Udp(Stream::start(lab, direction, rate).await?),
        })
    }
}

impl Competing {
    /// Returns what each carries, as its receiver sees it.
    pub fn records(&self) -> impl Iterator<Item = (Rival, &Record)> {
        self.0.iter().map(|(rival, sender)| match sender {
            Sender::Flow(flow, _) => (*rival, &flow.record),
            Sender::Udp(stream) => (*rival, &stream.record),
        })
    }

    /// Returns what each carried in Mbit/s: in the second before a failure, and until its effects
    /// were over.
    pub async fn rates(&self, struck: Struck) -> Vec<(Rival, (f64, f64))> {
        let mut all = Vec::new();
        for (rival, record) in self.records() {
            let rate = async |from: Instant, to| record.rate(from, to).await / 1e6;
            let before = rate(struck.begun - Duration::from_secs(1), struck.begun).await;
            all.push((rival, (before, rate(struck.since, struck.until).await)));
        }
        all
    }

    /// Ends them. One that had too little room to end in order has been measured all the same.
    ///
    /// # Errors
    /// When a byte was wrong.
    pub async fn finish(self) -> Outcome {
        for (rival, sender) in self.0 {
            if let Sender::Flow(flow, _daemons) = sender
                && let Err(error) = flow.finish(FINISH_TIMEOUT).await
                && error.to_string().contains("wrong")
            {
                return Err(format!("{rival}: {error}").into());
            }
        }
        Ok(())
    }
}

impl fmt::Display for Rival {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(congestion) => write!(f, "{congestion}"),
            Self::Throughline(Mode::Auto) => f.write_str("throughline"),
            Self::Throughline(mode) => write!(f, "throughline:{mode}"),
            Self::Udp(rate) => write!(f, "udp:{}", *rate as f64 / 1e6),
        }
    }
}

impl FromStr for Rival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        match (kind, value) {
            ("throughline", "") => Ok(Self::Throughline(Mode::Auto)),
            ("throughline", mode) => mode.parse().map(Self::Throughline).map_err(|_| {
                format!("there is no mode `{mode}`; there are auto, single, bond, redundant")
            }),
            ("udp", mbits) => rate(mbits).map(Self::Udp).map_err(|error| format!("udp: {error}")),
            (congestion, "") if congestion.parse::<Congestion>().is_ok() => {
                congestion.parse().map(Self::Tcp)
            }
            _ => Err(format!(
                "there is no rival `{text}`; there are cubic, bbr, reno, throughline, \
                 throughline:MODE, udp:MBITS"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rival_is_read_as_it_is_written() {
        for text in ["cubic", "bbr", "reno", "throughline", "throughline:bond", "udp:2.5"] {
            assert_eq!(text.parse::<Rival>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_rival_is_answered_with_those_there_are() {
        for (text, says) in [
            ("vegas", "cubic, bbr, reno, throughline"),
            ("cubic:5", "cubic, bbr"),
            ("throughline:fast", "auto, single"),
            ("udp", "give Mbit/s"),
        ] {
            let error = text.parse::<Rival>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
