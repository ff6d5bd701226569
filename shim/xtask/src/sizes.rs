//! How long the files are: one idea each, near 200 lines.

use std::path::PathBuf;

/// What half of the files are at most as long as.
pub const MEDIAN_LINES: usize = 200;

/// From what length on a file is named.
pub const LONG_LINES: usize = 500;

/// The lengths of the Rust files.
#[derive(Debug)]
pub struct Sizes {
    /// The length that half of the files do not exceed.
    pub median: usize,
    /// The files above [`LONG_LINES`], longest first.
    pub long: Vec<(usize, PathBuf)>,
}

/// Measures `files` (name and text); none if there are none.
pub fn of<'a>(files: impl Iterator<Item = (&'a PathBuf, &'a str)>) -> Option<Sizes> {
    let mut lengths: Vec<(usize, &PathBuf)> =
        files.map(|(file, text)| (text.lines().count(), file)).collect();
    lengths.sort();
    let median = lengths.get(lengths.len() / 2)?.0;
    let long = lengths.iter().rev().take_while(|(lines, _)| *lines > LONG_LINES);
    Some(Sizes { median, long: long.map(|(lines, file)| (*lines, (*file).clone())).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_long_files_are_found() {
        let files: Vec<(PathBuf, String)> = [10, 700, 20, 501, 500]
            .into_iter()
            .map(|lines| (format!("{lines}.rs").into(), "x\n".repeat(lines)))
            .collect();
        let sizes = of(files.iter().map(|(file, text)| (file, text.as_str()))).unwrap();
        assert_eq!(sizes.median, 500);
        assert_eq!(sizes.long, [(700, "700.rs".into()), (501, "501.rs".into())]);
        assert!(of([].into_iter()).is_none());
    }
}
