//! Changes to a configuration file that somebody may have written by hand, and may be changing in this moment.
//!
//! All that is changed is one section, between two lines that mark it; every other byte stays as it is. A section that
//! is not as it was left belongs to whoever changed it.

pub(crate) mod server;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use throughline::PeerId;

/// What begins and ends a section that is not finished yet; the peer's name follows.
const BEGIN: &str = "# >>> an invitation of `throughline invite`, which finishes or removes it: ";
const END: &str = "# <<< the end of it: ";

/// What stands in it when the peer has joined.
const JOINED: &str = "# it has joined\n";

/// Why a configuration cannot be changed.
#[derive(Debug, Error)]
pub(crate) enum EditError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the section of `{0}` was changed by somebody else, and is left alone")]
    Changed(String),
    #[error(
        "another `throughline invite` waits for this configuration, or a `join` adds to it; end that first"
    )]
    Locked,
}

/// A section of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) key: PeerId,
    /// The one-time key, while what was begun by it is to go on.
    pub(crate) once: Option<PeerId>,
    pub(crate) allow: Vec<String>,
    /// Whether it is no mere invitation any more.
    pub(crate) joined: bool,
}

impl Section {
    /// Returns the section as it stands in a file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("[peers.{}]\nkey = \"{}\"\n", self.name, self.key);
        if let Some(once) = &self.once {
            text += &format!("keys = [\"{once}\"]\n");
        }
        let hint = if self.allow.is_empty() {
            "  # what it may reach through us, like [\"localhost:22\"]"
        } else {
            ""
        };
        text + &format!("allow = {:?}{hint}\n", self.allow)
    }

    fn marked(&self) -> String {
        let joined = if self.joined { JOINED } else { "" };
        format!("{BEGIN}{name}\n{joined}{}{END}{name}\n", self.text(), name = self.name)
    }

    /// Returns the text with this section at its end.
    pub(crate) fn appended_to(&self, text: &str) -> String {
        let line = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        format!("{text}{line}\n{}", self.marked())
    }

    /// Returns the text with another one in the place of this one, not marked any more where that `is_done`; or with
    /// nothing in its place.
    pub(crate) fn replaced(
        &self,
        text: &str,
        by: Option<(&Self, bool)>,
    ) -> Result<String, EditError> {
        let by = match by {
            Some((section, true)) => section.text(),
            Some((section, false)) => section.marked(),
            None => String::new(),
        };
        // With the empty line that was put before it.
        let ours = format!("\n{}", self.marked());
        let (before, after) =
            text.split_once(&ours).ok_or_else(|| EditError::Changed(self.name.clone()))?;
        let line = if by.is_empty() { "" } else { "\n" };
        Ok(format!("{before}{line}{by}{after}"))
    }
}

/// Returns the text without what invitations and drills have left that were killed: a peer that has not joined goes; one
/// that has stays, with what it may reach. What somebody has changed since stays as well.
pub(crate) fn tidied(text: &str) -> String {
    let mut rest = server::without_drills(text);
    let mut from = 0;
    while let Some(begin) = rest[from..].find(BEGIN).map(|at| from + at) {
        from = begin + BEGIN.len();
        let name = rest[from..].lines().next().unwrap_or_default();
        let end = format!("{END}{name}\n");
        let Some(section) =
            rest[begin..].find(&end).and_then(|at| left(&rest[begin..begin + at + end.len()]))
        else {
            continue;
        };
        let is_invitation = section.allow.len() == 1 && is_meeting(section.allow.first());
        if !section.joined && !is_invitation {
            continue;
        }
        let mut finished = Section { once: None, ..section.clone() };
        finished.allow.retain(|allow| !is_meeting(Some(allow)));
        if let Ok(next) = section.replaced(&rest, section.joined.then_some((&finished, true))) {
            rest = next;
            from = begin.saturating_sub(1);
        }
    }
    rest
}

/// Returns the section that a marked text is, if nobody has changed it.
fn left(marked: &str) -> Option<Section> {
    let table: toml::Table = toml::from_str(marked).ok()?;
    let (name, peer) = table.get("peers")?.as_table()?.iter().next()?;
    let texts = |field: &str| -> Option<Vec<String>> {
        peer.get(field)?.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let section = Section {
        name: name.clone(),
        key: peer.get("key")?.as_str()?.parse().ok()?,
        once: texts("keys").and_then(|keys| keys.first()?.parse().ok()),
        allow: texts("allow")?,
        joined: marked.contains(JOINED),
    };
    (section.marked() == marked).then_some(section)
}

/// Returns whether this is where an invitation waits: a port of loopback.
fn is_meeting(allow: Option<&String>) -> bool {
    allow.is_some_and(|allow| allow.starts_with("127.0.0.1:"))
}

/// Keeps every other invitation away from the configurations of a directory, as long as it lives; also after its
/// process was killed nothing of it remains.
pub(crate) struct Lock(#[expect(dead_code, reason = "it holds the lock")] File);

impl Lock {
    pub(crate) fn of(file: &Path) -> Result<Self, EditError> {
        let file = fs::canonicalize(file)?;
        let directory = File::open(file.parent().unwrap_or(Path::new("/")))?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(directory)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(EditError::Locked),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

/// Returns whether this user can put another text in the place of a file's: by a file beside it.
///
/// # Errors
/// The system's, where it cannot.
pub(crate) fn is_replaceable(file: &Path) -> io::Result<()> {
    beside(&fs::canonicalize(file)?, "").map(drop)
}

/// Puts a text in the place of a file's, which at no moment is half of each; owner and mode stay.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    // What a link leads to, and not the link.
    let file = fs::canonicalize(file)?;
    beside(&file, text)?.persist(&file)?;
    Ok(())
}

/// Writes a text into a new file beside `file`, with its owner and mode.
fn beside(file: &Path, text: &str) -> io::Result<tempfile::NamedTempFile> {
    let present = fs::metadata(file)?;
    let mut next = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new("/")))?;
    next.write_all(text.as_bytes())?;
    // Not flushed to the disk, which may take a minute where it is busy: file systems do so themselves where a file is
    // replaced by a rename.
    // The mode last: nobody but the owner reads it before it has its group.
    chown(next.path(), Some(present.uid()), Some(present.gid()))?;
    fs::set_permissions(next.path(), present.permissions())?;
    Ok(next)
}

#[cfg(test)]
mod tests;
