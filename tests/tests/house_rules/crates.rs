//! Imports: of crates by crates, and of modules by modules of one crate.

use std::path::Path;

use tests::imports::circles;
use tests::tree::{
    DEPENDENCY_TABLES, dependencies, dependency_entries, manifest, members, package, rust_sources,
};
use toml::Value;

use crate::{SERVICES, assert_holds};

/// Crates that each crate may use. Tests and benches of a crate may use `tests` as well.
const FLOORS: [(&str, &[&str]); 10] = [
    ("alignment", &[]),
    ("pacing", &[]),
    ("store", &[]),
    ("kernels", &[]),
    ("proto", &[]),
    ("chassis", &[]),
    ("tokenizer", &["alignment"]),
    ("grammar", &["tokenizer"]),
    ("inference", &["kernels", "tokenizer", "alignment"]),
    (
        "serving",
        &["chassis", "inference", "tokenizer", "store", "proto"],
    ),
];
/// Crates that use all of `SHARED`, each with what else it may use. Services never use each other.
const TOP_FLOORS: [(&str, &[&str]); 4] = [
    ("drafter-service", &[]),
    ("verifier-service", &["grammar"]),
    ("cli", &PROGRAMS),
    ("tests", &PROGRAMS),
];
const SHARED: [&str; 9] = [
    "alignment",
    "pacing",
    "store",
    "kernels",
    "proto",
    "chassis",
    "tokenizer",
    "inference",
    "serving",
];
const PROGRAMS: [&str; 3] = ["grammar", "drafter-service", "verifier-service"];
/// Crates that see tensors.
const TENSORS: [&str; 2] = ["inference", "kernels"];
/// Crates of the standard library alone, without input, output, clock or chance.
const PURE: [&str; 2] = ["alignment", "pacing"];

/// Crates that the one of this name may use; `None` if there is no rule for it.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    let top = TOP_FLOORS.iter().find(|(top, _)| *top == name);
    let floor = FLOORS.iter().find(|(floor, _)| *floor == name);
    match (top, floor) {
        (Some((_, others)), _) => Some([&SHARED, *others].concat()),
        (None, Some((_, below))) => Some(below.to_vec()),
        (None, None) => None,
    }
}

#[test]
fn crates_import_only_crates_of_the_floors_below_them() {
    let members = members();
    let ours: Vec<&str> = members.iter().map(|member| package(member)).collect();
    let mut broken = Vec::new();
    for member in &members {
        let Some(allowed) = allowed(package(member)) else {
            broken.push(format!("{member}: has no row in FLOORS"));
            continue;
        };
        for table in DEPENDENCY_TABLES {
            for name in dependencies(member, &[table]) {
                let is_for_tests = table == "dev-dependencies" && name == "tests";
                let is_allowed = allowed.contains(&name.as_str()) || is_for_tests;
                if ours.contains(&name.as_str()) && !is_allowed {
                    broken.push(format!("{member}/Cargo.toml: {table} name {name}"));
                }
            }
        }
    }
    assert_holds("each crate imports only crates below it", &broken);
}

#[test]
fn external_crates_have_their_version_and_features_from_the_workspace() {
    let mut broken = Vec::new();
    for member in members() {
        for (name, entry) in dependency_entries(&member, &DEPENDENCY_TABLES) {
            let is_inherited = entry.get("workspace").and_then(Value::as_bool) == Some(true);
            if !is_inherited || entry.get("features").is_some() {
                broken.push(format!("{member}/Cargo.toml: {name}"));
            }
        }
    }
    assert_holds(
        "members write `NAME.workspace = true`, so that no crate is compiled twice",
        &broken,
    );
}

#[test]
fn modules_of_a_crate_import_each_other_in_one_direction() {
    let mut broken = Vec::new();
    for member in members() {
        for (number, circle) in circles(&member).iter().enumerate() {
            let ties = circle.join("\n    ");
            broken.push(format!("{member}, circle {}:\n    {ties}", number + 1));
        }
    }
    assert_holds("no circle of imports within a crate", &broken);
}

#[test]
fn pure_crates_depend_on_nothing() {
    let mut broken = Vec::new();
    for member in pure_members() {
        for dependency in dependencies(&member, &["dependencies", "build-dependencies"]) {
            broken.push(format!("{member}/Cargo.toml: depends on {dependency}"));
        }
    }
    assert_holds("pure crates use the standard library alone", &broken);
}

#[test]
fn pure_crates_have_no_async_clock_input_output_or_chance() {
    let ambient = [
        "async ",
        "std::env",
        "std::fs",
        "std::io",
        "std::net",
        "std::process",
        "std::thread",
        "Instant",
        "SystemTime",
        // Their order, and so a result built from it, differs from run to run.
        "HashMap",
        "HashSet",
        "RandomState",
    ];
    let mut broken = Vec::new();
    for member in pure_members() {
        let folder = format!("{member}/src");
        for source in rust_sources().iter().filter(|file| file.is_in(&folder)) {
            broken.extend(source.containing_untested(&ambient));
        }
    }
    assert_holds("pure crates are functions of their arguments", &broken);
}

#[test]
fn candle_appears_only_where_tensors_are() {
    let sees_tensors = |member: &&String| TENSORS.contains(&package(member));
    let members = members();
    let mut broken = Vec::new();
    for member in members.iter().filter(|member| !sees_tensors(member)) {
        for dependency in dependencies(member, &DEPENDENCY_TABLES) {
            if dependency.starts_with("candle") {
                broken.push(format!("{member}/Cargo.toml: depends on {dependency}"));
            }
        }
    }
    let crates = [
        concat!("candle_", "core"),
        concat!("candle_", "nn"),
        concat!("candle_", "tr"),
    ];
    let mut inside = members.iter().filter(sees_tensors);
    for source in rust_sources() {
        if !inside.clone().any(|member| source.is_in(member)) {
            broken.extend(source.containing(&crates));
        }
    }
    assert!(inside.next().is_some(), "none of {TENSORS:?} is a member");
    assert_holds("tensors stay inside kernels and inference", &broken);
}

#[test]
fn generated_types_stay_in_proto_and_in_the_file_that_implements_each_service() {
    let mut broken = Vec::new();
    for source in rust_sources() {
        let allowed = source.is_in("proto")
            || source.is_in("tests")
            || SERVICES
                .iter()
                .any(|name| source.path == Path::new(name).join("src/service.rs"));
        if !allowed {
            broken.extend(source.containing_untested(&[concat!("proto::", "wire")]));
        }
    }
    assert_holds(
        "only proto and each service's service.rs name generated types",
        &broken,
    );
}

#[test]
fn every_member_has_the_name_of_its_folder_and_the_lints_of_the_workspace() {
    let mut broken = Vec::new();
    for member in members() {
        let manifest = manifest(&member);
        if manifest["package"]["name"].as_str() != Some(package(&member)) {
            broken.push(format!(
                "{member}/Cargo.toml: package.name differs from the folder"
            ));
        }
        let lints = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            broken.push(format!(
                "{member}/Cargo.toml: lacks [lints] workspace = true"
            ));
        }
    }
    assert_holds(
        "folder and crate have one name, and one set of lints holds for all",
        &broken,
    );
}

/// Folders of the pure crates.
fn pure_members() -> Vec<String> {
    let mut members = members();
    members.retain(|member| PURE.contains(&package(member)));
    assert_eq!(members.len(), PURE.len(), "members among {PURE:?}");
    members
}
