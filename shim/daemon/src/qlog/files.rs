//! The files of all lanes whose qlog is written, within their bounds.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use time::OffsetDateTime;

use super::directory::Directory;
use super::header;
use super::lane_file::LaneFile;
use crate::admin::QlogAnswer;

/// What the name of a file ends with, by which qvis knows the form: qlog in JSON text sequences.
const ENDING: &str = "sqlog";

/// The characters that the name of a file has of the name of a peer or an uplink.
const MAX_NAME: usize = 40;

/// The bytes that are held of a dial until it is a lane or has failed: a handshake has some ten thousand.
const MAX_HELD: usize = 128 << 10;

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The bytes of a file.
    pub(crate) file: u64,
    /// The files.
    pub(crate) files: usize,
}

/// What whoever asked is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A file was begun.
    Begun {
        /// The lane, and over which uplink.
        lane: String,
        /// The file.
        path: PathBuf,
    },
    /// A file has reached its bound; nothing more of this lane is written.
    AtBound(PathBuf),
    /// There are as many files as there may be; nothing of this lane is written.
    NoMoreFiles(String),
    /// Dials that failed have as many files as they may have; others get none. Once.
    NoMoreDials(usize),
    /// Records are missing in a file, since they came faster than they were written.
    Dropped(PathBuf, u64),
    /// A connection ended and was never a lane.
    NeverUp(PathBuf),
}

/// The files of lanes to a peer.
#[derive(Debug)]
pub(crate) struct LaneFiles {
    directory: Directory,
    peer: String,
    bounds: Bounds,
    /// By connection; none where there were too many.
    open: BTreeMap<u64, Option<LaneFile>>,
    /// Dials under way, by connection, with what they have logged.
    dials: BTreeMap<u64, QlogAnswer>,
    files: usize,
    /// How many dials have failed: while an ISP is down for hours they must not use up the files of the lanes that come
    /// after it.
    failed: usize,
    bytes: u64,
}

impl LaneFiles {
    /// Returns those of lanes to `peer`, in `directory`: none yet.
    pub(crate) fn new(directory: Directory, peer: &str, bounds: Bounds) -> Self {
        Self {
            directory,
            peer: peer.to_owned(),
            bounds,
            open: BTreeMap::new(),
            dials: BTreeMap::new(),
            files: 0,
            failed: 0,
            bytes: 0,
        }
    }

    /// Returns how many there are, and their bytes.
    pub(crate) fn written(&self) -> (usize, u64) {
        let open = self.open.values().flatten().map(LaneFile::length);
        (self.files, self.bytes + open.sum::<u64>())
    }

    /// Writes a part, and says what is to be known of that.
    ///
    /// # Errors
    /// The system's, with the file. What was written before is whole.
    pub(crate) fn write(&mut self, part: &QlogAnswer) -> Result<Vec<Notice>, (PathBuf, io::Error)> {
        let mut notices = Vec::new();
        let connection = part.connection;
        if !self.open.contains_key(&connection) {
            if let Some(whole) = self.until_known(part)
                && self.has_room_for(&whole, &mut notices)
            {
                self.begin(&whole, &mut notices)?;
            }
        } else if let Some(file) = self.open.get_mut(&connection).and_then(Option::as_mut) {
            append(file, &part.records, part.dropped, &mut notices)?;
        }
        if part.is_last
            && let Some(Some(file)) = self.open.remove(&connection)
        {
            self.bytes += file.length();
            if !part.is_up {
                notices.push(Notice::NeverUp(file.path().to_owned()));
            }
        }
        Ok(notices)
    }

    /// Returns what a connection has logged until now once it is known whether it is a lane.
    fn until_known(&mut self, part: &QlogAnswer) -> Option<QlogAnswer> {
        let mut whole = part.clone();
        if let Some(before) = self.dials.remove(&part.connection) {
            whole.records = before.records + &whole.records;
        }
        let is_known = whole.is_up || whole.is_last || whole.dropped > 0;
        if is_known || whole.records.len() >= MAX_HELD {
            return Some(whole);
        }
        self.dials.insert(part.connection, whole);
        None
    }

    /// Returns whether a connection may have a file: half of them at the most are of dials that failed.
    fn has_room_for(&mut self, part: &QlogAnswer, notices: &mut Vec<Notice>) -> bool {
        if part.is_up || !part.is_last {
            return true;
        }
        let most = self.bounds.files / 2;
        self.failed = self.failed.saturating_add(1);
        if self.failed == most + 1 {
            notices.push(Notice::NoMoreDials(most));
        }
        self.failed <= most
    }

    /// Begins the file of a connection with its first part.
    fn begin(
        &mut self,
        part: &QlogAnswer,
        notices: &mut Vec<Notice>,
    ) -> Result<(), (PathBuf, io::Error)> {
        let over = part.uplink.as_deref().map_or_else(String::new, |name| format!(" over {name}"));
        let lane = format!("l{}{over}", part.lane);
        if self.files >= self.bounds.files {
            self.open.insert(part.connection, None);
            notices.push(Notice::NoMoreFiles(lane));
            return Ok(());
        }
        let name = file_name(&self.peer, part);
        let created = self.directory.create(&name, ENDING);
        let created = created.map_err(|error| (PathBuf::from(name), error))?;
        self.files += 1;
        notices.push(Notice::Begun { lane, path: created.1.clone() });
        let mut file = LaneFile::new(created, self.bounds.file);
        let first = part.records.find('\n').map_or(part.records.len(), |end| end + 1);
        let (first, others) = part.records.split_at(first);
        let records = header::complete(first, &self.peer, part) + others;
        let written = append(&mut file, &records, part.dropped, notices);
        self.open.insert(part.connection, Some(file));
        written
    }
}

fn append(
    file: &mut LaneFile,
    records: &str,
    dropped: u64,
    notices: &mut Vec<Notice>,
) -> Result<(), (PathBuf, io::Error)> {
    let path = file.path().to_owned();
    let failed = |error| (path.clone(), error);
    let mut is_at_bound = file.append(records).map_err(failed)?;
    if dropped > 0 {
        is_at_bound |= file.note_gap(records, dropped).map_err(failed)?;
        notices.push(Notice::Dropped(path.clone(), dropped));
    }
    if is_at_bound {
        notices.push(Notice::AtBound(path));
    }
    Ok(())
}

/// Returns the name of a lane's file. Only this host chooses what it is made of: its names for the peer and the uplink,
/// the lane's number and its own clock.
fn file_name(peer: &str, part: &QlogAnswer) -> String {
    let nanos = i128::from(part.began_ms) * 1_000_000;
    let began = OffsetDateTime::from_unix_timestamp_nanos(nanos);
    let began = began.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let date = began.date();
    let stamp = format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        began.hour(),
        began.minute(),
        began.second()
    );
    let (peer, uplink) = (plain(peer), plain(part.uplink.as_deref().unwrap_or("no-uplink")));
    format!("{peer}-{uplink}-l{}-{stamp}", part.lane)
}

/// Returns a name as a part of that of a file: without separators, leading dots, or what a shell takes apart.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    let plain: String = plain.take(MAX_NAME).collect();
    plain.trim_start_matches(['.', '-']).to_owned()
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { lane, path } => write!(f, "{lane}: {}", path.display()),
            Self::AtBound(path) => write!(
                f,
                "{} has reached its bound and has ended, whole; --max-file sets another",
                path.display()
            ),
            Self::NoMoreFiles(lane) => write!(
                f,
                "{lane} has no file, since there are as many as there may be; --max-files sets another bound"
            ),
            Self::NoMoreDials(most) => write!(
                f,
                "dials that failed have {most} files, half of those that there may be; other such dials get none, and \
                 --max-files sets another bound"
            ),
            Self::Dropped(path, count) => write!(
                f,
                "{count} events are missing in {}, since they came faster than they were written; the file says where",
                path.display()
            ),
            Self::NeverUp(path) => {
                write!(
                    f,
                    "{} is of a dial of which no lane came: it failed, or another was first",
                    path.display()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
