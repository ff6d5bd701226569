//! Two daemons as programs, whose configurations are written anew and reloaded.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use throughline_daemon::admin::{self, ReloadAnswer};
use throughline_daemon::report::{LaneReport, Report, SessionReport};
use throughline_emulator::Profile;
use throughline_fixture::{Outcome, ProgramPair, Shape, until};

/// The round-trip time of either ISP.
const RTT: Duration = Duration::from_millis(20);

/// What has not changed for so long does not change by itself.
const SETTLED: Duration = Duration::from_secs(1);

/// Two daemons and the texts of their configurations.
pub(crate) struct Site {
    pub(crate) pair: ProgramPair,
    pub(crate) near: Text,
    pub(crate) far: Text,
}

/// The text of a configuration, as it was at first.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    path: PathBuf,
    /// What precedes the first table.
    head: String,
    tables: String,
}

impl Site {
    /// Starts both; the near one has these further tables. Their lanes do not change any more by themselves: a
    /// dial too many at the start has gone.
    pub(crate) async fn start(near_tables: &str) -> Outcome<Self> {
        // Two cores that run everything keep up with it.
        let shape = Shape { profile: Profile::new(50_000_000, RTT / 2), ..Shape::default() };
        let program = Path::new(env!("CARGO_BIN_EXE_throughline"));
        let pair = ProgramPair::start_program(program, shape, near_tables, &[])?;
        let text = |name: &str| Text::read(pair.directory().join(name));
        let (near, far) = (text("near.toml")?, text("far.toml")?);
        let site = Self { pair, near, far };
        site.settle().await?;
        Ok(site)
    }

    async fn settle(&self) -> Outcome {
        let (mut last, mut since) = (Vec::new(), Instant::now());
        let settled = until(async || {
            let (Ok(near), Ok(far)) = (self.session("near").await, self.session("far").await)
            else {
                return false;
            };
            let now = lane_ids(&near);
            if now != last {
                (last, since) = (now.clone(), Instant::now());
            }
            now == lane_ids(&far) && since.elapsed() > SETTLED
        });
        match settled.await {
            true => Ok(()),
            false => Err(format!("the lanes never settle: {last:?}").into()),
        }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.pair.directory().join(name).with_extension("sock")
    }

    /// Has a daemon reload.
    pub(crate) async fn reload(&self, name: &str) -> Outcome<ReloadAnswer> {
        Ok(admin::reload(&self.socket(name), false).await?)
    }

    /// Has a daemon say what would change.
    pub(crate) async fn dry_run(&self, name: &str) -> Outcome<ReloadAnswer> {
        Ok(admin::reload(&self.socket(name), true).await?)
    }

    /// Returns the state of a daemon.
    pub(crate) async fn status(&self, name: &str) -> Outcome<Report> {
        Ok(admin::status(&self.socket(name)).await?)
    }

    /// Returns the one session of a daemon with its first peer.
    pub(crate) async fn session(&self, name: &str) -> Outcome<SessionReport> {
        let report = self.status(name).await?;
        let sessions = report.peers.iter().flat_map(|peer| &peer.sessions).cloned();
        let mut sessions: Vec<_> = sessions.collect();
        match sessions.len() {
            1 => Ok(sessions.remove(0)),
            count => Err(format!("{count} sessions:\n{report}").into()),
        }
    }

    /// Waits until the lanes of the near daemon are as `holds` says.
    pub(crate) async fn until_lanes(
        &self,
        what: &str,
        holds: impl Fn(&[LaneReport]) -> bool,
    ) -> Outcome {
        let held = until(async || self.session("near").await.is_ok_and(|s| holds(&s.lanes))).await;
        match held {
            true => Ok(()),
            false => Err(format!("not {what}:\n{}", self.status("near").await?).into()),
        }
    }
}

impl Text {
    fn read(path: PathBuf) -> Outcome<Self> {
        let text = std::fs::read_to_string(&path)?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let first = lines.iter().position(|line| line.starts_with('[')).unwrap_or(lines.len());
        let (head, tables) = (lines[..first].join("\n"), lines[first..].join("\n"));
        Ok(Self { path, head, tables })
    }

    /// Returns it with a line before the first table.
    pub(crate) fn field(&self, line: &str) -> Self {
        let mut text = self.clone();
        let _ = write!(text.head, "\n{line}");
        text
    }

    /// Returns it with further tables.
    pub(crate) fn table(&self, table: &str) -> Self {
        let mut text = self.clone();
        let _ = write!(text.tables, "\n{table}\n");
        text
    }

    /// Returns it with each `from` replaced, which is there.
    pub(crate) fn replace(&self, from: &str, to: &str) -> Self {
        assert!(self.whole().contains(from), "{from} is not in\n{}", self.whole());
        let (head, tables) = (self.head.replace(from, to), self.tables.replace(from, to));
        Self { head, tables, ..self.clone() }
    }

    /// Returns all of it.
    pub(crate) fn whole(&self) -> String {
        format!("{}\n{}", self.head, self.tables)
    }

    /// Writes it to its file.
    pub(crate) fn write(&self) -> Outcome {
        Ok(std::fs::write(&self.path, self.whole())?)
    }
}

/// Returns the numbers of the lanes, in order.
pub(crate) fn lane_ids(session: &SessionReport) -> Vec<u64> {
    session.lanes.iter().map(|lane| lane.id).collect()
}
