//! Errors in a configuration: the file, the position, what is wrong and how to correct it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::catalogue::Code;

/// An error in a configuration. Its text is a full sentence, with the line that it points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    code: Code,
    file: PathBuf,
    position: Option<Position>,
    message: String,
}

/// A position in the text, counted from 1, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
    width: usize,
    text: String,
}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let message = format!(
            "The configuration file cannot be read: {error}; check the path (docs/CONFIG.md \
             describes the file)."
        );
        Self { code: Code::ConfigUnreadable, file: file.to_owned(), position: None, message }
    }

    /// Creates an error about the bytes `span` of `text`, or about the whole file.
    pub(super) fn at(
        code: Code,
        file: &Path,
        text: &str,
        span: Option<Range<usize>>,
        message: String,
    ) -> Self {
        let position = span.map(|span| Position::find(text, span));
        Self { code, file: file.to_owned(), position, message }
    }

    /// Returns the kind of the error in the catalogue.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the sentence that says what is wrong, without the position.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the line and the column that the error points at, counted from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.position.as_ref().map(|position| (position.line, position.column))
    }
}

impl Position {
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

/// Returns the start of the character at byte `at`, or the end of the text.
fn char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        let Some(Position { line, column, width, text }) = &self.position else {
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
