//! The configuration file of a command that needs one.

use std::path::{Path, PathBuf};

use clap::Args;

/// The configuration file, given either way: by itself or after `-c`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct FileArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub positional: Option<PathBuf>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl FileArgs {
    /// Returns the file.
    pub fn file(&self) -> &Path {
        let given = self.config.as_deref().or(self.positional.as_deref());
        // clap sees to it that one of them is given.
        given.unwrap_or(Path::new(""))
    }
}
