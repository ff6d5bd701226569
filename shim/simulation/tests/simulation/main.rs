//! Two sessions survive whatever the simulation can do to them, and what an application sees of one
//! failure is within its bars.
//!
//! `THROUGHLINE_SIM_SEEDS=n` runs n seeds (2,000 without it; before a release 10,000),
//! `THROUGHLINE_SIM_SEED=n` replays one, `THROUGHLINE_SIM_TRACE=1` prints what happens with virtual
//! times. `THROUGHLINE_SIM_FIRST=n` begins at another seed, `THROUGHLINE_SIM_FAILURES=n` goes on
//! until n have failed.

mod bars;
mod calls;

use std::panic::{AssertUnwindSafe, catch_unwind};

use throughline_simulation::{Report, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn two_sessions_survive_whatever_happens_between_them() {
    run_seeds(2000, World::new);
}

/// Half a thousand seeds hand some 1,800 sessions over; `THROUGHLINE_SIM_SEEDS` is for more.
#[test]
fn nothing_is_lost_where_a_session_is_handed_over_to_another_process_at_any_moment() {
    run_seeds(500, World::with_hand_overs);
}

/// Beside them, calls over datagram flows: no datagram arrives twice, and nothing of a call is left over.
#[test]
fn calls_over_datagrams_survive_whatever_happens_to_the_lanes() {
    run_seeds(500, World::with_calls);
}

fn run_seeds(usual: u64, draw: fn(u64, bool) -> World) {
    let trace = number("THROUGHLINE_SIM_TRACE") == Some(1);
    if let Some(seed) = number("THROUGHLINE_SIM_SEED") {
        let report = draw(seed, trace).run();
        println!("seed {seed}: {report}");
        return;
    }
    let first = number("THROUGHLINE_SIM_FIRST").unwrap_or(0);
    let seeds = number("THROUGHLINE_SIM_SEEDS").unwrap_or(usual);
    let mut failed = 0;
    let mut total = Report::default();
    for seed in first..first + seeds {
        match catch_unwind(AssertUnwindSafe(|| draw(seed, trace).run())) {
            Ok(report) => total.add(&report),
            Err(panic) => {
                eprintln!(
                    "seed {seed} failed; replay it with\n  THROUGHLINE_SIM_SEED={seed} \
                     THROUGHLINE_SIM_TRACE=1 cargo test -p throughline-simulation --test simulation -- \
                     --nocapture NAME_OF_THE_TEST"
                );
                failed += 1;
                if failed >= number("THROUGHLINE_SIM_FAILURES").unwrap_or(1) {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    println!("{seeds} seeds: {total}");
    assert_eq!(failed, 0, "seeds failed");
}
