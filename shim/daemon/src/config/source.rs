//! The text of a configuration file, and the values in it with their positions.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::error::ConfigError;
use super::raw::{OneOrMany, SpannedList, SpannedText, Tables};
use crate::catalogue::Code;
use crate::sentence::sentence;

/// A configuration file: its path and its text, for errors that point into it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

/// A value as it is written, and its position in the text.
pub(super) type Located<'a> = (&'a str, Range<usize>);

/// Returns the entries of named tables in the order of the file.
pub(super) fn in_order<T>(tables: &Tables<T>) -> impl Iterator<Item = (&Spanned<String>, &T)> {
    let mut entries: Vec<_> = tables.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries.into_iter()
}

/// Returns a value and its position.
pub(super) fn located(word: &SpannedText) -> Located<'_> {
    (word.get_ref().0.as_str(), word.span())
}

/// Returns the values of a list, or the only one; none if there is no list.
pub(super) fn located_list(list: Option<&SpannedList>) -> Vec<Located<'_>> {
    match list.map(|list| (list.get_ref(), list.span())) {
        None => Vec::new(),
        Some((OneOrMany::One(one), span)) => vec![(one.0.as_str(), span)],
        Some((OneOrMany::Many(many), _)) => many.iter().map(located).collect(),
    }
}

impl Source<'_> {
    /// Returns an error about the text at `span`.
    pub(super) fn error(
        &self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError::at(code, self.file, self.text, Some(span), message.into())
    }

    /// Returns an error about the file as a whole.
    pub(super) fn error_in_file(&self, code: Code, message: impl Into<String>) -> ConfigError {
        ConfigError::at(code, self.file, self.text, None, message.into())
    }

    /// Parses a value; an error of its type becomes a sentence.
    pub(super) fn value<T>(&self, (text, span): Located<'_>) -> Result<T, ConfigError>
    where
        T: FromStr<Err: Display>,
    {
        text.parse().map_err(|error: T::Err| {
            self.error(Code::WrongValue, span, sentence(&error.to_string()))
        })
    }

    /// Parses every value of a list.
    pub(super) fn values<T>(&self, list: Option<&SpannedList>) -> Result<Vec<T>, ConfigError>
    where
        T: FromStr<Err: Display>,
    {
        located_list(list).into_iter().map(|at| self.value(at)).collect()
    }

    /// Resolves a path relative to the directory of the file.
    pub(super) fn path(&self, path: &Spanned<String>) -> PathBuf {
        self.file_path(Path::new(path.get_ref()))
    }

    /// Resolves a path relative to the directory of the file.
    pub(super) fn file_path(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Parses a duration; `examples` are of those that make sense.
    pub(super) fn duration(
        &self,
        (text, span): Located<'_>,
        examples: &str,
    ) -> Result<Duration, ConfigError> {
        humantime::parse_duration(text).map_err(|error| {
            let message =
                format!("`{text}` is not a duration ({error}); write one like {examples}.");
            self.error(Code::WrongValue, span, message)
        })
    }

    /// Parses an address to listen on.
    pub(super) fn address(&self, (text, span): Located<'_>) -> Result<SocketAddr, ConfigError> {
        let wrong = format!(
            "`{text}` is not an address to listen on; write an IP address and a port, like \
             127.0.0.1:1080 or [::]:5443."
        );
        text.parse().map_err(|_| self.error(Code::WrongValue, span, wrong))
    }

    /// Parses a prefix, or an address as the prefix of that address alone.
    pub(super) fn prefix(&self, (text, span): Located<'_>) -> Result<IpNet, ConfigError> {
        let prefix = text.parse().or_else(|_| text.parse().map(|ip: std::net::IpAddr| ip.into()));
        prefix.map_err(|_| {
            let wrong = "is not a prefix; write one like 192.0.2.0/28 or 2001:db8:a::/48.";
            self.error(Code::WrongValue, span, format!("`{text}` {wrong}"))
        })
    }
}
