use std::path::Path;

use super::exceptions::Exceptions;
use super::{in_file, terms};

fn found(file: &str, text: &str) -> Vec<(usize, String)> {
    let found = in_file(Path::new(file), text);
    found.into_iter().map(|finding| (finding.line, finding.found)).collect()
}

fn at(line: usize, word: &str) -> (usize, String) {
    (line, word.to_owned())
}

#[test]
fn a_name_has_parts() {
    assert_eq!(terms::parts("LaneDoubt"), ["lane", "doubt"]);
    assert_eq!(terms::parts("on_doubt2"), ["on", "doubt2"]);
    assert_eq!(terms::parts("LANE_DOUBT"), ["lane", "doubt"]);
    assert_eq!(terms::parts("lane-doubt"), ["lane", "doubt"]);
}

#[test]
fn a_word_without_ordinary_use_is_found_everywhere_in_every_form() {
    let code = "// A doubt.\nstruct LaneDoubt;\nlet a = \"no doubts\";\nfn on_doubt() {}";
    let expected = [at(1, "doubt"), at(2, "LaneDoubt"), at(3, "doubts"), at(4, "on_doubt")];
    assert_eq!(found("a.rs", code), expected);
    assert_eq!(found("a.md", "Without doubt."), [at(1, "doubt")]);
    assert_eq!(found("a.py", "x = 1  # doubt\n"), [at(1, "doubt")]);
}

#[test]
fn plain_english_is_left_alone_and_the_same_word_as_a_name_is_found() {
    assert_eq!(
        found("a.rs", "// At home, in a second, it came by.\nlet x = \"a second look\";"),
        []
    );
    assert_eq!(
        found("shim/proto/a.rs", "let home = 1; s.second; fn look() {}"),
        [at(1, "home"), at(1, "second"), at(1, "look")]
    );
    assert_eq!(
        found("a.md", "The field `cure`, in JSON \"cure\"."),
        [at(1, "cure"), at(1, "cure")]
    );
    assert_eq!(found("shim/a.rs", "json![\"why\"]"), [at(1, "why")]);
}

#[test]
fn a_types_name_is_found_where_it_is_defined() {
    assert_eq!(found("a.rs", "use std::task::Poll;\nPoll::Ready(1)"), []);
    assert_eq!(found("a.rs", "pub struct Ready { }"), [at(1, "Ready")]);
}

#[test]
fn a_name_that_is_a_sentence_is_plain_english() {
    assert_eq!(found("shim/proto/a.rs", "fn tell_peer() {}"), [at(1, "tell_peer")]);
    assert_eq!(found("shim/proto/a.rs", "fn the_peer_is_told_of_it() {}"), []);
}

#[test]
fn code_is_told_from_text() {
    let code = "let a: &'why str = r#\"why\"not why\"#; let b = 'w'; let c = '\\'';\n/* why\n */ let why = 1;";
    assert_eq!(found("shim/a.rs", code), [at(1, "why"), at(3, "why")]);
    assert_eq!(found("shim/a.rs", "x\n\"two\n lines\"\nwhy"), [at(4, "why")]);
}

#[test]
fn the_glossary_makes_exceptions_with_a_place_and_a_reason() {
    let glossary = "# Words\n| home | shim | no |\n## Exceptions\n| word | place | reason |\n|---|---|---|\n\
                    | `home` | `shim/a` | it is a house |\n| `second` | `shim/a` | |\n";
    let exceptions = Exceptions::parse(glossary);
    let allows = |file: &str, word: &str| exceptions.allow(word, Path::new(file));
    assert!(allows("shim/a/b.rs", "home"));
    assert!(!allows("shim/b.rs", "home"));
    assert!(!allows("shim/a/b.rs", "second"));
}
