//! What is wrong in a configuration: which file, where, what, and how to mend it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is wrong in a configuration. Its text is for a person, with the line it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    place: Option<Place>,
    message: String,
}

/// A place in the text, counted from 1, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    width: usize,
    text: String,
}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let message = format!(
            "The configuration file cannot be read: {error}; give the path of one (docs/CONFIG.md \
             has all that may be in it)."
        );
        Self { file: file.to_owned(), place: None, message }
    }

    /// An error about the bytes `span` of `text`; nothing where it is about the whole.
    pub(super) fn at(file: &Path, text: &str, span: Option<Range<usize>>, message: String) -> Self {
        let place = span.map(|span| Place::find(text, span));
        Self { file: file.to_owned(), place, message }
    }

    /// The sentence that says what is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line and the column it is about, counted from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|place| (place.line, place.column))
    }
}

impl Place {
    fn find(text: &str, span: Range<usize>) -> Self {
        let start = char_boundary(text, span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[line_start..].lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count();
        let width = text[start..char_boundary(text, span.end).max(start)].lines().next();
        let width = width.map_or(0, |marked| marked.trim_end().chars().count());
        Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            width: width.max(1),
            text: line_text.to_owned(),
        }
    }
}

/// The start of the character at byte `at`, or the end.
fn char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        let Some(Place { line, column, width, text }) = &self.place else {
            return write!(f, "{file}: {}", self.message);
        };
        let margin = line.to_string().len();
        writeln!(f, "{file}:{line}:{column}: {}", self.message)?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{line} | {text}")?;
        write!(f, "{:margin$} | {:indent$}{}", "", "", "^".repeat(*width), indent = column - 1)
    }
}

impl std::error::Error for ConfigError {}
