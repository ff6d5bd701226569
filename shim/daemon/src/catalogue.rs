//! The catalogue of what can be wrong: a code for each kind, with its cause and its cure.
//!
//! The codes are stable: a kind that goes takes its number with it. `throughline explain CODE` prints an entry,
//! docs/ERRORS.md has all of them.

mod entries;

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

pub use self::entries::Code;

/// What is known of a kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its code, `TL0101`.
    pub code: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// Why it comes about.
    pub cause: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

/// There is no such code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no code `{0}`; docs/ERRORS.md lists them, from {first} to {last}",
    first = Code::ALL[0], last = Code::ALL[Code::ALL.len() - 1])]
pub struct UnknownCode(String);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.entry().code)
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|code| code.entry().code.eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.entry().code)
    }
}

/// Returns whether a text is meant as a code.
pub fn is_code(text: &str) -> bool {
    let number = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("TL"));
    number.is_some() && text.len() == 6 && text[2..].bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns docs/ERRORS.md.
pub fn document() -> String {
    let mut text = "# Errors and findings\n\n\
        What [`throughline doctor`](CONFIG.md#when-something-is-wrong) finds, and what any command ends with, by its code: \
        why it comes about, and what to do. `throughline explain TL0101` prints an entry. Codes of a host are TL01, of \
        paths TL02, of a configuration TL03, of commands TL04. A test holds this file against the program.\n"
        .to_owned();
    for code in Code::ALL {
        let Entry { code, title, cause, cure } = code.entry();
        text += &format!("\n## {code}: {title}\n\n**Cause.** {cause}\n\n**Cure.** {cure}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Returns the code of the crate below a folder, but for the catalogue.
    fn code_below(folder: &Path) -> String {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: std::path::PathBuf| match path.is_dir() {
            true if path.ends_with("catalogue") => String::new(),
            true => code_below(&path),
            false if path.extension().is_none_or(|extension| extension != "rs") => String::new(),
            false => std::fs::read_to_string(path).unwrap(),
        };
        entries.map(text).collect()
    }

    #[test]
    fn every_code_is_one_that_somebody_can_meet() {
        let code = code_below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
        for known in Code::ALL {
            let name = format!("Code::{known:?}");
            let is_used = code
                .match_indices(&name)
                .any(|(at, _)| !code[at + name.len()..].starts_with(|c: char| c.is_alphanumeric()));
            assert!(is_used, "{known} is never found: {name}");
        }
    }

    #[test]
    fn codes_are_in_order_and_read_back_and_their_texts_are_sentences() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.entry().code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for code in Code::ALL {
            let Entry { code: text, title, cause, cure } = code.entry();
            assert!(is_code(text) && text.parse() == Ok(*code), "{text}");
            assert!(!title.ends_with('.'), "{text}: {title}");
            for sentence in [cause, cure] {
                assert!(sentence.ends_with('.') && !sentence.contains("  "), "{text}: {sentence}");
            }
        }
        assert_eq!("tl0101".parse(), Ok(Code::ConfigInvalid));
        let unknown = "TL9999".parse::<Code>().unwrap_err().to_string();
        assert!(unknown.contains("docs/ERRORS.md"), "{unknown}");
        for other in ["TL01010", "10.0.0.5:22", "TLäöü", "TL", "é"] {
            assert!(!is_code(other), "{other}");
        }
    }

    #[test]
    fn the_document_is_that_of_the_program() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ERRORS.md");
        if std::env::var_os("THROUGHLINE_UPDATE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == document(),
            "docs/ERRORS.md differs; write it with `THROUGHLINE_UPDATE_DOCS=1 cargo test -p throughline-daemon \
             --lib catalogue`"
        );
    }
}
