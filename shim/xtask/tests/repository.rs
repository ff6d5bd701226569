//! The repository's own rules, held on the repository itself.

use xtask::{circles, files, layers, links, sizes, words, workspace};

#[test]
fn no_files_of_a_crate_import_one_another_in_a_circle() {
    let root = workspace::root();
    for package in workspace::packages(&root).unwrap() {
        let found: Vec<_> =
            package.roots.iter().flat_map(|file| circles::of_crate(&root, file).unwrap()).collect();
        let text: String = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{}\n{text}", package.name);
    }
}

#[test]
fn no_package_depends_on_one_above_it() {
    let violations = layers::violations(&workspace::root()).unwrap();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let broken = links::broken(&workspace::root()).unwrap();
    let lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn every_document_is_a_chapter_of_the_site() {
    let unlisted = links::unlisted(&workspace::root()).unwrap();
    assert!(unlisted.is_empty(), "docs/SUMMARY.md lacks {unlisted:?}");
}

#[test]
fn every_script_that_is_installed_or_builds_what_is_can_be_parsed() {
    let mut checked = 0;
    for folder in ["dist", "dist/debian", ".ci"] {
        for entry in std::fs::read_dir(workspace::root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read(&path).unwrap_or_default();
            let Some(shell) = text.strip_prefix(b"#!") else { continue };
            let shell = if shell.starts_with(b"/bin/sh") { "sh" } else { "bash" };
            let parsed = std::process::Command::new(shell).arg("-n").arg(&path).output().unwrap();
            let complaints = String::from_utf8_lossy(&parsed.stderr).into_owned();
            assert!(parsed.status.success() && complaints.is_empty(), "{path:?}: {complaints}");
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn words_that_were_replaced_do_not_come_back() {
    let findings = words::find(&workspace::root()).unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} words\n{}", findings.len(), lines.join("\n"));
}

#[test]
fn half_of_the_files_are_short() {
    let files = files::with_extension(&workspace::root(), &["rs"]).unwrap();
    let sizes = sizes::of(files.iter().map(|(file, text)| (file, text.as_str()))).unwrap();
    assert!(sizes.median <= sizes::MEDIAN_LINES, "half of the files exceed {}", sizes.median);
}
