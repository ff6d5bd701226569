//! What happens in a run: flows, and misfortunes, drawn from the seed.

use rand::Rng;
use rand::rngs::SmallRng;
use throughline_proto::types::{AddressClass, Mode};

use crate::link::{MS, Nanos, SEC};

/// How an application ends what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Finish,
    /// Finishes once it has read to the end.
    FinishAfterRead,
    Reset,
    /// Drops the writing half without an end.
    Drop,
}

/// How an application reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Bytes at a time.
    pub(crate) chunk: usize,
    /// Between two reads.
    pub(crate) pause: Nanos,
    /// It does not read at all before this.
    pub(crate) from: Nanos,
    /// It drops the reading half after so many bytes.
    pub(crate) drop_after: Option<u64>,
}

/// When an application writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Some chunks at a time.
    Free,
    /// A chunk at a time.
    Messages,
    /// What it has read, as soon as it has.
    Echo,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Half {
    pub(crate) pace: Pace,
    pub(crate) total: u64,
    pub(crate) chunk: (usize, usize),
    pub(crate) pause: Nanos,
    pub(crate) ending: Ending,
    pub(crate) reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    Refuse,
    /// Dropped without an answer.
    Abandon,
}

#[derive(Clone, Debug)]
pub(crate) struct FlowPlan {
    pub(crate) opener: usize,
    pub(crate) mode: Mode,
    pub(crate) at: Nanos,
    pub(crate) answer: Answer,
    pub(crate) answer_after: Nanos,
    /// The opener waits for the answer before it writes.
    pub(crate) polite: bool,
    /// By side.
    pub(crate) halves: [Half; 2],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Misfortune {
    /// A lane's directions (bit 0: to the acceptor, bit 1: to the initiator) go silent.
    Hole {
        directions: u8,
        duration: Nanos,
    },
    /// All roads over an uplink go silent.
    UplinkHole {
        directions: u8,
        duration: Nanos,
    },
    /// All roads to a prefix of the peer do.
    RemoteHole {
        directions: u8,
        duration: Nanos,
    },
    /// An uplink and a prefix fail: the local ISP of one lane, the remote one of the other.
    Crosswise {
        duration: Nanos,
    },
    /// Large packets are lost over an uplink, small ones pass.
    Narrow {
        duration: Nanos,
    },
    /// An uplink has no address for so long; then the same or another one.
    AddressLost {
        duration: Nanos,
        other: bool,
    },
    /// An uplink has another address at once; the old one lives on for so long, deprecated.
    Renumber {
        old_duration: Nanos,
    },
    /// Somebody drains an uplink.
    DrainUplink {
        duration: Nanos,
    },
    /// The peer drains what leads to one of its prefixes.
    PeerDrains {
        duration: Nanos,
    },
    /// A lane's connection is closed at one end.
    Kill {
        side: usize,
        notify_peer: bool,
    },
    /// Every lane dies, and none is dialed for so long.
    Outage {
        duration: Nanos,
    },
    /// A host neither runs nor reads its sockets for so long.
    Sleep {
        side: usize,
        duration: Nanos,
    },
    FalseAlarm {
        side: usize,
    },
    /// One end measures that a lane loses much, or no longer does.
    Loses {
        side: usize,
        lossy: bool,
    },
    /// A word on how a lane is to be used.
    Use {
        side: usize,
        cost: u8,
        draining: bool,
    },
    /// The conditions of a lane change.
    Weather,
    /// One end restarts.
    Restart {
        side: usize,
    },
    /// One end closes the session.
    Close {
        side: usize,
    },
    /// One end's session is handed over to another process, which takes so long, and may fail.
    HandOver {
        side: usize,
        duration: Nanos,
        fails: bool,
        notify_peer: bool,
    },
    /// The ISP of this side that carries most just then fails: what the bars are about.
    Fails(Failure, usize),
}

/// What ends a misfortune.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recovery {
    /// The uplink has an address again.
    Address { uplink: usize, other: bool },
    /// What is deprecated on the uplink dies.
    Expire { uplink: usize },
    /// Nobody drains the uplink any more.
    Resume { uplink: usize },
    /// The peer takes lanes to the prefix again.
    PeerResumes { remote: usize },
}

/// How an ISP of the initiator (side 0) or of the acceptor fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Everything is lost, and nobody says so.
    Blackhole,
    /// The same, and the kernel there says so; as when its address is removed.
    Carrier,
    /// Only what that end sends is lost.
    OneWayUp,
    /// Only what that end is sent is lost.
    OneWayDown,
    /// An ISP of this end and, of the other end, the one whose lane would have been left.
    Crosswise,
    /// All ISPs are silent for so long.
    AllDown(Nanos),
    /// Large packets are lost.
    Narrow,
    /// That end drains it.
    Drain,
}

/// What there is to reach the peer.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// The classes of the uplinks.
    pub(crate) uplinks: Vec<AddressClass>,
    /// One of them that costs.
    pub(crate) metered: Option<usize>,
    /// Prefixes of the peer.
    pub(crate) remotes: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) net: Net,
    pub(crate) rough: bool,
    /// Everything is as it should be, but for what is planned.
    pub(crate) smooth: bool,
    pub(crate) initial_window: u64,
    pub(crate) memory: u64,
    /// What a socket keeps while nobody reads it.
    pub(crate) socket_buffer: u64,
    pub(crate) max_flows: usize,
    pub(crate) flows: Vec<FlowPlan>,
    pub(crate) misfortunes: Vec<(Nanos, Misfortune)>,
    pub(crate) heal_at: Nanos,
}

fn one_of<T: Copy>(rng: &mut SmallRng, list: &[T]) -> T {
    list[rng.random_range(0..list.len())]
}

impl Scenario {
    pub(crate) fn draw(rng: &mut SmallRng) -> Self {
        let heal_at = rng.random_range(200 * MS..6 * SEC);
        let large = rng.random_bool(0.08);
        let count = rng.random_range(1..if large { 3 } else { 9 });
        let flows = (0..count).map(|_| draw_flow(rng, heal_at, large)).collect();
        let calm = rng.random_bool(0.1);
        let happenings = if calm { 0 } else { rng.random_range(1..16) };
        let mut misfortunes: Vec<_> =
            (0..happenings).map(|_| (rng.random_range(0..heal_at), draw_misfortune(rng))).collect();
        let end = rng.random_range(0..heal_at);
        match rng.random_range(0..40) {
            0 => misfortunes.push((end, Misfortune::Restart { side: 0 })),
            1 => misfortunes.push((end, Misfortune::Restart { side: 1 })),
            2 => misfortunes.push((end, Misfortune::Close { side: rng.random_range(0..2) })),
            _ => {}
        }
        Self {
            net: draw_net(rng),
            rough: rng.random_bool(0.6),
            smooth: false,
            initial_window: one_of(rng, &[2_000, 16_384, 65_536, 262_144, 1 << 20]),
            memory: one_of(rng, &[200_000, 4 << 20, 256 << 20]),
            socket_buffer: one_of(rng, &[212_992, 4 << 20]),
            max_flows: one_of(rng, &[3, 64, 1000]),
            flows,
            misfortunes,
            heal_at,
        }
    }
}

fn draw_net(rng: &mut SmallRng) -> Net {
    let class = |rng: &mut SmallRng| match rng.random_bool(0.2) {
        true => AddressClass::ProviderIndependent,
        false => AddressClass::ProviderAssigned,
    };
    let uplinks: Vec<AddressClass> = (0..rng.random_range(1..4)).map(|_| class(rng)).collect();
    let metered = rng.random_bool(0.3).then(|| rng.random_range(0..uplinks.len()));
    Net { uplinks, metered, remotes: rng.random_range(1..4) }
}

fn draw_misfortune(rng: &mut SmallRng) -> Misfortune {
    let directions = one_of(rng, &[1, 2, 3, 3]);
    let duration = one_of(rng, &[20 * MS, 200 * MS, SEC, 15 * SEC]);
    let side = rng.random_range(0..2);
    match rng.random_range(0..100) {
        0..15 => Misfortune::Hole { directions, duration },
        15..23 => Misfortune::UplinkHole { directions, duration },
        23..29 => Misfortune::RemoteHole { directions, duration },
        29..33 => Misfortune::Crosswise { duration },
        33..36 => Misfortune::Narrow { duration },
        36..40 => Misfortune::AddressLost { duration, other: rng.random_bool(0.5) },
        40..44 => Misfortune::Renumber { old_duration: duration },
        44..48 => Misfortune::DrainUplink { duration },
        48..51 => Misfortune::PeerDrains { duration },
        51..60 => Misfortune::Kill { side, notify_peer: rng.random_bool(0.6) },
        60..64 => Misfortune::Outage { duration: rng.random_range(SEC..600 * SEC) },
        64..76 => Misfortune::FalseAlarm { side },
        76..82 => Misfortune::Loses { side, lossy: rng.random_bool(0.6) },
        82..91 => {
            let cost = one_of(rng, &[0, 10, 200]);
            Misfortune::Use { side, cost, draining: rng.random_bool(0.4) }
        }
        91..95 => {
            let duration = one_of(rng, &[50 * MS, SEC, 7 * SEC, 20 * SEC]);
            Misfortune::Sleep { side, duration }
        }
        _ => Misfortune::Weather,
    }
}

fn draw_flow(rng: &mut SmallRng, within: Nanos, large: bool) -> FlowPlan {
    let mut halves = [draw_half(rng, large), draw_half(rng, large)];
    if halves.iter().all(|h| h.ending == Ending::FinishAfterRead) {
        // Each would wait for the other for ever.
        halves[0].ending = Ending::Finish;
    }
    FlowPlan {
        opener: rng.random_range(0..2),
        mode: one_of(rng, &[Mode::Auto, Mode::Auto, Mode::Single, Mode::Bond, Mode::Redundant]),
        at: rng.random_range(0..within),
        answer: match rng.random_range(0..20) {
            0 => Answer::Refuse,
            1 => Answer::Abandon,
            _ => Answer::Accept,
        },
        answer_after: one_of(rng, &[0, 0, MS, 300 * MS]),
        polite: rng.random_bool(0.4),
        halves,
    }
}

fn draw_half(rng: &mut SmallRng, large: bool) -> Half {
    let total = match rng.random_range(0..10) {
        0..2 => 0,
        2..5 => rng.random_range(1..3_000),
        5..8 => rng.random_range(1..120_000),
        _ if large => rng.random_range(1..4_000_000),
        _ => rng.random_range(1..1_000_000),
    };
    let chunk = one_of(rng, &[(1, 40), (1, 3_000), (1_000, 16_384), (16_384, 262_144)]);
    // A megabyte in single bytes shows nothing that ten thousand do not.
    let total = if chunk.1 <= 40 { total.min(6_000) } else { total };
    Half {
        pace: Pace::Free,
        total,
        chunk,
        pause: one_of(rng, &[0, 0, MS, 20 * MS]),
        ending: match rng.random_range(0..20) {
            0..12 => Ending::Finish,
            12..17 => Ending::FinishAfterRead,
            17..19 => Ending::Reset,
            _ => Ending::Drop,
        },
        reading: Reading {
            chunk: one_of(rng, &[200, 4_000, 1 << 20, 1 << 20]),
            pause: one_of(rng, &[0, 0, 0, 2 * MS]),
            from: if rng.random_bool(0.15) { rng.random_range(0..8 * SEC) } else { 0 },
            drop_after: rng.random_bool(0.08).then(|| rng.random_range(0..=total)),
        },
    }
}
