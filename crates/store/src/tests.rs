//! The store as its users see it, with stand-ins for Python, npm and the hub: no network, no pip.

mod hub;
mod npm;
mod packages;

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

/// Calls that a [`Progress`] received.
#[derive(Default)]
struct Heard {
    started: u32,
    finished: u32,
    last: u64,
    passed_over: Vec<(String, String)>,
}

impl Progress for Heard {
    fn started(&mut self, _name: &str, _total_bytes: u64) {
        self.started += 1;
    }
    fn advanced(&mut self, bytes_done: u64) {
        self.last = bytes_done;
    }
    fn source_passed_over(&mut self, source: &str, why: &str) {
        self.passed_over.push((source.to_owned(), why.to_owned()));
    }
    fn finished(&mut self) {
        self.finished += 1;
    }
}

/// A store in a temporary folder, and a folder to offer files from.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("offered")).unwrap();
        Self { folder }
    }

    /// A file that sources can offer.
    fn offer(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.offered(name);
        fs::write(&path, contents).unwrap();
        path
    }

    fn offered(&self, name: &str) -> PathBuf {
        self.folder.path().join("offered").join(name)
    }

    /// A store that knows one model, `tiny`, with these contents and sources.
    fn store(&self, contents: &[u8], sources: &[String]) -> Store {
        let manifest = format!(
            "[[model]]\nname = \"tiny\"\ndescription = \"\"\nfile = \"tiny.gguf\"\nbytes = {}\nsha256 = \"{}\"\n\
             licence = \"none\"\n{}",
            contents.len(),
            digest(contents),
            sources
                .iter()
                .map(|source| format!("[[model.source]]\n{source}\n"))
                .collect::<Vec<_>>()
                .concat()
        );
        Store::open(Some(self.folder.path().join("cache")))
            .unwrap()
            .with_manifest(&manifest)
            .unwrap()
    }
}

fn digest(contents: &[u8]) -> String {
    blobs::Hash::of(Sha256::new_with_prefix(contents)).to_string()
}

fn file_source(path: &Path) -> String {
    format!("file = {:?}", path.to_str().unwrap())
}

fn tiny() -> ModelReference {
    "tiny".parse().unwrap()
}

#[test]
fn sources_are_tried_in_order_and_the_hash_decides() {
    let bench = Bench::new();
    let sources = [
        file_source(&bench.offered("absent")),
        file_source(&bench.offer("other", b"wrong bytes")),
        file_source(&bench.offer("short", b"right")),
        file_source(&bench.offer("long", b"right bytes and more")),
        file_source(&bench.offer("right", b"right bytes")),
        file_source(&bench.offered("never asked")),
    ];
    let store = bench.store(b"right bytes", &sources);
    let mut heard = Heard::default();
    let path = store.resolve(&tiny(), &mut heard).unwrap();

    assert_eq!(fs::read(&path).unwrap(), b"right bytes");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, format!("sha256-{}", digest(b"right bytes")));
    let reasons: Vec<&str> = heard.passed_over.iter().map(|(_, why)| &**why).collect();
    let expected = ["No such file", "another file", "holds 5", "more than"];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for (reason, part) in reasons.iter().zip(expected) {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!((heard.started, heard.finished, heard.last), (1, 1, 11));
    let left = fs::read_dir(store.root().join("partial")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn cached_model_needs_no_source_and_no_reading() {
    let bench = Bench::new();
    let offered = bench.offer("right", b"right bytes");
    let store = bench.store(b"right bytes", &[file_source(&offered)]);
    let path = store.resolve(&tiny(), &mut Heard::default()).unwrap();
    fs::remove_file(offered).unwrap();

    let mut heard = Heard::default();
    assert_eq!(store.resolve(&tiny(), &mut heard).unwrap(), path);
    assert_eq!(heard.started, 0);
    assert_eq!(store.path("tiny").unwrap(), path);
    let known = &store.list()[0];
    assert!(known.cached && known.path == Some(path));
}

#[test]
fn file_put_there_by_hand_is_checked_once_and_used() {
    let bench = Bench::new();
    let store = bench.store(b"right bytes", &[file_source(&bench.offered("absent"))]);
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    let StoreError::NoSource(none) = &error else {
        panic!("{error}");
    };
    let text = error.to_string();
    for part in [
        "tiny.gguf",
        "11 bytes",
        &none.sha256,
        none.path.to_str().unwrap(),
        "by hand",
    ] {
        assert!(text.contains(part), "{text}");
    }

    fs::create_dir_all(none.path.parent().unwrap()).unwrap();
    fs::write(&none.path, b"right bytes").unwrap();
    let mut heard = Heard::default();
    store.resolve(&tiny(), &mut heard).unwrap();
    store.resolve(&tiny(), &mut heard).unwrap();
    assert_eq!((heard.started, heard.finished, heard.last), (1, 1, 11));
}

#[test]
fn corrupted_file_is_found_by_verify_and_replaced_by_resolve() {
    let bench = Bench::new();
    let offered = bench.offer("right", b"right bytes");
    let store = bench.store(b"right bytes", &[file_source(&offered)]);
    for error in [
        store.verify("tiny", &mut Heard::default()),
        store.path("tiny"),
    ] {
        let text = error.unwrap_err().to_string();
        assert!(text.contains("duet models pull tiny"), "{text}");
    }
    let path = store.resolve(&tiny(), &mut Heard::default()).unwrap();
    assert_eq!(store.verify("tiny", &mut Heard::default()).unwrap(), path);

    fs::write(&path, b"wrong bytes").unwrap();
    let error = store.verify("tiny", &mut Heard::default()).unwrap_err();
    let text = error.to_string();
    for part in [
        path.to_str().unwrap(),
        &digest(b"right bytes"),
        &digest(b"wrong bytes"),
        "pull tiny",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let mut heard = Heard::default();
    store.resolve(&tiny(), &mut heard).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"right bytes");
    assert_eq!(heard.passed_over[0].0, "the cache");

    fs::write(&path, b"short").unwrap();
    let mut heard = Heard::default();
    store.resolve(&tiny(), &mut heard).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"right bytes");
    assert!(heard.passed_over[0].1.contains("wrong size"));
}

#[test]
fn wrong_cached_file_stays_until_a_right_one_is_whole() {
    let bench = Bench::new();
    let store = bench.store(b"right bytes", &[file_source(&bench.offered("absent"))]);
    let path = store
        .root()
        .join(format!("blobs/sha256-{}", digest(b"right bytes")));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"wrong bytes").unwrap();
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(matches!(error, StoreError::NoSource(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"wrong bytes");
}

#[test]
fn left_overs_of_models_nobody_waits_for_are_removed() {
    let bench = Bench::new();
    let offered = bench.offer("right", b"right bytes");
    let store = bench.store(b"right bytes", &[file_source(&offered)]);
    let partial = store.root().join("partial");
    let unknown = partial.join(format!("sha256-{}", digest(b"a model of last year")));
    fs::create_dir_all(unknown.join("parts")).unwrap();
    let busy = partial.join(format!("sha256-{}", digest(b"a model of another version")));
    fs::create_dir_all(&busy).unwrap();
    let locks = store.root().join("locks");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(busy.file_name().unwrap())).unwrap();
    lock.lock().unwrap();

    store.resolve(&tiny(), &mut Heard::default()).unwrap();
    assert!(!unknown.exists());
    assert!(busy.exists(), "somebody is at it");
}

#[test]
fn paths_that_are_no_model_say_what_is_missing() {
    let bench = Bench::new();
    let store = Store::open(Some(bench.offered("cache"))).unwrap();
    let folder = bench.offered("model");
    fs::create_dir(&folder).unwrap();
    let resolve = |path: &Path| {
        let reference = path.to_str().unwrap().parse().unwrap();
        store.resolve(&reference, &mut Heard::default())
    };
    let refused = |path: &Path, part: &str| {
        let error = resolve(path).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&bench.offered("absent.gguf"), "no file or folder");
    refused(&bench.offer("empty.gguf", b""), "empty");
    refused(&bench.offer("x.safetensors", b"x"), "name the folder");
    refused(&folder, "no config.json");
    fs::write(folder.join("model.gguf"), "GGUF").unwrap();
    refused(&folder, "model.gguf");
    fs::write(folder.join("config.json"), "{}").unwrap();
    fs::write(folder.join("model.safetensors"), "x").unwrap();
    refused(&folder, "no tokenizer.json");
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    assert_eq!(resolve(&folder).unwrap(), folder);
    let file = folder.join("model.gguf");
    assert_eq!(resolve(&file).unwrap(), file);
    assert!(!store.root().exists(), "nothing was fetched");
}

#[test]
fn unknown_name_lists_the_known_ones() {
    let bench = Bench::new();
    let store = Store::open(Some(bench.offered("cache"))).unwrap();
    let error = store.resolve(&"smolm2-135m".parse().unwrap(), &mut Heard::default());
    let text = error.unwrap_err().to_string();
    assert!(text.contains("did you mean \"smollm2-135m\""), "{text}");
    assert_eq!(store.list().len(), 12);
}
