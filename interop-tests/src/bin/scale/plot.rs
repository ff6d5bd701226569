//! The rates of bulk as bars: medians over the rounds, up above down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use interop_tests::support::Outcome;

/// Rates of one system with one number of flows, in Gbit/s: up and down, one for each round.
#[derive(Default)]
struct Rates([Vec<f64>; 2]);

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Plot(BTreeMap<(usize, String), Rates>);

/// Pixels: of the whole width, left of the bars, of a bar.
const WIDTH: f64 = 920.0;
const NAMES: f64 = 190.0;
const BAR: f64 = 11.0;
/// From one pair of bars to the next.
const STEP: f64 = 32.0;

impl Plot {
    /// Takes a measurement.
    pub(crate) fn add(&mut self, system: &str, flows: usize, rates: [f64; 2]) {
        let of = self.0.entry((flows, system.to_owned())).or_default();
        for (list, rate) in of.0.iter_mut().zip(rates) {
            list.push(rate);
        }
    }

    /// Writes the plot as SVG.
    pub(crate) fn write(&self, file: &std::path::Path) -> Outcome {
        let most = self.0.values().flat_map(|rates| rates.0.iter().map(|list| median(list)));
        let scale = (WIDTH - NAMES - 60.0) / most.fold(1.0, f64::max);
        let height = STEP * (self.0.len() + 1) as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{NAMES}\" y=\"18\">Gbit/s, medians: up above, down below</text>\n"
        );
        for (row, ((flows, system), rates)) in self.0.iter().enumerate() {
            let top = STEP * (row + 1) as f64;
            // The same colours as in the report: whether it is Throughline.
            let colour = if system == "throughline" { "#006AA8" } else { "#C05000" };
            let s = if *flows == 1 { "" } else { "s" };
            writeln!(svg, "<text x=\"8\" y=\"{}\">{system}, {flows} flow{s}</text>", top + 14.0)?;
            for (list, number) in rates.0.iter().zip([0.0, 1.0]) {
                let (rate, y) = (median(list), top + number * BAR);
                let length = rate * scale;
                writeln!(
                    svg,
                    "<rect x=\"{NAMES}\" y=\"{y}\" width=\"{length:.0}\" height=\"{}\" fill=\"{colour}\" \
                     opacity=\"{}\"/>\n<text x=\"{:.0}\" y=\"{}\" font-size=\"11\">{rate:.1}</text>",
                    BAR - 1.0,
                    1.0 - 0.35 * number,
                    NAMES + length + 6.0,
                    y + BAR - 2.0,
                )?;
            }
        }
        svg.push_str("</svg>\n");
        Ok(std::fs::write(file, svg)?)
    }
}

fn median(list: &[f64]) -> f64 {
    let mut sorted = list.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
