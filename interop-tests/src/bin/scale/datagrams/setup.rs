//! What is asked for, and what stands between a client and a server.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use interop_tests::support::Outcome;

use super::traffic::Ends;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is measured: `goodput`, `flood`, `flows`.
    #[arg(long, value_delimiter = ',', default_value = "goodput,flood,flows")]
    pub(super) parts: Vec<String>,
    /// Rounds of each part.
    #[arg(long, default_value_t = 5)]
    pub(super) rounds: u32,
    /// Seconds of each stream, and of each sparse flow.
    #[arg(long, default_value_t = 2)]
    pub(super) seconds: u64,
    /// What is offered to one flow, in Gbit/s of payload.
    #[arg(long, value_delimiter = ',', default_value = "0.5,1,1.5,2")]
    pub(super) rates: Vec<f64>,
    /// The kernel cuts what the client and the server send, and joins what they receive (UDP_SEGMENT, UDP_GRO), as for
    /// QUIC's stacks: on few cores these two cost more than what is measured.
    #[arg(long)]
    pub(super) offload: bool,
    /// What a flood offers, in Gbit/s of payload.
    #[arg(long, default_value_t = 2.0)]
    pub(super) flood: f64,
    /// Short flows of each round of `flows`.
    #[arg(long, default_value_t = 10_000)]
    pub(super) flows: u64,
    /// Milliseconds from one short flow to the next.
    #[arg(long, default_value_t = 6)]
    pub(super) pace: u64,
}

/// A stream's window has grown by then.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);

pub(super) fn bind() -> Outcome<UdpSocket> {
    Ok(UdpSocket::bind("127.0.0.1:0")?)
}

/// Returns two sockets with nothing between them.
pub(super) fn plain() -> Outcome<Ends> {
    let server = bind()?;
    let to = server.local_addr()?;
    Ends::connect(bind()?, to, server)
}

/// Returns a UDP forward, as the configuration has it.
pub(super) fn forward(name: &str, to: SocketAddr) -> String {
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
