//! HTTP by curl: a download and an upload that last as long as the ISPs fail, and many small
//! requests on one connection.

use std::process::Stdio;

use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::failure::{self, Over};
use crate::live::Live;
use crate::{origin, transfers, turn};
use throughline_fixture::{ProgramPair, Shape};

/// Bytes that must move before, during and after each failure.
const STEP: u64 = 4 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn curl_downloads_while_each_isp_dies() -> Outcome {
    if skipped("a download by curl", &["curl"], "curl") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    ProgramPair::start(Shape::default(), "")?
        .run(async |pair: &ProgramPair| {
            let over = Over::default();
            let live = Live::serve(&over).await?;
            let url = format!("http://localhost:{}/stream", live.addr.port());
            let mut child = transfers::curl(pair.socks()?).arg(url).spawn()?;
            let mut stdout = child.stdout.take().ok_or("no standard output")?;
            let received = failure::Count::default();
            let reading = async {
                let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
                loop {
                    match stdout.read(&mut buffer).await? {
                        0 => return Outcome::Ok(origin::hex(hash)),
                        count => {
                            hash.update(&buffer[..count]);
                            received.add(count as u64);
                        }
                    }
                }
            };
            let failures = failure::each_isp_dies(pair, &over, || received.now(), STEP);
            let (hash, _) = tokio::try_join!(reading, failures)?;
            let output = child.wait_with_output().await?;
            assert!(output.status.success(), "curl failed: {output:?}");
            assert!(live.hash() == Some(hash), "curl's download has wrong bytes");
            println!("    curl: {} MiB down", received.now() >> 20);
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_uploads_while_each_isp_dies() -> Outcome {
    if skipped("an upload by curl", &["curl"], "curl") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    ProgramPair::start(Shape::default(), "")?
        .run(async |pair: &ProgramPair| {
            let over = Over::default();
            let live = Live::serve(&over).await?;
            let url = format!("http://127.0.0.1:{}/upload", live.addr.port());
            let mut curl = transfers::curl(pair.socks()?);
            let mut child =
                curl.args(["--upload-file", "-", &url]).stdin(Stdio::piped()).spawn()?;
            let mut stdin = child.stdin.take().ok_or("no standard input")?;
            let writing = async {
                let mut hash = Sha256::new();
                for index in 0.. {
                    if over.yet() {
                        break;
                    }
                    let block = origin::block(index);
                    hash.update(&block);
                    stdin.write_all(&block).await?;
                }
                drop(stdin);
                Outcome::Ok(origin::hex(hash))
            };
            let failures = failure::each_isp_dies(pair, &over, || live.moved.now(), STEP);
            let (hash, _) = tokio::try_join!(writing, failures)?;
            let output = child.wait_with_output().await?;
            assert!(output.status.success(), "curl failed: {output:?}");
            assert_eq!(String::from_utf8(output.stdout)?, hash, "curl's upload has wrong bytes");
            assert_eq!(live.hash(), Some(hash));
            println!("    curl: {} MiB up", live.moved.now() >> 20);
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_makes_many_small_requests_on_one_connection_while_each_isp_dies() -> Outcome {
    if skipped("HTTP keep-alive by curl", &["curl"], "curl") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    ProgramPair::start(Shape::default(), "")?
        .run(async |pair: &ProgramPair| {
            let over = Over::default();
            let live = Live::serve(&over).await?;
            // One after the other; the origin says when it is enough (410), which ends curl.
            let url = format!("http://localhost:{}/small/[0-999999]", live.addr.port());
            let mut curl = transfers::curl(pair.socks()?);
            curl.args(["--fail-early", "--no-buffer", "--write-out", "%{num_connects}\n", &url]);
            let mut child = curl.spawn()?;
            let stdout = child.stdout.take().ok_or("no standard output")?;
            let mut lines = BufReader::new(stdout).lines();
            let answered = failure::Count::default();
            let reading = async {
                let mut number = 0u64;
                while let Some(line) = lines.next_line().await? {
                    let connects = if number == 0 { 1 } else { 0 };
                    if line == "0" && over.yet() {
                        // The last one, without a body.
                        break;
                    }
                    assert_eq!(line, format!("answer {number} {connects}"));
                    number += 1;
                    answered.add(1);
                }
                Outcome::Ok(number)
            };
            let failures = failure::each_isp_dies(pair, &over, || answered.now(), 20);
            let (number, _) = tokio::try_join!(reading, failures)?;
            let output = child.wait_with_output().await?;
            assert_eq!(output.status.code(), Some(22), "curl failed otherwise: {output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("410"), "{output:?}");
            assert_eq!(live.connections.now(), 1, "curl had to connect again");
            println!("    curl: {number} requests on one connection");
            Ok(())
        })
        .await
}
