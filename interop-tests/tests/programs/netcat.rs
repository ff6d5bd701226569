//! netcat: each direction of a connection ends by itself, and what is open goes on.

use std::process::Stdio;

use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::failure::{self, Count, Over};
use crate::{origin, turn};
use throughline_fixture::{ProgramPair, Shape};

/// Bytes that must move before, during and after each failure.
const STEP: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn netcat_ends_its_direction_and_receives_on_while_each_isp_dies() -> Outcome {
    if skipped("half-close by netcat", &["nc"], "netcat-openbsd") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    ProgramPair::start(Shape::default(), "")?
        .run(async |pair: &ProgramPair| {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let (over, received) = (Over::default(), Count::default());
            let port = listener.local_addr()?.port().to_string();
            let mut nc = Command::new("nc");
            // -N: the end of the input is the end of its direction, and of no more.
            nc.args(["-N", "-X", "5", "-x", &pair.socks()?.to_string(), "127.0.0.1", &port]);
            nc.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut child = nc.spawn()?;
            let mut stdin = child.stdin.take().ok_or("no standard input")?;
            let mut stdout = child.stdout.take().ok_or("no standard output")?;
            let question = origin::block(5);
            let asking = async {
                stdin.write_all(&question).await?;
                drop(stdin);
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
            let answering = async {
                let mut tcp = listener.accept().await?.0;
                let mut asked = Vec::new();
                // To the end of the one direction, before the other one begins.
                tcp.read_to_end(&mut asked).await?;
                assert!(asked == question, "{} bytes of a question came", asked.len());
                let mut hash = Sha256::new();
                for index in 0.. {
                    if over.yet() {
                        break;
                    }
                    let block = origin::block(index);
                    hash.update(&block);
                    tcp.write_all(&block).await?;
                }
                tcp.shutdown().await?;
                Outcome::Ok(origin::hex(hash))
            };
            let failures = failure::each_isp_dies(pair, &over, || received.now(), STEP);
            let (seen, sent, _) = tokio::try_join!(asking, answering, failures)?;
            assert!(seen == sent, "netcat received wrong bytes");
            assert!(child.wait().await?.success(), "netcat failed at its end");
            println!("    nc: {} MiB after its own end", received.now() >> 20);
            Ok(())
        })
        .await
}
