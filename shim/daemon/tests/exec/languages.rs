//! Programs in Go and Java, whose libraries resolve names and connect in ways of their own.

use std::path::Path;
use std::process::Command;

use crate::clients::{go_client, java_client};
use crate::site::{NAME, Site, echo_datagrams, printed, web, with_namespaces};

fn reaches_all(test: &str, client: impl FnOnce(&str, &Path) -> Option<Vec<String>>) {
    with_namespaces(test, || {
        let site = Site::new();
        let Some(client) = client(test, site.path()) else { return };
        let (web, udp) = (web(), echo_datagrams());
        let mut command: Command = site.exec();
        command.args(client).args([NAME, &web.to_string(), &udp.to_string()]);
        let output = crate::site::finished(command);
        assert_eq!(printed(&output), "hello ping", "{}", site.near.log());
    });
}

#[test]
fn a_go_program_goes_by_name_under_exec() {
    reaches_all("languages::a_go_program_goes_by_name_under_exec", go_client);
}

#[test]
fn a_java_program_goes_by_name_under_exec() {
    reaches_all("languages::a_java_program_goes_by_name_under_exec", java_client);
}
