//! What each kind of change does to what is live.

use std::time::Duration;

use throughline::Identity;
use throughline_fixture::process::{free_tcp_port, free_udp_port};
use throughline_fixture::{Outcome, echo_server, forward, until};
use tokio::net::TcpStream;

use crate::load::Idle;
use crate::site::{Site, lane_ids};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_untouched_does_not_notice() -> Outcome {
    let echo = echo_server().await?;
    // At a port of its own, by which it is known also when its name changes.
    let listen = format!("127.0.0.1:{}", free_tcp_port()?);
    let site = Site::start(&forward("echo", echo).replace("127.0.0.1:0", &listen)).await?;
    let ingress = site.pair.near.ingress("echo")?;
    let mut flow = Idle::open(ingress).await?;
    let lanes = async |site: &Site| -> Outcome<_> {
        let (near, far) = (site.session("near").await?, site.session("far").await?);
        Ok((lane_ids(&near), lane_ids(&far), near.id))
    };
    let before = lanes(&site).await?;
    let unknown = Identity::generate().peer_id();
    let peer = format!("[peers.other]\nkey = '{unknown}'\nallow = '10.0.0.0/8:*'");
    let near = &site.near;
    for (text, changes) in [
        (near.table(&peer), 1),
        (near.table(&format!("{peer}\nkeys = '{}'", Identity::generate().peer_id())), 1),
        (near.table(&format!("{peer}\n[[rule]]\nto = 'x.example'\nvia = 'other'")), 2),
        (near.field("linger = '1h'\nmemory = '64MiB'\nlimits = { lanes = 20, dials = 9 }"), 6),
        (near.field("listen = '127.0.0.1:0'\nlog = 'throughline=debug'"), 6),
        (
            near.replace("ingress.echo", "ingress.noecho")
                .replace("peers.far", "peers.wide")
                .replace("via = 'far'", "via = 'wide'"),
            5,
        ),
        (near.table("[uplinks.spare]\nprefixes = '192.0.2.0/24'"), 4),
        (near.clone(), 1),
    ] {
        text.write()?;
        let would = site.dry_run("near").await?;
        assert_eq!(before, lanes(&site).await?, "after a dry run");
        let answer = site.reload("near").await?;
        assert_eq!(
            (would.changes, answer.changes.len()),
            (answer.changes.clone(), changes),
            "{answer:?}"
        );
        flow.answers().await?;
        assert_eq!(before, lanes(&site).await?, "{answer:?}");
        Idle::open(ingress).await?;
    }
    // The level of the log was another one for a while.
    assert!(site.pair.near.log().contains("DEBUG"), "nothing is logged at level debug");
    // SIGHUP does the same, and says so.
    near.field("linger = '2h'").write()?;
    site.pair.near.signal("HUP")?;
    site.pair.near.says("`linger` is 2h instead of 12h")?;
    flow.answers().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_peer_ends_its_sessions_and_comes_back_when_it_is_added() -> Outcome {
    let echo = echo_server().await?;
    let site = Site::start(&forward("echo", echo)).await?;
    let ingress = site.pair.near.ingress("echo")?;
    let flow = Idle::open(ingress).await?;
    let far = site.far.clone();
    let unknown = Identity::generate().peer_id();
    let near_key = site.status("near").await?.id;
    far.replace(&near_key, &unknown.to_string()).write()?;
    let answer = site.reload("far").await?;
    assert_eq!(answer.changes, ["peer near removed; its sessions end", "peer near added"]);
    assert!(flow.ends_with_reset().await?);
    site.pair.near.says("closed by the peer: one end has removed the other")?;
    site.pair.far.says("unknown-peer-rejected")?;
    far.write()?;
    site.reload("far").await?;
    let served = until(async || Idle::open(ingress).await.is_ok()).await;
    assert!(served, "{}", site.status("near").await?);
    // The dialing end removes it, too.
    let flow = Idle::open(ingress).await?;
    let far_key = site.status("far").await?.id;
    site.near.replace(&far_key, &unknown.to_string()).write()?;
    site.reload("near").await?;
    assert!(flow.ends_with_reset().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_allow_ends_what_it_does_not_permit_and_says_what() -> Outcome {
    let (kept, revoked) = (echo_server().await?, echo_server().await?);
    let site = Site::start(&(forward("kept", kept) + &forward("revoked", revoked))).await?;
    let (kept_ingress, revoked_ingress) =
        (site.pair.near.ingress("kept")?, site.pair.near.ingress("revoked")?);
    let mut kept_flow = Idle::open(kept_ingress).await?;
    let mut revoked_flow = Idle::open(revoked_ingress).await?;
    let allow = "[\"127.0.0.1:*\", \"localhost:*\"]";
    let narrower = site.far.replace(allow, &format!("['127.0.0.1:{kept}']"));
    narrower.field("existing-flows = 'keep'").write()?;
    site.reload("far").await?;
    revoked_flow.answers().await?;
    assert!(Idle::open(revoked_ingress).await.is_err(), "a flow is opened that is not allowed");
    narrower.write()?;
    site.reload("far").await?;
    assert!(revoked_flow.ends_with_reset().await?);
    kept_flow.answers().await?;
    let said = site.pair.far.says("event=\"flow-revoked\"")?;
    assert!(said.contains(&format!("127.0.0.1:{revoked}")) && said.contains("peer=near"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ingresses_come_and_go_and_their_connections_stay() -> Outcome {
    let echo = echo_server().await?;
    let site = Site::start(&forward("echo", echo)).await?;
    let ingress = site.pair.near.ingress("echo")?;
    let mut flow = Idle::open(ingress).await?;
    let without = site.near.replace(forward("echo", echo).trim_end(), "");
    without.table(&forward("new", echo)).write()?;
    let answer = site.reload("near").await?;
    assert!(answer.changes.iter().any(|c| c.starts_with("ingress new added")), "{answer:?}");
    assert!(until(async || TcpStream::connect(ingress).await.is_err()).await, "still listening");
    flow.answers().await?;
    Idle::open(site.pair.near.ingress("new")?).await?.answers().await
}

#[tokio::test(flavor = "multi_thread")]
async fn uplinks_come_and_go_while_flows_go_on() -> Outcome {
    let echo = echo_server().await?;
    let site = Site::start(&forward("echo", echo)).await?;
    let mut flow = Idle::open(site.pair.near.ingress("echo")?).await?;
    let over = |lanes: &[throughline_daemon::report::LaneReport], uplink: &str| {
        lanes.iter().any(|lane| lane.uplink.as_deref() == Some(uplink) && lane.state == "up")
    };
    // Another name, and another order: the lanes are the same ones.
    let before = lane_ids(&site.session("near").await?);
    site.near.replace("uplinks.isp-b", "uplinks.fibre").write()?;
    site.reload("near").await?;
    site.until_lanes("renamed", |lanes| over(lanes, "fibre") && !over(lanes, "isp-b")).await?;
    assert_eq!(before, lane_ids(&site.session("near").await?));
    // One is gone.
    let whole = site.near.whole();
    let table = whole.split("[uplinks.isp-b]").nth(1).and_then(|rest| rest.split('[').next());
    let table = format!("[uplinks.isp-b]{}", table.ok_or("no table")?);
    site.near.replace(&table, "").write()?;
    site.reload("near").await?;
    site.until_lanes("without isp-b", |lanes| {
        over(lanes, "isp-a") && lanes.iter().all(|lane| lane.uplink.as_deref() == Some("isp-a"))
    })
    .await?;
    flow.answers().await?;
    site.near.write()?;
    site.reload("near").await?;
    site.until_lanes("back", |lanes| over(lanes, "isp-a") && over(lanes, "isp-b")).await?;
    flow.answers().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_peers_dial_is_added_and_given_up_without_a_loss() -> Outcome {
    let echo = echo_server().await?;
    let site = Site::start(&forward("echo", echo)).await?;
    let mut flow = Idle::open(site.pair.near.ingress("echo")?).await?;
    let before = lane_ids(&site.session("near").await?);
    let (first, port) = (site.status("far").await?.listen[0], free_udp_port()?);
    let second = format!("127.0.0.1:{port}");
    site.far.replace(&first.to_string(), &second).write()?;
    site.reload("far").await?;
    assert_eq!(site.status("far").await?.listen, [second.parse()?]);
    flow.answers().await?;
    // Listened on again before its lanes have ended, it is the same socket.
    site.far.write()?;
    site.reload("far").await?;
    assert_eq!(site.status("far").await?.listen, [first]);
    flow.answers().await?;
    assert_eq!(before, lane_ids(&site.session("near").await?));
    // A lane is accepted there: the first ISP fails for so long that a new one is dialed.
    let [isp, _] = site.pair.isps();
    isp.blackhole(throughline_emulator::Way::Both);
    site.until_lanes("without isp-a", |lanes| {
        !lanes.iter().any(|l| l.uplink.as_deref() == Some("isp-a") && l.state == "up")
    })
    .await?;
    isp.heal(throughline_emulator::Way::Both);
    site.until_lanes("back", |lanes| lanes.iter().filter(|l| l.state == "up").count() >= 2).await?;
    tokio::time::timeout(Duration::from_secs(20), flow.answers()).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_is_widened_to_every_address_in_two_reloads() -> Outcome {
    let site = Site::start("").await?;
    let port = free_tcp_port()?;
    let table = |ip| {
        format!(
            "[ingress.wide]\nkind = 'socks5'\nlisten = '{ip}:{port}'\nvia = 'far'\nusername = 'u'\n\
             password = 'p'"
        )
    };
    site.near.table(&table("127.0.0.1")).write()?;
    site.reload("near").await?;
    let here = format!("127.0.0.1:{port}");
    TcpStream::connect(&here).await?;
    // Its own socket is in the way, and is not taken for another program's.
    let wide = site.near.table(&table("0.0.0.0"));
    wide.write()?;
    for answer in [site.dry_run("near").await, site.reload("near").await] {
        let error = answer.map(|answer| answer.changes).expect_err("it is taken over").to_string();
        for part in ["`wide` of this daemon", &here, "in one reload"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("program"), "{error}");
    }
    TcpStream::connect(&here).await?;
    site.near.write()?;
    site.reload("near").await?;
    assert!(until(async || TcpStream::connect(&here).await.is_err()).await, "still listening");
    wide.write()?;
    site.reload("near").await?;
    TcpStream::connect(&here).await?;
    Ok(())
}
