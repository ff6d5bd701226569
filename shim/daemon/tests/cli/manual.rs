//! The manual, and what shells complete.

use std::fs;
use std::process::Command;

use crate::program::{Site, outcome, throughline};

#[test]
fn every_command_has_a_page_that_man_can_show() {
    let site = Site::new();
    let (said, _) = outcome(&["manual", &site.name("")], 0);
    assert!(said.trim().ends_with("throughline.1"), "{said}");
    let help = outcome(&["help"], 0).0;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split(' ').next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let page = fs::read_to_string(site.path(&format!("throughline-{command}.1")));
        let page = page.unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    // What man itself says of them, where it is installed.
    let mut man = Command::new("man");
    man.args(["--warnings", "-l", &site.name("throughline.1")]).env("LC_ALL", "C.UTF-8");
    if let Ok(shown) = man.output() {
        let complaints = String::from_utf8_lossy(&shown.stderr);
        assert!(shown.status.success() && complaints.is_empty(), "{complaints}");
    }
    let missing = site.name("no/such/directory");
    let (_, said) = outcome(&["manual", &missing], 1);
    assert!(said.contains(&missing) && said.contains("name a directory"), "{said}");
}

#[test]
fn bash_completes_commands_and_options() {
    let site = Site::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = throughline(&["completions", shell]).output().unwrap();
        assert!(script.status.success() && !script.stdout.is_empty(), "{shell}");
        fs::write(site.path(shell), script.stdout).unwrap();
    }
    let completed = |typed: &str, last: usize| {
        let line = format!(
            "source {}; COMP_WORDS=({typed}); COMP_CWORD={last}; _throughline throughline '' ''; \
             echo ${{COMPREPLY[*]}}",
            site.name("bash")
        );
        // As a terminal's bash has it, without the reader's settings.
        let line = format!("COMP_CWORD=; compopt() {{ :; }}; {line}");
        let output = Command::new("bash").args(["--norc", "-c", &line]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert!(completed("throughline ''", 1).split(' ').any(|word| word == "status"));
    let options = completed("throughline status --", 2);
    assert!(options.contains("--check") && options.contains("--json"), "{options}");
}
