//! `cargo xtask`: the tasks of this repository.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use xtask::{api, circles, files, layers, links, sizes, words, workspace};

const USAGE: &str = "\
usage: cargo xtask TASK
  api             how the public API differs from docs/api/throughline.txt
  api --update    writes that file
  circles         files of a crate that import one another
  layers          dependencies on crates that are above
  links           links of documents that lead nowhere, and documents that docs/SUMMARY.md lacks
  words [FOLDER]  words that docs/GLOSSARY.md has replaced, and where
  words --count   how many there are in each folder
  sizes           how long the files are
  bench [FILTER]  the benchmarks of the pure core
  fuzz TARGET [SECONDS | FILE]
                  a fuzz target for a time (60 s), or an input of it again";

/// What a task found: whether the repository is as it should be.
type Verdict = Result<bool, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace::root();
    let verdict = match arguments[..] {
        ["api"] => compare_api(&root),
        ["api", "--update"] => update_api(&root),
        ["circles"] => print_circles(&root),
        ["layers"] => print_layers(&root),
        ["links"] => print_links(&root),
        ["words"] => print_words(&root, Path::new("")),
        ["words", "--count"] => count_words(&root),
        ["words", folder] => print_words(&root, Path::new(folder)),
        ["sizes"] => print_sizes(&root),
        ["bench", ref rest @ ..] => {
            run(&root, &["bench", "-p", "throughline-proto", "--benches", "--"], rest)
        }
        ["fuzz", ref rest @ ..] => {
            run(&root, &["run", "--release", "-p", "throughline-fuzz", "--"], rest)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match verdict {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, cargo: &[&str], rest: &[&str]) -> Verdict {
    Ok(workspace::run_cargo(root, &[cargo, rest].concat())?)
}

fn print_error(error: &dyn Error) {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
}

fn compare_api(root: &Path) -> Verdict {
    let comparison = api::compare(root)?;
    for line in &comparison.difference {
        println!("{line}");
    }
    if !comparison.difference.is_empty() {
        println!("if the public API is to change so: cargo xtask api --update");
    }
    Ok(all_is_exported(&comparison) && comparison.difference.is_empty())
}

fn update_api(root: &Path) -> Verdict {
    let comparison = api::compare(root)?;
    api::update(root, &comparison.now)?;
    Ok(all_is_exported(&comparison))
}

fn all_is_exported(comparison: &api::Comparison) -> bool {
    for path in &comparison.not_exported {
        println!("{path} is in the public API, and is not exported at its root");
    }
    comparison.not_exported.is_empty()
}

fn print_circles(root: &Path) -> Verdict {
    let mut is_fine = true;
    for package in workspace::packages(root)? {
        for file in &package.roots {
            for circle in circles::of_crate(root, file)? {
                print!("{}: {circle}", package.name);
                is_fine = false;
            }
        }
    }
    Ok(is_fine)
}

fn print_layers(root: &Path) -> Verdict {
    let violations = layers::violations(root)?;
    for violation in &violations {
        println!("{violation}");
    }
    Ok(violations.is_empty())
}

fn print_links(root: &Path) -> Verdict {
    let (broken, unlisted) = (links::broken(root)?, links::unlisted(root)?);
    for link in &broken {
        println!("{link}");
    }
    for file in &unlisted {
        println!("{} is not listed in {}", file.display(), links::SUMMARY);
    }
    Ok(broken.is_empty() && unlisted.is_empty())
}

fn print_words(root: &Path, folder: &Path) -> Verdict {
    let mut findings = words::find(root)?;
    findings.retain(|finding| finding.file.starts_with(folder));
    for finding in &findings {
        println!("{finding}");
    }
    Ok(findings.is_empty())
}

fn count_words(root: &Path) -> Verdict {
    let findings = words::find(root)?;
    for (folder, count) in words::by_folder(&findings, 4) {
        println!("{count:6}  {}", folder.display());
    }
    println!("{:6}  in all", findings.len());
    Ok(findings.is_empty())
}

fn print_sizes(root: &Path) -> Verdict {
    let files = files::with_extension(root, &["rs"])?;
    let texts = files.iter().map(|(file, text)| (file, text.as_str()));
    let Some(sizes) = sizes::of(texts) else { return Ok(true) };
    println!("{} files, half of them of at most {} lines", files.len(), sizes.median);
    for (lines, file) in &sizes.long {
        println!("{lines:6}  {}", file.display());
    }
    Ok(sizes.median <= sizes::MEDIAN_LINES)
}
