//! A WebSocket (RFC 6455): numbered messages both ways, pings and pongs, and a close that is
//! answered.

use std::path::Path;
use std::process::Stdio;

use interop_tests::process::Process;
use interop_tests::skip;
use interop_tests::support::Outcome;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::failure::{self, Count, Over};
use crate::turn;
use throughline_fixture::{ProgramPair, Shape, forward};

/// Messages that must come before, during and after each failure.
const STEP: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_loses_and_doubles_no_message_while_each_isp_dies() -> Outcome {
    let Some(python) = skip::python("a WebSocket", "websockets", "python3-websockets") else {
        return Ok(());
    };
    let _turn = turn::shared().await;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let mut command = std::process::Command::new(&python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(scripts.join("websocket_server.py"));
    let server = Process::start("websocket server", &mut command)?;
    let said = server.says("listening on")?;
    let port = said.trim_end_matches(';').rsplit(' ').next().ok_or("no port")?.parse()?;
    ProgramPair::start(Shape::default(), &forward("web", port))?
        .run(async |pair: &ProgramPair| {
            let mut client = Command::new(&python);
            client.env("PYTHONDONTWRITEBYTECODE", "1").arg(scripts.join("websocket_client.py"));
            client.arg(format!("ws://{}/", pair.near.ingress("web")?));
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut child = client.spawn()?;
            let stdin = child.stdin.take().ok_or("no standard input")?;
            let mut lines =
                BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
            let (over, came) = (Over::default(), Count::default());
            let listening = async {
                while let Some(line) = lines.next_line().await? {
                    if line.starts_with("closed") {
                        return Outcome::Ok(line);
                    }
                    assert_eq!(line, came.now().to_string());
                    came.add(1);
                }
                Err("the client ended before it was told to".into())
            };
            let failures = async {
                let died = failure::each_isp_dies(pair, &over, || came.now(), STEP).await?;
                drop(stdin);
                Outcome::Ok(died)
            };
            let (line, _) = tokio::try_join!(listening, failures)?;
            println!("    websocket: {line}");
            assert!(line.starts_with("closed with 1000"), "{line}");
            assert!(child.wait().await?.success(), "the client failed at its end");
            server.says("closed with 1000 after")?;
            Ok(())
        })
        .await
}
