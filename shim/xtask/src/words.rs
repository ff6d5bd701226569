//! The words that this repository does not use, and the standard terms that it uses instead.
//!
//! docs/GLOSSARY.md defines the words of the project. A word that has been replaced by a standard
//! term must not come back, in code, comments, documents or output. Exceptions are rows of the
//! glossary's table "Exceptions", each with a place and a reason.

mod exceptions;
mod lexer;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files;
use exceptions::Exceptions;
use lexer::Language;

/// A word that should not be there.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the repository's root.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The word as it was found.
    pub found: String,
    /// The standard term.
    pub better: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, found, better } = self;
        write!(f, "{}:{line}: `{found}`, better {better}", file.display())
    }
}

/// Files that are about words.
const ABOUT_WORDS: [&str; 2] = ["shim/xtask", "docs/GLOSSARY.md"];

/// Returns every replaced word in the repository at `root`, less the glossary's exceptions.
pub fn find(root: &Path) -> Result<Vec<Finding>, Error> {
    let glossary = root.join("docs/GLOSSARY.md");
    let exceptions = Exceptions::parse(&std::fs::read_to_string(glossary).unwrap_or_default());
    let mut found = Vec::new();
    for (file, text) in files::with_extension(root, &["rs", "py", "md", "toml"])? {
        if !ABOUT_WORDS.iter().any(|place| file.starts_with(place)) {
            found.extend(in_file(&file, &text));
        }
    }
    found.retain(|finding| !exceptions.allow(&finding.found, &finding.file));
    Ok(found)
}

/// Returns how many findings there are in each folder, files of a folder of `depth` names together.
pub fn by_folder(findings: &[Finding], depth: usize) -> BTreeMap<PathBuf, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        let folder: PathBuf = finding.file.iter().take(depth).collect();
        *counts.entry(folder).or_default() += 1;
    }
    counts
}

fn in_file(file: &Path, text: &str) -> Vec<Finding> {
    let language = match file.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => Language::Rust,
        Some("py") => Language::Python,
        _ => Language::Prose,
    };
    let tokens = lexer::tokens(text, language);
    let found = tokens.iter().enumerate().filter_map(|(at, token)| {
        let better = terms::better(file, &tokens[..at], token)?;
        let found = token.text.clone();
        Some(Finding { file: file.to_owned(), line: token.line, found, better })
    });
    found.collect()
}
