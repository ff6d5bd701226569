use super::listing::{Listing, ReExport, difference};

fn listing(library: &[&str], lower: &[&str]) -> Listing {
    let owned = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut listing = Listing::new(vec![ReExport {
        name: "throughline::Key".into(),
        source: "throughline_proto::types::Key".into(),
        definition: "throughline_proto::types::key::Key".into(),
    }]);
    listing.add(&owned(library));
    listing.add(&owned(lower));
    listing
}

#[test]
fn items_of_a_lower_crate_are_listed_as_users_name_them_and_only_if_they_are_re_exported() {
    let listing = listing(
        &[
            "pub mod throughline",
            "pub use throughline::Key",
            "pub fn throughline::open(throughline_proto::types::key::Key) -> core::option::Option<u8>",
        ],
        &[
            "pub struct throughline_proto::types::Key",
            "pub throughline_proto::types::Key::id: u8",
            "impl core::str::FromStr for throughline_proto::types::Key",
            "pub type throughline_proto::types::Key::Err = core::num::error::ParseIntError",
            "pub fn throughline_proto::types::Key::from_str(&str) -> core::result::Result<Self, Self::Err>",
            "pub struct throughline_proto::types::KeyRing",
        ],
    );
    let lines = [
        "pub mod throughline",
        "pub use throughline::Key",
        "pub fn throughline::open(throughline::Key) -> core::option::Option<u8>",
        "",
        "pub struct throughline::Key",
        "pub throughline::Key::id: u8",
        "impl core::str::FromStr for throughline::Key",
        "pub type throughline::Key::Err = core::num::error::ParseIntError",
        "",
    ];
    assert_eq!(listing.to_string(), lines.join("\n"));
    assert!(listing.not_exported().is_empty());
}

#[test]
fn a_type_that_is_returned_and_not_exported_is_found() {
    let lines = ["pub fn throughline::list() -> alloc::vec::Vec<throughline_proto::types::Hidden>"];
    assert_eq!(listing(&lines, &[]).not_exported(), ["throughline_proto::types::Hidden"]);
}

#[test]
fn what_most_types_are_is_not_listed_and_what_they_are_not_is() {
    let lines = [
        "impl core::marker::Send for throughline::A",
        "impl !core::marker::Sync for throughline::A",
        "impl core::panic::unwind_safe::UnwindSafe for throughline::A",
    ];
    assert_eq!(listing(&lines, &[]).to_string(), "impl !core::marker::Sync for throughline::A\n");
}

#[test]
fn a_difference_is_what_one_text_has_more_often() {
    assert_eq!(difference("a\nb\nb\n", "b\na\nc\n"), ["-b", "+c"]);
    assert!(difference("a\n\nb\n", "b\na\n").is_empty());
}
