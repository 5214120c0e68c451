//! Bad input: an error that says what is wrong and what to do, never a panic, never memory by the word of a damaged file.

mod folders;
mod header;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use inference::engine::{Engine, LoadError};
use tempfile::TempDir;

use crate::chat;
use crate::engines::options;
use crate::model::Random;

/// The whole message of a load that must fail, causes included.
fn refusal(path: &Path) -> String {
    let Err(error) = Engine::load(path, options()) else {
        panic!("{} was loaded", path.display());
    };
    assert!(!matches!(error, LoadError::Ended), "{error}");
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let advice = ["fetch", "check the path", "take a"];
    assert!(
        advice.iter().any(|advice| message.contains(advice)),
        "{message}"
    );
    message
}

fn check(path: &Path, expected: &str) {
    let message = refusal(path);
    assert!(
        message.contains(expected),
        "expected \"{expected}\" in: {message}"
    );
}

/// A folder for one test's files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn files_that_are_no_models_are_refused() {
    let files = Files::new();
    check(&files.write("empty.gguf", b""), "it is empty");
    check(
        &files.write("text.gguf", b"not a model"),
        "the letters GGUF",
    );
    check(&files.write("magic.gguf", b"GGUF"), "truncated");
    check(&files.write("version.gguf", b"GGUF\x09\0\0\0"), "version 9");
    check(
        &files.write("big.gguf", b"GGUF\0\0\0\x03"),
        "version 50331648",
    );
    check(&files.0.path().join("absent.gguf"), "absent.gguf");
    #[cfg(unix)]
    {
        check(Path::new("/dev/zero"), "not a file");
        // Nobody can read a link to itself, whatever their rights.
        let link = files.0.path().join("loop.gguf");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        check(&link, "loop.gguf");
    }
}

#[test]
fn a_truncated_gguf_file_is_refused_wherever_it_ends() {
    let files = Files::new();
    let whole = chat::gguf().bytes();
    let data = Content::read(&mut Cursor::new(&whole))
        .unwrap()
        .tensor_data_offset as usize;
    let in_header = (0..data).step_by(23);
    let in_data = (data..whole.len()).step_by(7919);
    let last = [data - 1, data, data + 1, whole.len() - 1];
    for end in in_header.chain(in_data).chain(last) {
        let path = files.write("truncated.gguf", &whole[..end]);
        let message = refusal(&path);
        let said = message.contains("truncated") || message.contains("GGUF") || end == 0;
        assert!(said, "at {end}: {message}");
    }
}

/// Loads a file that may be damaged in any way, and uses it if it was loaded.
fn survive(path: &Path, what: &str) -> bool {
    let engine = match Engine::load(path, options()) {
        Ok(engine) => engine,
        Err(error) => {
            assert!(!matches!(error, LoadError::Ended), "{what}: {error}");
            return false;
        }
    };
    engine
        .tokenizer()
        .encode_with_specials("the <|im_end|>\n fn");
    let mut session = engine.open().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let passed = runtime.block_on(session.forward(vec![1, 2, 3], 3, |logits| logits.rows()));
    assert_eq!(passed.unwrap().value, 3, "{what}");
    true
}

#[test]
fn a_gguf_header_with_wrong_bytes_is_survived() {
    let files = Files::new();
    let whole = chat::gguf().bytes();
    let data = Content::read(&mut Cursor::new(&whole))
        .unwrap()
        .tensor_data_offset;
    let mut random = Random(99);
    let mut loaded = 0;
    for round in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.next() % 4 {
            let at = (random.next() % data) as usize;
            match random.next() % 4 {
                0 => bytes[at] ^= 1 << (random.next() % 8),
                1 => bytes[at] = random.next() as u8,
                2 => bytes[at..at + 8].fill(0xff),
                _ => bytes[at..at + 8]
                    .copy_from_slice(&(random.next() >> (random.next() % 64)).to_le_bytes()),
            }
        }
        let path = files.write("flipped.gguf", &bytes);
        loaded += u32::from(survive(&path, &format!("round {round}")));
    }
    // Many a byte of a header may be anything: the spelling of a token, for one.
    assert!(
        loaded > 100,
        "only {loaded} were loaded: the test damages too much"
    );
    assert!(peak_bytes() < 2 << 30);
}

#[test]
fn a_gguf_file_of_noise_is_survived() {
    let files = Files::new();
    let mut random = Random(5);
    for round in 0..300 {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(
            [random.next() % 5, random.next() % 5]
                .map(u64::to_le_bytes)
                .concat(),
        );
        bytes.extend((0..200).flat_map(|_| (random.next() >> (random.next() % 64)).to_le_bytes()));
        assert!(!survive(
            &files.write("noise.gguf", &bytes),
            &format!("round {round}")
        ));
    }
}

/// The most memory that this process has had.
fn peak_bytes() -> u64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes.map_or(0, |count| count.trim().parse::<u64>().unwrap() * 1024)
}
