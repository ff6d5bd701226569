//! Hand-overs and reloads, one after the other, and a successor that is configured otherwise.

use std::path::PathBuf;
use std::time::Duration;

use throughline_daemon::admin;
use throughline_emulator::Profile;
use throughline_fixture::process::{free_tcp_port, free_udp_port};
use throughline_fixture::{Outcome, ProgramPair, Shape, alone};
use tokio::io::AsyncReadExt;

use super::{lanes_lost, program};
use throughline_fixture::flows::{self, Idle};

/// Two daemons; the near one has the ingress `echo` at this port, to the echo server.
async fn start(port: u16) -> Outcome<ProgramPair> {
    let echo = flows::echo_server().await?;
    let extras = format!(
        "[ingress.echo]\nkind = 'forward'\nlisten = '127.0.0.1:{port}'\nto = '127.0.0.1:{echo}'\n\
         via = 'far'\n"
    );
    let shape =
        Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() };
    ProgramPair::start_program(program(), shape, &extras, &[])
}

fn file(pair: &ProgramPair, name: &str) -> PathBuf {
    pair.directory().join(name)
}

/// Reloads a daemon; returns what changed.
async fn reload(pair: &ProgramPair, end: &str) -> Outcome<Vec<String>> {
    Ok(admin::reload(&file(pair, &format!("{end}.sock")), false).await?.changes)
}

/// Writes a configuration anew.
fn edit(pair: &ProgramPair, end: &str, from: &str, to: &str) -> Outcome {
    let path = file(pair, &format!("{end}.toml"));
    let text = std::fs::read_to_string(&path)?;
    assert!(text.contains(from), "{from} is not in {text}");
    Ok(std::fs::write(path, text.replacen(from, to, 1))?)
}

fn lanes_went_down(pair: &ProgramPair) -> [usize; 2] {
    [&pair.near, &pair.far].map(|daemon| lanes_lost(&daemon.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_over_is_reloaded_and_what_was_reloaded_is_taken_over() -> Outcome {
    let _alone = alone().await;
    let port = free_tcp_port()?;
    let ingress = ([127, 0, 0, 1], port).into();
    let mut pair = start(port).await?;
    let mut idle = Idle::begin(ingress, 1).await?;
    // A successor has what is new in its configuration, and the next one has it of that.
    let (metrics, web) = (free_tcp_port()?, free_tcp_port()?);
    let with_metrics = format!(
        "metrics = '127.0.0.1:{metrics}'\n             web = '127.0.0.1:{web}'\n             admin"
    );
    edit(&pair, "near", "admin", &with_metrics)?;
    for end in ["near", "near", "far"] {
        pair.hand_over(end)?;
        idle.speak().await?;
    }
    for port in [metrics, web] {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    }
    // Every listener is known as the one that it was: a reload makes none anew, and no lane.
    let lanes_down = lanes_went_down(&pair);
    for end in ["near", "far"] {
        assert_eq!(reload(&pair, end).await?, Vec::<String>::new(), "{end}");
    }
    idle.speak().await?;
    Idle::begin(ingress, 2).await?.speak().await?;
    assert_eq!(lanes_went_down(&pair), lanes_down, "{}\n{}", pair.near.log(), pair.far.log());

    // Another name of the ingress, another address of the peer, another name of that.
    edit(&pair, "near", "[ingress.echo]", "[ingress.renamed]")?;
    assert_ne!(reload(&pair, "near").await?, Vec::<String>::new());
    let listen = format!("listen = ['127.0.0.1:{}', ", free_udp_port()?);
    edit(&pair, "far", "listen = ", &listen)?;
    edit(&pair, "far", "\n             admin", "]\n             admin")?;
    edit(&pair, "far", "[peers.near]", "[peers.laptop]")?;
    assert_ne!(reload(&pair, "far").await?, Vec::<String>::new());
    idle.speak().await?;
    for end in ["near", "far"] {
        pair.hand_over(end)?;
        idle.speak().await?;
        assert_eq!(reload(&pair, end).await?, Vec::<String>::new(), "{end}");
    }
    assert_eq!(pair.near.ingress("renamed")?, ingress);
    Idle::begin(ingress, 3).await?.speak().await?;
    assert_eq!(pair.far.log().matches("listening for peers").count(), 2);
    // Nobody was told that a process has ended: it has not, to its peers.
    for daemon in [&pair.near, &pair.far] {
        let log = daemon.log();
        let says = ["process ended", "started anew", "other ends are told", "session over"];
        assert!(says.iter().all(|part| !log.contains(part)), "{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_ends_what_its_configuration_does_not_permit_and_says_so() -> Outcome {
    let _alone = alone().await;
    let port = free_tcp_port()?;
    let mut pair = start(port).await?;
    let idle = Idle::begin(([127, 0, 0, 1], port).into(), 1).await?;
    edit(&pair, "far", "allow = [\"127.0.0.1:*\"", "allow = [\"127.0.0.1:1\"")?;
    edit(&pair, "far", "\"localhost:*\"", "\"127.0.0.1:2\"")?;
    pair.hand_over("far")?;
    let mut stream = idle.into_stream();
    let read = tokio::time::timeout(throughline_fixture::DEADLINE, stream.read(&mut [0])).await?;
    assert!(read.is_err(), "{read:?}");
    pair.far.says("no longer permits")?;
    // Keys are not changed by the way: sessions are of one key, which the peer knows.
    throughline::Identity::create(file(&pair, "next.key"))?;
    edit(&pair, "near", "'near.key'", "'next.key'")?;
    let mut refused = pair.begin_hand_over("near")?;
    assert_eq!(refused.ended()?.code(), Some(1));
    refused.says("have it reload this configuration first")?;
    pair.uplinks_up().await?;
    Ok(())
}
