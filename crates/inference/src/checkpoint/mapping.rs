//! Files mapped into memory.

#![allow(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; see the invariant"
)]

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::error::CheckpointError;

/// A read-only mapping of a whole file.
///
/// Invariant of use: model files do not change while they are mapped. The store writes a blob under another name and renames
/// it when complete, so it never changes one in place; for a file named by path the user vouches, as with every engine.
pub(crate) struct Mapping {
    path: PathBuf,
    map: Mmap,
}

impl Mapping {
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        };
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(CheckpointError::Corrupt {
                path: path.to_owned(),
                reason: "it is not a file".to_owned(),
            });
        }
        let file = File::open(path).map_err(io)?;
        // SAFETY: see the invariant above.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
            map,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets go of the pages read so far; they come back from the file when touched again.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        {
            // SAFETY: the mapping is read-only and backed by a file, so no content can be lost.
            let released = unsafe {
                self.map
                    .unchecked_advise(memmap2::UncheckedAdvice::DontNeed)
            };
            if let Err(error) = released {
                tracing::debug!(%error, "cannot release pages of the checkpoint");
            }
        }
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
