//! The file that says where the lanes of peers come from: a line for each, of the peer, our address and its
//! address. It is replaced as a whole, so that a crash leaves the former one.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use throughline_proto::types::PeerId;

/// The most lanes that are kept, and told: notices to more would be a burst of their own.
const MAX_PLACES: usize = 4096;

/// The longest file that is read: each line has 58 bytes of key and two addresses of at most 58.
const MAX_BYTES: u64 = 1 << 20;

/// Where a lane comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LanePlace {
    pub(crate) peer: PeerId,
    /// Our address, to which it leads.
    pub(crate) local: SocketAddr,
    /// The peer's address, outside of its NAT.
    pub(crate) remote: SocketAddr,
}

impl LanePlace {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let place = Self {
            peer: fields.next()?.parse().ok()?,
            local: fields.next()?.parse().ok()?,
            remote: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(place)
    }

    fn line(&self) -> String {
        format!("{} {} {}\n", self.peer, self.local, self.remote)
    }
}

/// The file, and the lanes of an earlier process that are not settled yet.
#[derive(Debug)]
pub(crate) struct LaneFile {
    path: PathBuf,
    former: Mutex<Vec<LanePlace>>,
    former_shrunk: Notify,
    /// What the file holds, as far as we know.
    written: Mutex<Option<BTreeSet<String>>>,
    failed: AtomicBool,
}

impl LaneFile {
    /// Reads what an earlier process left; a file that is not there, or makes no sense, is empty.
    pub(crate) fn open(path: PathBuf) -> Self {
        let text = read(&path).unwrap_or_default();
        let former = text.lines().filter_map(LanePlace::parse).take(MAX_PLACES).collect();
        Self {
            path,
            former: Mutex::new(former),
            former_shrunk: Notify::new(),
            written: Mutex::new(None),
            failed: AtomicBool::new(false),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the lanes of an earlier process whose other ends may not know that it ended.
    pub(super) fn former(&self) -> Vec<LanePlace> {
        self.former.lock().clone()
    }

    pub(super) fn retain_former(&self, keep: impl FnMut(&LanePlace) -> bool) {
        let mut former = self.former.lock();
        let before = former.len();
        former.retain(keep);
        if former.len() < before {
            self.former_shrunk.notify_one();
        }
    }

    /// Completes when lanes of an earlier process are settled, so that the file is to be written without them.
    /// Cancel-safe, for one who waits.
    pub(super) async fn former_shrunk(&self) {
        self.former_shrunk.notified().await;
    }

    /// Returns whether the file could be written until now.
    pub(super) fn is_news(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    /// Writes these lanes, and those of an earlier process that are not settled: this one may crash, too.
    pub(super) fn write(&self, places: &[LanePlace]) -> io::Result<()> {
        let former = self.former();
        let all = places.iter().chain(&former).take(MAX_PLACES);
        let lines: BTreeSet<String> = all.map(LanePlace::line).collect();
        let mut written = self.written.lock();
        if written.as_ref() == Some(&lines) {
            return Ok(());
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let text: String = lines.iter().map(String::as_str).collect();
        options.open(&beside)?.write_all(text.as_bytes())?;
        fs::rename(&beside, &self.path)?;
        *written = Some(lines);
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn place(port: u16) -> LanePlace {
        LanePlace {
            peer: Identity::generate().peer_id(),
            local: "[2001:db8::1]:5443".parse().unwrap(),
            remote: SocketAddr::new([192, 0, 2, 1].into(), port),
        }
    }

    #[test]
    fn what_is_written_is_read_by_the_next_process_which_keeps_it_until_it_is_settled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lanes");
        let (one, two) = (place(1), place(2));
        LaneFile::open(path.clone()).write(&[one, one]).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let next = LaneFile::open(path.clone());
        assert_eq!(next.former(), [one]);
        next.write(&[two]).unwrap();
        assert_eq!(LaneFile::open(path.clone()).former().len(), 2, "one may not know yet");
        next.retain_former(|place| *place != one);
        next.write(&[two]).unwrap();
        assert_eq!(LaneFile::open(path).former(), [two]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_read_as_far_as_it_does_and_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lanes");
        assert!(LaneFile::open(path.clone()).former().is_empty());
        let good = place(1);
        let line = good.line();
        fs::write(&path, format!("nonsense\n\n{line}{} more\n{}", line.trim(), &line[..60]))
            .unwrap();
        assert_eq!(LaneFile::open(path.clone()).former(), [good]);
        fs::write(&path, [0xff; 100]).unwrap();
        assert!(LaneFile::open(path.clone()).former().is_empty());
        fs::write(&path, line.repeat(2 * MAX_PLACES)).unwrap();
        assert_eq!(LaneFile::open(path.clone()).former().len(), MAX_PLACES);
        let many = (0..u16::MAX)
            .take(2 * MAX_PLACES)
            .map(|port| LanePlace { remote: SocketAddr::new([192, 0, 2, 1].into(), port), ..good });
        LaneFile::open(directory.path().join("other")).write(&many.collect::<Vec<_>>()).unwrap();
        let kept = LaneFile::open(directory.path().join("other")).former().len();
        assert_eq!(kept, MAX_PLACES);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_and_news_once() {
        let file = LaneFile::open("/nonexistent/lanes".into());
        file.write(&[]).unwrap_err();
        assert!(file.is_news() && !file.is_news());
    }
}
