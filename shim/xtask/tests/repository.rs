//! The repository's own rules, held on the repository itself.

use xtask::{circles, files, layers, sizes, words, workspace};

/// How many circles a crate still has. To become empty, and to stay so.
const KNOWN_CIRCLES: [(&str, usize); 1] = [("throughline", 2)];

/// How many replaced words are still there. To become 0, and to stay so.
const KNOWN_WORDS: usize = 110;

#[test]
fn no_files_of_a_crate_import_one_another_in_a_circle() {
    let root = workspace::root();
    for package in workspace::packages(&root).unwrap() {
        let known = KNOWN_CIRCLES.iter().find(|(name, _)| *name == package.name);
        let found: Vec<_> =
            package.roots.iter().flat_map(|file| circles::of_crate(&root, file).unwrap()).collect();
        let text: String = found.iter().map(ToString::to_string).collect();
        let allowed = known.map_or(0, |(_, count)| *count);
        assert!(found.len() <= allowed, "{} has {} circles\n{text}", package.name, found.len());
    }
}

#[test]
fn no_package_depends_on_one_above_it() {
    let violations = layers::violations(&workspace::root()).unwrap();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn words_that_were_replaced_do_not_come_back() {
    let findings = words::find(&workspace::root()).unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.len() <= KNOWN_WORDS, "{} words\n{}", findings.len(), lines.join("\n"));
}

#[test]
fn half_of_the_files_are_short() {
    let files = files::with_extension(&workspace::root(), &["rs"]).unwrap();
    let sizes = sizes::of(files.iter().map(|(file, text)| (file, text.as_str()))).unwrap();
    assert!(sizes.median <= sizes::MEDIAN_LINES, "half of the files exceed {}", sizes.median);
}
