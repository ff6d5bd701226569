//! Datagrams over the lab's links, beside plain UDP over the same ones: what is lost of a flow that offers a part of the
//! link's rate, and what a flood beyond that rate does to another flow.

mod causes;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use interop_tests::lab::daemons::{Daemons, Setup};
use interop_tests::lab::host::Host;
use interop_tests::lab::{Lab, Shape, Side, enter};
use interop_tests::support::Outcome;
use throughline::Mode;

use self::causes::Causes;
use super::datagrams::flood::{Beside, SPARSE_INTERVAL};
use super::datagrams::setup::spread;
use super::datagrams::traffic::{self, Ends};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// The link's rate, in Mbit/s.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// The part of it that a flow offers.
    #[arg(long, default_value_t = 0.8)]
    part: f64,
    /// Milliseconds from one datagram of the sparse flow to the next: 20 are those of a call, which is a thin flow.
    #[arg(long, default_value_t = SPARSE_INTERVAL.as_millis() as u64)]
    every: u64,
}

/// Until the congestion window has grown to what is offered.
const WARM_UP: Duration = Duration::from_secs(3);

/// A datagram of UDP on IPv4 has 28 bytes more than its payload.
const HEADERS: usize = 28;

/// Where the near daemon takes the flow that is looked at, and the flood.
const INGRESSES: [(&str, u16); 2] = [("sparse", 7001), ("thick", 7002)];

pub(crate) async fn measure(options: &Options) -> Outcome {
    // Outside it becomes another program, which comes back here.
    enter::enter()?;
    let work = async {
        run(options).await?;
        Ok(ExitCode::SUCCESS)
    };
    enter::until_signal(work).await.map(drop)
}

async fn run(options: &Options) -> Outcome {
    let (mut losses, mut added): ([Vec<f64>; 2], [Vec<f64>; 3]) = Default::default();
    for round in 1..=options.rounds {
        let lab =
            Lab::new(Shape { rate: u64::from(options.rate) * 1_000_000, ..Shape::default() })?;
        let plain = [plain(&lab)?, plain(&lab)?];
        loss(options, &format!("round {round} plain"), &plain[1], &mut losses[0])?;
        beside(options, &format!("round {round} plain"), &plain, &mut added[0])?;
        drop(plain);
        for (mode, added) in [Mode::Single, Mode::Auto].into_iter().zip(&mut added[1..]) {
            let name = format!("round {round} {mode}");
            let (daemons, ends) = ours(&lab, mode).await?;
            if mode == Mode::Auto {
                let before = Causes::count(&lab, &daemons)?;
                loss(options, &name, &ends[1], &mut losses[1])?;
                println!("  {}", causes::lanes(&daemons, Side::Client)?);
                println!("  dropped: {}", Causes::count(&lab, &daemons)?.since(&before));
            }
            beside(options, &name, &ends, added)?;
            println!("  {}", causes::lanes(&daemons, Side::Client)?);
        }
    }
    for (name, list) in ["plain", "auto"].into_iter().zip(&mut losses) {
        println!(
            "{name}: lost at {} of {} Mbit/s, %: {}",
            options.part,
            options.rate,
            spread(list)
        );
    }
    for (name, list) in ["plain", "single", "auto"].into_iter().zip(&mut added) {
        println!("{name}: the flood adds to the p99, ms: {}", spread(list));
    }
    Ok(())
}

fn bind(host: &Host, at: IpAddr) -> Outcome<UdpSocket> {
    Ok(host.run(move || UdpSocket::bind((at, 0)))??)
}

/// Returns two sockets with the first ISPs between them, and nothing else.
fn plain(lab: &Lab) -> Outcome<Ends> {
    let at = |side: Side| lab.side(side).uplinks[0].prefixes[0].host;
    let server = bind(&lab.server.host, at(Side::Server))?;
    let to = server.local_addr()?;
    Ends::connect(bind(&lab.client.host, at(Side::Client))?, to, server)
}

/// Returns two flows through daemons.
async fn ours(lab: &Lab, mode: Mode) -> Outcome<(Daemons, [Ends; 2])> {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let servers = [bind(&lab.server.host, loopback)?, bind(&lab.server.host, loopback)?];
    let daemons = Daemons::start(lab, Setup::of(mode)).await?;
    let mut tables = String::new();
    for ((name, port), server) in INGRESSES.iter().zip(&servers) {
        let to = server.local_addr()?.port();
        tables += &format!(
            "[ingress.{name}]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '127.0.0.1:{port}'\n\
             to = 'localhost:{to}'\nvia = 'server'\nmode = '{mode}'\n"
        );
    }
    daemons.reconfigure(Side::Client, |config| config + &tables)?;
    let [sparse, thick] = servers;
    let connect = |index: usize, server| -> Outcome<Ends> {
        let ingress = SocketAddr::from((loopback, INGRESSES[index].1));
        Ends::connect(bind(&lab.client.host, loopback)?, ingress, server)
    };
    let ends = [connect(0, sparse)?, connect(1, thick)?];
    Ok((daemons, ends))
}

/// Returns the payload's rate of datagrams that take this part of the link.
fn payload_rate(options: &Options, part: f64) -> f64 {
    let of_packet = traffic::SIZE as f64 / (traffic::SIZE + HEADERS) as f64;
    f64::from(options.rate) * 1e6 * part * of_packet
}

fn loss(options: &Options, name: &str, ends: &Ends, losses: &mut Vec<f64>) -> Outcome {
    let spans = [WARM_UP, Duration::from_secs(options.seconds)];
    let rate = payload_rate(options, options.part);
    let delivered = traffic::stream(&ends.client, &ends.server, rate, spans)?;
    let lost = delivered.loss * 100.0;
    println!("{name}: {lost:.4} % lost of {:.1} Mbit/s", delivered.offered / 1e6);
    losses.push(lost);
    Ok(())
}

/// With twice what the link takes.
fn beside(options: &Options, name: &str, ends: &[Ends; 2], added: &mut Vec<f64>) -> Outcome {
    let span = Duration::from_secs(options.seconds);
    let every = Duration::from_millis(options.every);
    let beside = Beside::measure(ends, every, payload_rate(options, 2.0), span)?;
    println!("{name}: {beside}");
    added.push(beside.added_ms());
    Ok(())
}
