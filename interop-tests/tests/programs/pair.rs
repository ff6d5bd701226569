//! `throughline pair`, over a real ssh: two hosts are joined from one of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use interop_tests::process::{self, Process};
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;

use throughline_fixture::{DEADLINE, POLL_INTERVAL};

use crate::ssh::{self, Server};

#[test]
fn two_hosts_are_joined_over_ssh() -> Outcome {
    let name = "two_hosts_are_joined_over_ssh";
    if skipped(name, &["ssh", "ssh-keygen", "sshd"], ssh::PACKAGES) {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let (path, program) = (place.path(), process::throughline()?);
    let server = Server::start(path)?;
    let (before, _daemon) = start_daemon(path, &program)?;
    // What a person has in ~/.ssh/config, and the program there with its configuration.
    let ssh = process::installed("ssh").ok_or("no ssh")?;
    let options = format!("{} -p {}", server.options().join(" "), server.port);
    script(path, "ssh", &format!("exec {} {options} \"$@\"", ssh.display()))?;
    let file = path.join("server.toml");
    let line = format!("shift; exec {} invite -c {} \"$@\"", program.display(), file.display());
    script(path, "there", &line)?;
    let search = format!("{}:{}", path.display(), std::env::var("PATH")?);
    let pair = || {
        let mut pair = Command::new(&program);
        pair.args(["pair", "127.0.0.1", "--name", "branch1", "--allow", "localhost:22"]);
        pair.arg("--program").arg(path.join("there")).arg("--directory").arg(path.join("site"));
        pair.env("PATH", &search).env("XDG_RUNTIME_DIR", path).stdin(Stdio::null());
        pair
    };
    let said = path.join("said");
    let _here = Process::start("pair", pair().stdout(fs::File::create(&said)?))?;
    let began = Instant::now();
    let (said, after) = loop {
        let (said, after) = (fs::read_to_string(&said)?, fs::read_to_string(&file)?);
        let is_there =
            said.contains("Applications connect to") && after.contains("[peers.branch1]");
        if is_there && !after.contains(">>>") {
            break (said, after);
        }
        assert!(began.elapsed() < DEADLINE, "{said}\n{after}");
        std::thread::sleep(POLL_INTERVAL);
    };
    assert!(said.contains("may reach localhost:22"), "{said}");
    assert!(after.starts_with(&before), "{after}");
    // What goes wrong there is told here, and changes nothing here.
    let site = path.join("site/throughline.toml");
    let here = fs::read(&site)?;
    let output = pair().output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("There is a peer `branch1` already"), "{said}");
    assert_eq!(fs::read(&site)?, here);
    Ok(())
}

/// Starts the server's daemon; returns its configuration, too.
fn start_daemon(place: &Path, program: &Path) -> Outcome<(String, Process)> {
    let keygen = Command::new(program).arg("keygen").arg(place.join("server.key")).output()?;
    assert!(keygen.status.success());
    let udp = process::free_udp_port()?;
    let config =
        format!("identity = \"server.key\"\nadmin = \"server.sock\"\nlisten = \"0.0.0.0:{udp}\"\n");
    fs::write(place.join("server.toml"), &config)?;
    let mut run = Command::new(program);
    let daemon =
        Process::start("the server's daemon", run.arg("run").arg(place.join("server.toml")))?;
    daemon.says("listening")?;
    Ok((config, daemon))
}

fn script(place: &Path, name: &str, line: &str) -> Outcome {
    let file = place.join(name);
    fs::write(&file, format!("#!/bin/sh\n{line}\n"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
