//! The rules of the architecture that neither the compiler nor clippy holds: who may import whom, what a file looks like,
//! which words stay out, what every element of the schema has to say.
//!
//! Each test names its rule and, when it fails, every place that breaks it. The checks read the tree as text; a parser would
//! say no more about rules as coarse as these.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

/// Crates that stand alone: each may be taken out of Duet and used without the others.
const STANDALONE: [&str; 4] = ["alignment", "chassis", "inference", "proto"];
const SERVICES: [&str; 2] = ["drafter-service", "verifier-service"];

#[test]
fn standalone_crates_import_no_other_crate_of_the_workspace() {
    let members = members();
    let mut broken = Vec::new();
    for name in STANDALONE {
        for dependency in dependencies(name, &ALL_TABLES) {
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
        if dependencies(name, &ALL_TABLES)
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
        broken.extend(source.production().containing(&ambient));
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
        for dependency in dependencies(name, &ALL_TABLES) {
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
            broken.extend(
                source
                    .production()
                    .containing(&[concat!("proto::", "wire")]),
            );
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
        let lines = source.production().lines.len();
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
        for (number, line) in source.numbered() {
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
    for path in tree(Path::new("")) {
        if path == Path::new("Cargo.lock") {
            continue;
        }
        // What is not text names no host that anyone reads.
        if let Ok(text) = fs::read_to_string(root().join(&path)) {
            broken.extend(
                Source {
                    path,
                    text,
                    is_unit_test: false,
                }
                .containing(&hosts),
            );
        }
    }
    assert_holds(
        "package managers know their registries; the tree does not",
        &broken,
    );
}

#[test]
fn the_architecture_fits_200_lines() {
    let path = root().join("ARCHITECTURE.md");
    if path.exists() {
        let lines = read(&path).lines().count();
        assert!(
            lines < 200,
            "ARCHITECTURE.md has {lines} lines; a map has fewer than 200"
        );
    }
}

#[test]
fn every_element_of_the_schema_is_explained() {
    let schemas = sources("proto");
    assert!(
        !schemas.is_empty(),
        "no .proto file found under {}",
        root().display()
    );
    let mut broken = Vec::new();
    for schema in &schemas {
        if !schema.text.starts_with("// ") {
            broken.push(schema.at(1, "does not open with a comment"));
        }
        let mut explained = false;
        for (number, line) in schema.numbered() {
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
    let workspace: Table = parse(&root().join("Cargo.toml"));
    let version = workspace["workspace"]["package"]["version"]
        .as_str()
        .expect("a version");
    let chart = read(&root().join("deploy/chart/Chart.yaml"));
    assert!(
        chart
            .lines()
            .any(|line| line == format!("appVersion: {version}")),
        "deploy/chart/Chart.yaml: appVersion is not the workspace's version {version}"
    );
    let image = read(&root().join("deploy/Dockerfile"));
    let missing: Vec<_> = ["drafter-service", "verifier-service", "cli"]
        .iter()
        .filter(|package| !image.contains(&format!("--package {package}")))
        .collect();
    assert!(
        missing.is_empty(),
        "deploy/Dockerfile does not build {missing:?}"
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

/// A file of the tree, its path relative to the root.
struct Source {
    path: PathBuf,
    text: String,
    /// It is a module that another file declares behind `#[cfg(test)]`.
    is_unit_test: bool,
}

/// The numbered lines of a source that are not in a unit test module.
struct Production<'a> {
    source: &'a Source,
    lines: Vec<(usize, &'a str)>,
}

impl Source {
    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// One place and what is wrong there.
    fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }

    /// A finding for each line that has one of the words.
    fn containing(&self, words: &[&str]) -> Vec<String> {
        self.findings(self.numbered(), words)
    }

    fn findings<'a>(
        &self,
        lines: impl Iterator<Item = (usize, &'a str)>,
        words: &[&str],
    ) -> Vec<String> {
        let mut found = Vec::new();
        for (number, line) in lines {
            found.extend(
                words
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| self.at(number, &format!("`{}`", word.trim()))),
            );
        }
        found
    }

    /// Leaves out modules behind `#[cfg(test)]`. In formatted code such a module ends at the brace in its own column.
    fn production(&self) -> Production<'_> {
        let mut kept = Vec::new();
        let mut lines = self.numbered().filter(|_| !self.is_unit_test).peekable();
        while let Some((number, line)) = lines.next() {
            let is_module = |(_, next): &(usize, &str)| is_test_module(line, next);
            let Some((_, header)) = lines.next_if(is_module) else {
                kept.push((number, line));
                continue;
            };
            if header.ends_with('{') {
                let indent = header.len() - header.trim_start().len();
                let end = format!("{}}}", &header[..indent]);
                lines.by_ref().find(|(_, line)| *line == end);
            }
        }
        Production {
            source: self,
            lines: kept,
        }
    }

    /// Files of the unit test modules that this file declares and does not contain.
    fn unit_test_files(&self) -> Vec<PathBuf> {
        let is_root = ["lib.rs", "main.rs"]
            .iter()
            .any(|name| self.path.ends_with(name));
        let folder = if is_root {
            self.path.with_file_name("")
        } else {
            self.path.with_extension("")
        };
        let lines: Vec<&str> = self.text.lines().collect();
        lines
            .windows(2)
            .filter(|pair| is_test_module(pair[0], pair[1]))
            .filter_map(|pair| pair[1].trim().strip_suffix(';')?.rsplit(' ').next())
            .map(|name| folder.join(name).with_extension("rs"))
            .collect()
    }
}

/// Whether two lines in a row open or declare a module of unit tests.
fn is_test_module(attribute: &str, header: &str) -> bool {
    let header = header.trim();
    attribute.trim() == "#[cfg(test)]" && (header.starts_with("mod ") || header.contains(" mod "))
}

impl Production<'_> {
    fn containing(&self, words: &[&str]) -> Vec<String> {
        self.source.findings(self.lines.iter().copied(), words)
    }
}

const ALL_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Packages that a member depends on, by their own names, for any target.
fn dependencies(member: &str, tables: &[&str]) -> Vec<String> {
    let manifest = manifest(member);
    let mut scopes = vec![&manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        scopes.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut names = Vec::new();
    for scope in scopes {
        for table in tables {
            let entries = scope.get(*table).and_then(toml::Value::as_table);
            for (name, entry) in entries.into_iter().flatten() {
                let renamed = entry.get("package").and_then(toml::Value::as_str);
                names.push(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

/// Folders of the workspace's members.
fn members() -> Vec<String> {
    let workspace = parse(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"]
        .as_array()
        .expect("a list of members");
    members
        .iter()
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}

fn manifest(member: &str) -> Table {
    parse(&root().join(member).join("Cargo.toml"))
}

fn parse(path: &Path) -> Table {
    read(path)
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_sources() -> Vec<Source> {
    let mut found = sources("rs");
    assert!(
        !found.is_empty(),
        "no Rust file found under {}",
        root().display()
    );
    let unit_tests: Vec<PathBuf> = found.iter().flat_map(Source::unit_test_files).collect();
    for source in &mut found {
        source.is_unit_test = unit_tests.contains(&source.path);
    }
    found
}

/// Every file of the tree with this extension.
fn sources(extension: &str) -> Vec<Source> {
    tree(Path::new(""))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let text = read(&root().join(&path));
            Source {
                path,
                text,
                is_unit_test: false,
            }
        })
        .collect()
}

/// Every file below a folder, relative to the root, in order of path; what is built or downloaded is not part of the tree.
fn tree(folder: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 3] = [".git", "node_modules", "target"];
    let mut files = Vec::new();
    let entries = fs::read_dir(root().join(folder)).expect("a folder of the tree");
    for entry in entries.map(|entry| entry.expect("an entry of a folder")) {
        let kind = entry.file_type().expect("the kind of an entry");
        let path = folder.join(entry.file_name());
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            files.extend(tree(&path));
        }
    }
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies inside the workspace")
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
