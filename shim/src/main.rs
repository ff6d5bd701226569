//! The `throughline` program; everything is in [`throughline::daemon::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline::daemon::cli::main()
}
