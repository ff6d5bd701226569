//! Ingresses at Unix sockets: handed over with their connections, and what a crash leaves.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use throughline_emulator::Profile;
use throughline_fixture::{DEADLINE, Outcome, ProgramPair, Shape, alone, flows};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::program;

fn shape() -> Shape {
    Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() }
}

fn ingresses(port: u16) -> String {
    let ingress = |name: &str, via: &str| {
        format!(
            "[ingress.{name}]\nkind = 'forward'\nlisten = 'unix:{name}.sock'\n\
             to = '127.0.0.1:{port}'\nvia = '{via}'\n"
        )
    };
    [ingress("flow", "far"), ingress("own", "direct")].concat()
}

/// An application that sends numbered lines and reads each again.
struct Echo {
    stream: UnixStream,
    sent: u32,
}

impl Echo {
    async fn open(path: &Path) -> Outcome<Self> {
        let mut echo = Self { stream: UnixStream::connect(path).await?, sent: 0 };
        echo.further().await?;
        Ok(echo)
    }

    async fn further(&mut self) -> Outcome {
        let line = format!("line {}\n", self.sent);
        self.sent += 1;
        self.stream.write_all(line.as_bytes()).await?;
        let mut heard = vec![0; line.len()];
        timeout(DEADLINE, self.stream.read_exact(&mut heard)).await??;
        assert_eq!(String::from_utf8(heard)?, line, "a byte was lost, or came twice");
        Ok(())
    }

    async fn hears_a_reset(mut self) -> Outcome<bool> {
        match timeout(DEADLINE, self.stream.read(&mut [0; 16])).await? {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(false),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_are_handed_over_with_their_connections_and_a_crash_resets_these() -> Outcome {
    let _alone = alone().await;
    let tables = ingresses(flows::echo_server().await?);
    let mut pair = ProgramPair::start_program(program(), shape(), &tables, &[])?;
    let paths = ["flow", "own"].map(|name| pair.directory().join(format!("{name}.sock")));
    let mut echoes = [Echo::open(&paths[0]).await?, Echo::open(&paths[1]).await?];
    for _ in 0..3 {
        let former = pair.hand_over("near")?;
        assert!(former.contains("cut=0"), "{former}");
        for echo in &mut echoes {
            echo.further().await?;
        }
        for path in &paths {
            Echo::open(path).await?;
        }
    }
    let log = pair.near.says("listening for applications")?;
    assert!(log.contains("addr="), "{log}");

    // Killed: the kernel closes them, and nobody takes what came for the whole.
    pair.near.kill();
    for echo in echoes {
        assert!(echo.hears_a_reset().await?, "a crash looks like an end");
    }
    assert!(paths.iter().all(|path| path.exists()), "a crash removes no file");
    pair.restart_near()?;
    for path in &paths {
        Echo::open(path).await?;
    }
    pair.near.signal("TERM")?;
    assert!(pair.near.ended()?.success());
    assert!(paths.iter().all(|path| !path.exists()), "its files stay");
    Ok(())
}
