//! Shares of links that lanes and other senders have, measured with real QUIC connections in virtual time.
//!
//! `cargo run -p throughline-simulation --example shares -- [alone|lossy|weather|radio|lane|cubic|bbr|others] [policer]
//! [rtt=…] [queues=…,…] [seeds=…] [trace file…] [rate…]`
//!
//! With `seeds=3` each contest is played three times: the second sender comes at another moment each time, and
//! lossy links draw anew. The table then has the geometric mean of the ratios, the least and the greatest.

use std::io::Write;
use std::time::{Duration, Instant};

use throughline_link::{Loss, Policer, Preset, Profile, Queue, Rate, Trace};
use throughline_simulation::quic::{Congestion, Contest, Flow, Shares, Traffic, alone};

const MS: Duration = Duration::from_millis(1);
const ALL: [Congestion; 3] = [Congestion::Lane, Congestion::Cubic, Congestion::Bbr];
const QUEUES: [u32; 7] = [5, 10, 20, 50, 100, 200, 500];

fn profile(mbit: u64, rtt: Duration, queue: Duration) -> Profile {
    Profile::new(mbit * 1_000_000, rtt / 2).queue(Queue::Time(queue))
}

/// A line far faster than a policer that drops what exceeds `mbit` for longer than `burst`.
fn policed(mbit: u64, rtt: Duration, burst: Duration) -> Profile {
    let burst = (mbit * 1_000_000 / 8) * burst.as_millis() as u64 / 1000;
    let policer = Policer { rate: mbit * 1_000_000, burst };
    Profile::new(1_000_000_000, rtt / 2).queue(Queue::Time(100 * MS)).policer(policer)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|a| a == name);
    let mut rates: Vec<u64> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    if rates.is_empty() {
        rates = vec![5, 20, 100, 500];
    }
    let value = |name: &str| arguments.iter().find_map(|a| a.strip_prefix(name));
    let number = |name: &str, default: u32| {
        value(name).and_then(|number| number.parse().ok()).unwrap_or(default)
    };
    let (rtt, seeds) = (number("rtt=", 20), u64::from(number("seeds=", 1)));
    let queues: Vec<u32> = value("queues=")
        .map_or(QUEUES.to_vec(), |list| list.split(',').filter_map(|q| q.parse().ok()).collect());
    let bottleneck = if has("policer") { policed } else { profile };
    use Congestion::{Bbr, Cubic, Lane};
    if has("alone") {
        for mbit in &rates {
            for queue in &queues {
                let name = format!("{mbit} Mbit/s, {queue} ms");
                single(&name, &bottleneck(*mbit, rtt * MS, *queue * MS), 12, &ALL);
            }
        }
    }
    if has("weather") {
        weather(arguments.iter().filter(|a| a.contains('/')));
    }
    if has("radio") {
        radio(seeds);
    }
    if has("lossy") {
        lossy();
    }
    if has("trace") {
        // trace queue=… first=… second=…
        let sender = |name: &str| match value(name) {
            Some("cubic") => Cubic,
            Some("bbr") => Bbr,
            _ => Lane,
        };
        let senders = [sender("first="), sender("second=")];
        let loss = value("loss=").and_then(|part| part.parse().ok());
        let loss = loss.map_or(Loss::None, Loss::Random);
        let bottleneck = bottleneck(rates[0], rtt * MS, number("queue=", 50) * MS).loss(loss);
        trace(&bottleneck, senders, value("second=") == Some("none"));
    }
    for (name, pairs) in [
        ("lane", vec![[Lane, Lane]]),
        ("cubic", vec![[Lane, Cubic], [Cubic, Lane]]),
        ("bbr", vec![[Lane, Bbr], [Bbr, Lane]]),
        ("others", vec![[Cubic, Cubic], [Cubic, Bbr], [Bbr, Cubic], [Bbr, Bbr]]),
    ] {
        if has(name) {
            for senders in &pairs {
                contests(*senders, &rates, &queues, seeds, |mbit, queue| {
                    bottleneck(mbit, rtt * MS, queue)
                });
            }
        }
    }
}

/// Prints what becomes of two senders, twice a second.
fn trace(bottleneck: &Profile, senders: [Congestion; 2], alone: bool) {
    let mut traffic = Traffic::new(1);
    let up = traffic.link(Profile::new(1_000_000_000, bottleneck.delay));
    let down = traffic.link(bottleneck.clone());
    let begins = Duration::from_secs(if alone { 1000 } else { 5 });
    let flows = [
        traffic.flow(Flow::download(up, down, senders[0])),
        traffic.flow(Flow::download(up, down, senders[1]).begins(begins)),
    ];
    for step in 1..=60 {
        traffic.run(500 * MS);
        let until = step * 500 * MS;
        let rates = flows.map(|flow| traffic.goodput(flow, until - 500 * MS, until));
        let windows = flows.map(|flow| traffic.windows(flow)[1] / 1000);
        let queue = traffic.queues(down, until - 500 * MS, until);
        let least = queue.iter().min().unwrap().as_millis();
        let greatest = queue.iter().max().unwrap().as_millis();
        println!(
            "{:5.1} s: {:6.1} {:6.1} Mbit/s, windows {:5} {:5} kB, queue {least:3}..{greatest:3} ms, dropped {}",
            until.as_secs_f64(),
            rates[0],
            rates[1],
            windows[0],
            windows[1],
            traffic.stats(down).queue_full.packets
        );
    }
}

fn lossy() {
    let base = |mbit, rtt: u32, queue: u32, loss| profile(mbit, rtt * MS, queue * MS).loss(loss);
    for (name, profile, secs) in [
        ("600 ms, 1 %, 50 Mbit/s", base(50, 600, 200, Loss::Random(0.01)), 60),
        ("450 ms, 5 %, 50 Mbit/s", base(50, 450, 200, Loss::Random(0.05)), 60),
        ("20 ms, 1/2000, 200 Mbit/s", base(200, 20, 50, Loss::Periodic(2000)), 12),
        ("20 ms, 1 %, 100 Mbit/s", base(100, 20, 50, Loss::Random(0.01)), 15),
        ("100 ms, 3 %, 20 Mbit/s", base(20, 100, 100, Loss::Random(0.03)), 30),
        ("600 ms, no loss, 50 Mbit/s", base(50, 600, 200, Loss::None), 30),
        ("20 ms, 3 ms queue, 100 Mbit/s", base(100, 20, 3, Loss::None), 15),
    ] {
        single(name, &profile, secs, &ALL);
    }
}

fn single(name: &str, profile: &Profile, secs: u64, senders: &[Congestion]) {
    for &sender in senders {
        let began = Instant::now();
        let run = alone(profile, sender, Duration::from_secs(secs), 1);
        println!(
            "{name:>30} {:6} {:6.1} {:6.1} {:6.1} Mbit/s, echo {:4} {:4} ms, queue {:4} {:4} ms, loss {:.4} ({:.1} s)",
            format!("{sender:?}"),
            run.goodput[0],
            run.goodput[1],
            run.goodput[2],
            run.echo[0].as_millis(),
            run.echo[1].as_millis(),
            run.queue[0].as_millis(),
            run.queue[1].as_millis(),
            run.loss,
            began.elapsed().as_secs_f64()
        );
    }
}

/// What each sender gets of links like radio ones: those of files in mahimahi's format, and generated ones.
fn weather<'a>(files: impl Iterator<Item = &'a String>) {
    let mut traces: Vec<(String, Trace)> = files
        .map(|file| {
            let text = std::fs::read_to_string(file).expect("the trace can be read");
            (file.clone(), Trace::parse(&text).expect("the file is a trace"))
        })
        .collect();
    for preset in [Preset::Lte, Preset::Wifi, Preset::Starlink] {
        let rate = preset.usual_rate();
        for seed in 1..=3 {
            let trace = preset.weather(rate).trace(seed, Duration::from_secs(60));
            traces.push((format!("{preset} {seed}"), trace));
        }
    }
    for (name, trace) in traces {
        let bottleneck =
            Profile::new(0, 20 * MS).rate(Rate::Trace(trace)).queue(Queue::Bytes(300_000));
        // Quinn's BBR loses four fifths of what it sends there.
        single(&name, &bottleneck, 60, &[Congestion::Lane, Congestion::Cubic]);
    }
}

/// Prints the means over many seeds of LTE, of a lane and of CUBIC: single seeds are far apart.
fn radio(seeds: u64) {
    let preset = Preset::Lte;
    for sender in [Congestion::Lane, Congestion::Cubic] {
        let mut sums = [0.0; 4];
        for seed in 1..=seeds {
            let trace = preset.weather(preset.usual_rate()).trace(seed, Duration::from_secs(60));
            let bottleneck =
                Profile::new(0, 20 * MS).rate(Rate::Trace(trace)).queue(Queue::Bytes(300_000));
            let run = alone(&bottleneck, sender, Duration::from_secs(60), 1);
            let rate = run.goodput.iter().sum::<f64>() / 3.0;
            let echo = run.echo.map(|echo| echo.as_secs_f64() * 1e3);
            for (sum, value) in sums.iter_mut().zip([rate, echo[0], echo[1], run.loss]) {
                *sum += value / seeds as f64;
            }
        }
        let [rate, median, p99, loss] = sums;
        println!(
            "{preset}, {seeds} seeds, {:6} {rate:.2} Mbit/s, echo {median:.0} {p99:.0} ms, loss {loss:.4}",
            format!("{sender:?}")
        );
    }
}

fn contests(
    senders: [Congestion; 2],
    rates: &[u64],
    queues: &[u32],
    seeds: u64,
    bottleneck: impl Fn(u64, Duration) -> Profile,
) {
    println!(
        "{:?} then {:?}: ratio first/second [least..greatest of the seeds] (least..most part of the first), queue, loss",
        senders[0], senders[1]
    );
    for mbit in rates {
        print!("{mbit:>5} Mbit/s");
        for queue in queues {
            let bottleneck = bottleneck(*mbit, *queue * MS);
            let shares: Vec<Shares> = (1..=seeds)
                .map(|seed| Contest { bottleneck: bottleneck.clone(), senders, seed }.run())
                .collect();
            print!(" | {}", cell(&shares));
            std::io::stdout().flush().ok();
        }
        println!();
    }
}

/// What contests that differ by their seeds came to.
fn cell(shares: &[Shares]) -> String {
    let ratios = shares.iter().map(|shares| shares.goodput[0] / shares.goodput[1].max(1e-3));
    let mean = (ratios.clone().map(f64::ln).sum::<f64>() / shares.len() as f64).exp();
    let (least, greatest) =
        ratios.fold((f64::MAX, 0.0f64), |(low, high), r| (low.min(r), high.max(r)));
    let low = shares.iter().map(|shares| shares.spread[0]).fold(1.0, f64::min);
    let high = shares.iter().map(|shares| shares.spread[1]).fold(0.0, f64::max);
    let queue = shares.iter().map(|shares| shares.queue).max().unwrap_or_default();
    let loss = shares.iter().map(|shares| shares.loss).sum::<f64>() / shares.len() as f64;
    format!(
        "{mean:6.2} [{least:5.2}..{greatest:5.2}] ({:2.0}..{:2.0}) {:3.0}ms {loss:.3}",
        low * 100.0,
        high * 100.0,
        queue.as_millis(),
    )
}
