//! `throughline events`: what happened, a line for each.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::{AdminArgs, fail};
use crate::admin::{self, EventReader, Told};

/// Which events, of which daemon, in which form.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: AdminArgs,
}

pub(super) async fn show(args: EventsArgs) -> ExitCode {
    let path = match args.daemon.path() {
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
        // A reader that went away (`| head`) is no failure of ours.
        Ok(Ok(()) | Err(_)) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

async fn print_all(
    events: &mut EventReader,
    json: bool,
) -> Result<io::Result<()>, admin::AdminError> {
    let mut out = io::stdout();
    while let Some(told) = events.next().await? {
        let line = match &told {
            Told::Event(event) if json => serde_json::to_string(event).unwrap_or_default(),
            Told::Event(event) => event.to_string(),
            Told::Missed(missed) if json => format!("{{\"missed\":{missed}}}"),
            Told::Missed(missed) => format!("({missed} events came too fast and are not shown)"),
        };
        // Lines are for whoever watches: each at once, into a pipe as well.
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}
