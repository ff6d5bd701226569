//! `throughline events`: recent events, and with `--follow` those to come.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

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
    /// Show only the last N of the events so far
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub lines: Option<usize>,
    /// Show only events of the last so long, like 90s, 30m or 12h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

pub(super) async fn execute(args: EventsArgs) -> ExitCode {
    let path = match args.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    let (first, mut events) = match ask(&path, &args).await {
        Ok(asked) => asked,
        Err(error) => return fail(error),
    };
    match print_all(&mut events, first, args.json).await {
        Ok(Ok(())) if args.follow => {
            let _ = writeln!(io::stderr(), "The daemon has ended.");
            ExitCode::SUCCESS
        }
        // A reader that went away (`| head`) is not a failure.
        Ok(Ok(()) | Err(_)) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// Asks for the events; returns with them the number of the first that is to be shown.
async fn ask(path: &Path, args: &EventsArgs) -> Result<(u64, EventReader), AdminError> {
    let mut first = 0;
    if args.lines.is_some() || args.since.is_some() {
        let mut recent = Vec::new();
        let mut events = admin::events(path, false).await?;
        while let Some(update) = events.next().await? {
            if let EventUpdate::Event(event) = update {
                recent.push((event.seq, event.time));
            }
        }
        first = first_shown(&recent, args.lines, args.since.and_then(before_now));
    }
    Ok((first, admin::events(path, args.follow).await?))
}

/// Returns the time so long ago; none that the clock can show is everything.
fn before_now(since: Duration) -> Option<SystemTime> {
    #[expect(
        clippy::disallowed_methods,
        reason = "events bear the time of the wall clock, for people"
    )]
    SystemTime::now().checked_sub(since)
}

/// Returns the number of the first of the `recent` events, by number and time, to be shown: of the last so many,
/// and not before a time.
fn first_shown(
    recent: &[(u64, String)],
    lines: Option<usize>,
    not_before: Option<SystemTime>,
) -> u64 {
    let is_too_old = |time: &str| {
        let time = humantime::parse_rfc3339(time);
        not_before.is_some_and(|limit| time.is_ok_and(|time| time < limit))
    };
    let last = &recent[recent.len().saturating_sub(lines.unwrap_or(usize::MAX))..];
    let shown = last.iter().find(|(_, time)| !is_too_old(time));
    let next = || recent.last().map_or(0, |(seq, _)| seq + 1);
    shown.map_or_else(next, |(seq, _)| *seq)
}

/// Prints events from number `first` on until there are no more; the inner error is that of the output.
async fn print_all(
    events: &mut EventReader,
    first: u64,
    json: bool,
) -> Result<io::Result<()>, AdminError> {
    while let Some(update) = events.next().await? {
        if matches!(&update, EventUpdate::Event(event) if event.seq < first) {
            continue;
        }
        if let Err(error) = print_update(&update, json) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn print_update(update: &EventUpdate, json: bool) -> io::Result<()> {
    let line = match update {
        EventUpdate::Event(event) if json => serde_json::to_string(event).unwrap_or_default(),
        EventUpdate::Event(event) => event.to_string(),
        EventUpdate::Missed(missed) if json => format!("{{\"missed\":{missed}}}"),
        EventUpdate::Missed(missed) => {
            format!("({missed} events are not shown: they came faster than they were read)")
        }
    };
    let mut out = io::stdout();
    // Whoever follows wants each line at once, through a pipe too.
    writeln!(out, "{line}").and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_and_the_latest_are_chosen_by_number() {
        let at = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let event = |seq: u64| (seq, humantime::format_rfc3339_millis(at(10 * seq)).to_string());
        let recent: Vec<_> = (3..8).map(event).collect();
        assert_eq!(first_shown(&recent, None, None), 3);
        assert_eq!(first_shown(&recent, Some(2), None), 6);
        assert_eq!(first_shown(&recent, Some(100), None), 3);
        assert_eq!(first_shown(&recent, Some(0), None), 8, "none but those to come");
        assert_eq!(first_shown(&recent, None, Some(at(45))), 5);
        assert_eq!(first_shown(&recent, Some(1), Some(at(45))), 7);
        assert_eq!(first_shown(&recent, None, Some(at(1000))), 8);
        assert_eq!(first_shown(&[], Some(5), None), 0);
    }
}
