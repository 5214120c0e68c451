//! Errors of fetching a model file, each with advice on what to do next.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Reason for which a model could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no user's cache folder and none was given.
    #[error("no cache folder: set DUET_CACHE to a folder that models can be kept in")]
    NoCacheFolder,
    /// A manifest does not say what it should.
    #[error("the manifest of models is wrong: {why}")]
    Manifest {
        /// Model and field.
        why: String,
    },
    /// Text that is no reference to a model.
    #[error(
        "{text:?} names no model: {why} (a known name, a path, or hf:owner/repository/file.gguf)"
    )]
    InvalidReference {
        /// The text as given.
        text: String,
        /// The fault.
        why: String,
    },
    /// A name that is not in the manifest.
    #[error("unknown model {name:?}{}; known models: {}; a file or folder is written as a path, ./{name}",
        closest.as_ref().map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default(), known.join(", "))]
    UnknownModel {
        /// The name as given.
        name: String,
        /// Most similar known name, if any is similar.
        closest: Option<String>,
        /// Every known name.
        known: Vec<String>,
    },
    /// A path that leads nowhere.
    #[error(
        "there is no file or folder {}; known models are listed by `duet models list`",
        path.display()
    )]
    MissingPath {
        /// The path as given.
        path: PathBuf,
    },
    /// A path to something that is no model.
    #[error("{} is not a model: {why}", path.display())]
    NotAModel {
        /// The path as given.
        path: PathBuf,
        /// Contents that a model would have.
        why: String,
    },
    /// A known model has not been fetched yet.
    #[error(
        "{name} is not in the cache ({}); run `duet models pull {name}`",
        path.display()
    )]
    NotCached {
        /// The model's name.
        name: String,
        /// Path that its file would have.
        path: PathBuf,
    },
    /// A file in the cache is not what its name says.
    #[error(
        "{} is not {name}: sha256 {found}, expected {expected}; delete the file and run `duet models pull {name}`",
        path.display()
    )]
    WrongHash {
        /// The model's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// SHA-256 of what the file should be.
        expected: String,
        /// SHA-256 of what it is.
        found: String,
    },
    /// Every source of a known model was passed over.
    #[error("{}", no_source(.0))]
    NoSource(Box<NoSource>),
    /// A file on the hub could not be had.
    #[error(
        "{reference} could not be fetched: {why}; fetch the file by other means and give its path instead"
    )]
    Hub {
        /// The reference as given.
        reference: String,
        /// Answer of the hub, or error on the way there.
        why: String,
    },
    /// The file system has no room.
    #[error(
        "the disk is full at {}; free {} or set DUET_CACHE to a folder with room; what is already fetched is kept",
        path.display(), needed.map_or("some space".to_owned(), |bytes| format!("{bytes} bytes"))
    )]
    DiskFull {
        /// File that was being written.
        path: PathBuf,
        /// Bytes that the fetch may take in all, where that is known.
        needed: Option<u64>,
    },
    /// The file system refused something else.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// Failed action, as a verb.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
}

/// A known model that no source had, and how to place it by hand.
#[derive(Debug)]
pub struct NoSource {
    /// The model's name.
    pub name: String,
    /// Name of its file where it is published.
    pub file: String,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Path at which to put the file by hand.
    pub path: PathBuf,
    /// Each source with why it was passed over, in order.
    pub passed_over: Vec<(String, String)>,
}

impl StoreError {
    /// For `map_err`: what was tried on which path. A full disk becomes [`StoreError::DiskFull`].
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_owned(),
                needed: None,
            },
            _ => Self::Io {
                action,
                path: path.to_owned(),
                source,
            },
        }
    }
}

fn no_source(of: &NoSource) -> String {
    let mut text = format!("no source had {}:", of.name);
    for (source, why) in &of.passed_over {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {source}: {why}");
    }
    let _ = write!(
        text,
        "\nrun the command again when one can be reached (parts already fetched are kept), or put {} \
         ({} bytes, sha256 {}) at {} by hand",
        of.file,
        of.bytes,
        of.sha256,
        of.path.display()
    );
    text
}

/// Reason for which one source did not give the file.
#[derive(Debug)]
pub(super) enum Failure {
    /// The next source may have it.
    PassOver(String),
    /// No source would do better.
    Fatal(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Fatal(error)
    }
}
