//! The service that intercepts, with the drop-in of dist/: it has what that takes, and a restart lets nothing past.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use throughline_fixture::Outcome;

use crate::machine::{Machine, project};
use crate::site::{Site, Visitor, rules};
use crate::udp::{NETS, NOBODY, destinations, seen_by};
use crate::world::PROGRAM;

const CONFIG: &str = "/etc/throughline/throughline.toml";

/// Set in the test that runs in its own network namespace.
const INSIDE: &str = "THROUGHLINE_TEST_INSIDE_OF_ROOT";

const HOST: &str = "203.0.113.1";

const DATAGRAMS: &str =
    "[ingress.datagrams]\nkind = \"intercept\"\nprotocol = \"udp\"\nvia = \"far\"\nusers = \"*\"";

#[test]
fn a_restart_of_the_service_lets_no_connection_past_it_and_refuses_none() -> Outcome {
    let name = "service::a_restart_of_the_service_lets_no_connection_past_it_and_refuses_none";
    if std::env::var_os(INSIDE).is_none() {
        let possible = Command::new("unshare").args(["-n", "nft", "--version"]).output();
        if !possible.is_ok_and(|output| output.status.success()) {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: {name}: this is not root, or there is no nft"
            );
            return Ok(());
        }
        let mut inside = Command::new("unshare");
        inside.arg("-n").arg(std::env::current_exe()?).args(["--exact", name, "--nocapture"]);
        return match inside.env(INSIDE, "yes").status()?.success() {
            true => Ok(()),
            false => Err("it failed in its namespace".into()),
        };
    }
    let Some(machine) = Machine::boot("service")? else { return Ok(()) };
    crate::world::ip("link set lo up");
    let site = Site::new();
    destinations(&site.far);
    let before = rules();
    machine.install(Path::new(PROGRAM), "/usr/bin/throughline", "755")?;
    let users = project("dist/throughline.sysusers");
    machine.install(&users, "/etc/sysusers.d/throughline.conf", "644")?;
    machine.run("systemd-sysusers")?;
    let own = "identity = 'identity.key'\nadmin = '/run/throughline/throughline.sock'\n";
    machine.write(CONFIG, &format!("{own}{}", site.config("users = \"*\"", DATAGRAMS)))?;
    let key = "/etc/throughline/identity.key";
    machine.install(&site.path().join("near.key"), key, "640")?;
    machine.run(&format!("chown root:throughline {key}"))?;
    let unit = "/etc/systemd/system/throughline.service";
    machine.install(&project("dist/throughline.service"), unit, "644")?;
    let drop_in = project("dist/throughline.service.d/intercept.conf");
    machine.install(&drop_in, &format!("{unit}.d/intercept.conf"), "644")?;
    machine.run("systemctl daemon-reload && systemctl start throughline")?;
    assert_eq!(machine.property("User")?, "throughline");
    // What leads datagrams to it are routes besides, of both families.
    let hosts = NETS.map(|net| format!("{net}1"));
    let are_reached =
        || hosts.iter().for_each(|host| assert_eq!(seen_by(host, NOBODY, None), *host));
    are_reached();
    // Which ports the system gives out, of which it takes a part.
    let main = machine.property("MainPID")?;
    machine.run(&format!("cat /proc/{main}/root/proc/sys/net/ipv4/ip_local_port_range"))?;
    let during = rules();
    let visitor = Visitor::begin(HOST);
    for _ in 0..3 {
        visitor.makes_more(20);
        machine.run("systemctl restart throughline")?;
    }
    visitor.makes_more(20);
    visitor.finish();
    are_reached();
    let journal = machine.journal()?;
    assert!(!journal.contains("nothing is kept"), "{journal}");
    assert_eq!(rules(), during, "the same port, so that nothing has changed");
    machine.run("systemctl stop throughline")?;
    assert_eq!(rules(), before);
    Ok(())
}
