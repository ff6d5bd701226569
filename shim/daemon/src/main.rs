//! The `throughline` program; its command line is [`throughline_daemon::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline_daemon::cli::main()
}
