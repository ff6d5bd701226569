//! `throughline explain`: why. Where a connection goes before anybody makes it, why a live flow is on its lanes, what a
//! code means.

mod flow;
mod target;

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use thiserror::Error;

use self::flow::FlowName;
use super::daemon::DaemonArgs;
use super::output::{print, usage_error};
use crate::catalogue::{self, Code, Entry, UnknownCode};
use throughline::{ParseTargetError, Target};

const EXAMPLES: &str = "\
Examples:
  throughline explain 10.0.0.5:22            where a connection would go, and by which rule
  throughline explain 10.0.0.5:22 -c FILE    the same, by another configuration than the default one
  throughline explain f12                    which lanes a live flow is on, why, and when it moved
  throughline explain 1c47ab46/f12           the same, of one of several sessions
  throughline explain TL0205                 what an error or a finding of `throughline doctor` means";

/// What to explain, and by which configuration.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// A destination as an application would ask for it, a flow as `status` shows it, or a code
    #[arg(value_name = "HOST:PORT|FLOW|CODE")]
    pub subject: Subject,
    /// The ingress at which a connection enters; without it, each
    #[arg(long, value_name = "NAME")]
    pub ingress: Option<String>,
    /// Which daemon; a destination needs the configuration, and is explained without a daemon as well.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Where a connection would go.
    Target(Target),
    /// Why a flow is where it is.
    Flow(FlowName),
    /// What a code means.
    Code(Code),
}

/// A text is nothing that can be explained.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseSubjectError {
    /// It looks like a code.
    #[error(transparent)]
    Code(#[from] UnknownCode),
    /// It is no destination either.
    #[error("{0} (a flow is written like f12, a code like TL0205)")]
    Target(#[from] ParseTargetError),
}

impl FromStr for Subject {
    type Err = ParseSubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if catalogue::is_code(text) {
            return Ok(Self::Code(text.parse()?));
        }
        match text.parse() {
            Ok(flow) => Ok(Self::Flow(flow)),
            Err(()) => Ok(Self::Target(text.parse()?)),
        }
    }
}

pub(super) async fn execute(args: ExplainArgs) -> ExitCode {
    match (&args.subject, args.daemon.file()) {
        (Subject::Code(code), _) => {
            let Entry { code, title, cause, cure } = code.entry();
            print(&format!("{code}: {title}\n\nCause: {cause}\n\nCure: {cure}"))
        }
        (Subject::Flow(name), _) => flow::execute(name, &args.daemon).await,
        (Subject::Target(target), Some(file)) => {
            target::execute(target, args.ingress.as_deref(), &file, &args.daemon).await
        }
        (Subject::Target(_), None) => usage_error(
            Code::CommandLine,
            "where a connection goes is in the configuration, and there is none in its default place; name it with `-c FILE`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_a_flow_and_a_destination_are_told_apart() {
        let parsed = |text: &str| text.parse::<Subject>();
        assert_eq!(parsed("tl0205"), Ok(Subject::Code(Code::UdpBlocked)));
        let flow = |session: Option<&str>| {
            Ok(Subject::Flow(FlowName { session: session.map(str::to_owned), id: 12 }))
        };
        assert_eq!(parsed("f12"), flow(None));
        assert_eq!(parsed("12"), flow(None));
        assert_eq!(parsed("1c47ab46/f12"), flow(Some("1c47ab46")));
        assert!(matches!(parsed("10.0.0.5:22"), Ok(Subject::Target(_))));
        assert!(matches!(parsed("f12:22"), Ok(Subject::Target(_))));
        let error = parsed("10.0.0.5").unwrap_err().to_string();
        assert!(error.contains("like f12"), "{error}");
        assert!(parsed("TL9999").unwrap_err().to_string().contains("docs/ERRORS.md"));
    }
}
