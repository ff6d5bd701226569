//! What a link carries: the first word.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use throughline_link::{Preset, Rate, Trace};

use super::amount::rate;

/// How long generated weather is before it repeats: longer than any measurement here.
const WEATHER_LENGTH: Duration = Duration::from_secs(300);
/// Uplinks draw from a stream of their own.
const UP: u64 = 1 << 32;
/// The largest trace file: as many lines as a trace may have, of eight digits.
const MAX_FILE_BYTES: u64 = 90_000_000;
/// Of radio links, what goes up beside what comes down, where nobody says.
const UP_PART: u64 = 4;

#[derive(Debug)]
pub(super) enum Capacity {
    /// Bit/s down and up.
    Fixed([u64; 2]),
    /// Files for down and up.
    Trace([PathBuf; 2]),
    /// Bit/s down and up, between pauses.
    Weather(Preset, [u64; 2]),
}

impl FromStr for Capacity {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let (kind, value) = word.split_once(':').unwrap_or((word, ""));
        match kind {
            "fixed" => both(value).map(Self::Fixed),
            "trace" if value.is_empty() => {
                Err("trace: give a file, `trace:DOWN` or `trace:DOWN,UP`".into())
            }
            "trace" => {
                let (down, up) = value.split_once(',').unwrap_or((value, value));
                Ok(Self::Trace([down.into(), up.into()]))
            }
            number if number.starts_with(|c: char| c.is_ascii_digit()) => {
                both(word).map(Self::Fixed)
            }
            name => {
                let preset: Preset = name.parse().map_err(|error| {
                    format!(
                        "{error}; or give Mbit/s (`100`, `20/0.5`) or a file of delivery \
                         opportunities (`trace:FILE`)"
                    )
                })?;
                let usual = preset.usual_rate();
                let rates = if value.is_empty() { [usual, usual / UP_PART] } else { both(value)? };
                Ok(Self::Weather(preset, rates))
            }
        }
    }
}

/// `DOWN/UP`, or one for both.
fn both(text: &str) -> Result<[u64; 2], String> {
    let (down, up) = text.split_once('/').unwrap_or((text, text));
    Ok([rate(down)?, rate(up)?])
}

impl Capacity {
    /// Returns the rates down and up.
    pub(super) fn rates(&self, seed: u64, phase: Duration) -> Result<[Rate; 2], String> {
        let traces = match self {
            Self::Fixed(rates) => return Ok(rates.map(Rate::Fixed)),
            Self::Trace([down, up]) => {
                let down_trace = read(down)?;
                let up_trace = if up == down { down_trace.clone() } else { read(up)? };
                [down_trace, up_trace]
            }
            Self::Weather(preset, [down, up]) => [
                preset.weather(*down).trace(seed, WEATHER_LENGTH),
                preset.weather(*up).trace(seed ^ UP, WEATHER_LENGTH),
            ],
        };
        Ok(traces.map(|trace| Rate::Trace(trace.shifted(phase))))
    }
}

/// Reads a trace.
fn read(file: &Path) -> Result<Trace, String> {
    let name = file.display();
    let failed = |error| format!("cannot read the trace {name}: {error}");
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(format!("the trace {name} has {bytes} bytes: cut it, it repeats by itself"));
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    Trace::parse(&text).map_err(|error| format!("the trace {name}: {error}"))
}
