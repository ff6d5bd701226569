//! `dig` and a resolver (dnsmasq), through a UDP forward.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use interop_tests::process::{self, Process};
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use throughline_fixture::{ProgramPair, Shape};
use tokio::process::Command;

use crate::failure::{self, Count, Over};
use crate::{datagrams, turn};

/// Answers that must come before, during and after each failure.
const STEP: u64 = 30;

/// What `dig` waits for an answer. It asks once, so that a lost datagram is a failure.
const TIMEOUT: &str = "+timeout=2";

/// The name that is asked for, and its address.
const NAME: &str = "www.example";
const ADDRESS: &str = "192.0.2.7";

/// Starts a resolver that knows one name.
fn resolver() -> Outcome<(Process, SocketAddr)> {
    let port = free_port()?;
    let mut command = std::process::Command::new("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--log-facility=-",
        "--conf-file=/dev/null",
        "--pid-file=",
    ]);
    command.args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1"]);
    command.arg(format!("--port={port}")).arg(format!("--address=/{NAME}/{ADDRESS}"));
    // As root it would become another user, whom the container may not have.
    command.arg(format!("--user={}", whoami()?));
    let resolver = Process::start("dnsmasq", &mut command)?;
    resolver.says("started, version")?;
    Ok((resolver, SocketAddr::from(([127, 0, 0, 1], port))))
}

/// Returns a port that is free for UDP and for TCP: dnsmasq listens on both, and of TCP many are in use beside others'
/// connections.
fn free_port() -> Outcome<u16> {
    for _ in 0..64 {
        let port = process::free_udp_port()?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free for both UDP and TCP".into())
}

fn whoami() -> Outcome<String> {
    let output = std::process::Command::new("id").arg("-un").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_has_every_answer_at_once_while_each_isp_dies() -> Outcome {
    if skipped("dig and a resolver", &["dig", "dnsmasq"], "bind9-dnsutils dnsmasq-base") {
        return Ok(());
    }
    let _turn = turn::alone().await;
    let (_resolver, addr) = resolver()?;
    ProgramPair::start(Shape::default(), &datagrams::forward("dns", addr))?
        .run(async |pair: &ProgramPair| {
            let ingress = pair.near.ingress("dns")?;
            let (over, answers) = (Over::default(), Count::default());
            let asking = async {
                let mut slowest = Duration::ZERO;
                while !over.yet() {
                    let begun = Instant::now();
                    let answer = dig(ingress).await?;
                    slowest = slowest.max(begun.elapsed());
                    assert_eq!(answer, ADDRESS);
                    answers.add(1);
                }
                Outcome::Ok(slowest)
            };
            let failures = failure::each_isp_dies(pair, &over, || answers.now(), STEP);
            let (slowest, _) = tokio::try_join!(asking, failures)?;
            println!("    dig: {} answers, the slowest after {slowest:.1?}", answers.now());
            Ok(())
        })
        .await
}

/// Asks once, from a port of its own.
async fn dig(at: SocketAddr) -> Outcome<String> {
    let mut command = Command::new("dig");
    command.arg(format!("@{}", at.ip())).args(["-p", &at.port().to_string(), NAME, "A"]);
    command.args(["+short", "+tries=1", TIMEOUT, "+nocookie"]).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await?;
    let said = String::from_utf8(output.stdout)?.trim().to_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("dig: {}: {said}", output.status).into()),
    }
}
