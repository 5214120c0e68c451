//! Schema, map, deployment: what is not Rust, and the skeleton that both services have.

use std::path::Path;

use tests::tree::{parse, read, root, rust_sources, sources};

use crate::{SERVICES, assert_holds};

/// Files that both services have, next to the one that does what the service is for.
const SKELETON: [&str; 8] = [
    "main", "lib", "args", "config", "app", "service", "error", "metrics",
];

#[test]
fn the_architecture_fits_12_kilobytes_of_short_lines() {
    let text = read("ARCHITECTURE.md");
    assert!(
        text.len() <= 12_000,
        "ARCHITECTURE.md has {} bytes; a map has at most 12,000",
        text.len()
    );
    let is_long = |(_, line): &(usize, &str)| line.chars().count() > 100 && !line.starts_with('|');
    let broken: Vec<_> = (1..)
        .zip(text.lines())
        .filter(is_long)
        .map(|(number, _)| format!("ARCHITECTURE.md:{number}"))
        .collect();
    assert_holds("ARCHITECTURE.md is wrapped at 100 characters", &broken);
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
    let mut broken = Vec::new();
    for service in SERVICES {
        for file in SKELETON {
            let path = Path::new(service)
                .join("src")
                .join(file)
                .with_extension("rs");
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
        if !code.contains(&format!("\"DUET_{variable}\"")) {
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
