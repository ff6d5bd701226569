//! How much one flow carries, by what is offered to it.

use std::time::Duration;

use interop_tests::support::Outcome;

use super::setup::{Options, WARM_UP, bind, forward, plain, spread};
use super::traffic::{self, Delivered, Ends};
use crate::pair::Pair;
use crate::process::Usage;

pub(super) fn measure(options: &Options) -> Outcome {
    println!(
        "one flow, {} bytes: Gbit/s offered → received, lost; up / down; cores of both daemons",
        traffic::SIZE
    );
    let mut best: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 1..=options.rounds {
        let server = bind()?;
        let pair = Pair::start_with(0, "", &forward("one", server.local_addr()?))?;
        let ours = Ends::connect(bind()?, pair.ingress_named("one")?, server)?;
        let systems = [("plain", plain()?), ("throughline", ours)];
        if options.offload {
            systems.iter().try_for_each(|(_, ends)| ends.offload())?;
        }
        for ((name, ends), best) in systems.iter().zip(&mut best) {
            let highest = of_system(options, &format!("round {round} {name}"), ends, &pair)?;
            best.iter_mut().zip(highest).for_each(|(list, rate)| list.push(rate));
        }
    }
    for (name, lists) in ["plain", "throughline"].into_iter().zip(&mut best) {
        let [up, down] = lists.each_mut().map(|list| spread(list));
        println!("{name}: most received, Gbit/s: up {up}, down {down}");
    }
    Ok(())
}

/// Returns the most that was received each way at any of the rates.
fn of_system(options: &Options, name: &str, ends: &Ends, pair: &Pair) -> Outcome<[f64; 2]> {
    let spans = [WARM_UP, Duration::from_secs(options.seconds)];
    let mut highest = [0.0_f64; 2];
    for rate in &options.rates {
        let mut line = format!("{name} {rate}:");
        for (way, highest) in highest.iter_mut().enumerate() {
            let ways = [(&ends.client, &ends.server), (&ends.server, &ends.client)];
            let before = pair.usage()?;
            let delivered = traffic::stream(ways[way].0, ways[way].1, rate * 1e9, spans)?;
            let used = cores(before, pair.usage()?, spans);
            line += &format!("  {}, {used:.2}", said(delivered));
            *highest = highest.max(delivered.received / 1e9);
        }
        println!("{line}");
    }
    Ok(highest)
}

fn cores(before: [Usage; 2], after: [Usage; 2], spans: [Duration; 2]) -> f64 {
    let used =
        before.iter().zip(after).map(|(before, after)| (after.cpu - before.cpu).as_secs_f64());
    used.sum::<f64>() / spans.iter().sum::<Duration>().as_secs_f64()
}

fn said(of: Delivered) -> String {
    let Delivered { offered, received, loss } = of;
    format!("{:.3} → {:.3}, {:.3} %", offered / 1e9, received / 1e9, loss * 100.0)
}
