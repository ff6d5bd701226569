//! git, by its own protocol and over ssh: clones and pushes of a repository that cannot be
//! compressed.

use std::path::{Path, PathBuf};

use interop_tests::process::{self, Process};
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use tokio::process::Command;

use crate::failure;
use crate::ssh::{self, Server};
use crate::{tree, turn};
use throughline_fixture::{ProgramPair, Shape, forward};

/// Some 13 MB.
const FILES: u64 = 200;

/// The ISP dies when so much of it is there.
const STRIKE_AT: u64 = 3 << 20;

/// git as it comes, whatever the user has configured.
struct Git {
    transport: String,
}

impl Git {
    async fn run(&self, directory: &Path, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Test", "-c", "user.email=test@localhost"]);
        command.args(["-c", "init.defaultBranch=main", "-c", "gc.auto=0"]).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_SSH_COMMAND", &self.transport).env("GIT_TERMINAL_PROMPT", "0");
        let output = command.current_dir(directory).kill_on_drop(true).output().await?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?.trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("git {arguments:?}: {}: {said}", output.status).into())
    }

    /// Returns the newest commit, after `git fsck` has seen every object.
    async fn sound(&self, repository: &Path) -> Outcome<String> {
        self.run(repository, &["fsck", "--full", "--strict"]).await?;
        self.run(repository, &["rev-parse", "main"]).await
    }

    /// Clones from and pushes to `url`, which is `origin.git` in `place`, an ISP dying in the
    /// middle of each.
    async fn both_ways(&self, pair: &ProgramPair, url: &str) -> Outcome {
        let place = pair.directory();
        let origin = place.join("origin.git");
        let work = place.join("work");
        std::fs::create_dir(&work)?;
        tree::make(&work, FILES, 11)?;
        self.run(&work, &["init", "--quiet"]).await?;
        self.run(&work, &["add", "--all"]).await?;
        self.run(&work, &["commit", "--quiet", "--message=first"]).await?;
        self.run(place, &["clone", "--quiet", "--bare", "work", "origin.git"]).await?;
        std::fs::write(origin.join("git-daemon-export-ok"), "")?;
        let (commit, files) = (self.sound(&work).await?, tree::digest(&work)?);

        failure::strikes_during(pair, STRIKE_AT, async |round| {
            let name = format!("clone-{round}");
            self.run(place, &["clone", "--quiet", url, &name]).await?;
            let clone = place.join(name);
            assert_eq!(self.sound(&clone).await?, commit, "another commit was cloned");
            assert_eq!(tree::digest(&clone)?, files, "other files were cloned");
            Ok(())
        })
        .await?;
        // What is pushed must be new each time.
        let mut pushes = Vec::new();
        for round in 0..3u8 {
            tree::make(&work.join(format!("more {round}")), FILES, 100 + u64::from(round))?;
            self.run(&work, &["add", "--all"]).await?;
            self.run(&work, &["commit", "--quiet", "--message=more"]).await?;
            pushes.push(self.run(&work, &["rev-parse", "main"]).await?);
        }
        failure::strikes_during(pair, STRIKE_AT, async |round| {
            let commit = &pushes[round];
            let refspec = format!("{commit}:refs/heads/main");
            self.run(&work, &["push", "--quiet", url, &refspec]).await?;
            assert_eq!(&self.sound(&origin).await?, commit, "another commit was pushed");
            Ok(())
        })
        .await?;
        println!("    git: {FILES} files cloned and pushed, every object right");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_pushes_by_its_own_protocol_while_each_isp_dies() -> Outcome {
    if skipped("git", &["git"], "git") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let port = process::free_tcp_port()?;
    ProgramPair::start(Shape::default(), &forward("git", port))?
        .run(async |pair: &ProgramPair| {
            let _daemon = daemon(pair.directory(), port)?;
            let url = format!("git://{}/origin.git", pair.near.ingress("git")?);
            Git { transport: String::new() }.both_ways(pair, &url).await
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_pushes_over_ssh_while_each_isp_dies() -> Outcome {
    let name = "git over ssh";
    if skipped(name, &["git"], "git") || skipped(name, &ssh::PROGRAMS, ssh::PACKAGES) {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let keys = tempfile::tempdir()?;
    let server = Server::start(keys.path())?;
    ProgramPair::start(Shape::default(), &forward("ssh", server.port))?
        .run(async |pair: &ProgramPair| {
            let ingress = pair.near.ingress("ssh")?;
            let origin = pair.directory().join("origin.git");
            let url = format!("ssh://{ingress}{}", origin.display());
            Git { transport: server.transport(ingress) }.both_ways(pair, &url).await
        })
        .await
}

/// `git daemon` itself: the wrapper `git` would leave it behind when it is killed.
fn daemon(place: &Path, port: u16) -> Outcome<Process> {
    let output = std::process::Command::new("git").arg("--exec-path").output()?;
    let programs = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let mut command = std::process::Command::new(programs.join("git-daemon"));
    command.args(["--verbose", "--reuseaddr", "--listen=127.0.0.1", "--enable=receive-pack"]);
    command.arg(format!("--port={port}")).arg(format!("--base-path={}", place.display()));
    // The repositories are the test's own, under whatever user.
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory");
    command.env("GIT_CONFIG_VALUE_0", "*");
    let daemon = Process::start("git daemon", &mut command)?;
    daemon.says("Ready to rumble")?;
    Ok(daemon)
}
