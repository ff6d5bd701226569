//! What a bulk flow has of two links, beside what CUBIC has of each, with real QUIC in virtual time.
//!
//! `cargo run --release -p throughline-simulation --example bonds -- [fixed] [generated]
//! [recorded=DOWN,UP] [up] [seconds=60] [seeds=1] [each=SECONDS]`
//!
//! `recorded` takes traces of mahimahi's format; the second link has them 70 s later, and each further seed
//! another 17 s. An echo runs beside the bulk. `up` is an upload.
//! `each` prints, so often, what the application read, in Mbit/s, and for each lane the Mbit/s that its link
//! carried, the milliseconds of its queue, and how many packets that dropped.

use std::time::Duration;

use throughline_link::{Preset, Profile, Queue, Rate, Trace, Way};
use throughline_proto::types::Mode;
use throughline_simulation::field::{Application, Field, FieldFlow};
use throughline_simulation::quic::{Congestion, Flow, LinkId, Traffic, percentile};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// What comes before is not measured.
const WARM: Duration = Duration::from_secs(2);

/// The interval of the echo's messages.
const ECHO: Duration = Duration::from_millis(20);

/// A link up and down.
type Link = [Profile; 2];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|a| a == name);
    let value = |name: &str| arguments.iter().find_map(|a| a.strip_prefix(name));
    let number = |name, default| value(name).map_or(default, |v| v.parse().expect("a number"));
    let run = Run {
        way: if has("up") { Way::Up } else { Way::Down },
        until: WARM + number("seconds=", 60) * SEC,
        each: value("each=").map(|v| Duration::from_secs_f64(v.parse().expect("a number"))),
    };
    if has("fixed") {
        for [a, b] in
            [[(100, 25); 2], [(300, 10), (80, 30)], [(200, 10), (20, 80)], [(50, 40), (12, 60)]]
        {
            run.compare(&format!("{a:?} + {b:?}"), &[fixed(a), fixed(b)]);
        }
    }
    for seed in 0..number("seeds=", 1) {
        if has("generated") {
            for [a, b] in [
                [(Preset::Lte, 13), (Preset::Lte, 5)],
                [(Preset::Lte, 30), (Preset::Lte, 30)],
                [(Preset::Wifi, 50), (Preset::Starlink, 80)],
                [(Preset::Wander, 20), (Preset::Wander, 40)],
                [(Preset::Pauses, 20), (Preset::Slots, 20)],
            ] {
                let name = format!("{} {} + {} {}, seed {seed}", a.0, a.1, b.0, b.1);
                let seed = 100 * u64::from(seed);
                run.compare(&name, &[generated(a, seed), generated(b, seed + 50)]);
            }
        }
        if let Some((down, up)) = value("recorded=").and_then(|files| files.split_once(',')) {
            let shifts = [17 * seed, 17 * seed + 70];
            let links = shifts.map(|shift| [up, down].map(|file| recorded(file, shift)));
            run.compare(&format!("recorded, from {shifts:?} s"), &links);
        }
    }
}

/// A link of so many Mbit/s, with milliseconds there and back, and 50 ms of queue.
fn fixed((mbit, rtt): (u64, u32)) -> Link {
    let profile = Profile::new(mbit * 1_000_000, rtt * MS / 2).queue(Queue::Time(50 * MS));
    [profile.clone(), profile]
}

/// A link of 40 ms and 300 kB of queue, with weather.
fn generated((preset, mbit): (Preset, u64), seed: u64) -> Link {
    [2 * seed, 2 * seed + 1]
        .map(|seed| radio(preset.weather(mbit * 1_000_000).trace(seed, 120 * SEC)))
}

fn recorded(file: &str, shift: u32) -> Profile {
    let text = std::fs::read_to_string(file).expect("a trace that can be read");
    radio(Trace::parse(&text).expect("a trace of mahimahi's format").shifted(shift * SEC))
}

fn radio(trace: Trace) -> Profile {
    Profile::new(1, 20 * MS).rate(Rate::Trace(trace)).queue(Queue::Bytes(300_000))
}

/// A way, and a time.
struct Run {
    way: Way,
    until: Duration,
    /// How often figures are printed.
    each: Option<Duration>,
}

impl Run {
    fn compare(&self, name: &str, links: &[Link; 2]) {
        println!("{name}");
        let tcp = links.each_ref().map(|link| self.tcp(link));
        self.field(&links[..1], Mode::Single);
        self.field(&links[1..], Mode::Single);
        let auto = self.field(links, Mode::Auto);
        let bond = self.field(links, Mode::Bond);
        println!(
            "    auto {:.2} of the better CUBIC, bond {:.2} of the sum",
            auto / tcp[0].max(tcp[1]),
            bond / (tcp[0] + tcp[1]),
        );
    }

    fn play(&self, field: &mut Field, bulk: FieldFlow) {
        let links: Vec<LinkId> = match self.way {
            Way::Up => field.isps().iter().map(|isp| isp.up).collect(),
            Way::Down | Way::Both => field.isps().iter().map(|isp| isp.down).collect(),
        };
        let mut before = vec![(0, 0); links.len()];
        while field.elapsed() < self.until {
            let from = field.elapsed();
            field.run(self.each.unwrap_or(SEC).min(self.until - from));
            let Some(each) = self.each else { continue };
            print!("        {from:6.2?}: {:5.1} |", field.goodput(bulk, from, field.elapsed()));
            for (link, (delivered, dropped)) in links.iter().zip(&mut before) {
                let stats = field.stats(*link);
                let (bytes, full) = (stats.delivered.bytes, stats.queue_full.packets);
                let rate = (bytes - *delivered) as f64 * 8e-6 / each.as_secs_f64();
                print!(" {rate:5.1} {:4} {:3} |", field.queue(*link).as_millis(), full - *dropped);
                (*delivered, *dropped) = (bytes, full);
            }
            println!();
        }
    }

    fn tcp(&self, link: &Link) -> f64 {
        let mut traffic = Traffic::new(1);
        let [up, down] = link.clone().map(|profile| traffic.link(profile));
        let cubic = Flow::download(up, down, Congestion::Cubic);
        let bulk = traffic.flow(cubic.clone().bulk(Some(self.way)));
        let echo = traffic.flow(cubic.bulk(None).echo(ECHO));
        traffic.run(self.until);
        let goodput = traffic.goodput(bulk, WARM, self.until);
        let echo = |part| percentile(traffic.echoes(echo, WARM, self.until), part).as_millis();
        println!("    cubic  {goodput:6.1} Mbit/s, echo {}/{} ms", echo(0.5), echo(0.99));
        goodput
    }

    fn field(&self, links: &[Link], mode: Mode) -> f64 {
        let mut field = Field::new(1);
        for [up, down] in links.iter().cloned() {
            field.isp(up, down);
        }
        let application = match self.way {
            Way::Up => Application::Upload,
            Way::Down | Way::Both => Application::Download,
        };
        let bulk = field.flow(mode, application, 200 * MS);
        let echo = field.flow(Mode::Auto, Application::Echo(ECHO), 200 * MS);
        self.play(&mut field, bulk);
        let goodput = field.goodput(bulk, WARM, self.until);
        let echo = |part| field.latency_at(echo, part, WARM, self.until).as_millis();
        println!(
            "    {mode:6} {goodput:6.1} Mbit/s, echo {}/{} ms, gap {} ms, {:.2} % sent again, {} \
             moves, {:?}",
            echo(0.5),
            echo(0.99),
            field.longest_gap(bulk, WARM, self.until).as_millis(),
            100.0 * field.resent(bulk),
            field.moves(bulk).len(),
            (0..links.len()).map(|isp| field.report(isp)).collect::<Vec<_>>(),
        );
        goodput
    }
}
