//! Datagram flows on loopback, beside plain UDP in the same round: how much one flow carries, what a flood on one does
//! to another, and what thousands of short ones leave behind.

pub(crate) mod flood;
mod goodput;
mod short;
pub(crate) mod traffic;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use interop_tests::support::Outcome;

use self::traffic::Ends;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is measured: `goodput`, `flood`, `flows`.
    #[arg(long, value_delimiter = ',', default_value = "goodput,flood,flows")]
    parts: Vec<String>,
    /// Rounds of each part.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each stream, and of each sparse flow.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// What is offered to one flow, in Gbit/s of payload.
    #[arg(long, value_delimiter = ',', default_value = "0.5,1,1.5,2")]
    rates: Vec<f64>,
    /// What a flood offers, in Gbit/s of payload.
    #[arg(long, default_value_t = 2.0)]
    flood: f64,
    /// Short flows of each round of `flows`.
    #[arg(long, default_value_t = 10_000)]
    flows: u64,
    /// Milliseconds from one short flow to the next.
    #[arg(long, default_value_t = 6)]
    pace: u64,
}

/// A stream's window has grown by then.
const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) fn measure(options: &Options) -> Outcome {
    for part in &options.parts {
        match part.as_str() {
            "goodput" => goodput::measure(options)?,
            "flood" => flood::measure(options)?,
            "flows" => short::measure(options)?,
            other => return Err(format!("there is no part {other}").into()),
        }
    }
    Ok(())
}

fn bind() -> Outcome<UdpSocket> {
    Ok(UdpSocket::bind("127.0.0.1:0")?)
}

/// Returns two sockets with nothing between them.
fn plain() -> Outcome<Ends> {
    let server = bind()?;
    let to = server.local_addr()?;
    Ends::connect(bind()?, to, server)
}

/// Returns a UDP forward, as the configuration has it.
fn forward(name: &str, to: SocketAddr) -> String {
    format!(
        "[ingress.{name}]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
         via = 'far'\n"
    )
}

/// Returns the median, the least and the greatest.
pub(crate) fn spread(list: &mut [f64]) -> String {
    list.sort_by(f64::total_cmp);
    match (list.first(), list.last()) {
        (Some(least), Some(most)) => {
            format!("{:.3} ({least:.3}–{most:.3}, n = {})", list[list.len() / 2], list.len())
        }
        _ => "nothing".to_owned(),
    }
}
