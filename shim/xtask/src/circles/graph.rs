//! Circles in a graph: its strongly connected components of more than one node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Which names each file takes from each other file.
pub type Imports = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

/// Files that import one another, directly or by way of others.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// The files of the circle.
    pub files: BTreeSet<PathBuf>,
    /// What ties them: the imports between them.
    pub imports: Imports,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "circle of {} files:", self.files.len())?;
        for ((from, to), names) in &self.imports {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            writeln!(f, "  {} -> {}: {}", from.display(), to.display(), names.join(", "))?;
        }
        Ok(())
    }
}

/// Returns the groups of files that reach one another by imports.
pub(super) fn circles(imports: &Imports) -> Vec<Circle> {
    let mut next: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        next.entry(from).or_default().insert(to);
    }
    let reachable: BTreeMap<&Path, BTreeSet<&Path>> =
        next.keys().map(|from| (*from, reach(&next, from))).collect();

    let mut circles: Vec<Circle> = Vec::new();
    for (file, reached) in &reachable {
        let is_known = circles.iter().any(|circle| circle.files.contains(*file));
        if !reached.contains(file) || is_known {
            continue;
        }
        let comes_back =
            |other: &&&Path| reachable.get(**other).is_some_and(|back| back.contains(file));
        let files: BTreeSet<PathBuf> =
            reached.iter().filter(comes_back).map(|other| other.to_path_buf()).collect();
        let inside = imports
            .iter()
            .filter(|((from, to), _)| files.contains(from) && files.contains(to))
            .map(|(edge, names)| (edge.clone(), names.clone()))
            .collect();
        circles.push(Circle { files, imports: inside });
    }
    circles
}

/// Returns what can be reached from `from`: `from` itself only by a circle.
fn reach<'a>(next: &BTreeMap<&'a Path, BTreeSet<&'a Path>>, from: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for to in next.get(file).into_iter().flatten() {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}
