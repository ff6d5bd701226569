//! `throughline join`: makes this host a peer of the server that gave the ticket, and shows that flows outlive an
//! uplink.
//!
//! A host without a configuration gets one ([`fresh`]); to one that is there the server is added ([`beside`]).

mod beside;
mod fresh;
mod task;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::task::JoinTask;
use super::file::in_directory;
use super::invite::default_directory;
use super::output::fail_as;
use crate::catalogue::Code;
use crate::join::Ticket;
use crate::join::ticket::is_name;

/// The most that is read of standard input, many times a ticket.
const MAX_INPUT: u64 = 16 << 10;

const EXAMPLES: &str = "\
Where there is a configuration the server is added to it: one section at its end, no other byte. The
daemon that runs reads it, and its flows to other peers go on.

Examples:
  throughline join tlt1…                       a first configuration in the default directory
  throughline join tlt1… -c /etc/throughline/throughline.toml
                                               adds the server to this one
  throughline join tlt1… --name office2        where a peer here has the server's name already
  ssh server throughline invite … | throughline join -";

/// By which ticket, and where to write.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct JoinArgs {
    /// What `throughline invite` printed at the server; `-` reads it from standard input
    #[arg(required = true, value_name = "TICKET")]
    pub ticket: Vec<String>,
    /// The directory of identity.key and throughline.toml [default: /etc/throughline, for others than root
    /// ~/.config/throughline]
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// The configuration that is there, to which the server is added, if it is not throughline.toml of that directory
    #[arg(short, long, value_name = "FILE", conflicts_with = "directory")]
    pub config: Option<PathBuf>,
    /// What the server is to be called here [default: what it calls itself]
    #[arg(long)]
    pub name: Option<String>,
    /// Try a flow, and cut no uplink off: the flows to other peers would move as well
    #[arg(long)]
    pub no_cuts: bool,
}

pub(super) async fn execute(args: JoinArgs) -> ExitCode {
    match join(args).await {
        Ok(code) => code,
        Err(error) => fail_as(Code::NotJoined, error),
    }
}

async fn join(args: JoinArgs) -> Result<ExitCode, String> {
    let file = file_of(args.directory, args.config)?;
    // A ticket that was copied in lines is several arguments.
    let text = match args.ticket.concat() {
        text if text == "-" => from_stdin()?,
        text => text,
    };
    let ticket: Ticket = text.parse().map_err(|error| format!("{error}"))?;
    let name = args.name.unwrap_or_else(|| ticket.server_name.clone());
    if !is_name(&name) {
        return Err(format!(
            "`{name}` is no name for a peer: letters, digits, - and _, up to 255, and not a word of `via`; write another \
             with --name"
        ));
    }
    let task = JoinTask { ticket, name, file, cuts: !args.no_cuts };
    if task.file.exists() { beside::join(&task).await } else { fresh::join(&task).await }
}

/// Returns which configuration is written, or added to.
pub(super) fn file_of(
    directory: Option<PathBuf>,
    config: Option<PathBuf>,
) -> Result<PathBuf, String> {
    match config {
        Some(file) if !file.exists() => Err(format!(
            "there is no {}; a first configuration is written with --directory, as throughline.toml",
            file.display()
        )),
        Some(file) => Ok(file),
        None => Ok(in_directory(&directory.map_or_else(default_directory, Ok)?)),
    }
}

/// Reads a ticket from standard input: a command line is seen by every user of this host.
fn from_stdin() -> Result<String, String> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .map_err(|error| format!("standard input cannot be read: {error}"))?;
    let text = text.trim();
    Ok(text.strip_prefix("throughline join ").unwrap_or(text).to_owned())
}
