//! HTTP/3 by aioquic, through a UDP forward: a whole protocol of its own over the datagrams.

use std::process::Stdio;

use interop_tests::support::Outcome;
use throughline_fixture::{ProgramPair, Shape};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::aioquic::Python;
use crate::failure::{self, Count, Over};
use crate::{datagrams, turn};

/// Bytes that must come before, during and after each failure. Python's QUIC makes some megabytes a second.
const STEP: u64 = 2 << 20;

/// A program, and the lines that it prints.
struct Printing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Printing {
    fn start(python: &Python, arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(python.interpreter());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/http3.py"))
            .args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// Returns what follows `word` in the next line that begins with it, and calls `other` for those before it.
    async fn says(&mut self, word: &str, mut other: impl FnMut(&str)) -> Outcome<String> {
        while let Some(line) = self.lines.next_line().await? {
            match line.strip_prefix(word) {
                Some(rest) => return Ok(rest.trim().to_owned()),
                None => other(&line),
            }
        }
        Err(format!("it ended before it said `{word}`").into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_by_http3_goes_on_while_each_isp_dies() -> Outcome {
    let Some(python) = Python::ready().await? else { return Ok(()) };
    let _turn = turn::shared().await;
    let directory = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let mut server = Printing::start(&python, &["serve", &certificate, &key])?;
    let port: u16 = server.says("port", |_| {}).await?.parse()?;
    let tables = datagrams::forward("h3", ([127, 0, 0, 1], port).into());
    ProgramPair::start(Shape::default(), &tables)?
        .run(async |pair: &ProgramPair| {
            let ingress = pair.near.ingress("h3")?.port().to_string();
            let mut client = Printing::start(&python, &["get", &ingress])?;
            let (over, came) = (Over::default(), Count::default());
            let downloading = client.says("received", |line| {
                let so_far = line.strip_prefix("so far ").and_then(|count| count.parse().ok());
                came.add(so_far.unwrap_or(0).max(came.now()) - came.now());
            });
            let failures = async {
                failure::each_isp_dies(pair, &over, || came.now(), STEP).await?;
                // The end of its input is that of the file.
                drop(server.child.stdin.take());
                server.says("sent", |_| {}).await
            };
            let (received, sent) = tokio::try_join!(downloading, failures)?;
            println!("    http3: {received}");
            assert_eq!(received, sent, "the download has wrong bytes");
            assert!(client.child.wait().await?.success(), "the client failed at its end");
            Ok(())
        })
        .await
}
