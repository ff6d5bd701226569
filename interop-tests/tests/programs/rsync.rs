//! rsync, over ssh and to its own daemon: a tree of many files each way.

use std::path::Path;

use interop_tests::process::{self, Process};
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use tokio::process::Command;

use crate::failure;
use crate::ssh::{self, Server};
use crate::{tree, turn};
use throughline_fixture::{ProgramPair, Shape, forward};

/// Some 19 MB.
const FILES: u64 = 300;

/// The ISP dies when so much of it is there.
const STRIKE_AT: u64 = 5 << 20;

/// `rsync -a`, with `options`; what it prints if it fails.
async fn copy(options: &[&str], from: &str, to: &str) -> Outcome {
    let mut command = Command::new("rsync");
    command.args(["--archive", "--timeout=20"]).args(options).args([from, to]);
    let output = command.kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("rsync {from} {to}: {}: {said}", output.status).into())
}

/// Pushes and pulls in turns, an ISP dying in the middle of each, and compares the trees.
async fn both_ways(pair: &ProgramPair, options: &[&str], far: &str) -> Outcome {
    let place = pair.directory();
    let tree = place.join("tree");
    tree::make(&tree, FILES, 3)?;
    let expected = tree::digest(&tree)?;
    let same = |copy: &Path| {
        assert_eq!(tree::digest(copy)?, expected, "{copy:?}");
        Outcome::Ok(())
    };
    std::fs::create_dir(place.join("far"))?;
    tree::make(&place.join("far/origin"), FILES, 3)?;
    failure::strikes_during(pair, STRIKE_AT, async |round| {
        let name = format!("pushed-{round}");
        copy(options, &format!("{}/", tree.display()), &format!("{far}/{name}/")).await?;
        same(&place.join("far").join(name))
    })
    .await?;
    failure::strikes_during(pair, STRIKE_AT, async |round| {
        let to = place.join(format!("pulled-{round}"));
        copy(options, &format!("{far}/origin/"), &format!("{}/", to.display())).await?;
        same(&to)
    })
    .await?;
    println!("    rsync: {FILES} files each way, every one right");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rsync_over_ssh_copies_a_tree_each_way_while_each_isp_dies() -> Outcome {
    let name = "rsync over ssh";
    if skipped(name, &["rsync"], "rsync") || skipped(name, &ssh::PROGRAMS, ssh::PACKAGES) {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let keys = tempfile::tempdir()?;
    let server = Server::start(keys.path())?;
    ProgramPair::start(Shape::default(), &forward("ssh", server.port))?
        .run(async |pair: &ProgramPair| {
            let ingress = pair.near.ingress("ssh")?;
            let transport = format!("--rsh={}", server.transport(ingress));
            let far = format!("{}:{}/far", ingress.ip(), pair.directory().display());
            both_ways(pair, &[&transport], &far).await
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rsync_to_its_daemon_copies_a_tree_each_way_while_each_isp_dies() -> Outcome {
    if skipped("rsync's daemon", &["rsync"], "rsync") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let port = process::free_tcp_port()?;
    ProgramPair::start(Shape::default(), &forward("rsync", port))?
        .run(async |pair: &ProgramPair| {
            let _daemon = daemon(pair.directory(), port)?;
            let far = format!("rsync://{}/far", pair.near.ingress("rsync")?);
            both_ways(pair, &[], &far).await
        })
        .await
}

/// Returns an rsync daemon with the module `far`.
fn daemon(place: &Path, port: u16) -> Outcome<Process> {
    let id = |option| -> Outcome<String> {
        let output = std::process::Command::new("id").arg(option).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let config = place.join("rsyncd.conf");
    // As the test's user, whoever that is: run by root it would else become nobody.
    let mut text = String::from("use chroot = no\nread only = no\nmunge symlinks = no\n");
    if id("-u")? == "0" {
        text += &format!("uid = 0\ngid = {}\n", id("-g")?);
    }
    std::fs::write(&config, format!("{text}[far]\npath = {}/far\n", place.display()))?;
    let mut command = std::process::Command::new("rsync");
    command.args(["--daemon", "--no-detach", "--address=127.0.0.1", "--log-file=/dev/stderr"]);
    command.arg(format!("--port={port}")).arg(format!("--config={}", config.display()));
    let daemon = Process::start("rsync", &mut command)?;
    daemon.says("listening on port")?;
    Ok(daemon)
}
