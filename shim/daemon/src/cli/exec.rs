//! `throughline exec`: runs a program whose network goes to an ingress of the running daemon.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::codes::Coded;
use super::log::start_logging_to_stderr;
use super::nc::choose_proxy;
use super::output::{config_error, fail_with, usage_error};
use crate::catalogue::Code;
use crate::exec::{self, Ended, Ingress, LeftBehind};

/// What follows the options in the help.
const AFTER_HELP: &str = "\
Examples:
  throughline exec -c /etc/throughline/throughline.toml -- curl https://git.corp.example/
  throughline exec -- python3 client.py
  throughline exec --proxy 127.0.0.1:1081 -- bash

TCP and UDP of the program, and of what it starts, go to a SOCKS5 ingress of the running daemon, whose
rules decide; names are resolved where the flow leaves. It needs no root, but user namespaces and the
programs ip and nft. Within, 127.0.0.1 is the program's own. A destination that cannot be reached
resets the connection. The exit status is the program's, or 128 and the signal that ended it; 125 if it
was not run, 126 if it cannot be started, 127 if it is not found.";

/// How many processes are named that are left running.
const SHOWN: usize = 4;

/// Which program, and through which ingress.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ExecArgs {
    /// Use an ingress of this configuration: its address and its password
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The name of the ingress; without it the first of kind "socks5" or "proxy"
    #[arg(long, value_name = "NAME", requires = "config")]
    pub ingress: Option<String>,
    /// Use the SOCKS5 ingress at this address [default: 127.0.0.1:1080]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "config")]
    pub proxy: Option<SocketAddr>,
    /// The program and its arguments
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<OsString>,
}

/// Something that the program had written was not passed on.
#[derive(Debug, thiserror::Error)]
#[error(
    "not all that the program had written was passed on before it ended: {0} of its connections stood still and were \
     reset; see by `throughline status` whether the peer is reached, and run it again"
)]
struct CutOff(usize);

/// The program has ended, and what it has started has not.
#[derive(Debug, thiserror::Error)]
#[error(
    "what the program has left running has no network any more: {0}; keep it in the foreground (as ssh without -f), or \
     run a shell that waits for it"
)]
struct Left(String);

/// Executes it, in a process of a single thread.
pub(super) fn execute(args: &ExecArgs) -> ExitCode {
    let chosen = choose_proxy(args.config.as_deref(), args.ingress.as_deref(), args.proxy);
    let (addr, credentials) = match chosen {
        Ok(Ok(chosen)) => chosen,
        Ok(Err(error)) => return config_error(&error),
        Err(error) => return usage_error(Code::NoIngress, error),
    };
    // What the program prints is its own: nothing of ours is among it unless somebody asks.
    if std::env::var_os("THROUGHLINE_LOG").is_some()
        && let Err(error) = start_logging_to_stderr()
    {
        return usage_error(Code::LogSetting, error);
    }
    match exec::run(Ingress { addr, credentials }, &args.command) {
        Ok(Ended { status, cut_off, left_behind }) => {
            if cut_off > 0 {
                fail_with(status, Code::CutOff, CutOff(cut_off));
            }
            if !left_behind.is_empty() {
                let shown: Vec<_> =
                    left_behind.iter().take(SHOWN).map(LeftBehind::to_string).collect();
                fail_with(status, Code::LeftRunning, Left(shown.join(", ")));
            }
            ExitCode::from(status)
        }
        Err(error) => fail_with(error.status(), error.code(), &error),
    }
}
