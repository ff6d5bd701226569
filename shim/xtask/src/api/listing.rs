//! A listing of public items, made of those of several crates.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// An item of another crate that the library's root re-exports.
#[derive(Debug, Clone)]
pub(super) struct ReExport {
    /// Its path in the library: `throughline::PeerId`.
    pub(super) name: String,
    /// The path by which the library imports it: `throughline_proto::types::PeerId`.
    pub(super) source: String,
    /// The path by which rustdoc refers to it: `throughline_proto::types::ids::PeerId`.
    pub(super) definition: String,
}

/// The public items of the library, one a line, each named by its path in the library.
///
/// A trait's functions are not repeated for each type that implements it. That a type is `Send`,
/// `Sync` or `Unpin` is usual and not listed; that it is not, is.
#[derive(Debug)]
pub(super) struct Listing {
    re_exports: Vec<ReExport>,
    lines: Vec<String>,
}

impl Listing {
    pub(super) fn new(re_exports: Vec<ReExport>) -> Self {
        Self { re_exports, lines: Vec::new() }
    }

    /// Adds those of a crate's items that belong to the library, in the order in which public-api
    /// lists them: an `impl` stands before its functions.
    pub(super) fn add(&mut self, items: &[String]) {
        let mut implementor = None;
        for item in items {
            let line = map_paths(item, |path| self.rename(path));
            let Some(subject) = subject(&line) else { continue };
            if line.starts_with("impl") {
                implementor = line.contains(" for ").then(|| format!("{subject}::"));
            }
            let is_function = line.starts_with("pub") && line.contains("fn ");
            let of_trait = implementor.as_ref().is_some_and(|path| subject.starts_with(path));
            if !(is_function && of_trait || is_usual(&line)) {
                self.lines.push(line);
            }
        }
    }

    /// Returns paths of the project's other crates that the listing mentions.
    pub(super) fn not_exported(&self) -> Vec<String> {
        let mut found = BTreeSet::new();
        for line in &self.lines {
            map_paths(line, |path| {
                found.extend(path.starts_with("throughline_").then(|| path.to_owned()));
                path.to_owned()
            });
        }
        found.into_iter().collect()
    }

    fn rename(&self, path: &str) -> String {
        let mut names = self.re_exports.iter().filter_map(|each| {
            let rests = [&each.source, &each.definition].map(|from| path.strip_prefix(&**from));
            let is_whole = |rest: &&str| rest.is_empty() || rest.starts_with("::");
            let rest = rests.into_iter().flatten().find(is_whole)?;
            Some(format!("{}{rest}", each.name))
        });
        names.next().unwrap_or_else(|| path.to_owned())
    }
}

impl fmt::Display for Listing {
    /// An empty line stands before each type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_type =
            |line: &str| ["struct ", "enum ", "trait "].iter().any(|kind| line.contains(kind));
        self.lines
            .iter()
            .try_for_each(|line| writeln!(f, "{}{line}", if is_type(line) { "\n" } else { "" }))
    }
}

/// Returns the library's path that a line is about, and nothing for a line about another crate.
fn subject(line: &str) -> Option<String> {
    let about = match line.split_once(" for ") {
        Some((_, implementor)) if line.starts_with("impl") => implementor,
        _ => line,
    };
    let mut first = None;
    map_paths(about, |path| {
        first.get_or_insert_with(|| path.to_owned());
        String::new()
    });
    first.filter(|path| path == "throughline" || path.starts_with("throughline::"))
}

/// Returns whether an implementation is one that nearly every type has.
fn is_usual(line: &str) -> bool {
    const USUAL: [&str; 5] = ["Freeze", "Send", "Sync", "Unpin", "UnsafeUnpin"];
    let has = |name: &str| line.starts_with(&format!("impl core::marker::{name} for "));
    let is_internal =
        ["::Freeze for", "::StructuralPartialEq for", "::unwind_safe::", "::UnsafeUnpin"];
    line.starts_with("impl")
        && (USUAL.iter().any(|name| has(name))
            || is_internal.iter().any(|each| line.contains(each)))
}

/// Replaces each path of a line, which is two names and more, or a crate after `mod`.
fn map_paths(line: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let mut mapped = String::new();
    let is_part = |char: char| char.is_alphanumeric() || "_:".contains(char);
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':');
        if path.contains("::") || path.starts_with("throughline") {
            mapped += &replace(path);
        } else {
            mapped += path;
        }
        rest = &rest[path.len()..];
        let start = rest.find(|char: char| char.is_alphabetic()).unwrap_or(rest.len());
        mapped += &rest[..start];
        rest = &rest[start..];
    }
    mapped
}

/// Returns the lines that only one of the texts has: `-` before those of `before`, `+` before those
/// of `now`. A line that has only been moved is no difference.
pub(super) fn difference(before: &str, now: &str) -> Vec<String> {
    let gone = beyond(before, now).into_iter().map(|line| format!("-{line}"));
    let new = beyond(now, before).into_iter().map(|line| format!("+{line}"));
    gone.chain(new).collect()
}

/// Returns the lines of `text` that `other` has less often.
fn beyond<'a>(text: &'a str, other: &'a str) -> Vec<&'a str> {
    let mut left: HashMap<&'a str, usize> = HashMap::new();
    other.lines().for_each(|line| *left.entry(line).or_default() += 1);
    let is_beyond = |line: &&'a str| match left.get_mut(line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => !line.is_empty(),
    };
    text.lines().filter(is_beyond).collect()
}
