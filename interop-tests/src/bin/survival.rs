//! Prints how flows survive the silent death of an ISP, and what they do while nothing fails.
//!
//! `cargo run --release -p interop-tests --bin survival [WHAT [RUNS]]`: every scenario below whose
//! name contains WHAT (`all` of them, if nothing is said), RUNS times (3).
//!
//! `… --bin survival saturated [SECONDS [MODE]]`: no failure at all, but both ISPs of 200 Mbit/s
//! and 20 ms saturated by a download and an upload, for SECONDS (60) in MODE (`single` or `auto`;
//! both one after the other, if nothing is said). Prints the rate of each direction, what came
//! twice, what moved, and whether every byte is right; exit status 1 if one is not.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use interop_tests::measure::{Bulk, Echo};
use interop_tests::saturated;
use throughline::Mode;
use throughline_emulator::Way;
use throughline_fixture::{NodePair, Shape};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("THROUGHLINE_LOG")
                .unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "all".into());
    if what == "saturated" {
        return saturate(args).await;
    }
    let runs: usize = args.next().and_then(|a| a.parse().ok()).unwrap_or(3);
    for (name, kind, mode, standby) in [
        ("echo single", 'e', Mode::Single, false),
        ("echo auto", 'e', Mode::Auto, false),
        ("download", 'd', Mode::Auto, false),
        ("upload", 'u', Mode::Auto, false),
        ("download bond", 'd', Mode::Bond, false),
        ("echo standby", 'e', Mode::Single, true),
        ("download standby", 'd', Mode::Single, true),
        ("upload standby", 'u', Mode::Single, true),
    ] {
        if what != "all" && !name.contains(&what) {
            continue;
        }
        for _ in 0..runs {
            println!("{name:18} {}", run(kind, mode, standby).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn saturate(
    mut args: impl Iterator<Item = String>,
) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let seconds = args.next().map(|a| a.parse()).transpose()?.unwrap_or(60);
    let modes = match args.next().as_deref() {
        None => vec![Mode::Single, Mode::Auto],
        Some("single") => vec![Mode::Single],
        Some("auto") => vec![Mode::Auto],
        Some(other) => return Err(format!("mode `{other}`? say `single` or `auto`").into()),
    };
    let mut right = true;
    for mode in modes {
        println!("saturated {mode}, {seconds} s");
        let seen = saturated::run(mode, seconds).await?;
        println!("{seen}");
        right &= seen.is_right();
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(
    kind: char,
    mode: Mode,
    standby: bool,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let pair = NodePair::start(Shape { standby, ..Shape::default() }).await?;
    let (near, far) = (&pair.near, &pair.far);
    let second = Duration::from_secs(1);
    let line = if kind == 'e' {
        let echo = Echo::start(near, far, mode).await?;
        tokio::time::sleep(3 * second).await;
        let cut = Instant::now();
        pair.isp(0).blackhole(Way::Both);
        tokio::time::sleep(2 * second).await;
        let worst = echo.record.worst(cut - second / 20, cut + second).await;
        let before = echo.record.worst(cut - second, cut - second / 5).await;
        let count = echo.finish().await?;
        format!("worst {worst:?} (before {before:?}), {count} messages")
    } else {
        let bulk = Bulk::start(near, far, kind == 'u', mode).await?;
        tokio::time::sleep(3 * second).await;
        let cut = Instant::now();
        pair.isp(0).blackhole(Way::Both);
        tokio::time::sleep(2 * second).await;
        let gap = bulk.record.longest_gap(cut - second / 20, cut + second).await;
        let before = bulk.record.rate(cut - 2 * second, cut).await / 1e6;
        let back = bulk.record.recovered(cut, 150_000_000).await;
        let steady = bulk.record.longest_gap(cut - 2 * second, cut).await;
        let bytes = bulk.finish().await?;
        format!(
            "gap {gap:?} (steady {steady:?}), {before:.0} Mbit/s before, back {back:?}, {bytes} bytes"
        )
    };
    pair.shutdown().await;
    Ok(line)
}
