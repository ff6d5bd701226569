//! Hand-overs that do not come about: the daemon that runs goes on as if nothing had been asked.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use throughline_emulator::Profile;
use throughline_fixture::process::Process;
use throughline_fixture::{Outcome, ProgramPair, Shape, alone, forward};

use super::{lanes_lost, program};
use throughline_fixture::flows::{self, Echo, Idle};

/// A successor that says what it likes.
pub(crate) struct Successor(BufReader<UnixStream>);

impl Successor {
    /// Asks the daemon `near` or `far` to hand over.
    pub(crate) fn ask(pair: &ProgramPair, end: &str, formats: &str) -> Outcome<Self> {
        let stream = UnixStream::connect(pair.directory().join(format!("{end}.sock")))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut successor = Self(BufReader::new(stream));
        successor.say(&format!("{{\"command\":\"take-over\",\"formats\":{formats}}}"))?;
        Ok(successor)
    }

    /// Begins to take over from the daemon `near` or `far`, which offers this, and dies at a step of it: the last one of
    /// four is that it says that it has failed. Returns when that daemon goes on.
    pub(crate) fn die(
        pair: &ProgramPair,
        end: &str,
        step: usize,
        formats: &str,
        offered: &str,
    ) -> Outcome {
        let mut successor = Self::ask(pair, end, formats)?;
        if step > 0 {
            assert!(successor.hear()?.contains(offered));
        }
        if step > 1 {
            successor.say("\"proceed\"")?;
            assert!(successor.hear()?.contains("state"));
        }
        if step > 2 {
            successor.say("{\"failed\":\"no reason\"}")?;
            assert!(successor.hear()?.contains("refused"));
        }
        drop(successor);
        let daemon = if end == "near" { &pair.near } else { &pair.far };
        daemon.says_times("not handed over, everything goes on", step + 1)?;
        Ok(())
    }

    pub(crate) fn say(&mut self, line: &str) -> Outcome {
        Ok(self.0.get_mut().write_all(format!("{line}\n").as_bytes())?)
    }

    /// Returns the next message that is not empty; the descriptors beside it are lost.
    pub(crate) fn hear(&mut self) -> Outcome<String> {
        let mut line = String::new();
        while line.trim().is_empty() {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err("nothing more is said".into());
            }
        }
        Ok(line)
    }
}

async fn start() -> Outcome<(ProgramPair, Echo, Vec<Idle>)> {
    let extras = forward("echo", flows::echo_server().await?);
    let shape =
        Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() };
    let pair = ProgramPair::start_program(program(), shape, &extras, &[])?;
    let ingress = pair.near.ingress("echo")?;
    let mut idle = Vec::new();
    for flow in 0..20 {
        idle.push(Idle::begin(ingress, flow).await?);
    }
    let echo = Echo::begin(ingress, 200).await?;
    Ok((pair, echo, idle))
}

/// Asserts that everything goes on: flows, new ones, and the same lanes.
async fn assert_goes_on(
    pair: &ProgramPair,
    lanes_down: [usize; 2],
    echo: &Echo,
    idle: &mut [Idle],
) -> Outcome {
    echo.further(5).await?;
    for flow in idle {
        flow.speak().await?;
    }
    Idle::begin(pair.near.ingress("echo")?, 999).await?;
    assert_eq!(lanes_went_down(pair), lanes_down, "{}\n{}", pair.near.log(), pair.far.log());
    Ok(())
}

/// Returns how many lanes have gone down at either end: at the start dials that others made useless.
fn lanes_went_down(pair: &ProgramPair) -> [usize; 2] {
    [&pair.near, &pair.far].map(|daemon| lanes_lost(&daemon.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_successor_dies_at_any_step_the_daemon_goes_on_with_the_same_lanes() -> Outcome {
    let _alone = alone().await;
    let (pair, echo, mut idle) = start().await?;
    let lanes_down = lanes_went_down(&pair);
    for end in ["near", "far"] {
        for step in 0..4 {
            Successor::die(&pair, end, step, "[1]", "inventory")?;
            assert_goes_on(&pair, lanes_down, &echo, &mut idle).await?;
        }
    }
    // What was frozen and thawed so often can still be handed over.
    let mut pair = pair;
    for end in ["near", "far"] {
        pair.hand_over(end)?;
        for flow in &mut idle {
            flow.speak().await?;
        }
    }
    echo.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_of_another_format_configuration_or_identity_is_told_before_anything_stands_still()
-> Outcome {
    let _alone = alone().await;
    let (pair, echo, mut idle) = start().await?;
    let lanes_down = lanes_went_down(&pair);
    for formats in ["[]", "[0,5]"] {
        let refused = Successor::ask(&pair, "near", formats)?.hear()?;
        assert!(refused.contains("its state is of the formats 4 and before"), "{refused}");
    }
    let mut first = Successor::ask(&pair, "near", "[1]")?;
    assert!(first.hear()?.contains("inventory"));
    let second = Successor::ask(&pair, "near", "[1]")?.hear()?;
    assert!(second.contains("another hand-over is under way"), "{second}");
    drop(first);

    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = format!(
        "[ingress.taken]\nkind = 'socks5'\nlisten = '{}'\nvia = 'far'",
        other.local_addr()?
    );
    let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let config = pair.directory().join("near.toml");
    let text = std::fs::read_to_string(&config)?;
    throughline::Identity::create(pair.directory().join("other.key"))?;
    for (change, says, code) in [
        (text.replace("via = 'far'", "via = 'fra'"), "fra", 2),
        (text.replace("'near.key'", "'far.key'"), "key", 2),
        (text.replace("'near.key'", "'other.key'"), "sessions cannot be taken over", 1),
        (format!("{text}\n{taken}"), "cannot listen on tcp", 1),
        // Fails when the successor has the admin socket already: its file must stay.
        (format!("listen = '{}'\n{text}", udp.local_addr()?), "listen on udp", 1),
    ] {
        std::fs::write(&config, change)?;
        let mut successor = Process::start("the successor", &mut pair.successor("near"))?;
        let status = successor.ended()?;
        assert_eq!(status.code(), Some(code), "{}", successor.log());
        successor.says(says)?;
    }
    assert!(pair.status().await?.contains("status"), "its admin socket");
    assert_goes_on(&pair, lanes_down, &echo, &mut idle).await?;
    echo.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_daemon_runs_a_successor_is_an_ordinary_daemon() -> Outcome {
    let _alone = alone().await;
    let (mut pair, echo, idle) = start().await?;
    drop((echo, idle));
    pair.near.kill();
    let successor = Process::start("the successor", &mut pair.successor("near"))?;
    successor.says("no daemon runs here")?;
    successor.says("running")?;
    Ok(())
}
