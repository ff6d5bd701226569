//! Which cases there are to run, and why the others are not.

use std::time::Duration;

use super::contender::Contender;
use super::options::ReportPlan;
use crate::lab::compete::Competition;
use crate::lab::failure::Failure;
use crate::lab::flow::Flows;
use crate::lab::plan::Family;
use crate::lab::scenario::{FINISH_TIMEOUT, Scenario, System};
use crate::lab::{Shape, Side};
use crate::support::Outcome;

/// One combination.
#[derive(Clone, Debug)]
pub struct Case {
    /// What carries the flows.
    pub contender: Contender,
    /// What goes wrong.
    pub failure: Failure,
    /// Whose ISP.
    pub side: Side,
    /// Addresses there are.
    pub family: Family,
    /// What runs, all at once.
    pub flows: Flows,
}

/// What is run, in the order of a round.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The cases: all systems in one situation, then all in the next.
    pub cases: Vec<Case>,
    /// What was asked for and is not there, in sentences.
    pub left_out: Vec<String>,
}

impl Matrix {
    /// Returns all that was asked for, without what cannot be; `missing` says what a system lacks here.
    ///
    /// # Errors
    /// When nothing is left; the message says why.
    pub fn new(
        plan: &ReportPlan,
        missing: impl Fn(Contender) -> Option<&'static str>,
    ) -> Outcome<Self> {
        let (mut left_out, mut cases) = (Vec::new(), Vec::new());
        let mut here = Vec::new();
        for contender in &plan.systems {
            match missing(*contender) {
                Some(why) => left_out.push(format!("{}: {why}", contender.label())),
                None => here.push(*contender),
            }
        }
        for case in combinations(plan, &here) {
            let Some(why) = case.impossible() else {
                cases.push(case);
                continue;
            };
            let (failure, side, family) = (case.failure, side(case.side), family(case.family));
            let label = case.contender.label();
            let line = format!("{label} under {failure} ({side} side, {family}): {why}");
            // One sentence stands for all flows.
            if !left_out.contains(&line) {
                left_out.push(line);
            }
        }
        if cases.is_empty() {
            return Err(format!("nothing is left to run: {}", left_out.join("; ")).into());
        }
        Ok(Self { cases, left_out })
    }
}

fn combinations(plan: &ReportPlan, contenders: &[Contender]) -> Vec<Case> {
    let mut all = Vec::new();
    for failure in &plan.failures {
        for side in &plan.sides {
            for family in &plan.families {
                for flows in &plan.flows {
                    all.extend(contenders.iter().map(|contender| Case {
                        contender: *contender,
                        failure: *failure,
                        side: *side,
                        family: *family,
                        flows: flows.clone(),
                    }));
                }
            }
        }
    }
    all
}

impl Case {
    /// Why there is no such thing.
    fn impossible(&self) -> Option<&'static str> {
        let Self { contender, failure, side, family, .. } = self;
        let bgp = contender.bgp.is_some();
        match failure {
            Failure::Drain if !contender.is_ours() => Some("only Throughline has a drain"),
            Failure::Standby if !contender.is_ours() => {
                Some("only Throughline knows metered uplinks")
            }
            Failure::Rebinding if *family != Family::V4 => Some("the lab's NAT is for IPv4"),
            Failure::Rebinding if *side == Side::Server => Some("NAT is at the client's ISPs"),
            Failure::Rebinding if bgp => Some("a prefix of one's own is not behind NAT"),
            Failure::Renumbering if bgp => Some("a prefix of one's own is not renumbered"),
            _ if bgp && *side == Side::Server => Some("BGP is at the client's site"),
            _ => None,
        }
    }

    /// Returns what the lab runs for it.
    pub fn scenario(&self, plan: &ReportPlan) -> Scenario {
        Scenario {
            shape: Shape {
                rate: plan.rate,
                rtt: plan.rtt,
                queue: plan.queue,
                family: self.family,
                bgp: self.contender.bgp,
                ..Shape::default()
            },
            system: self.contender.system,
            failure: self.failure,
            side: self.side,
            flows: self.flows.0.clone(),
            competition: Competition::default(),
            finish_timeout: FINISH_TIMEOUT,
        }
    }

    /// About how long a run takes.
    pub fn expected(&self, watch: Duration) -> Duration {
        // Making the lab, warming up, the failure's aftermath and the end; seen on two cores.
        let usual = Duration::from_secs(10);
        let bgp = self.contender.bgp.map_or(Duration::ZERO, |_| Duration::from_secs(7));
        let failure = match self.failure {
            Failure::AllDown(length) => length,
            Failure::Flap(length) => 10 * length,
            _ => Duration::ZERO,
        };
        // What has nothing that would move it stands still until the watch is over.
        let stands = matches!(self.contender.system, System::Tcp(_))
            && !self.contender.bgp.is_some_and(|bgp| bgp.bfd)
            && !self.failure.is_lossy()
            && !matches!(self.failure, Failure::AllDown(_));
        usual + bgp + failure + if stands { watch } else { Duration::ZERO }
    }
}

/// Returns what a side is called.
pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// Returns what a family is called.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
        Family::Both => "IPv4 and IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::*;

    fn options() -> Options {
        Options { watch: 20, rate: 100, rtt: 20, queue: 50, ..Options::default() }
    }

    #[test]
    fn systems_take_turns_in_every_situation() {
        let matrix = Matrix::new(&options().plan().unwrap(), |_| None).unwrap();
        let order: Vec<_> = matrix.cases.iter().map(|case| case.contender.to_string()).collect();
        assert_eq!(order[..6], Contender::USUAL);
        assert_eq!(order[6..], Contender::USUAL);
        assert_eq!(matrix.cases[6].failure, Failure::Carrier);
        assert!(matrix.left_out.is_empty());
    }

    #[test]
    fn what_is_missing_is_said_with_a_hint_and_the_rest_is_run() {
        let lacks = |contender: Contender| contender.bgp.map(|_| "apt-get install bird2");
        let matrix = Matrix::new(&options().plan().unwrap(), lacks).unwrap();
        assert_eq!(matrix.cases.len(), 8);
        assert_eq!(matrix.left_out.len(), 2);
        assert!(matrix.left_out[0].contains("BFD: apt-get install bird2"));
    }

    #[test]
    fn a_case_that_cannot_be_is_left_out_with_the_reason() {
        let plan = Options {
            failures: vec![Failure::Drain],
            side: vec![Side::Server],
            family: vec![Family::V6],
            systems: ["auto", "tcp", "auto+bgp"].map(|text| text.parse().unwrap()).to_vec(),
            ..options()
        }
        .plan()
        .unwrap();
        let matrix = Matrix::new(&plan, |_| None).unwrap();
        assert_eq!(matrix.cases.len(), 1);
        assert!(matrix.left_out[0].contains("plain TCP under drain"), "{:?}", matrix.left_out);
        assert!(matrix.left_out[1].contains("BGP is at the client"), "{:?}", matrix.left_out);
    }

    #[test]
    fn every_system_runs_over_ipv6_with_and_without_bgp() {
        let families = vec![Family::V4, Family::V6, Family::Both];
        let plan = Options { family: families, ..options() }.plan().unwrap();
        let matrix = Matrix::new(&plan, |_| None).unwrap();
        assert_eq!(matrix.cases.len(), 2 * 3 * Contender::USUAL.len());
        assert!(matrix.left_out.is_empty(), "{:?}", matrix.left_out);
    }

    #[test]
    fn a_matrix_of_nothing_is_an_error_that_says_why() {
        let plan = Options {
            failures: vec![Failure::Drain],
            systems: vec!["tcp".parse().unwrap()],
            ..options()
        };
        let error = Matrix::new(&plan.plan().unwrap(), |_| None).unwrap_err().to_string();
        assert!(error.contains("only Throughline has a drain"), "{error}");
    }
}
