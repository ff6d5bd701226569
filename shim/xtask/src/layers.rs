//! Which package may depend on which, and on what none of a layer may.
//!
//! The compiler already refuses circles between packages. This check adds the direction: a package
//! is listed with those it may depend on, and a new package has to be given its place here.

use std::path::Path;

use crate::error::Error;
use crate::workspace::{self, Package};

/// A package of the product and what it may depend on within the workspace.
struct Layer {
    name: &'static str,
    may_use: &'static [&'static str],
    /// What must not be anywhere below it, and whether its tests may bring that along.
    forbidden: &'static [&'static str],
    forbidden_in_tests: bool,
}

/// From the lowest up. Tests and measurements (`interop-tests`, `examples`, …) may use everything.
const LAYERS: [Layer; 7] = [
    Layer {
        name: "throughline-proto",
        may_use: &[],
        forbidden: &["tokio", "quinn", "quinn-proto", "quinn-udp", "mio", "socket2"],
        forbidden_in_tests: true,
    },
    Layer {
        name: "throughline-congestion",
        may_use: &["throughline-proto"],
        forbidden: &["quinn", "clap", "toml"],
        forbidden_in_tests: false,
    },
    Layer {
        name: "throughline-uplinks",
        may_use: &["throughline-proto"],
        forbidden: &["quinn", "quinn-proto", "clap", "toml"],
        forbidden_in_tests: false,
    },
    Layer {
        name: "throughline",
        may_use: &["throughline-proto", "throughline-congestion", "throughline-uplinks"],
        forbidden: &["clap", "toml"],
        forbidden_in_tests: false,
    },
    Layer {
        name: "throughline-link",
        may_use: &[],
        forbidden: &["tokio", "quinn", "quinn-proto"],
        forbidden_in_tests: true,
    },
    Layer {
        name: "throughline-emulator",
        may_use: &["throughline-link"],
        forbidden: &["quinn", "clap", "toml"],
        forbidden_in_tests: false,
    },
    Layer {
        name: "throughline-daemon",
        may_use: &[
            "throughline",
            "throughline-proto",
            "throughline-uplinks",
            "throughline-emulator",
        ],
        forbidden: &[],
        forbidden_in_tests: false,
    },
];

/// Packages that nothing of the product may depend on.
const TOOLS: [&str; 6] = [
    "throughline-simulation",
    "throughline-fuzz",
    "throughline-fixture",
    "throughline-examples",
    "interop-tests",
    "xtask",
];

/// Returns a sentence for each dependency that is not allowed.
pub fn violations(root: &Path) -> Result<Vec<String>, Error> {
    let packages = workspace::packages(root)?;
    let mut found: Vec<String> = packages.iter().flat_map(|each| upward(each, &packages)).collect();
    for layer in &LAYERS {
        let kinds = if layer.forbidden_in_tests { "normal,build,dev" } else { "normal,build" };
        // Fetches what no build here has needed so far: on a new machine that is most of it.
        let listed = ["tree", "--locked", "-p", layer.name, "-e", kinds, "--prefix", "none"];
        let tree = workspace::cargo(root, &listed)?;
        found.extend(below(layer.name, layer.forbidden, &tree));
    }
    Ok(found)
}

fn upward(package: &Package, packages: &[Package]) -> Vec<String> {
    let name = &package.name;
    let is_ours = |other: &&String| packages.iter().any(|package| package.name == **other);
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        if TOOLS.contains(&name.as_str()) {
            return Vec::new();
        }
        return vec![format!("{name} has no place yet: name it in shim/xtask/src/layers.rs")];
    };
    let used = package.dependencies.iter().filter(is_ours);
    let too_high = used.filter(|other| !layer.may_use.contains(&other.as_str()));
    too_high.map(|other| format!("{name} must not depend on {other}")).collect()
}

/// Returns a sentence for each package of `tree` (one a line, as `cargo tree` prints) that is
/// forbidden below `name`.
fn below(name: &str, forbidden: &[&str], tree: &str) -> Vec<String> {
    let is_there =
        |other: &&&str| tree.lines().any(|line| line.split_whitespace().next() == Some(**other));
    let found = forbidden.iter().filter(is_there);
    found
        .map(|other| format!("{name} must not have {other} below it (cargo tree -i {other})"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(ToString::to_string).collect();
        Package { name: name.into(), roots: Vec::new(), dependencies, dev_dependencies: Vec::new() }
    }

    #[test]
    fn a_lower_package_must_not_depend_on_a_higher_one() {
        let library = package("throughline", &["throughline-proto", "tokio"]);
        let proto = package("throughline-proto", &["throughline"]);
        let all = [library, proto];
        assert!(upward(&all[0], &all).is_empty());
        assert_eq!(upward(&all[1], &all), ["throughline-proto must not depend on throughline"]);
    }

    #[test]
    fn the_product_must_not_depend_on_its_tools() {
        let all = [package("throughline-daemon", &["xtask"]), package("xtask", &[])];
        assert_eq!(upward(&all[0], &all), ["throughline-daemon must not depend on xtask"]);
    }

    #[test]
    fn a_new_package_must_be_given_its_place() {
        let all = [package("throughline-cloud", &[])];
        assert_eq!(upward(&all[0], &all).len(), 1);
    }

    #[test]
    fn what_is_forbidden_is_found_in_the_tree_by_its_whole_name() {
        let tree = "throughline-proto v0.1.0\nbytes v1.12.2\nquinn-udp v0.5.16\n";
        assert_eq!(below("x", &["quinn", "tokio"], tree), Vec::<String>::new());
        assert_eq!(below("x", &["quinn-udp"], tree).len(), 1);
    }
}
