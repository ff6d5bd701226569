use std::collections::BTreeSet;
use std::path::PathBuf;

/// Writes a crate of `files` (name, text) and returns the files of each of its circles.
fn circles(files: &[(&str, &str)]) -> Vec<BTreeSet<PathBuf>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let found = super::of_crate(folder.path(), &folder.path().join("lib.rs")).unwrap();
    found.into_iter().map(|circle| circle.files).collect()
}

fn one(files: &[&str]) -> Vec<BTreeSet<PathBuf>> {
    vec![files.iter().map(PathBuf::from).collect()]
}

#[test]
fn siblings_that_import_each_other_are_a_circle() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use super::a::A; pub struct B(Box<A>);"),
    ];
    assert_eq!(circles(&files), one(&["a.rs", "b.rs"]));
}

#[test]
fn a_chain_is_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; use b::B; struct C(B);"),
        ("a.rs", "pub struct A;"),
        ("b.rs", "use crate::a::A; pub struct B(A);"),
    ];
    assert_eq!(circles(&files), []);
}

#[test]
fn a_parent_and_a_child_that_import_each_other_are_a_circle() {
    let files = [
        ("lib.rs", "mod child; use child::C; pub struct P(C);"),
        ("child.rs", "use super::P; pub struct C(Box<P>);"),
    ];
    assert_eq!(circles(&files), one(&["child.rs", "lib.rs"]));
}

#[test]
fn declaring_a_module_is_no_import() {
    let files =
        [("lib.rs", "mod child; pub struct P;"), ("child.rs", "use super::P; pub struct C(P);")];
    assert_eq!(circles(&files), []);
}

#[test]
fn a_re_export_passes_through_to_the_file_that_defines_the_item() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
        ("a.rs", "pub struct A;"),
        ("b.rs", "use crate::A; pub struct B(A);"),
    ];
    assert_eq!(circles(&files), []);
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::*; pub use b::B;"),
        ("a.rs", "use crate::B; pub struct A(B);"),
        ("b.rs", "use crate::A; pub struct B(Box<A>);"),
    ];
    assert_eq!(circles(&files), one(&["a.rs", "b.rs"]));
}

#[test]
fn a_file_that_uses_what_it_re_exports_imports_it() {
    let files = [
        ("lib.rs", "mod a; pub use a::A; pub struct P(A);"),
        ("a.rs", "use crate::P; pub struct A(Box<P>);"),
    ];
    assert_eq!(circles(&files), one(&["a.rs", "lib.rs"]));
}

#[test]
fn inline_paths_count_and_those_in_macros_too() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub fn f() { println!(\"{}\", crate::b::g()); }"),
        ("b.rs", "use super::a; pub fn g() -> u8 { a::f(); 1 }"),
    ];
    assert_eq!(circles(&files), one(&["a.rs", "b.rs"]));
}

#[test]
fn imports_inside_functions_and_inline_modules_count() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub fn f() { use crate::b::G; G.g(); }"),
        ("b.rs", "pub struct G; mod inner { use super::super::a::f; fn h() { f(); } }"),
    ];
    assert_eq!(circles(&files), one(&["a.rs", "b.rs"]));
}

#[test]
fn a_glob_imports_the_file_that_it_reads_from() {
    let files = [
        ("lib.rs", "mod child; use child::C; pub struct P(C);"),
        ("child.rs", "use super::*; pub struct C(Box<P>);"),
    ];
    assert_eq!(circles(&files), one(&["child.rs", "lib.rs"]));
}

#[test]
fn a_circle_of_three_is_found_and_who_only_uses_it_is_left_out() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use crate::c::C; pub struct B(C);"),
        ("c.rs", "use crate::a::A; pub struct C(Box<A>);"),
        ("d.rs", "use crate::a::A; pub struct D(A);"),
    ];
    assert_eq!(circles(&files), one(&["a.rs", "b.rs", "c.rs"]));
}

#[test]
fn tests_are_left_out() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        (
            "b.rs",
            "pub struct B; impl B { #[cfg(test)] fn t() -> crate::a::A { todo!() } }
             #[cfg(test)] mod tests { use crate::a::A; }
             #[cfg(test)] use crate::a::A;",
        ),
    ];
    assert_eq!(circles(&files), []);
}

#[test]
fn other_crates_and_members_of_values_are_no_imports() {
    let files = [
        ("lib.rs", "mod bytes; mod b;"),
        ("bytes.rs", "use crate::b::B; pub fn f(b: B) { b.g(); std::mem::drop(b); }"),
        ("b.rs", "use ::bytes::Bytes; pub struct B; impl B { pub fn g(&self) { self.f(); } }"),
    ];
    assert_eq!(circles(&files), []);
}
