//! Downloading one package with a package manager, watched from outside.
//!
//! pip and npm know the registries, mirrors, candidates and certificates that their user configured, which is why they are
//! asked rather than a registry over HTTP. They download and no more: nothing is built or installed and none of a
//! package's code runs. Their temporary files are sent into a folder of ours, where their growth is the progress.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::{Failure, StoreError};

/// Longest time without progress before a download is given up.
const STALLED: Duration = Duration::from_mins(2);

/// Largest package, in bytes.
const MAX_BYTES: u64 = 1 << 31;

/// Most bytes of a tool's messages that are read.
const TALK: u64 = 1 << 20;

/// A program that downloads packages, with its arguments and messages.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// Advice to the user on how to install it.
    pub(super) install: &'static str,
    /// Its arguments for one package, which it leaves in the folder `package`; the package's name comes last.
    pub(super) arguments: &'static [&'static str],
    /// Extension of the package's file name.
    pub(super) extension: &'static str,
    /// Messages that mean that the registry is out of reach.
    pub(super) unreached: &'static [&'static str],
    /// Line of its messages that names the cause.
    pub(super) cause: fn(&str) -> Option<&str>,
}

/// A running tool; dropping it ends the process and removes what it left.
pub(super) struct Download {
    tool: &'static Tool,
    child: Child,
    /// Messages on standard error. Kept out of files: a full disk is one of the errors that it reports.
    talk: Option<JoinHandle<Vec<u8>>>,
    folder: PathBuf,
    bytes: u64,
    grown: Instant,
}

impl Tool {
    /// Starts downloading `requirement` inside `folder`, which must not exist. `command` is what starts the tool, in words.
    pub(super) fn start(
        &'static self,
        command: &[OsString],
        requirement: &str,
        folder: &Path,
    ) -> Result<Download, Failure> {
        let scratch = folder.join("scratch");
        for folder in [&scratch, &folder.join("package")] {
            fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        }
        let [program, words @ ..] = command else {
            return Err(Failure::PassOver(format!(
                "no command starts {}",
                self.name
            )));
        };
        let mut child = Command::new(program)
            .args(words)
            .args(self.arguments)
            .arg(requirement)
            .current_dir(folder)
            .envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &scratch)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.not_started(program, &error))?;
        let talk = child.stderr.take().map(|stderr| {
            thread::spawn(move || {
                let mut said = Vec::new();
                // What was said before an error is all there is to know.
                let _ = stderr.take(TALK).read_to_end(&mut said);
                said
            })
        });
        Ok(Download {
            tool: self,
            child,
            talk,
            folder: folder.to_owned(),
            bytes: 0,
            grown: Instant::now(),
        })
    }

    fn not_started(&self, program: &OsString, error: &io::Error) -> Failure {
        let program = program.display();
        Failure::PassOver(if error.kind() == io::ErrorKind::NotFound {
            format!("{program} is not installed; {}", self.install)
        } else {
            format!("{program} cannot be started: {error}")
        })
    }

    /// Turns what the tool wrote into a reason.
    fn refusal(&self, log: &str, folder: &Path) -> Failure {
        let full = ["No space left on device", "Errno 28", "ENOSPC"];
        if full.iter().any(|sign| log.contains(sign)) {
            return Failure::Fatal(StoreError::DiskFull {
                path: folder.to_owned(),
                needed: None,
            });
        }
        let cause = (self.cause)(log)
            .or_else(|| log.lines().rfind(|line| !line.trim().is_empty()))
            .unwrap_or("it said nothing");
        let hint = if self.unreached.iter().any(|sign| log.contains(sign)) {
            "the package index cannot be reached; "
        } else {
            ""
        };
        Failure::PassOver(format!("{hint}{} failed: {}", self.name, cause.trim()))
    }
}

impl Download {
    /// Bytes brought so far, at the last look.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Looks whether the tool is done: the package's path once it is.
    pub(super) fn poll(&mut self) -> Result<Option<PathBuf>, Failure> {
        let ended = self.child.try_wait();
        match ended.map_err(StoreError::io("wait for a download in", &self.folder))? {
            Some(status) if status.success() => self.package().map(Some),
            Some(_) => {
                let said = self.talk.take().and_then(|talk| talk.join().ok());
                let said = said.unwrap_or_default();
                let log = String::from_utf8_lossy(&said);
                Err(self.tool.refusal(&log, &self.folder))
            }
            None => self.watch().map(|()| None),
        }
    }

    /// Notes growth; too long without any is a failure, and so is too much.
    fn watch(&mut self) -> Result<(), Failure> {
        // The largest file, for the finished package may be copied from one folder to the other.
        let bytes = largest_file(&self.folder);
        if bytes != self.bytes {
            self.bytes = bytes;
            self.grown = Instant::now();
        }
        if bytes > MAX_BYTES {
            let why = format!("the package has more than {MAX_BYTES} bytes");
            return Err(Failure::PassOver(why));
        }
        if self.grown.elapsed() < STALLED {
            return Ok(());
        }
        Err(Failure::PassOver(format!("no byte came for {STALLED:?}")))
    }

    fn package(&self) -> Result<PathBuf, Failure> {
        let wanted = self.tool.extension;
        fs::read_dir(self.folder.join("package"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == wanted)
            })
            .ok_or_else(|| {
                Failure::PassOver(format!(
                    "{} ended well but left no .{wanted}",
                    self.tool.name
                ))
            })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Both fail when the tool has ended and been waited for, which is how it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(folder = %self.folder.display(), %error, "left-overs of a download not removed");
        }
    }
}

/// Size of the largest file below `folder`; files may come and go meanwhile.
fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => largest_file(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .max()
        .unwrap_or(0)
}
