//! The `throughline` program; everything is in [`throughline_daemon::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline_daemon::cli::main()
}
