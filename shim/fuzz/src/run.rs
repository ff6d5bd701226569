//! Runs a target, and keeps what made it panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::mutate;
use crate::targets::Target;

/// What a run came to.
#[derive(Debug)]
pub enum Outcome {
    /// So many inputs, and nothing was wrong.
    Fine(u64),
    /// The target panicked.
    Panicked {
        /// The input that made it panic.
        input: Vec<u8>,
        /// The file that the input was written to, if it could be.
        file: Option<PathBuf>,
    },
}

/// Gives `target` inputs for `time`; the same `seed` gives the same inputs.
pub fn for_a_time(target: &Target, seed: u64, time: Duration) -> Outcome {
    let mut rng = SmallRng::seed_from_u64(seed);
    let corpus = (target.seeds)();
    let until = Instant::now() + time;
    let mut count = 0;
    let mut inputs = corpus.clone().into_iter();
    // The clock is read after each: a few of the targets take a millisecond.
    while Instant::now() < until {
        let input = inputs.next().unwrap_or_else(|| mutate::next_input(&mut rng, &corpus));
        if !holds(target, &input) {
            let file = keep(target.name, &input);
            return Outcome::Panicked { input, file };
        }
        count += 1;
    }
    Outcome::Fine(count)
}

/// Whether `target` does not panic with `input`.
pub fn holds(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok()
}

/// Writes an input below the folder for what is built, and returns where.
fn keep(name: &str, input: &[u8]) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz");
    std::fs::create_dir_all(&folder).ok()?;
    let number = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let file = folder.join(format!("{name}-{number:016x}"));
    std::fs::write(&file, input).ok()?;
    file.canonicalize().ok()
}
