//! ssh as a person uses it: a terminal, keys that are echoed, and long pauses.

use std::time::{Duration, Instant};

use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::failure::{self, Count, Over};
use crate::ssh::{self, Server, Through};
use crate::turn;
use throughline_fixture::{ProgramPair, Shape, forward};

/// Keys that must come back before, during and after each failure.
const STEP: u64 = 20;

/// Between keys: a fast typist.
const KEY: Duration = Duration::from_millis(20);

/// Longer than any kernel's retransmissions stay quick, and than shims keep a silent lane.
const IDLE_OUTAGE: Duration = Duration::from_secs(25);

/// Lanes are back a second or two after their ISPs; the rest is for a machine under load.
const AFTER_IDLE: Duration = Duration::from_secs(10);

/// A shell's terminal at the far end, which echoes every key; behind it `cat`, which repeats
/// every line.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: BufReader<ChildStdout>,
}

impl Terminal {
    /// Logs in with `ssh -tt`, with further options.
    async fn open(server: &Server, through: Through, options: &[&str]) -> Outcome<Self> {
        let options = [options, &["-tt", "-o", "LogLevel=ERROR"]].concat();
        let mut child =
            server.client(through, &options, "tty && echo ready && exec cat").spawn()?;
        let keys = child.stdin.take().ok_or("no standard input")?;
        let screen = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut terminal = Self { child, keys, screen };
        let tty = terminal.until("\r\nready\r\n").await?;
        assert!(tty.starts_with("/dev/pts/"), "not a terminal: {tty}");
        Ok(terminal)
    }

    /// Returns what is shown up to `end`.
    async fn until(&mut self, end: &str) -> Outcome<String> {
        let mut shown = Vec::new();
        while !shown.ends_with(end.as_bytes()) {
            let byte = self.screen.read_u8().await;
            shown.push(
                byte.map_err(|e| format!("{e} after {:?}", String::from_utf8_lossy(&shown)))?,
            );
        }
        Ok(String::from_utf8(shown)?)
    }

    /// Presses a key and waits for its echo.
    async fn key(&mut self, key: u8) -> Outcome {
        self.keys.write_all(&[key]).await?;
        let shown = self.screen.read_u8().await?;
        if shown == key { Ok(()) } else { Err(format!("{shown:?} instead of {key:?}").into()) }
    }

    /// Ends a line, which comes back.
    async fn enter(&mut self, line: &str) -> Outcome {
        self.keys.write_all(b"\r").await?;
        let shown = self.until(&format!("{line}\r\n")).await?;
        assert_eq!(shown, format!("\r\n{line}\r\n"));
        Ok(())
    }

    /// Ctrl-D; nothing may follow but ssh's own end.
    async fn close(mut self) -> Outcome {
        self.keys.write_all(&[4]).await?;
        let mut rest = String::new();
        self.screen.read_to_string(&mut rest).await?;
        assert_eq!(rest.trim(), "", "shown after the end");
        assert!(self.child.wait().await?.success(), "ssh failed at its end");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_echoes_every_key_while_each_isp_dies() -> Outcome {
    if skipped("ssh, interactively", &ssh::PROGRAMS, ssh::PACKAGES) {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let keys = tempfile::tempdir()?;
    let server = Server::start(keys.path())?;
    ProgramPair::start(Shape::default(), "")?
        .run(async |pair: &ProgramPair| {
            let mut terminal = Terminal::open(&server, Through::Proxy(pair.socks()?), &[]).await?;
            let (echoed, over) = (Count::default(), Over::default());
            let typing = async {
                let (mut worst, mut number) = (Duration::ZERO, 0u64);
                while !over.yet() {
                    let line = format!("line {number} of a person who types");
                    for key in line.bytes() {
                        let pressed = Instant::now();
                        terminal.key(key).await?;
                        worst = worst.max(pressed.elapsed());
                        echoed.add(1);
                        tokio::time::sleep(KEY).await;
                    }
                    terminal.enter(&line).await?;
                    number += 1;
                }
                terminal.close().await?;
                Outcome::Ok(worst)
            };
            let failures = failure::each_isp_dies(pair, &over, || echoed.now(), STEP);
            let (worst, _) = tokio::try_join!(typing, failures)?;
            println!("    ssh: {} keys echoed, the slowest after {worst:?}", echoed.now());
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_sits_idle_through_an_outage_of_both_isps_and_goes_on() -> Outcome {
    if skipped("ssh, idle", &ssh::PROGRAMS, ssh::PACKAGES) {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let keys = tempfile::tempdir()?;
    let server = Server::start(keys.path())?;
    ProgramPair::start(Shape::default(), &forward("ssh", server.port))?
        .run(async |pair: &ProgramPair| {
            let forward = Through::Forward(pair.near.ingress("ssh")?);
            let silent = Terminal::open(&server, forward, &[]).await?;
            // Asks every 10 s, and would give up at the fourth time without an answer.
            let asking = ["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"];
            let asking = Terminal::open(&server, forward, &asking).await?;
            failure::both_die(pair, IDLE_OUTAGE).await;
            let back = Instant::now();
            for mut terminal in [silent, asking] {
                let line = "still there";
                for key in line.bytes() {
                    terminal.key(key).await?;
                }
                terminal.enter(line).await?;
                let took = back.elapsed();
                println!("    ssh: idle through {IDLE_OUTAGE:?}, answers after {took:?}");
                assert!(took < AFTER_IDLE, "an answer came only {took:?} after the ISPs");
                terminal.close().await?;
            }
            Ok(())
        })
        .await
}
