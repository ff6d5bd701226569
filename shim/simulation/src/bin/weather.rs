//! Plays weather by seed: `cargo run --release -p throughline-simulation --bin weather -- --seeds 1000
//! --seconds 20`, beginning at `--first 0`. The first seed that fails ends it, and says how to replay
//! it.

use std::time::Duration;

use throughline_simulation::weather::{WeatherReport, play};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        let value = at.and_then(|at| arguments.get(at + 1));
        value.map_or(default, |value| value.parse().expect("a number"))
    };
    let (first, seeds) = (number("--first", 0), number("--seeds", 1000));
    let time = Duration::from_secs(number("--seconds", 20));
    let verbose = arguments.iter().any(|argument| argument == "--each");
    let mut total = WeatherReport::default();
    for seed in first..first + seeds {
        if let Err(panic) = std::panic::catch_unwind(|| play(seed, time)).map(|report| {
            if verbose {
                println!("seed {seed}: {report}");
            }
            total.add(&report);
        }) {
            eprintln!(
                "seed {seed} failed: weather --first {seed} --seeds 1 --seconds {}",
                time.as_secs()
            );
            std::panic::resume_unwind(panic);
        }
    }
    println!("{seeds} seeds: {total}");
}
