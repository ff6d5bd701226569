//! Programs in Go and Java, unmodified, whose traffic and names are intercepted.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::clients::{go_client, java_client};
use crate::site::{PORT, Site};
use crate::udp::{destinations, with_users};

fn reaches_all(test: &str, client: impl FnOnce(&str, &Path) -> Option<Vec<String>>) {
    with_users(test, || {
        let site = Site::with_names("127.0.0.1 localhost\n203.0.113.1 git.corp.example\n");
        // Nobody runs it.
        std::fs::set_permissions(site.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let Some(client) = client(test, site.path()) else { return };
        destinations(&site.far);
        let near = site.start(
            "users = \"*\"\ndns = true",
            "[[rule]]\nto = \"*.corp.example\"\nvia = \"far\"\n\
             [ingress.datagrams]\nkind = \"intercept\"\nprotocol = \"udp\"\nusers = \"*\"\nvia = \"far\"",
        );
        let port = PORT.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(client);
        let output = command.args(["git.corp.example", &port, &port]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        // Both destinations say as whom they see it: the far host.
        let mut parts = said.split_whitespace();
        assert_eq!(parts.next(), Some("203.0.113.1"), "{said}{errors}{}", near.log());
        let from = parts.next().unwrap();
        assert!(from.starts_with("203.0.113.1:") && parts.next() == Some("ping"), "{said}");
    });
}

#[test]
fn a_go_program_is_intercepted_by_name() {
    reaches_all("languages::a_go_program_is_intercepted_by_name", go_client);
}

#[test]
fn a_java_program_is_intercepted_by_name() {
    reaches_all("languages::a_java_program_is_intercepted_by_name", java_client);
}
