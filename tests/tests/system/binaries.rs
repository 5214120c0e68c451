//! The binaries under test. Cargo builds those of the package that a test belongs to, and no others; so they are built here, in
//! the profile and the folder of the test itself, where most of their crates are compiled already.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

const PACKAGES: [&str; 3] = ["drafter-service", "verifier-service", "cli"];

static BUILT: LazyLock<HashMap<String, PathBuf>> = LazyLock::new(build);

/// Path of a binary, by its name.
pub(crate) fn path(name: &str) -> &'static Path {
    BUILT
        .get(name)
        .unwrap_or_else(|| panic!("{PACKAGES:?} have no binary {name}: {BUILT:?}"))
}

fn build() -> HashMap<String, PathBuf> {
    // target/PROFILE/deps/system-HASH
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.ancestors().nth(2).expect("a folder of the profile");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("{} has no profile in it", test.display()),
    };
    let target = folder.parent().expect("a target folder");
    let output = Command::new(env!("CARGO"))
        .current_dir(tests::tree::root())
        .args(["build", "--locked", "--bins", "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(target)
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the binaries cannot be built");
    let messages = String::from_utf8(output.stdout).expect("messages of cargo in UTF-8");
    messages.lines().filter_map(executable).collect()
}

/// Name and path of the binary that a message of cargo is about, if it is about one.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).expect("a message of cargo");
    let name = message["target"]["name"].as_str()?;
    let path = message["executable"].as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}
