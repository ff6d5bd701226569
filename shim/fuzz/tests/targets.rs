//! Each target for a moment.

use std::time::Duration;

use throughline_fuzz::run::{self, Outcome};
use throughline_fuzz::targets::{TARGETS, Target};

/// How long each target runs, unless `THROUGHLINE_FUZZ_MS` says otherwise.
const TIME: Duration = Duration::from_millis(400);

/// Always the same inputs, so that a failure is not another one's luck.
const SEED: u64 = 1;

fn time() -> Duration {
    let set = std::env::var("THROUGHLINE_FUZZ_MS").ok();
    set.and_then(|text| text.parse().ok()).map_or(TIME, Duration::from_millis)
}

#[test]
fn no_target_panics() {
    for target in &TARGETS {
        match run::for_a_time(target, SEED, time()) {
            Outcome::Fine(count) => {
                println!("{}: {count} inputs", target.name);
                assert!(count > 0);
            }
            Outcome::Panicked { input, file } => {
                panic!("{} panicked; in {file:?}: {input:02x?}", target.name);
            }
        }
    }
}

#[test]
fn a_target_that_panics_is_found_and_its_input_is_kept() {
    let faulty = Target {
        name: "faulty",
        run: |input| assert_ne!(input.first(), Some(&7)),
        seeds: || vec![vec![1, 2, 3]],
    };
    let found = run::for_a_time(&faulty, SEED, Duration::from_secs(20));
    let Outcome::Panicked { input, file } = found else { panic!("not found") };
    assert_eq!(input[0], 7);
    let file = file.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), input);
    std::fs::remove_file(file).unwrap();
    assert!(run::holds(&faulty, &[1]));
}
