//! The options of the demo.

use std::time::Duration;

use clap::Args;

use throughline::Mode;

/// Watch flows survive the failure of either of two emulated ISPs.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// The rate of each ISP, each way, in Mbit/s.
    #[arg(long, default_value_t = 200, value_name = "MBIT/S",
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub rate: u64,
    /// The round-trip time, in ms.
    #[arg(long, default_value_t = 20, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub rtt: u64,
    /// The capacity of an ISP's queue, in ms at its rate.
    #[arg(long, default_value_t = 50, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=5000))]
    pub queue: u64,
    /// The length of the run, in seconds.
    #[arg(long, default_value = "22", value_name = "SECONDS", value_parser = parse_length)]
    pub length: Duration,
    /// How flows use the two ISPs: auto, auto+bond, single, bond or redundant.
    #[arg(long, default_value_t = Mode::Auto)]
    pub mode: Mode,
    /// Print one JSON object at the end and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Print plain lines even in a terminal.
    #[arg(long)]
    pub plain: bool,
    /// The seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn parse_length(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        // In less than 2 s, no failure would outlast a retransmission timeout.
        Ok(seconds) if (2.0..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("`{text}` is not a length; write a number of seconds from 2 to 600")),
    }
}
