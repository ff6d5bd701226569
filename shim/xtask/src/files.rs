//! The text files of the repository.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Folders that hold what is built, downloaded or kept by tools.
const SKIPPED: [&str; 6] = ["target", ".git", ".venv", "venv", "__pycache__", "node_modules"];

/// Returns the files below `root` with one of `extensions`: name relative to `root`, and text.
pub fn with_extension(root: &Path, extensions: &[&str]) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let read = |source| Error::Read { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if extensions.contains(&extension.as_str()) {
                let text = std::fs::read_to_string(&path);
                let text = text.map_err(|source| Error::Read { path: path.clone(), source })?;
                found.push((path.strip_prefix(root).unwrap_or(&path).to_owned(), text));
            }
        }
    }
    found.sort();
    Ok(found)
}
