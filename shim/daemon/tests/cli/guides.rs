//! The guides in docs/guides: their configurations are right, their commands are there, their codes are known.

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use throughline_daemon::catalogue::Code;
use throughline_daemon::cli::Cli;

use crate::program::{Site, outcome};

/// Returns the guides: name and text.
fn guides() -> Vec<(String, String)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides"));
    let guides: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect();
    assert!(guides.len() >= 6, "{}", guides.len());
    guides
}

/// Returns the blocks of a language, without their indent.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let (mut blocks, mut open): (Vec<String>, Option<(usize, String)>) = (Vec::new(), None);
    for line in text.lines() {
        let (rest, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        match &mut open {
            Some((_, block)) if rest == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some((margin, block)) => {
                block.push_str(line.get(*margin..).unwrap_or_default());
                block.push('\n');
            }
            None if rest == fence => open = Some((indent, String::new())),
            None => {}
        }
    }
    assert!(open.is_none(), "a block of {language} has no end");
    blocks
}

#[test]
fn every_configuration_of_a_guide_is_valid() {
    let mut checked = 0;
    for (guide, text) in guides() {
        for block in blocks(&text, "toml") {
            // What a program needs, and not the daemon.
            if block.contains("[dependencies]") {
                continue;
            }
            let site = Site::new();
            site.keygen();
            fs::rename(site.path("k"), site.path("identity.key")).unwrap();
            let mut filled = block;
            while filled.contains("tlk1…") {
                let key = throughline::Identity::generate().peer_id().to_string();
                filled = filled.replacen("tlk1…", &key, 1);
            }
            fs::write(site.path("throughline.toml"), &filled).unwrap();
            let (said, _) = outcome(&["check", &site.name("throughline.toml")], 0);
            assert!(said.contains("the configuration is valid"), "{guide}: {said}");
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn every_command_of_a_guide_is_one() {
    let mut parsed = 0;
    for (guide, text) in guides() {
        for line in blocks(&text, "console").iter().flat_map(|block| block.lines()) {
            let command = line.trim_start_matches(['$', '#', ' ']);
            // A ticket is a secret of its own.
            let command = command.replace("tlt1…", "tlt1");
            for command in command.split(" && ").filter(|part| part.starts_with("throughline ")) {
                let arguments = command.split(' ').map(|argument| argument.trim_matches('\''));
                if let Err(error) = Cli::try_parse_from(arguments) {
                    panic!("{guide}: {command}: {error}");
                }
                parsed += 1;
            }
        }
    }
    assert!(parsed >= 20, "{parsed}");
}

#[test]
fn every_guide_says_for_whom_what_to_do_what_is_seen_and_what_goes_wrong() {
    for (guide, text) in guides() {
        let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let expected = ["Who it is for", "Steps", "What you see", "What can go wrong"];
        assert_eq!(headings, expected, "{guide}");
        let codes: Vec<&str> =
            text.match_indices("TL0").filter_map(|(at, _)| text.get(at..at + 6)).collect();
        assert!(!codes.is_empty(), "{guide}");
        for code in codes {
            assert!(code.parse::<Code>().is_ok(), "{guide}: {code}");
        }
    }
}
