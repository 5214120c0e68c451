//! The rules of the architecture that neither the compiler nor clippy holds: who may import whom, what a file looks like,
//! which words stay out, what every element of the schema has to say.
//!
//! Each test names its rule and, when it fails, every place that breaks it. The checks read the tree as text; a parser would
//! say no more about rules as coarse as these.

use std::path::Path;

use tests::tree::{
    DEPENDENCY_TABLES, all_sources, dependencies, manifest, members, parse, read, root,
    rust_sources, sources,
};

/// Crates that stand alone: each may be taken out of Duet and used without the others.
const STANDALONE: [&str; 4] = ["alignment", "chassis", "inference", "proto"];
const SERVICES: [&str; 2] = ["drafter-service", "verifier-service"];
/// Files that both services have, beside the one that does what the service is for.
const SKELETON: [&str; 8] = [
    "main", "lib", "args", "config", "app", "service", "error", "metrics",
];

#[test]
fn standalone_crates_import_no_other_crate_of_the_workspace() {
    let members = members();
    let mut broken = Vec::new();
    for name in STANDALONE {
        for dependency in dependencies(name, &DEPENDENCY_TABLES) {
            if dependency != name && members.contains(&dependency) {
                broken.push(format!("{name}/Cargo.toml: depends on {dependency}"));
            }
        }
    }
    assert_holds(
        "alignment, chassis, inference and proto know nothing of each other",
        &broken,
    );
}

#[test]
fn services_never_import_each_other() {
    let mut broken = Vec::new();
    for (name, other) in [(SERVICES[0], SERVICES[1]), (SERVICES[1], SERVICES[0])] {
        if dependencies(name, &DEPENDENCY_TABLES)
            .iter()
            .any(|dependency| dependency == other)
        {
            broken.push(format!("{name}/Cargo.toml: depends on {other}"));
        }
    }
    assert_holds("the services meet on the wire only", &broken);
}

#[test]
fn alignment_depends_on_nothing() {
    let broken: Vec<_> = dependencies("alignment", &["dependencies", "build-dependencies"])
        .into_iter()
        .map(|dependency| format!("alignment/Cargo.toml: depends on {dependency}"))
        .collect();
    assert_holds(
        "alignment is written with the standard library alone",
        &broken,
    );
}

#[test]
fn alignment_is_pure() {
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
    for source in rust_sources()
        .iter()
        .filter(|source| source.is_in("alignment/src"))
    {
        broken.extend(source.containing_untested(&ambient));
    }
    assert_holds(
        "alignment has no async, clock, input, output or ambient randomness",
        &broken,
    );
}

#[test]
fn candle_appears_only_in_inference() {
    let mut broken = Vec::new();
    for name in members().iter().filter(|name| *name != "inference") {
        for dependency in dependencies(name, &DEPENDENCY_TABLES) {
            if dependency.starts_with("candle") {
                broken.push(format!("{name}/Cargo.toml: depends on {dependency}"));
            }
        }
    }
    let crates = [
        concat!("candle_", "core"),
        concat!("candle_", "nn"),
        concat!("candle_", "tr"),
    ];
    for source in rust_sources()
        .iter()
        .filter(|source| !source.is_in("inference"))
    {
        broken.extend(source.containing(&crates));
    }
    assert_holds("tensors stay inside inference", &broken);
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
        if manifest["package"]["name"].as_str() != Some(&member) {
            broken.push(format!(
                "{member}/Cargo.toml: package.name differs from the folder"
            ));
        }
        let lints = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
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
fn no_file_is_longer_than_600_lines_without_its_tests() {
    let mut broken = Vec::new();
    for source in rust_sources() {
        let lines = source.production_lines().len();
        if lines > 600 {
            broken.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert_holds("600 lines without unit tests is the end of a file", &broken);
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
        ["candidate", "golang", "org"].join("."),
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

#[test]
fn the_architecture_fits_200_lines() {
    if root().join("ARCHITECTURE.md").exists() {
        let lines = read("ARCHITECTURE.md").lines().count();
        assert!(
            lines < 200,
            "ARCHITECTURE.md has {lines} lines; a map has fewer than 200"
        );
    }
}

#[test]
fn every_element_of_the_schema_is_explained() {
    let schemas = sources("proto");
    let mut broken = Vec::new();
    for schema in &schemas {
        if !schema.text.starts_with("// ") {
            broken.push(schema.at(1, "does not open with a comment"));
        }
        let mut explained = false;
        for (number, line) in schema.lines() {
            let line = line.trim();
            if let Some(name) = declared(line)
                && !explained
            {
                broken.push(schema.at(number, &format!("`{name}` has no comment above it")));
            }
            explained = line.starts_with("// ") || (line == "//" && explained);
        }
    }
    assert_holds(
        "the .proto files are the specification: each element has a comment",
        &broken,
    );
}

#[test]
fn chart_and_image_speak_of_what_is_there() {
    let workspace = parse("Cargo.toml");
    let version = workspace["workspace"]["package"]["version"]
        .as_str()
        .expect("a version");
    let chart = read("deploy/chart/Chart.yaml");
    assert!(
        chart
            .lines()
            .any(|line| line == format!("appVersion: {version}")),
        "deploy/chart/Chart.yaml: appVersion is not the workspace's version {version}"
    );
    let image = read("deploy/Dockerfile");
    let missing: Vec<_> = ["drafter-service", "verifier-service", "cli"]
        .iter()
        .filter(|package| !image.contains(&format!("--package {package}")))
        .collect();
    assert!(
        missing.is_empty(),
        "deploy/Dockerfile does not build {missing:?}"
    );
}

#[test]
fn services_share_a_skeleton_and_know_every_variable_that_deploy_sets() {
    let written: Vec<_> = SERVICES
        .iter()
        .map(|name| Path::new(name).join("src"))
        .filter(|folder| root().join(folder).join("args.rs").exists())
        .collect();
    let mut broken = Vec::new();
    for folder in &written {
        for file in SKELETON {
            let path = folder.join(file).with_extension("rs");
            if !root().join(&path).exists() {
                broken.push(format!("{} is missing", path.display()));
            }
        }
    }
    let code: String = rust_sources()
        .into_iter()
        .map(|source| source.text)
        .collect();
    let template = read("deploy/chart/templates/_container.tpl");
    for variable in template
        .lines()
        .filter_map(|line| line.strip_prefix("- name: DUET_"))
    {
        if written.len() == SERVICES.len() && !code.contains(&format!("\"DUET_{variable}\"")) {
            broken.push(format!("deploy sets DUET_{variable}, which no flag reads"));
        }
    }
    assert_holds(
        "one skeleton for both services, and one set of variables",
        &broken,
    );
}

/// Name of the message, enum, service, method, oneof, field or value that a line of a schema declares.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split([' ', '(', '{']).filter(|word| !word.is_empty());
    match words.next()? {
        "message" | "enum" | "service" | "rpc" | "oneof" => words.next(),
        "syntax" | "package" | "import" | "option" | "reserved" | "extensions" | "//" => None,
        _ => {
            let (left, right) = line.split_once(" = ")?;
            let is_numbered = right.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            is_numbered.then(|| left.rsplit(' ').next())?
        }
    }
}

/// Fails with the rule and every place that breaks it.
fn assert_holds(rule: &str, broken: &[String]) {
    assert!(
        broken.is_empty(),
        "{rule}; broken {} times:\n  {}",
        broken.len(),
        broken.join("\n  ")
    );
}
