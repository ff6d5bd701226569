//! A hundred reloads of every kind, at random moments and at either end, under load, while ISPs fail.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use throughline::Identity;
use throughline_emulator::Way;
use throughline_fixture::{Outcome, alone, echo_server, forward};
use tokio::net::TcpListener;

use crate::load::{Load, RoundTrips};
use crate::site::{Site, Text};

/// How many reloads there are. Some fifteen seconds, with the pauses between them.
const RELOADS: usize = 100;

/// The longest that an echo may take while a reload is under way and no ISP fails: an application notices more,
/// and one that a busy machine delays takes less.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Names the seed, to play a storm again.
const SEED: &str = "THROUGHLINE_RELOAD_SEED";

/// The kinds of changes that a storm has; each leaves alone what the load uses.
const KINDS: usize = 14;

/// Returns the configuration with a change of this kind; the last one is refused.
fn changed(near: bool, kind: usize, text: &Text, rng: &mut SmallRng) -> (Text, bool) {
    let key = Identity::generate().peer_id();
    let peer = format!("[peers.other]\nkey = '{key}'\nlocators = '192.0.2.9:5443'");
    let changed = match kind {
        0 => text.table(&peer),
        1 => text.table(&format!("{peer}\n[[rule]]\nto = '*.example'\nvia = 'other'")),
        2 => text.table("[ingress.more]\nkind = 'socks5'\nlisten = '127.0.0.1:0'\nvia = 'direct'"),
        3 if near => text.field("listen = '127.0.0.1:0'"),
        3 => text.field("memory = '100MiB'"),
        4 => text.field(&format!("linger = '{}m'", rng.random_range(1..60))),
        5 => text.field(&format!("memory = '{}MiB'", rng.random_range(32..256))),
        6 => text.field("limits = { sessions = 6, lanes = 24, connections = 500, dials = 64 }"),
        7 => text.field("tcp-keepalive = '30s'\ntcp-user-timeout = 'off'"),
        8 => text.field("log = 'info'\npeer-down = 'reject'\ndefault = 'direct'"),
        9 if near => text.replace("uplinks.isp-a", "uplinks.copper"),
        9 => text.replace("peers.near", "peers.branch"),
        10 if near => {
            text.replace("peers.far", "peers.wide").replace("via = 'far'", "via = 'wide'")
        }
        10 => text.replace("\"localhost:*\"", "\"10.0.0.0/8:*\""),
        11 if near => text.replace("via = 'far'", "via = 'far'\nkind = 'socks5'"),
        11 => text.replace("allow =", &format!("keys = '{key}'\nallow =")),
        12 => text.clone(),
        _ => text.field("linger = 'for ever'"),
    };
    let refused = kind + 1 == KINDS || (near && kind == 11);
    (changed, refused)
}

/// Returns the longest and the median round trip of the echoes that were under way in the `windows`.
fn round_trips_within(
    round_trips: &RoundTrips,
    windows: &[(Instant, Instant)],
) -> (Duration, Duration) {
    let overlaps = |begun: &Instant, took: &Duration| {
        windows.iter().any(|(from, to)| *begun <= *to && *begun + *took >= *from)
    };
    let within = round_trips.iter().filter(|(begun, took)| overlaps(begun, took));
    let mut within: Vec<Duration> = within.map(|(_, took)| *took).collect();
    within.sort_unstable();
    let median = within.get(within.len() / 2).copied().unwrap_or_default();
    (within.last().copied().unwrap_or_default(), median)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_lose_nothing() -> Outcome {
    let _alone = alone().await;
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("{SEED}={seed} plays this storm again");
    let mut rng = SmallRng::seed_from_u64(seed);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let echo = echo_server().await?;
    let bulk = forward("bulk", listener.local_addr()?.port());
    let site = Site::start(&(bulk + &forward("echo", echo))).await?;
    let (bulk, echo) = (site.pair.near.ingress("bulk")?, site.pair.near.ingress("echo")?);
    let mut load = Load::start(bulk, &listener, echo, (2, 40)).await?;
    let session = site.session("near").await?.id;
    let isps = site.pair.isps();
    let (mut well, mut calm) = (true, Vec::new());
    for number in 0..RELOADS {
        // An ISP is out for the middle third of each half of the storm: first the one, then the other.
        let isp = &isps[number * 2 / RELOADS];
        match number % (RELOADS / 2) {
            at if at == RELOADS / 6 => {
                isp.blackhole(Way::Both);
                well = false;
            }
            at if at == RELOADS / 3 => isp.heal(Way::Both),
            at if at == RELOADS * 5 / 12 => well = true,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..120))).await;
        let near = rng.random_bool(0.6);
        let (name, text) = if near { ("near", &site.near) } else { ("far", &site.far) };
        let (changed, refused) = changed(near, rng.random_range(0..KINDS), text, &mut rng);
        changed.write()?;
        let begun = Instant::now();
        let outcome = site.reload(name).await;
        if well {
            calm.push((begun, Instant::now()));
        }
        assert_eq!(outcome.is_err(), refused, "{outcome:?}\n{}", changed.whole());
        let asked = rng.random_range(0..load.idle.len());
        load.idle[asked].answers().await?;
    }
    load.moves().await?;
    assert_eq!(site.session("near").await?.id, session, "the session was made anew");
    let round_trips = load.stop().await?;
    // No gap at a reload: an echo that is under way then takes as long as any.
    let all: Vec<_> = round_trips.iter().map(|(begun, _)| (*begun, *begun)).collect();
    let (_, usual) = round_trips_within(&round_trips, &all);
    let (longest, median) = round_trips_within(&round_trips, &calm);
    println!(
        "{RELOADS} reloads, {} of them in calm; echoes {}: median {usual:?}, at a reload {median:?}, \
         at the longest {longest:?}",
        calm.len(),
        round_trips.len()
    );
    assert!(median <= usual * 2, "echoes at a reload take {median:?} instead of {usual:?}");
    assert!(longest <= LONGEST_GAP, "an echo at a reload takes {longest:?}");
    Ok(())
}
