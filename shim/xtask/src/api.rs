//! The listing of the library's public API, `docs/api/throughline.txt`, so that a change of it shows
//! in review.
//!
//! The library is one crate to its users, and re-exports types of lower crates at its root. rustdoc's
//! JSON describes each crate by itself, so the listings of the lower crates are reduced to what the
//! root re-exports, and everything is named as users name it: `throughline::PeerId`.

mod listing;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Error;
use crate::workspace;
use listing::{Listing, ReExport};

/// Where the listing is kept, in the repository.
pub const FILE: &str = "docs/api/throughline.txt";

/// The crate whose API it is.
const LIBRARY: &str = "throughline";

/// The crates that it re-exports types of.
const LOWER: [&str; 2] = ["throughline-proto", "throughline-uplinks"];

/// The version of rustdoc's JSON that the crate `public-api` reads, which is that of Rust 1.95.
const FORMAT: u64 = 57;

/// What the public API is now, beside what is checked in.
#[derive(Debug)]
pub struct Comparison {
    /// The listing of the code as it is.
    pub now: String,
    /// Lines of the file that the code does not have, with `-`, and the other way round, with `+`.
    pub difference: Vec<String>,
    /// Types of lower crates that the API mentions and the root does not re-export.
    pub not_exported: Vec<String>,
}

/// Compares the public API with the file. Runs rustdoc, which takes some seconds once the
/// dependencies have been checked.
pub fn compare(root: &Path) -> Result<Comparison, Error> {
    let (json, items) = document(root, LIBRARY)?;
    let mut listing = Listing::new(re_exports(&json));
    listing.add(&items);
    for package in LOWER {
        listing.add(&document(root, package)?.1);
    }
    let now = listing.to_string();
    let before = fs::read_to_string(root.join(FILE)).unwrap_or_default();
    Ok(Comparison {
        difference: listing::difference(&before, &now),
        not_exported: listing.not_exported(),
        now,
    })
}

/// Writes the listing.
pub fn update(root: &Path, listing: &str) -> Result<(), Error> {
    let path = root.join(FILE);
    let write = |path: &Path| {
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, listing)
    };
    write(&path).map_err(|source| Error::Write { path, source })
}

/// Returns what rustdoc says about a package's library, and its public items, one a line.
fn document(root: &Path, package: &str) -> Result<(Value, Vec<String>), Error> {
    let rustdoc = root.join("shim/xtask/rustdoc-unstable");
    // With what is there by features only, as well.
    let arguments = ["rustdoc", "--quiet", "--package", package, "--all-features", "--lib", "--"];
    let format = ["-Z", "unstable-options", "--output-format", "json"];
    workspace::cargo_with_rustdoc(root, &[&arguments[..], &format].concat(), &rustdoc)?;

    let path = target(root)?.join("doc").join(package.replace('-', "_")).with_extension("json");
    let text = fs::read_to_string(&path);
    let text = text.map_err(|source| Error::Read { path: path.clone(), source })?;
    let json: Value = serde_json::from_str(&text)?;
    // First, since of another version public-api would understand this or that wrongly.
    let found = json["format_version"].as_u64().unwrap_or_default();
    if found != FORMAT {
        return Err(Error::RustdocFormat { found, known: FORMAT });
    }
    let api = public_api::Builder::from_rustdoc_json(&path)
        .omit_blanket_impls(true)
        .build()
        .map_err(Box::new)?;
    Ok((json, api.items().map(ToString::to_string).collect()))
}

fn target(root: &Path) -> Result<PathBuf, Error> {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let metadata: Value = serde_json::from_str(&workspace::cargo(root, &arguments)?)?;
    Ok(metadata["target_directory"].as_str().unwrap_or("target").into())
}

/// Returns what a crate's root re-exports of other crates.
fn re_exports(json: &Value) -> Vec<ReExport> {
    let item = |id: &Value| json["index"].get(id.to_string());
    let root = item(&json["root"]).map(|root| &root["inner"]["module"]["items"]);
    let items = root.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let uses = items.iter().filter_map(|id| item(id)?["inner"].get("use"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let defined_at = |id: &Value| {
        let path = json["paths"].get(id.to_string())?["path"].as_array()?;
        Some(path.iter().map(text).collect::<Vec<_>>().join("::"))
    };
    let re_export = |each: &Value| ReExport {
        name: format!("{LIBRARY}::{}", text(&each["name"])),
        source: text(&each["source"]),
        definition: defined_at(&each["id"]).unwrap_or_else(|| text(&each["source"])),
    };
    // A re-export from a private module of the same crate is one of its items already.
    uses.map(re_export).filter(|each| each.definition.split("::").next() != Some(LIBRARY)).collect()
}
