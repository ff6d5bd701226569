//! Options that say what the internet is like.

use std::time::Duration;

use interop_tests::lab::Shape;
use interop_tests::lab::access::{self, Access, Usual};
use interop_tests::lab::bgp::Bgp;
use interop_tests::lab::compete::{Competition, Rival};
use interop_tests::lab::plan::Family;
use interop_tests::lab::wan::{Jitter, Loss, Policer, Queue};
use interop_tests::support::Outcome;

#[derive(clap::Args)]
pub(crate) struct Internet {
    /// Which addresses there are.
    #[arg(long, value_enum, default_value = "v4")]
    family: Addresses,
    /// Mbit/s of each ISP.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Round trip between the sites, in milliseconds.
    #[arg(long, default_value_t = 20)]
    rtt: u64,
    /// What each ISP queues: 50 (ms), 50ms, 300kB, codel.
    #[arg(long, default_value = "50", value_parser = access::queue)]
    queue: Queue,
    /// What each of the client's ISPs loses: 2%, or 2%:5 in bursts of 5 (Gilbert–Elliott).
    #[arg(long, value_parser = access::loss)]
    loss: Option<Loss>,
    /// How much longer a packet may take: 100ms, 100ms:unordered, 100ms:stepped:HOLD,
    /// 100ms:correlated:MEMORY.
    #[arg(long, value_parser = access::jitter)]
    jitter: Option<Jitter>,
    /// A policer at each of the client's ISPs: 20,64kB (Mbit/s, burst).
    #[arg(long, value_parser = access::policer)]
    policer: Option<Policer>,
    /// The client's first ISP, in words: "20/0.5 rtt=30ms queue=100kB loss=1%",
    /// "trace:DOWN.txt,UP.txt rtt=40ms queue=300kB phase=70s", "lte:8 seed=3". Capacities: Mbit/s
    /// (down/up), trace:FILE (mahimahi's format), wander, pauses, slots, lte, starlink, wifi. Words:
    /// rtt, queue, loss, jitter, police, phase, seed; down. or up. before them for one direction.
    #[arg(long, value_name = "LINK")]
    isp_a: Option<String>,
    /// The client's second ISP.
    #[arg(long, value_name = "LINK")]
    isp_b: Option<String>,
    /// Other people's bulk flows over the client's first ISP: cubic, bbr, reno, throughline or throughline:MODE,
    /// udp:MBITS; several with `,` run at once.
    #[arg(long, value_delimiter = ',')]
    compete: Vec<Rival>,
    /// They are there 3 s before ours; without it, 3 s after.
    #[arg(long, requires = "compete")]
    compete_first: bool,
    /// The client's site announces a prefix of its own by BGP with this hold time in seconds.
    #[arg(long)]
    bgp: Option<u64>,
    /// BGP with bidirectional forwarding detection.
    #[arg(long, requires = "bgp")]
    bfd: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Addresses {
    V4,
    V6,
    Both,
}

impl Internet {
    /// Returns the internet that the options describe.
    pub(crate) fn shape(&self) -> Outcome<Shape> {
        let queue = match self.queue {
            Queue::Time(time) => time,
            // Of the client's ISPs, in `access`.
            _ => Shape::default().queue,
        };
        Ok(Shape {
            rate: self.rate * 1_000_000,
            rtt: Duration::from_millis(self.rtt),
            queue,
            family: match self.family {
                Addresses::V4 => Family::V4,
                Addresses::V6 => Family::V6,
                Addresses::Both => Family::Both,
            },
            access: self.access()?,
            bgp: self.bgp.map(|hold| Bgp { hold: Duration::from_secs(hold), bfd: self.bfd }),
            ..Shape::default()
        })
    }

    /// Returns whose traffic there is besides.
    pub(crate) fn competition(&self) -> Competition {
        Competition { rivals: self.compete.clone(), first: self.compete_first }
    }

    /// Returns the client's ISPs, where they are more than a rate, a delay and a queue in time.
    fn access(&self) -> Outcome<Vec<Access>> {
        let plain = self.isp_a.is_none()
            && self.isp_b.is_none()
            && (self.loss, self.jitter, self.policer) == (None, None, None)
            && matches!(self.queue, Queue::Time(_));
        if plain {
            return Ok(Vec::new());
        }
        let usual = Usual {
            rtt: Duration::from_millis(self.rtt),
            queue: self.queue,
            loss: self.loss.unwrap_or(Loss::None),
            jitter: self.jitter.unwrap_or(Jitter::None),
            policer: self.policer,
        };
        let mut all = Vec::new();
        for (number, (option, link)) in
            (0..).zip([("--isp-a", &self.isp_a), ("--isp-b", &self.isp_b)])
        {
            let link = link.clone().unwrap_or_else(|| self.rate.to_string());
            let access = Access::parse(&link, number, &usual);
            all.push(access.map_err(|error| format!("{option} \"{link}\": {error}"))?);
        }
        Ok(all)
    }
}
