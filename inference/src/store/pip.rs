//! Downloading one wheel with pip, watched from outside.
//!
//! pip knows the indexes, mirrors, proxies and certificates that its user configured, which is why it is asked rather
//! than an index over HTTP. Wheels only, without dependencies: nothing is built or installed and none of a package's
//! code runs. pip's temporary files are sent into a folder of ours, where their growth is the progress.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::{Failure, StoreError};

/// A download that brings nothing for so long is given up.
const STALLED: Duration = Duration::from_mins(2);

/// What pip says beyond this is not listened to.
const TALK: u64 = 1 << 20;

/// A running pip; dropping it ends the process and removes what it left.
pub(super) struct Download {
    child: Child,
    /// What it says on standard error. Not kept in a file: there may be no room for one, and that is what it says then.
    talk: Option<JoinHandle<Vec<u8>>>,
    folder: PathBuf,
    bytes: u64,
    grown: Instant,
}

impl Download {
    /// Starts downloading `requirement` inside `folder`, which must not exist. `python` is the command that starts
    /// Python, in words.
    pub(super) fn start(
        python: &[OsString],
        requirement: &str,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let scratch = folder.join("scratch");
        fs::create_dir_all(&scratch).map_err(StoreError::io("create", &scratch))?;
        let [program, words @ ..] = python else {
            return Err(Failure::PassOver("no command starts Python".to_owned()));
        };
        let mut child = Command::new(program)
            .args(words)
            .args(["-m", "pip", "download", "--quiet", "--no-input"])
            .args(["--no-deps", "--only-binary=:all:", "--no-cache-dir"])
            .args(["--disable-pip-version-check", "--progress-bar=off"])
            .args(["--retries=2", "--timeout=15", "--dest=wheel"])
            .arg(requirement)
            .current_dir(folder)
            .envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &scratch)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| not_started(program, &error))?;
        let talk = child.stderr.take().map(|stderr| {
            thread::spawn(move || {
                let mut said = Vec::new();
                // What was said before an error is all there is to know.
                let _ = stderr.take(TALK).read_to_end(&mut said);
                said
            })
        });
        Ok(Self {
            child,
            talk,
            folder: folder.to_owned(),
            bytes: 0,
            grown: Instant::now(),
        })
    }

    /// Bytes brought so far, at the last look.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Looks whether pip is done: the wheel's path once it is.
    pub(super) fn poll(&mut self) -> Result<Option<PathBuf>, Failure> {
        let ended = self.child.try_wait();
        match ended.map_err(StoreError::io("wait for pip in", &self.folder))? {
            Some(status) if status.success() => self.wheel().map(Some),
            Some(_) => Err(self.refusal()),
            None => self.watch().map(|()| None),
        }
    }

    /// Notes growth; too long without any is a failure.
    fn watch(&mut self) -> Result<(), Failure> {
        // The largest file, for pip copies the finished wheel from one folder to the other.
        let bytes = largest_file(&self.folder);
        if bytes != self.bytes {
            self.bytes = bytes;
            self.grown = Instant::now();
        }
        if self.grown.elapsed() < STALLED {
            return Ok(());
        }
        Err(Failure::PassOver(format!("no byte came for {STALLED:?}")))
    }

    fn wheel(&self) -> Result<PathBuf, Failure> {
        fs::read_dir(self.folder.join("wheel"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .ok_or_else(|| Failure::PassOver("pip ended well but left no wheel".to_owned()))
    }

    /// Turns what pip wrote into a reason.
    fn refusal(&mut self) -> Failure {
        let said = self.talk.take().and_then(|talk| talk.join().ok());
        let said = said.unwrap_or_default();
        let log = String::from_utf8_lossy(&said);
        if log.contains("No space left on device") || log.contains("Errno 28") {
            return Failure::Fatal(StoreError::DiskFull {
                path: self.folder.clone(),
                needed: None,
            });
        }
        if log.contains("No module named pip") {
            let why =
                "Python has no pip; install it (python3 -m ensurepip, or the package python3-pip)";
            return Failure::PassOver(why.to_owned());
        }
        // The first error is the cause; behind it pip repeats itself.
        let cause = log
            .lines()
            .find(|line| line.starts_with("ERROR"))
            .or_else(|| log.lines().rfind(|line| !line.trim().is_empty()))
            .unwrap_or("it said nothing");
        let unreached = [
            "NewConnectionError",
            "NameResolutionError",
            "ConnectTimeout",
        ];
        let hint = if unreached.iter().any(|sign| log.contains(sign)) {
            "the package index cannot be reached; "
        } else {
            ""
        };
        Failure::PassOver(format!("{hint}pip failed: {}", cause.trim()))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Both fail when pip has ended and been waited for, which is how it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(folder = %self.folder.display(), %error, "left-overs of pip not removed");
        }
    }
}

fn not_started(program: &OsString, error: &io::Error) -> Failure {
    let program = program.display();
    Failure::PassOver(if error.kind() == io::ErrorKind::NotFound {
        format!("{program} is not installed; install Python 3 with pip")
    } else {
        format!("{program} cannot be started: {error}")
    })
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
