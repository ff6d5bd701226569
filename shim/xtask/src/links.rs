//! The links of the documents: each leads to a file that is there, and to a heading that it has.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::files;

/// What a document says where, and what is wrong with it.
#[derive(Debug)]
pub struct Broken {
    /// The document.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// The list of chapters of the documents as one site.
pub const SUMMARY: &str = "docs/SUMMARY.md";

/// Returns the links of the repository's documents that lead nowhere.
pub fn broken(root: &Path) -> Result<Vec<Broken>, Error> {
    let documents: HashMap<PathBuf, String> =
        files::with_extension(root, &["md"])?.into_iter().collect();
    let mut broken = Vec::new();
    for (file, text) in &documents {
        for (line, target) in links(text) {
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !is_elsewhere && let Some(what) = fault(root, &documents, file, target) {
                broken.push(Broken { file: file.clone(), line, what });
            }
        }
    }
    broken.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(broken)
}

/// Returns the documents below docs/ that [`SUMMARY`] does not list.
pub fn unlisted(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let documents = files::with_extension(root, &["md"])?;
    let summary = Path::new(SUMMARY);
    let text = documents.iter().find(|(file, _)| file == summary).map_or("", |(_, text)| text);
    let listed: Vec<_> =
        links(text).into_iter().map(|(_, target)| resolved(summary, target)).collect();
    let unlisted = documents
        .iter()
        .map(|(file, _)| file)
        .filter(|file| file.starts_with("docs") && *file != summary && !listed.contains(file));
    Ok(unlisted.cloned().collect())
}

/// Returns what is wrong with a link, if anything is.
fn fault(
    root: &Path,
    documents: &HashMap<PathBuf, String>,
    file: &Path,
    target: &str,
) -> Option<String> {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let there = if path.is_empty() { file.to_owned() } else { resolved(file, path) };
    if !root.join(&there).exists() {
        return Some(format!("there is no {}", there.display()));
    }
    match documents.get(&there) {
        Some(text) if !heading.is_empty() && !anchors(text).any(|anchor| anchor == heading) => {
            Some(format!("{} has no heading #{heading}", there.display()))
        }
        _ => None,
    }
}

/// Returns where a path leads that a document has.
fn resolved(file: &Path, path: &str) -> PathBuf {
    let mut there = file.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir if there.pop() => {}
            Component::CurDir => {}
            other => there.push(other),
        }
    }
    there
}

/// Returns the lines of a document that are prose, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!is_fence && !in_code).then_some((index + 1, line))
    })
}

/// Returns the links of a document, with their lines. What is between backticks is none.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        // Every second part is code. The end of a link whose text is code, as in [`name`](target), is in the next.
        for prose in line.split('`').step_by(2) {
            for begun in prose.split("](").skip(1) {
                if let Some((target, _)) = begun.split_once(')') {
                    links.push((number, target));
                }
            }
        }
    }
    links
}

/// Returns the anchors of a document's headings, as GitHub and mdBook make them: in lower case, spaces as hyphens, and
/// of other characters only letters, digits, hyphens and underscores. A second one of the same name has a number.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    prose(text).filter_map(move |(_, line)| {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            return None;
        }
        let kept = |c: char| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        };
        let anchor: String = heading.trim().chars().filter_map(kept).collect();
        let count = seen.entry(anchor.clone()).or_default();
        *count += 1;
        Some(if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_beside_code_and_not_in_it() {
        let text =
            "see [a](A.md#b) and [`c`](C.md), not `[d](D.md)`\n```\n[e](E.md)\n```\n![f](f.png)";
        let targets: Vec<_> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["A.md#b", "C.md", "f.png"]);
        assert_eq!(links(text)[2].0, 5);
    }

    #[test]
    fn headings_have_the_anchors_that_links_name() {
        let text = "# A title\n## `[uplinks.NAME]`\n## Why?\n```\n# no heading\n```\n## Why?\n#no";
        let found: Vec<_> = anchors(text).collect();
        assert_eq!(found, ["a-title", "uplinksname", "why", "why-1"]);
    }

    #[test]
    fn a_path_is_relative_to_its_document() {
        assert_eq!(
            resolved(Path::new("docs/guides/a.md"), "../CONFIG.md"),
            Path::new("docs/CONFIG.md")
        );
        assert_eq!(resolved(Path::new("README.md"), "./docs/x.md"), Path::new("docs/x.md"));
    }
}
