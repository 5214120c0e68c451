//! The repository's own files as text, for tests that hold rules about them.

#![expect(
    clippy::missing_panics_doc,
    reason = "a file of the tree that cannot be read fails the test that wants it"
)]

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Tables of a manifest that name dependencies.
pub const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Folder of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies inside the workspace")
}

/// Text of a file, by its path below the root.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file. Modules of a unit test module are unit tests too.
pub fn rust_sources() -> Vec<SourceFile> {
    let mut found = sources("rs");
    let unit_tests: Vec<PathBuf> = found.iter().flat_map(SourceFile::unit_test_files).collect();
    for source in &mut found {
        let declared = |test: &PathBuf| source.path.starts_with(test.with_extension(""));
        source.is_unit_test = unit_tests.contains(&source.path) || unit_tests.iter().any(declared);
    }
    found
}

/// Every file with this extension, at least one.
pub fn sources(extension: &str) -> Vec<SourceFile> {
    let mut found = all_sources();
    found.retain(|source| {
        source
            .path
            .extension()
            .is_some_and(|other| other == extension)
    });
    assert!(
        !found.is_empty(),
        "no .{extension} file below {}",
        root().display()
    );
    found
}

/// Every file that is text, in order of path. What is built or downloaded is not part of the tree.
pub fn all_sources() -> Vec<SourceFile> {
    let mut paths = Vec::new();
    collect(Path::new(""), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let text = fs::read_to_string(root().join(&path)).ok()?;
            Some(SourceFile {
                path,
                text,
                is_unit_test: false,
            })
        })
        .collect()
}

/// Folders of the workspace's members, from the root.
pub fn members() -> Vec<String> {
    let workspace = parse("Cargo.toml");
    let members = workspace["workspace"]["members"]
        .as_array()
        .expect("a list of members");
    members
        .iter()
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}

/// Name that a member's package must have: the last part of its folder.
pub fn package(member: &str) -> &str {
    member.rsplit('/').next().unwrap_or(member)
}

/// Manifest of a member, by its folder.
pub fn manifest(member: &str) -> Table {
    parse(Path::new(member).join("Cargo.toml"))
}

/// Packages that a member names in these tables, for any target, by their own names.
pub fn dependencies(member: &str, tables: &[&str]) -> Vec<String> {
    let entries = dependency_entries(member, tables).into_iter();
    entries.map(|(name, _)| name).collect()
}

/// The same with what the manifest says of each.
pub fn dependency_entries(member: &str, tables: &[&str]) -> Vec<(String, Value)> {
    let manifest = manifest(member);
    let mut scopes = vec![&manifest];
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        scopes.extend(targets.values().filter_map(Value::as_table));
    }
    let mut found = Vec::new();
    for scope in scopes {
        for table in tables {
            let entries = scope.get(*table).and_then(Value::as_table);
            for (name, entry) in entries.into_iter().flatten() {
                let renamed = entry.get("package").and_then(Value::as_str);
                found.push((renamed.unwrap_or(name).to_owned(), entry.clone()));
            }
        }
    }
    found
}

/// A TOML file, by its path below the root.
pub fn parse(path: impl AsRef<Path>) -> Table {
    let path = path.as_ref();
    read(path)
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of the tree.
pub struct SourceFile {
    /// Path below the root.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// Another file declares it as a module under `#[cfg(test)]`.
    is_unit_test: bool,
}

impl SourceFile {
    /// A file that no disk has.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.to_owned(),
            is_unit_test: false,
        }
    }

    /// True if another file declares it for unit tests only.
    pub fn is_unit_test(&self) -> bool {
        self.is_unit_test
    }

    /// True if it lies in this folder, given from the root.
    pub fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// One place and what is wrong there.
    pub fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }

    /// A finding for each line and each of the words that it has.
    pub fn containing(&self, words: &[&str]) -> Vec<String> {
        self.findings(self.lines(), words)
    }

    /// The same for lines outside of unit tests.
    pub fn containing_untested(&self, words: &[&str]) -> Vec<String> {
        self.findings(self.production_lines().into_iter(), words)
    }

    /// Lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// Lines outside of unit tests. In formatted code such a module ends at the brace in its own column.
    pub fn production_lines(&self) -> Vec<(usize, &str)> {
        let mut kept = Vec::new();
        let mut lines = self.lines().filter(|_| !self.is_unit_test).peekable();
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
        kept
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

    fn findings<'a>(
        &self,
        lines: impl Iterator<Item = (usize, &'a str)>,
        words: &[&str],
    ) -> Vec<String> {
        let mut found = Vec::new();
        for (number, line) in lines {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(self.at(number, &format!("`{}`", word.trim())));
            }
        }
        found
    }
}

/// True if two lines in a row open or declare a module of unit tests.
fn is_test_module(attribute: &str, header: &str) -> bool {
    let header = header.trim();
    attribute.trim() == "#[cfg(test)]" && (header.starts_with("mod ") || header.contains(" mod "))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    const NOT_OURS: [&str; 3] = [".git", "node_modules", "target"];
    let entries = fs::read_dir(root().join(folder)).expect("a folder of the tree");
    for entry in entries.map(|entry| entry.expect("an entry of a folder")) {
        let kind = entry.file_type().expect("the kind of an entry");
        let path = folder.join(entry.file_name());
        if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            collect(&path, files);
        } else if kind.is_file() && !is_weights(&path) {
            files.push(path);
        }
    }
}

fn is_weights(path: &Path) -> bool {
    path.extension()
        .is_some_and(|found| found == "gguf" || found == "safetensors")
}
