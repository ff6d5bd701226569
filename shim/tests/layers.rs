//! The five layers of the library (docs/ARCHITECTURE.md), kept by looking at every line of it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest to the highest.
const LAYERS: [&str; 5] = ["vocab", "state", "net", "edge", "daemon"];

/// What layers 1 and 2 must not know: they take `now` and return work.
const IMPURE: [&str; 12] = [
    "Instant::now",
    ".elapsed()",
    "SystemTime",
    "tokio",
    "quinn",
    "rand::",
    "std::env",
    "std::fs",
    "std::thread",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
];

/// A line of code, without its comment.
struct Line {
    layer: usize,
    place: String,
    code: String,
    /// It is compiled for tests only.
    test: bool,
}

fn source_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every line of code under `shim/src` that belongs to a layer.
fn lines() -> Vec<Line> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&source, &mut files);
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let path = file.strip_prefix(&source).unwrap();
        let parts: Vec<&str> =
            path.iter().map(|p| p.to_str().unwrap().trim_end_matches(".rs")).collect();
        let Some(layer) = LAYERS.iter().position(|name| parts[0] == *name) else {
            assert!(["lib", "main"].contains(&parts[0]), "{} is in no layer", path.display());
            continue;
        };
        let mut test = parts.contains(&"tests");
        for (index, text) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            // Tests stand at the end of a file.
            test |= text.starts_with("#[cfg(test)]");
            let code = text.split("//").next().unwrap_or_default().to_owned();
            lines.push(Line {
                layer,
                place: format!("{}:{}", path.display(), index + 1),
                code,
                test,
            });
        }
    }
    lines
}

/// The names that follow `prefix` in `code`, each up to what is no letter.
fn names_after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let rests = code.split(prefix).skip(1);
    rests.map(|r| r.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()).collect()
}

#[test]
fn a_lower_layer_never_imports_a_higher_one() {
    let mut wrong = Vec::new();
    for line in lines() {
        let mut names = names_after(&line.code, "crate::");
        // `super` leads out of a layer only to name another one.
        names.extend(names_after(&line.code, "super::").iter().filter(|n| LAYERS.contains(n)));
        for name in names {
            match LAYERS.iter().position(|layer| *layer == name) {
                Some(layer) if layer <= line.layer => {}
                Some(_) => wrong.push(format!("{} imports `{name}`", line.place)),
                // `crate::Node`, `crate::{…}`: not to be told which layer that is.
                None => wrong.push(format!("{} names no layer after `crate::`", line.place)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_layers_know_no_clock_no_socket_and_no_runtime() {
    let pure = lines().into_iter().filter(|line| line.layer <= 1 && !line.test);
    let wrong: Vec<String> = pure
        .filter_map(|line| {
            let word = IMPURE.iter().find(|word| line.code.contains(*word))?;
            Some(format!("{} has `{word}`", line.place))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_layer_is_looked_at() {
    let lines = lines();
    for (layer, name) in LAYERS.iter().enumerate() {
        assert!(lines.iter().any(|l| l.layer == layer && !l.test), "no code found in {name}");
    }
}
