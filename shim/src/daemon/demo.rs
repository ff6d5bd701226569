//! Placeholder: the demo is written elsewhere.

use std::process::ExitCode;

/// Options of `throughline demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {}

/// Runs the demo.
pub async fn run(_args: DemoArgs) -> ExitCode {
    ExitCode::FAILURE
}
