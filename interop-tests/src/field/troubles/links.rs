//! Troubles of links.

use std::time::{Duration, Instant};

use throughline::Mode;

use super::stage::{Stage, or_never};
use crate::lab::Side;
use crate::lab::daemons::Setup;
use crate::lab::wan::{Oversize, Way};
use crate::support::Outcome;

const SECOND: Duration = Duration::from_secs(1);
/// How often a flapping ISP is silent, for how long, and for how long it is well in between.
const FLAPS: usize = 6;
const SILENCE: Duration = Duration::from_secs(2);
const WELL: Duration = Duration::from_secs(3);

/// The first ISP is silent and well, again and again.
pub(super) async fn flap(stage: &Stage) -> Outcome<String> {
    let uplink = &stage.lab.client.uplinks[0];
    for _ in 0..FLAPS {
        uplink.wire.blackhole(Way::Both);
        tokio::time::sleep(SILENCE).await;
        uplink.wire.heal(Way::Both);
        tokio::time::sleep(WELL).await;
    }
    let events = stage.daemons()?.events(Side::Client)?;
    let begins = events.iter().filter(|event| event["event"] == "hold-down-started");
    let lengths: Vec<_> = begins
        .map(|event| {
            let seconds = event["duration_ms"].as_f64().unwrap_or_default() / 1e3;
            format!("{seconds:.0} s of {}", event["uplink"])
        })
        .collect();
    Ok(format!("held down: {}", lengths.join(", ")))
}

/// The first ISP's device goes and comes.
pub(super) async fn device(stage: &Stage) -> Outcome<String> {
    let (host, uplink) = (&stage.lab.client.host, &stage.lab.client.uplinks[0]);
    let mut worst = Some(Duration::ZERO);
    for _ in 0..3 {
        host.ip(&format!("addr flush dev {0}\nlink set dev {0} down", uplink.device))?;
        tokio::time::sleep(2 * SECOND).await;
        host.ip(&format!("link set dev {} up", uplink.device))?;
        for prefix in &uplink.prefixes {
            let (device, table) = (&uplink.device, 100 + u32::from(uplink.isp));
            host.ip(&format!(
                "addr add {} dev {device}\n\
                 route replace default via {gateway} dev {device} table {table}\n\
                 route replace default via {gateway} dev {device} metric 100",
                prefix.host_cidr(),
                gateway = prefix.gateway,
            ))?;
        }
        let back = stage.lanes(2, 20 * SECOND).await?;
        worst = worst.zip(back).map(|(worst, back)| worst.max(back));
        tokio::time::sleep(SECOND).await;
    }
    Ok(format!("three times; a lane over it after {} at the latest", or_never(worst)))
}

/// IPv6 is silent everywhere, and comes back.
pub(super) async fn family_dead(stage: &Stage) -> Outcome<String> {
    let rules = "table inet dead {\n chain f {\n type filter hook forward priority -10;\n\
                 meta nfproto ipv6 drop\n }\n}";
    let isps = &stage.lab.isps[..2];
    for isp in isps {
        isp.router.nft(rules)?;
    }
    tokio::time::sleep(20 * SECOND).await;
    let (lanes, uplinks) = (stage.daemons()?.lanes(Side::Client)?, stage.answering()?);
    let status = stage.daemons()?.admin(Side::Client, &["status"])?;
    let complains = status.contains("dial has failed") || status.contains("no lane:");
    for isp in isps {
        isp.router.nft("delete table inet dead")?;
    }
    tokio::time::sleep(15 * SECOND).await;
    Ok(format!(
        "meanwhile {} lanes over {} uplinks{}",
        lanes.len(),
        uplinks.len(),
        if complains { ", status complains" } else { "" }
    ))
}

/// Each of the client's ISPs is silent for a while, one after the other.
pub(super) async fn each_in_turn(stage: &Stage) -> Outcome<String> {
    let uplinks = &stage.lab.client.uplinks;
    for uplink in uplinks {
        uplink.wire.blackhole(Way::Both);
        tokio::time::sleep(3 * SECOND).await;
        uplink.wire.heal(Way::Both);
        tokio::time::sleep(2 * SECOND).await;
    }
    let back = stage.lanes(uplinks.len(), 20 * SECOND).await?;
    Ok(format!("lanes over all {} ISPs {} after the last", uplinks.len(), or_never(back)))
}

/// The MTU of the first ISP falls, without a word.
pub(super) async fn narrow(stage: &Stage, mtu: usize) -> Outcome<String> {
    let wire = &stage.lab.client.uplinks[0].wire;
    wire.change(Way::Both, |profile| profile.mtu = Some(mtu));
    tokio::time::sleep(10 * SECOND).await;
    let lanes = stage.daemons()?.lanes(Side::Client)?;
    let sizes: Vec<_> =
        lanes.iter().map(|lane| format!("{} {}", lane["uplink"], lane["mtu_bytes"])).collect();
    wire.change(Way::Both, |profile| profile.mtu = None);
    tokio::time::sleep(15 * SECOND).await;
    let later = stage.daemons()?.lanes(Side::Client)?;
    let later: Vec<_> = later.iter().map(|lane| lane["mtu_bytes"].to_string()).collect();
    Ok(format!("{mtu} bytes: lanes of {}; 15 s after: {}", sizes.join(", "), later.join(", ")))
}

/// The MTU of both ISPs is too small for QUIC from the start; ICMP says so.
pub(super) async fn too_narrow(stage: &mut Stage, mtu: usize) -> Outcome<String> {
    for uplink in &stage.lab.client.uplinks {
        uplink.wire.change(Way::Both, |profile| {
            profile.mtu = Some(mtu);
            profile.oversize = Oversize::PacketTooBig;
        });
    }
    stage.start(Setup { lanes: Some(0), ..Setup::of(Mode::Auto) }).await?;
    tokio::time::sleep(10 * SECOND).await;
    let status = stage.daemons()?.admin(Side::Client, &["status"])?;
    let said = status.lines().find(|line| line.contains("no lane")).unwrap_or("**nothing**");
    let said = said.trim().to_owned();
    for uplink in &stage.lab.client.uplinks {
        uplink.wire.change(Way::Both, |profile| profile.mtu = None);
    }
    let back = stage.lanes(2, 60 * SECOND).await?;
    Ok(format!("status: {said}; lanes {} after it was widened", or_never(back)))
}

/// Both of the client's ISPs do something to UDP.
pub(super) async fn udp(stage: &Stage, verdict: &str, length: Duration) -> Outcome<String> {
    let rules = format!(
        "table inet block {{\n chain f {{\n type filter hook forward priority -10;\n\
         meta l4proto udp {verdict}\n }}\n}}"
    );
    let isps = &stage.lab.isps[..2];
    for isp in isps {
        isp.router.nft(&rules)?;
    }
    let before = stage.sent();
    tokio::time::sleep(length).await;
    let sent = stage.sent().into_iter().zip(before).map(|(now, before)| now - before).max();
    for isp in isps {
        isp.router.nft("delete table inet block")?;
    }
    let healed = Instant::now();
    let back = stage.lanes(1, 30 * SECOND).await?;
    let both = stage.lanes(2, 30 * SECOND).await?.map(|_| healed.elapsed());
    Ok(format!(
        "{} s: {} kB out of an uplink; a lane after {}, both after {}",
        length.as_secs(),
        sent.unwrap_or_default() / 1000,
        or_never(back),
        or_never(both)
    ))
}

/// The client's own firewall lets no UDP out: sending is an error.
pub(super) async fn udp_here(stage: &Stage, length: Duration) -> Outcome<String> {
    let host = &stage.lab.client.host;
    host.nft(
        "table inet block {\n chain f {\n type filter hook output priority -10;\n\
         meta l4proto udp drop\n }\n}",
    )?;
    tokio::time::sleep(length).await;
    host.nft("delete table inet block")?;
    let back = stage.lanes(1, 30 * SECOND).await?;
    Ok(format!("{} s; a lane after {}", length.as_secs(), or_never(back)))
}
