//! The exceptions that docs/GLOSSARY.md makes.

use std::path::Path;

/// Words that are kept in some place.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    /// Word and the beginning of the files' names it is kept in.
    rows: Vec<(String, String)>,
}

impl Exceptions {
    /// Reads the table below the heading `## Exceptions`: word, place, reason. A row without a
    /// reason counts for nothing.
    pub(super) fn parse(glossary: &str) -> Self {
        let lines = glossary.lines().skip_while(|line| *line != "## Exceptions").skip(1);
        let section = lines.take_while(|line| !line.starts_with("## "));
        let rows = section.filter_map(|line| {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            match cells[..] {
                ["", word, place, reason, ""] if !reason.is_empty() => {
                    Some((word.to_owned(), place.to_owned()))
                }
                _ => None,
            }
        });
        Self { rows: rows.collect() }
    }

    /// Whether `word` is kept in `file`.
    pub(super) fn allow(&self, word: &str, file: &Path) -> bool {
        let file = file.to_string_lossy();
        let is_kept = |(kept, place): &(String, String)| {
            kept.eq_ignore_ascii_case(word) && file.starts_with(place.as_str())
        };
        self.rows.iter().any(is_kept)
    }
}
