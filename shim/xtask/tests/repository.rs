//! The repository's own rules, held on the repository itself.

use xtask::{circles, workspace};

/// How many circles a crate still has; to become empty.
const KNOWN_CIRCLES: [(&str, usize); 6] = [
    ("throughline-proto", 3),
    ("throughline-daemon", 4),
    ("throughline", 5),
    ("throughline-uplinks", 1),
    ("throughline-emulator", 1),
    ("interop-tests", 2),
];

#[test]
fn no_files_of_a_crate_import_one_another_in_a_circle() {
    let base = workspace::root();
    for package in workspace::packages(&base).unwrap() {
        let known = KNOWN_CIRCLES.iter().find(|(name, _)| *name == package.name);
        let found: Vec<_> =
            package.roots.iter().flat_map(|root| circles::of_crate(&base, root).unwrap()).collect();
        let text: String = found.iter().map(ToString::to_string).collect();
        let allowed = known.map_or(0, |(_, count)| *count);
        assert!(found.len() <= allowed, "{} has {} circles\n{text}", package.name, found.len());
    }
}
