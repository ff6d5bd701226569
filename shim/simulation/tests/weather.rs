//! Weather by seed: no byte is wrong and nothing stands still. `weather` (a program of this crate) plays
//! more and longer.

use std::time::Duration;

use throughline_simulation::weather::{WeatherReport, play};

/// How long each seed is played.
const TIME: Duration = Duration::from_secs(20);

#[test]
fn sessions_carry_every_byte_through_all_weather() {
    let mut total = WeatherReport::default();
    for seed in 0..24 {
        total.add(&play(seed, TIME));
    }
    println!("{total}");
    assert!(total.failures >= 10, "the weather was too good: {total}");
    assert!(total.resent <= total.megabytes / 100.0, "too much was sent again: {total}");
}
