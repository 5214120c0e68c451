//! Looks of a file: its header, its length, its name, and words that stay out of it.

use std::path::Path;

use tests::tree::{all_sources, rust_sources};

use crate::assert_holds;

/// Most lines of a file, tests not counted.
const LONGEST: usize = 400;

#[test]
fn every_rust_file_opens_by_saying_what_it_is() {
    let broken: Vec<_> = rust_sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.at(1, "does not open with `//! `"))
        .collect();
    assert_holds("every Rust file opens with a `//!` header", &broken);
}

#[test]
fn no_file_is_longer_than_400_lines_without_tests() {
    let mut broken = Vec::new();
    for source in rust_sources() {
        let lines = source.production_lines().len();
        let is_test = source.path.iter().any(|part| part == "tests");
        if lines > LONGEST && !is_test {
            broken.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert_holds("a file ends at 400 lines without tests", &broken);
}

#[test]
fn every_main_fits_one_screen() {
    let mut broken = Vec::new();
    for source in rust_sources() {
        let lines = source.text.lines().count();
        if source.path.ends_with("src/main.rs") && lines >= 60 {
            broken.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert_holds("main.rs has fewer than 60 lines", &broken);
}

#[test]
fn modules_have_names_that_say_something() {
    let words = [
        "common", "helper", "helpers", "manager", "misc", "mod", "types", "util", "utils",
    ];
    let suffixes = ["Manager", "Helper", "Util", "Utils"];
    let mut broken = Vec::new();
    for source in rust_sources() {
        for part in source.path.with_extension("").components() {
            let part = part.as_os_str().to_string_lossy();
            if words.contains(&part.as_ref()) {
                broken.push(format!("{}: `{part}` says nothing", source.path.display()));
            }
        }
        for (number, line) in source.lines() {
            let mut tokens = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let declares = tokens.any(|token| ["struct", "enum", "trait"].contains(&token));
            let name = tokens.next().unwrap_or_default();
            if declares && suffixes.iter().any(|suffix| name.ends_with(suffix)) {
                broken.push(source.at(number, &format!("`{name}` says nothing")));
            }
        }
    }
    assert_holds(
        "no mod.rs, nothing named Manager, Helper, Util, common, misc or types",
        &broken,
    );
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_switched_off() {
    let words = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("#[ig", "nore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    let broken: Vec<_> = rust_sources()
        .iter()
        .flat_map(|source| source.containing(&words))
        .collect();
    assert_holds("no stub, no note to oneself, no ignored test", &broken);
}

#[test]
fn no_package_registry_is_named_outside_the_lock_file() {
    let hosts = [
        ["crates", "io"].join("."),
        ["pypi", "org"].join("."),
        ["pythonhosted", "org"].join("."),
        ["npmjs", "org"].join("."),
        ["npmjs", "com"].join("."),
        ["deb", "debian", "org"].join("."),
        ["proxy", "golang", "org"].join("."),
    ];
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mut broken = Vec::new();
    for source in all_sources() {
        if source.path != Path::new("Cargo.lock") {
            broken.extend(source.containing(&hosts));
        }
    }
    assert_holds(
        "package managers know their registries; the tree does not",
        &broken,
    );
}
