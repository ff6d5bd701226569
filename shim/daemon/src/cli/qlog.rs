//! `throughline qlog`: what QUIC does on the lanes to a peer, in files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::codes::Coded;
use super::daemon::DaemonArgs;
use super::output::{fail, fail_as, print};
use crate::admin::{self, QlogAnswer, QlogAnswers};
use crate::catalogue::Code;
use crate::config::size::bytes;
use crate::qlog::{Bounds, Directory, DirectoryError, LaneFiles, Notice};

/// What follows the options in the help.
const AFTER_HELP: &str = "\
QUIC logs a connection from its beginning on, so the lanes to the peer are replaced first and once more at the end,
one by one and while others carry on; flows do not notice. Files end with .sqlog, one for each lane, and
https://qvis.quictools.info shows them: each packet sent, received and lost, with its number and length, round trips
and the congestion window. No byte of what is carried is in them. Example, at night, in the background:

  systemd-run --collect throughline qlog office --for 12h --out /var/log/throughline-qlog";

/// Whose qlog is written, for how long, and where.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct QlogArgs {
    /// The name of the peer, as `status` shows it
    pub peer: String,
    /// Only lanes over this uplink
    #[arg(long, value_name = "NAME")]
    pub uplink: Option<String>,
    /// For how long, up to 24h; Ctrl-C ends it before
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pub length: Duration,
    /// Where the files go: a directory to which nobody else can write. It is made where there is none
    #[arg(long, value_name = "DIR", default_value = "qlog")]
    pub out: PathBuf,
    /// The most bytes of a file, which ends there
    #[arg(long, value_name = "SIZE", default_value = "64MB", value_parser = size)]
    pub max_file: u64,
    /// The most files
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub max_files: usize,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

/// How long a write that is under way has once somebody wants an end.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// The least bound of a file: its first record and some others.
const MIN_FILE: u64 = 4096;

fn size(text: &str) -> Result<u64, String> {
    let size = bytes(text).ok_or("write a size as 64MB, 1GiB or 100000")?;
    if size < MIN_FILE { Err(format!("a file has {MIN_FILE} bytes at least")) } else { Ok(size) }
}

impl Coded for DirectoryError {
    fn code(&self) -> Code {
        match self {
            Self::Exposed(_) | Self::NotOurs { .. } => Code::DirectoryExposed,
            Self::Io { .. } => Code::NotWritten,
        }
    }
}

/// Why the writing ended.
enum End {
    /// The time is over, or the daemon has ended before.
    Answers,
    /// Somebody wanted it.
    Interrupted,
}

pub(super) async fn execute(args: QlogArgs) -> ExitCode {
    let socket = match args.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    // First: nothing is asked of the daemon where nothing can be written.
    let directory = match Directory::open(&args.out) {
        Ok(directory) => directory,
        Err(error) => return fail(error),
    };
    // Before the daemon's time begins, so that it is not over later than this.
    let began = Instant::now();
    let asked = admin::qlog(&socket, &args.peer, args.uplink.as_deref(), args.length).await;
    let answers = match asked {
        Ok(answers) => answers,
        Err(error) => return fail(error),
    };
    say(&format!(
        "The lanes to {} are replaced and written to {} for {}.",
        args.peer,
        args.out.display(),
        humantime::format_duration(args.length)
    ));
    let bounds = Bounds { file: args.max_file, files: args.max_files };
    let files = LaneFiles::new(directory, &args.peer, bounds);
    match write_all(files, answers).await {
        Ok((files, end)) => {
            if matches!(end, End::Answers) && began.elapsed() < args.length {
                say("The daemon has ended.");
            }
            finish(&files, &args)
        }
        Err(code) => code,
    }
}

/// Writes what comes until there is no more, or a signal ends it.
async fn write_all(
    mut files: LaneFiles,
    mut answers: QlogAnswers,
) -> Result<(LaneFiles, End), ExitCode> {
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        let part = tokio::select! {
            part = answers.next() => part.map_err(fail)?,
            () = &mut interrupted => return Ok((files, End::Interrupted)),
        };
        let Some(part) = part else { return Ok((files, End::Answers)) };
        let mut writing = tokio::task::spawn_blocking(move || write(files, &part));
        let (written, is_last) = tokio::select! {
            written = &mut writing => (written, false),
            // What is under way is written, but a disk that hangs must not keep Ctrl-C from ending this.
            () = &mut interrupted => match tokio::time::timeout(LAST_WRITE, writing).await {
                Ok(written) => (written, true),
                Err(_) => {
                    return Err(fail_as(Code::NotWritten, "the disk does not answer; what is written so far is whole"));
                }
            },
        };
        files = written.map_err(|error| fail_as(Code::Internal, error))??;
        if is_last {
            return Ok((files, End::Interrupted));
        }
    }
}

/// Writes a part and says what is to be known.
fn write(mut files: LaneFiles, part: &QlogAnswer) -> Result<LaneFiles, ExitCode> {
    let notices = files.write(part).map_err(|(path, error)| not_written(&path, &error))?;
    for notice in notices {
        match &notice {
            Notice::Begun { .. } => {
                let _ = print(&notice);
            }
            other => say(&format!("warning: {other}")),
        }
    }
    Ok(files)
}

fn not_written(path: &Path, error: &io::Error) -> ExitCode {
    let path = path.display();
    fail_as(
        Code::NotWritten,
        format!(
            "cannot write {path}: {error}; what is written so far is whole, and nothing more is written"
        ),
    )
}

/// Says what came of it.
fn finish(files: &LaneFiles, args: &QlogArgs) -> ExitCode {
    match files.written() {
        (0, _) => fail_as(
            Code::NothingLogged,
            format!(
                "no lane to {} began meanwhile, so nothing was written; one that the peer dialed is replaced only beside \
                 another",
                args.peer
            ),
        ),
        (count, bytes) => {
            let files = if count == 1 { "file" } else { "files" };
            say(&format!(
                "{count} {files}, {bytes} bytes; https://qvis.quictools.info shows them."
            ));
            ExitCode::SUCCESS
        }
    }
}

/// Says something that is no result.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Waits until somebody wants this process to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
