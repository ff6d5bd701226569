//! `throughline events`: recent events, and with `--follow` those to come.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::daemon::DaemonArgs;
use super::output::fail;
use crate::admin::{self, AdminError, EventReader, EventUpdate};

/// Which events, of which daemon, in which form.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Continue with new events until the daemon ends
    #[arg(short, long)]
    pub follow: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

pub(super) async fn execute(args: EventsArgs) -> ExitCode {
    let path = match args.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    let mut events = match admin::events(&path, args.follow).await {
        Ok(events) => events,
        Err(error) => return fail(error),
    };
    match print_all(&mut events, args.json).await {
        Ok(Ok(())) if args.follow => {
            let _ = writeln!(io::stderr(), "The daemon has ended.");
            ExitCode::SUCCESS
        }
        // A reader that went away (`| head`) is not a failure.
        Ok(Ok(()) | Err(_)) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// Prints events until there are no more; the inner error is that of the output.
async fn print_all(events: &mut EventReader, json: bool) -> Result<io::Result<()>, AdminError> {
    let mut out = io::stdout();
    while let Some(update) = events.next().await? {
        let line = match &update {
            EventUpdate::Event(event) if json => serde_json::to_string(event).unwrap_or_default(),
            EventUpdate::Event(event) => event.to_string(),
            EventUpdate::Missed(missed) if json => format!("{{\"missed\":{missed}}}"),
            EventUpdate::Missed(missed) => {
                format!("({missed} events are not shown: they came faster than they were read)")
            }
        };
        // Whoever follows wants each line at once, through a pipe too.
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}
