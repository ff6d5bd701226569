//! The rates of bulk as bars: medians over the rounds, up above down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use interop_tests::support::Outcome;

/// Rates of one system with one number of flows, in Gbit/s: up and down, one for each round.
#[derive(Default)]
struct Rates([Vec<f64>; 2]);

/// How our rates are called.
const OURS: &str = "throughline";

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

    /// Prints the medians, and which part we have of what others had in the same round: the median, the least and the
    /// most of the rounds.
    pub(crate) fn print_summary(&self) {
        for ((flows, system), Rates([up, down])) in &self.0 {
            println!("median of {system}, {flows} flows: {:.2} / {:.2}", median(up), median(down));
        }
        for ((flows, _), ours) in self.0.iter().filter(|((_, system), _)| system == OURS) {
            for ((others_flows, other), theirs) in &self.0 {
                // Beside as many flows of others, and one flow of our own.
                let is_asked =
                    if other == OURS { *others_flows < *flows } else { others_flows == flows };
                if is_asked {
                    let [up, down] = [0, 1].map(|way| part(&ours.0[way], &theirs.0[way]));
                    println!("{flows} flows against {other} with {others_flows}: {up} / {down}");
                }
            }
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
            let colour = if system == OURS { "#006AA8" } else { "#C05000" };
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

/// Returns what part the rates of each round are of others' in the same round, where these had anything.
fn part(ours: &[f64], theirs: &[f64]) -> String {
    let pairs = ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0);
    let parts: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
    let least = parts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = parts.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2}–{most:.2})", median(&parts))
}

fn median(list: &[f64]) -> f64 {
    let mut sorted = list.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_of_the_same_round_and_of_those_that_had_anything() {
        assert_eq!(part(&[4.0, 3.0, 9.0, 1.0], &[8.0, 2.0, 0.0, 1.0]), "1.00 (0.50–1.50)");
    }
}
