//! The file of one lane: whole records, up to a bound.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::header;

/// What is left below the bound for the record that says so.
const FOR_THE_END: u64 = 512;

/// A file that grows by whole records.
#[derive(Debug)]
pub(super) struct LaneFile {
    file: File,
    path: PathBuf,
    length: u64,
    bound: u64,
    is_at_bound: bool,
}

impl LaneFile {
    pub(super) fn new((file, path): (File, PathBuf), bound: u64) -> Self {
        Self { file, path, length: 0, bound, is_at_bound: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes records, as many as there is room for; returns whether the file has ended at its bound with them.
    ///
    /// # Errors
    /// The system's. The file ends with the last record that it took.
    pub(super) fn append(&mut self, records: &str) -> io::Result<bool> {
        if self.is_at_bound {
            return Ok(false);
        }
        let room = self.bound.saturating_sub(self.length + FOR_THE_END);
        if records.len() as u64 <= room {
            self.write(records)?;
            return Ok(false);
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let end = records.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n');
        let fitting = &records[..end.map_or(0, |end| end + 1)];
        self.is_at_bound = true;
        self.write(fitting)?;
        let bound = self.bound;
        let remark = format!("the file has reached its bound of {bound} bytes and ends here");
        self.write(&header::remark(fitting, &remark))?;
        Ok(true)
    }

    /// Notes in the file that records are missing after these.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn note_gap(&mut self, records: &str, dropped: u64) -> io::Result<bool> {
        self.append(&header::remark(records, &format!("{dropped} events are missing here")))
    }

    /// Writes whole records or, where the system does not take all, none of them.
    fn write(&mut self, records: &str) -> io::Result<()> {
        match self.file.write_all(records.as_bytes()) {
            Ok(()) => {
                self.length += records.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_at_bound = true;
                // A full disk gives room back; and if it does not, the last record is the one that is broken.
                let _ = self.file.set_len(self.length);
                Err(error)
            }
        }
    }
}
