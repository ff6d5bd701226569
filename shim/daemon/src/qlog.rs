//! Files of qlog: one for each lane, in a directory that nobody else can write to.
//!
//! ```text
//!  parts of the admin socket ──▶ LaneFiles ──▶ LaneFile, by connection    each bounded; so are all together
//!                                    └── Directory                        checked once, then kept open
//! ```
//!
//! A file has whole records at every moment, so that it is valid whenever it ends: at its bound, with a full disk, or
//! because the program was killed. All of this blocks: it is for a thread of its own.

mod directory;
mod files;
mod header;
mod lane_file;

pub(crate) use self::directory::{Directory, DirectoryError};
pub(crate) use self::files::{Bounds, LaneFiles, Notice};
