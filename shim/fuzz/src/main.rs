//! Runs a fuzz target for longer than the tests do, or replays an input that made one panic.

use std::process::ExitCode;
use std::time::Duration;

use throughline_fuzz::run::{self, Outcome};
use throughline_fuzz::targets::{TARGETS, Target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let named = |name: &str| TARGETS.iter().find(|target| target.name == name);
    let target = arguments.first().and_then(|name| named(name));
    match (target, arguments.get(1..).unwrap_or_default()) {
        (Some(target), []) => fuzz(target, Duration::from_secs(60)),
        (Some(target), [what]) => match what.parse() {
            Ok(seconds) => fuzz(target, Duration::from_secs(seconds)),
            Err(_) => replay(target, what),
        },
        _ => {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("usage: TARGET [SECONDS | FILE]\ntargets: {}", names.join(" "));
            ExitCode::from(2)
        }
    }
}

fn fuzz(target: &Target, time: Duration) -> ExitCode {
    let seed = rand::random();
    println!("{}: {} s, seed {seed}", target.name, time.as_secs());
    match run::for_a_time(target, seed, time) {
        Outcome::Fine(count) => {
            println!("{}: {count} inputs, nothing wrong", target.name);
            ExitCode::SUCCESS
        }
        Outcome::Panicked { input, file } => {
            let place = file.map_or_else(|| format!("{input:02x?}"), |f| f.display().to_string());
            println!("{}: panicked, the input is {place}", target.name);
            ExitCode::FAILURE
        }
    }
}

fn replay(target: &Target, file: &str) -> ExitCode {
    match std::fs::read(file) {
        Ok(input) => {
            (target.run)(&input);
            println!("{}: nothing wrong", target.name);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot read {file}: {error}");
            ExitCode::from(2)
        }
    }
}
