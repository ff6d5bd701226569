//! Everything at once, while ISPs fail.

use std::time::{Duration, Instant};

use interop_tests::skip::skipped;
use interop_tests::support::Outcome;

use crate::cuts::Cuts;
use crate::ssh::{Server, Through};
use crate::{origin, ssh, transfers, turn};
use throughline_fixture::{ProgramPair, Shape, forward};

/// How long the ISPs are cut, at least: until the last program is done.
const CUTS_FOR: Duration = Duration::from_secs(20);

/// The slowest line of an interactive session. An ISP's failure costs some 50 ms; the rest is for
/// two cores that run twenty programs' threads.
const SLOWEST_LINE: Duration = Duration::from_millis(500);

/// Everything is done within this; a transfer that stalls is none that survives.
const TEST_TIMEOUT: Duration = Duration::from_secs(180);

/// Mebibytes down, and up (by curl and by ssh); and how long the session lasts.
fn amounts() -> (u64, u64, Duration) {
    if std::env::var_os("THROUGHLINE_LONG").is_some_and(|value| value == "1") {
        (1024, 256, Duration::from_secs(60))
    } else {
        (256, 64, CUTS_FOR)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_ssh_go_on_under_random_cuts_and_every_byte_is_right() -> Outcome {
    let _alone = turn::alone().await;
    let has_curl = !skipped("transfers by curl", &["curl"], "curl");
    let has_ssh = !skipped("sessions and transfers by ssh", &ssh::PROGRAMS, ssh::PACKAGES);
    let (down, up, session) = amounts();
    let keys = tempfile::tempdir()?;
    let server = match has_ssh {
        true => Some(Server::start(keys.path())?),
        false => None,
    };
    let forward = server.as_ref().map(|server| forward("ssh", server.port));
    let pair = ProgramPair::start(Shape::default(), &forward.unwrap_or_default())?;
    let (socks, origin) = (pair.socks()?, origin::serve(down).await?);
    let file = pair.directory().join("file");
    std::fs::write(&file, (0..up).flat_map(origin::block).collect::<Vec<u8>>())?;
    // Before anything is timed: it takes a second.
    let (down_digest, up_digest) = (origin::digest(down), origin::digest(up));

    let cuts = Cuts::begin(pair.isps(), 7);
    let began = Instant::now();
    let curl = async {
        if has_curl {
            tokio::try_join!(
                transfers::download(socks, origin, down, &down_digest),
                transfers::upload(socks, origin, &file, &up_digest),
            )?;
        }
        Outcome::Ok(())
    };
    let ssh = async {
        let Some(server) = &server else { return Ok(()) };
        let forward = Through::Forward(pair.near.ingress("ssh")?);
        let (slowest, ()) = tokio::try_join!(
            ssh::session(server, Through::Proxy(socks), session),
            ssh::upload(server, forward, &file, &up_digest),
        )?;
        assert!(slowest <= SLOWEST_LINE, "the slowest line took {slowest:?}");
        Outcome::Ok(())
    };
    let all = async { tokio::try_join!(curl, ssh) };
    let result = tokio::time::timeout(TEST_TIMEOUT, all).await;
    drop(cuts);
    match result {
        Ok(Ok(_)) => println!("    all done after {:?}", began.elapsed()),
        Ok(Err(error)) => panic!("{error}\n{}\n{}", pair.near.log(), pair.far.log()),
        Err(_) => panic!("not done in {TEST_TIMEOUT:?}\n{}\n{}", pair.near.log(), pair.far.log()),
    }
    Ok(())
}
