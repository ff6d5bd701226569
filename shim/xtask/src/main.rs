//! `cargo xtask`: the tasks of this repository. See CONTRIBUTING.md.

use std::error::Error;
use std::process::ExitCode;

use xtask::{circles, workspace};

const USAGE: &str = "usage: cargo xtask circles";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["circles"] => print_circles(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn print_circles() -> Result<bool, Box<dyn Error>> {
    let base = workspace::root();
    let mut is_fine = true;
    for package in workspace::packages(&base)? {
        for root in &package.roots {
            for circle in circles::of_crate(&base, root)? {
                print!("{}: {circle}", package.name);
                is_fine = false;
            }
        }
    }
    Ok(is_fine)
}
