//! From a name to the file that defines what it names, through imports and re-exports.

use std::path::PathBuf;

use super::modules::{Crate, Module, ModuleId, Use};

/// How many imports a name may lead through; more is a circle of re-exports.
const MAX_DEPTH: usize = 32;

/// What a path leads to within the crate.
enum Found {
    Module(ModuleId),
    /// An item, by the module that defines it and its name.
    Item(ModuleId, String),
}

/// Returns each import as the file that makes it, the file that is imported, and the name.
pub(super) fn imports(read: &Crate) -> Vec<(PathBuf, PathBuf, String)> {
    let mut imports = Vec::new();
    for (id, module) in read.modules.iter().enumerate() {
        let reexports = |each: &&Use| each.is_reexport;
        let used_itself = |each: &&Use| match &each.name {
            Some(name) => module.named.bare.contains(name),
            None => false,
        };
        let private = module.uses.iter().filter(|each| !reexports(each));
        let used = module.uses.iter().filter(reexports).filter(used_itself);
        let mut found: Vec<Found> = Vec::new();
        for each in private.chain(used) {
            match resolve(read, id, &each.path, MAX_DEPTH) {
                Some(Found::Module(glob)) if each.name.is_none() => {
                    found.push(Found::Item(glob, "*".to_owned()));
                }
                other => found.extend(other),
            }
        }
        for path in &module.named.paths {
            found.extend(resolve(read, id, path, MAX_DEPTH));
        }
        for each in found {
            // A module that is named only to name something in it is no import.
            let Found::Item(to, name) = each else { continue };
            let to = &read.modules[to].file;
            if *to != module.file {
                imports.push((module.file.clone(), to.clone(), name));
            }
        }
    }
    imports
}

/// Follows `path` as written in the module `from`; none if it leads out of the crate.
fn resolve(read: &Crate, from: ModuleId, path: &[String], depth: usize) -> Option<Found> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => walk(read, Found::Module(0), rest, depth),
        "self" => walk(read, Found::Module(from), rest, depth),
        "super" => {
            let parent = read.modules[from].parent?;
            match rest.first().map(String::as_str) {
                Some("super") => resolve(read, parent, rest, depth),
                _ => walk(read, Found::Module(parent), rest, depth),
            }
        }
        _ => walk(read, member(read, from, first, !rest.is_empty(), depth)?, rest, depth),
    }
}

fn walk(read: &Crate, at: Found, rest: &[String], depth: usize) -> Option<Found> {
    match (at, rest.split_first()) {
        (Found::Module(module), Some((next, rest))) => {
            walk(read, member(read, module, next, !rest.is_empty(), depth)?, rest, depth)
        }
        // What follows an item is one of its variants or associated items.
        (found, _) => Some(found),
    }
}

/// Finds `name` in a module: a child, an item, an import, or behind a glob.
fn member(
    read: &Crate,
    within: ModuleId,
    name: &str,
    leads_on: bool,
    depth: usize,
) -> Option<Found> {
    let depth = depth.checked_sub(1)?;
    let module: &Module = &read.modules[within];
    let child = module.children.get(name).map(|child| Found::Module(*child));
    let item = module.items.contains(name).then(|| Found::Item(within, name.to_owned()));
    let here = if leads_on { child.or(item) } else { item.or(child) };
    if here.is_some() {
        return here;
    }
    // An import of the very name in the same module (`use name::X` for a crate `name`) leads out.
    let imports = |each: &&Use| {
        each.name.as_deref() == Some(name) && each.path.first().is_none_or(|first| first != name)
    };
    if let Some(import) = module.uses.iter().find(imports) {
        return resolve(read, within, &import.path, depth);
    }
    let globs = module.uses.iter().filter(|each| each.name.is_none());
    globs.into_iter().find_map(|glob| match resolve(read, within, &glob.path, depth)? {
        Found::Module(source) if source != within => member(read, source, name, leads_on, depth),
        _ => None,
    })
}
