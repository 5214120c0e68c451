//! The cache folder's files: each named by the SHA-256 of its contents, and marked once that was checked.
//!
//! A mark holds the file's size and time of change as they were when its hash was computed, so that opening a model
//! does not read a gigabyte; a file that was touched since counts as unchecked.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::StoreError;

/// Bytes read or written at once.
pub(super) const CHUNK: usize = 1 << 20;

/// A SHA-256 digest; prints as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Hash([u8; 32]);

/// Files by hash.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Path of the file with this hash, present or not.
    pub(super) fn path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(format!("sha256-{hash}"))
    }

    /// True if there is a file of the right size; its contents are not read.
    pub(super) fn holds(&self, hash: &Hash, bytes: u64) -> bool {
        fs::metadata(self.path(hash)).is_ok_and(|found| found.is_file() && found.len() == bytes)
    }

    /// True if the file is there, has the right size, and is unchanged since its hash was checked.
    pub(super) fn is_verified(&self, hash: &Hash, bytes: u64) -> bool {
        self.holds(hash, bytes)
            && fs::read_to_string(self.mark(hash))
                .is_ok_and(|mark| fingerprint(&self.path(hash)).is_ok_and(|now| now == mark))
    }

    /// Reads the whole file and returns its hash; a right one is marked, a wrong one loses its mark.
    pub(super) fn verify(
        &self,
        hash: &Hash,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Hash, StoreError> {
        let path = self.path(hash);
        let found = hash_file(&path, on_bytes)?;
        // The mark only saves time: a cache that cannot be written to is read in full each time.
        let marked = if found == *hash {
            self.write_mark(hash)
        } else {
            fs::remove_file(self.mark(hash))
        };
        if let Err(error) = marked
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(path = %path.display(), %error, "mark of a verified file not updated");
        }
        Ok(found)
    }

    /// Moves a file whose hash was just computed to its place, in one step.
    pub(super) fn install(&self, file: &Path, hash: &Hash) -> Result<PathBuf, StoreError> {
        let path = self.path(hash);
        fs::create_dir_all(&self.folder).map_err(StoreError::io("create", &self.folder))?;
        fs::rename(file, &path).map_err(StoreError::io("move the fetched file to", &path))?;
        self.write_mark(hash)
            .map_err(StoreError::io("mark as verified", &path))?;
        Ok(path)
    }

    fn mark(&self, hash: &Hash) -> PathBuf {
        self.folder.join(format!("sha256-{hash}.verified"))
    }

    fn write_mark(&self, hash: &Hash) -> io::Result<()> {
        fs::write(self.mark(hash), fingerprint(&self.path(hash))?)
    }
}

/// Size and time of change, as a mark spells them.
fn fingerprint(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    let changed = metadata.modified()?;
    let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!(
        "{} bytes, changed {}.{:09}\n",
        metadata.len(),
        since.as_secs(),
        since.subsec_nanos()
    ))
}

/// Hashes a file; `on_bytes` hears how many bytes were read so far.
pub(super) fn hash_file(path: &Path, on_bytes: &mut dyn FnMut(u64)) -> Result<Hash, StoreError> {
    let failed = || StoreError::io("read", path);
    let mut file = File::open(path).map_err(failed())?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    loop {
        let read = file.read(&mut chunk).map_err(failed())?;
        if read == 0 {
            return Ok(Hash::of(hasher));
        }
        hasher.update(&chunk[..read]);
        done += read as u64;
        on_bytes(done);
    }
}

impl Hash {
    /// Hash of the bytes that the hasher was given.
    pub(super) fn of(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wanted = "sha256 is 64 hexadecimal digits";
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wanted);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wanted)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(_: u64) {}

    #[test]
    fn hash_prints_as_it_is_parsed() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(Sha256::new_with_prefix("abc")).to_string(), abc);
        let parsed = Hash::try_from(abc.to_uppercase()).unwrap();
        assert_eq!(parsed.to_string(), abc);
        for text in ["", "ba78", &format!("{}é", &abc[..62]), &"+1".repeat(32)] {
            assert!(Hash::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn touched_file_counts_as_unverified() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(folder.path().to_owned());
        let hash = Hash::of(Sha256::new_with_prefix("abc"));
        assert!(!blobs.holds(&hash, 3));
        fs::write(blobs.path(&hash), "abc").unwrap();
        assert!(blobs.holds(&hash, 3) && !blobs.is_verified(&hash, 3));
        assert_eq!(blobs.verify(&hash, &mut ignore).unwrap(), hash);
        assert!(blobs.is_verified(&hash, 3) && !blobs.is_verified(&hash, 4));

        fs::write(blobs.path(&hash), "abd").unwrap();
        let file = File::options().write(true).open(blobs.path(&hash)).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        assert!(!blobs.is_verified(&hash, 3));
        assert_ne!(blobs.verify(&hash, &mut ignore).unwrap(), hash);
    }

    #[test]
    fn changed_bytes_with_an_old_mark_are_found_by_verify() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(folder.path().to_owned());
        let hash = Hash::of(Sha256::new_with_prefix("abc"));
        fs::write(blobs.path(&hash), "abc").unwrap();
        blobs.verify(&hash, &mut ignore).unwrap();
        let changed = fs::metadata(blobs.path(&hash)).unwrap().modified().unwrap();

        fs::write(blobs.path(&hash), "abd").unwrap();
        let file = File::options().write(true).open(blobs.path(&hash)).unwrap();
        file.set_modified(changed).unwrap();
        assert!(blobs.is_verified(&hash, 3), "same size and time");
        assert_ne!(blobs.verify(&hash, &mut ignore).unwrap(), hash);
        assert!(!blobs.is_verified(&hash, 3), "the mark is gone");
    }
}
