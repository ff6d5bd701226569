//! The Debian package: made, judged, installed, upgraded under live flows, and removed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use throughline_fixture::Outcome;
use throughline_fixture::process::{free_udp_port, installed};

use crate::flows::Flow;
use crate::machine::{Machine, project};
use crate::{PROGRAM, Site};

/// Makes the package with this version in a directory.
fn package(version: &str, directory: &Path) -> Outcome<PathBuf> {
    let mut command = Command::new(project("dist/package"));
    let output = command.args([PROGRAM, "--fast", "--deb-version", version]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().find(|line| line.ends_with(".deb")) {
        Some(made) if output.status.success() => {
            let path = project(made);
            // The next one is made in the same directory, which is empty then.
            let kept = directory.join(format!("{version}.deb"));
            std::fs::copy(path, &kept)?;
            Ok(kept)
        }
        _ => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Looks into it, and has lintian judge it: what offends against Debian's policy fails the test.
fn judge(package: &Path) -> Outcome {
    let output = Command::new("dpkg-deb").arg("-c").arg(package).output()?;
    let files = String::from_utf8_lossy(&output.stdout);
    for file in [
        "usr/bin/throughline",
        "usr/share/man/man1/throughline-status.1.gz",
        "usr/share/bash-completion/completions/throughline",
        "usr/lib/systemd/system/throughline.service",
        "usr/lib/sysusers.d/throughline.conf",
    ] {
        assert!(files.contains(file), "{file} is not in it: {files}");
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error"]);
    lintian.args(["--suppress-tags", "initial-upload-closes-no-bugs"]);
    let output = lintian.arg(package).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("lintian: {}", String::from_utf8_lossy(&output.stdout)).into()),
    }
}

/// The service reads what root's `init` writes where it reads, as `invite` and `join` do, and is asked without being named.
fn serves_what_init_writes(machine: &Machine) -> Outcome {
    let port = free_udp_port()?;
    machine.run(&format!("throughline init /etc/throughline --listen {port}"))?;
    let modes =
        machine.run("cd /etc/throughline && stat -c '%U:%G %a' identity.key throughline.toml")?;
    assert_eq!(modes, "root:throughline 640\nroot:throughline 640\n");
    machine.run("systemctl start throughline")?;
    let id = machine.run("throughline id /etc/throughline/identity.key")?;
    let shown = machine.run("throughline status && throughline check")?;
    assert!(shown.starts_with(id.trim()), "{shown}");
    assert!(shown.contains("the configuration is valid"), "{shown}");
    machine.run("systemctl stop throughline && rm /etc/throughline/identity.key /etc/throughline/throughline.toml")?;
    Ok(())
}

#[test]
fn an_upgrade_of_the_package_loses_no_flow() -> Outcome {
    let name = "package::an_upgrade_of_the_package_loses_no_flow";
    if let Some(missing) =
        ["cargo-deb", "lintian", "strip"].into_iter().find(|p| installed(p).is_none())
    {
        // Not through libtest, which hides the output of tests that pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: `{missing}` is not installed");
        assert!(std::env::var_os("THROUGHLINE_NO_SKIP").is_none(), "`{missing}` is not installed");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let made = |version| package(version, directory.path());
    let (first, next) = (made("0.1.0-1")?, made("0.1.1-1")?);
    judge(&first)?;
    let there = "/root/throughline.deb";
    let install = |machine: &Machine| -> Outcome {
        machine.install(&first, there, "644")?;
        // An image for containers has it forbid that services are started.
        machine.run("rm -f /usr/sbin/policy-rc.d")?;
        machine.run(&format!("dpkg -i {there}"))?;
        // Nobody has configured it yet.
        assert_eq!(machine.property("ActiveState")?, "inactive");
        serves_what_init_writes(machine)
    };
    let Some(site) = Site::start_with(name, "", install)? else { return Ok(()) };
    let machine = &site.machine;
    let flows: Vec<_> = (0..3).map(|_| Flow::begin(site.ingress)).collect::<Outcome<_>>()?;
    site.all_go_on(&flows)?;
    let before = site.main_process()?;
    machine.install(&next, there, "644")?;
    machine.run(&format!("dpkg -i {there}"))?;
    assert_ne!(before, site.main_process()?, "the former program runs on");
    site.all_go_on(&flows)?;
    let version = machine.run("dpkg-query -W -f='${Version}' throughline")?;
    assert_eq!(version, "0.1.1-1");
    for flow in flows {
        assert!(flow.finish()? > 2);
    }
    machine.run("dpkg -P throughline")?;
    assert_eq!(machine.property("ActiveState")?, "inactive");
    machine.run("test ! -e /usr/bin/throughline && test ! -e /var/lib/throughline")?;
    // The key is nobody's to throw away but the administrator's.
    machine.run("test -e /etc/throughline/identity.key")?;
    Ok(())
}
