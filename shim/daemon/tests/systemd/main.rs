//! The daemon as a service of a real systemd, by the unit that is in dist/.
//!
//! systemd runs as the first process of a PID namespace, see `boot.sh`; it needs root. The other daemon is a
//! process of the test.

mod flows;
mod machine;
mod package;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use throughline_fixture::Outcome;
use throughline_fixture::process::{Process, free_tcp_port, free_udp_port};

use self::flows::Flow;
use self::machine::{Machine, project};

const PROGRAM: &str = env!("CARGO_BIN_EXE_throughline");

const CONFIG: &str = "/etc/throughline/throughline.toml";

/// A service, a daemon that it reaches, and a destination behind that.
struct Site {
    machine: Machine,
    _far: Process,
    config: String,
    ingress: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Site {
    /// Installs the service as docs/CONFIG.md says, with this in a drop-in, and starts it; `None` where no systemd
    /// can run.
    fn start(test: &str, drop_in: &str) -> Outcome<Option<Self>> {
        Self::start_with(test, drop_in, by_hand)
    }

    /// Starts the service, where `install` has installed it.
    fn start_with(
        test: &str,
        drop_in: &str,
        install: impl FnOnce(&Machine) -> Outcome,
    ) -> Outcome<Option<Self>> {
        let Some(machine) = Machine::boot(test)? else { return Ok(None) };
        let directory = tempfile::tempdir()?;
        let far_key = throughline::Identity::create(directory.path().join("far.key"))?;
        let near_key = throughline::Identity::create(directory.path().join("near.key"))?;
        let (near_id, far_id) = (near_key.peer_id(), far_key.peer_id());
        let (locator, echo) = (free_udp_port()?, flows::echo_server()?);
        let ingress = SocketAddr::from(([127, 0, 0, 1], free_tcp_port()?));
        let far = format!(
            "identity = 'far.key'\nadmin = 'far.sock'\nlisten = ['127.0.0.1:{locator}']\n\
             [peers.near]\nkey = '{near_id}'\nallow = ['127.0.0.1:{echo}']\n"
        );
        std::fs::write(directory.path().join("far.toml"), far)?;
        let mut command = Command::new(PROGRAM);
        command.args(["run", "-c"]).arg(directory.path().join("far.toml")).env("NO_COLOR", "1");
        let far = Process::start("far", &mut command)?;
        far.says("running")?;
        let config = format!(
            "identity = 'identity.key'\nadmin = '/run/throughline/throughline.sock'\n\
             [peers.far]\nkey = '{far_id}'\nlocators = ['127.0.0.1:{locator}']\n\
             [ingress.echo]\nkind = 'forward'\nlisten = '{ingress}'\nvia = 'far'\n\
             to = '127.0.0.1:{echo}'\n"
        );
        install(&machine)?;
        machine.write(CONFIG, &config)?;
        let key = "/etc/throughline/identity.key";
        machine.install(&directory.path().join("near.key"), key, "640")?;
        machine.run(&format!("chown root:throughline {key}"))?;
        machine.write("/etc/systemd/system/throughline.service.d/test.conf", drop_in)?;
        machine.run("systemctl daemon-reload && systemctl start throughline")?;
        let site = Self { machine, _far: far, config, ingress, _directory: directory };
        Ok(Some(site))
    }

    fn all_go_on(&self, flows: &[Flow]) -> Outcome {
        for flow in flows {
            if let Err(error) = flow.goes_on() {
                return Err(format!("{error}\n{}", self.machine.journal()?).into());
            }
        }
        Ok(())
    }

    fn main_process(&self) -> Outcome<String> {
        self.machine.property("MainPID")
    }
}

/// Installs the program and its unit as docs/CONFIG.md says.
fn by_hand(machine: &Machine) -> Outcome {
    machine.install(Path::new(PROGRAM), "/usr/bin/throughline", "755")?;
    let users = "/etc/sysusers.d/throughline.conf";
    machine.install(&project("dist/throughline.sysusers"), users, "644")?;
    machine.run("systemd-sysusers")?;
    let unit = "/etc/systemd/system/throughline.service";
    machine.install(&project("dist/throughline.service"), unit, "644")
}

/// The journal has what the daemon logs, with its fields, by the command of the manual.
fn journal_has_fields(machine: &Machine) -> Outcome {
    let manual = include_str!("../../../../docs/CONFIG.md");
    let command = manual.lines().find_map(|line| line.strip_prefix("$ journalctl -u throughline "));
    let command = command.ok_or("the manual has no such command")?;
    let matches = command.replace("branch1", "far");
    let show =
        format!("journalctl --sync; journalctl -q --no-pager -o json -u throughline {matches}");
    // The service runs before it has reached the peer.
    machine.until(command, |machine| machine.run(&show).is_ok_and(|shown| !shown.is_empty()))?;
    let shown = machine.run(&show)?;
    for line in shown.lines() {
        let entry: serde_json::Value = serde_json::from_str(line)?;
        assert_eq!(entry["THROUGHLINE_PEER"], "far", "{line}");
        assert_eq!(entry["SYSLOG_IDENTIFIER"], "throughline", "{line}");
        assert!(entry["MESSAGE"].as_str().is_some_and(|text| text.contains("peer=far")), "{line}");
    }
    // Nothing of it came as a line of stderr.
    let lines = machine.run("journalctl -q --no-pager -u throughline _TRANSPORT=stdout")?;
    assert!(!lines.contains("INFO"), "{lines}");
    Ok(())
}

/// A process that cannot start leaves everything to one that can, when its reason is gone.
fn cannot_start_at_first(site: &Site) -> Outcome {
    let machine = &site.machine;
    let flow = Flow::begin(site.ingress)?;
    flow.goes_on()?;
    machine.write(CONFIG, &format!("metrics = '192.0.2.77:9480'\n{}", site.config))?;
    let failed = machine.run("systemctl restart throughline");
    assert!(failed.is_err(), "{failed:?}");
    machine.until("tried again", |machine| {
        machine
            .property("NRestarts")
            .is_ok_and(|restarts| restarts.parse().is_ok_and(|count: u32| count > 1))
    })?;
    let failed = machine.run("systemctl restart throughline");
    assert!(failed.is_err(), "{failed:?}");
    let restarts = || -> Outcome<u32> { Ok(machine.property("NRestarts")?.parse()?) };
    // Nor does a file that is half written end it, nor one that does not fit this host's key.
    let own = machine.run("throughline id /etc/throughline/identity.key")?;
    let wrong = format!("{}[peers.us]\nkey = '{}'\n", site.config, own.trim());
    for text in ["identity = 'ident", &wrong] {
        machine.write(CONFIG, text)?;
        let before = restarts()?;
        machine
            .until("tried three times more", |_| restarts().is_ok_and(|now| now > before + 2))?;
    }
    machine.write(CONFIG, &site.config)?;
    site.all_go_on(std::slice::from_ref(&flow))?;
    let journal = machine.journal()?;
    assert!(journal.contains("are kept for the next one that starts within"), "{journal}");
    let resumed = journal.lines().rfind(|line| line.contains("session resumed after "));
    let resumed = resumed.ok_or("no session is resumed")?;
    // It says how long nothing moved, and not how long this process has run.
    assert!(!resumed.contains(" ms without"), "{resumed}");
    assert!(flow.finish()? > 2);
    machine.until("it serves", |machine| {
        machine.property("SubState").is_ok_and(|state| state == "running")
    })
}

#[test]
fn a_restart_of_the_service_loses_no_flow_unless_the_configuration_is_wrong() -> Outcome {
    let name = "a_restart_of_the_service_loses_no_flow_unless_the_configuration_is_wrong";
    let Some(site) = Site::start(name, "")? else { return Ok(()) };
    let machine = &site.machine;
    assert_eq!(machine.property("User")?, "throughline");
    journal_has_fields(machine)?;
    let flows: Vec<_> = (0..5).map(|_| Flow::begin(site.ingress)).collect::<Outcome<_>>()?;
    for _ in 0..4 {
        let before = site.main_process()?;
        machine.run("systemctl restart throughline")?;
        assert_ne!(before, site.main_process()?);
        site.all_go_on(&flows)?;
        assert_eq!(machine.property("NFileDescriptorStore")?, "0");
    }
    // A reload, and a successor that the daemon starts itself, in between.
    machine.run("systemctl reload throughline")?;
    let before = site.main_process()?;
    machine.run("systemctl kill --kill-whom=main --signal=USR2 throughline")?;
    machine
        .until("another main process", |_| site.main_process().is_ok_and(|now| now != before))?;
    site.all_go_on(&flows)?;
    machine.run("systemctl restart throughline")?;
    site.all_go_on(&flows)?;
    let journal = machine.journal()?;
    assert!(!journal.contains("nothing is kept"), "{journal}");
    // Of a session that another process has nobody is told that it waits.
    assert!(!journal.contains("session-detached"), "{journal}");
    for flow in flows {
        assert!(flow.finish()? > 10);
    }

    cannot_start_at_first(&site)?;

    // The next process would not take the configuration: the flows end, and not as if they were complete.
    let flow = Flow::begin(site.ingress)?;
    flow.goes_on()?;
    machine.write(CONFIG, "no = 'such thing'\n")?;
    let failed = machine.run("systemctl restart throughline");
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(flow.ends()?, "reset");
    let journal = machine.journal()?;
    assert!(journal.contains("nothing is kept for the next process"), "{journal}");
    assert_eq!(machine.property("Result")?, "exit-code");
    machine.write(CONFIG, &site.config)?;
    machine.run("systemctl start throughline")?;
    Flow::begin(site.ingress)?.goes_on()
}

#[test]
fn a_service_that_is_killed_or_hangs_is_started_anew_and_one_that_is_stopped_is_not() -> Outcome {
    let name = "a_service_that_is_killed_or_hangs_is_started_anew_and_one_that_is_stopped_is_not";
    let Some(site) = Site::start(name, "[Service]\nWatchdogSec=4s\n")? else { return Ok(()) };
    let machine = &site.machine;
    for signal in ["KILL", "STOP"] {
        let flow = Flow::begin(site.ingress)?;
        flow.goes_on()?;
        let before = site.main_process()?;
        machine.run(&format!("systemctl kill --kill-whom=main --signal={signal} throughline"))?;
        machine.until("another main process", |_| {
            site.main_process().is_ok_and(|now| now != before && now != "0")
        })?;
        assert_eq!(flow.ends()?, "reset", "{signal}");
        machine.until("it serves", |machine| {
            machine.property("SubState").is_ok_and(|state| state == "running")
        })?;
        Flow::begin(site.ingress)?.goes_on()?;
    }
    assert_eq!(machine.property("NRestarts")?, "2");
    // A stop ends what lives after its ten seconds, and leaves nothing behind.
    let flow = Flow::begin(site.ingress)?;
    flow.goes_on()?;
    machine.run("systemctl stop throughline")?;
    assert_eq!(flow.ends()?, "reset");
    assert_eq!(machine.property("ActiveState")?, "inactive");
    assert_eq!(machine.property("Result")?, "success");
    assert_eq!(machine.property("NFileDescriptorStore")?, "0");
    assert!(machine.run("ls /run/throughline").is_err());
    Ok(())
}
