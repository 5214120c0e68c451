//! A file from the model hub, through the hub's own crate.
//!
//! That crate sets no time limits, so it works on a thread of its own and is watched: a hub that cannot be reached is
//! known as such within seconds, also where looking up its name hangs. A thread that is given up ends with its
//! connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo};

use super::error::{Failure, StoreError};
use super::reference::HubFile;

/// A download that brings nothing for so long is given up.
const STALLED: Duration = Duration::from_mins(1);

/// Time between two looks at a download.
const LOOK: Duration = Duration::from_millis(100);

/// The way to the hub.
#[derive(Debug)]
pub(super) struct Hub {
    /// Instead of the public one, or the one that `HF_ENDPOINT` names to the hub's crate.
    pub(super) endpoint: Option<String>,
    /// Longest wait for the hub to describe a file.
    pub(super) answer: Duration,
}

/// A file that the hub offers.
pub(super) struct Offer {
    /// The hub's own tag; for large files their SHA-256.
    pub(super) tag: String,
    /// Size of the file.
    pub(super) bytes: u64,
    repository: ApiRepo,
    file: String,
    folder: PathBuf,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            endpoint: None,
            answer: Duration::from_secs(8),
        }
    }
}

impl Hub {
    /// The file, where the hub's tools have cached it for this user or a fetch into `folder` has left it.
    pub(super) fn cached(file: &HubFile, folder: &Path) -> Option<PathBuf> {
        let repository = || Repo::model(file.repository.clone());
        let shared = || {
            // Without a home folder the crate panics.
            let cache = dirs::home_dir().map(|_| Cache::from_env())?;
            cache.repo(repository()).get(&file.file)
        };
        let own = Cache::new(folder.to_owned());
        own.repo(repository()).get(&file.file).or_else(shared)
    }

    /// Asks what the hub has; a download would go into the hub cache at `folder`.
    pub(super) fn ask(&self, file: &HubFile, folder: &Path) -> Result<Offer, Failure> {
        let api = self.api(folder).map_err(|error| refusal(error, folder))?;
        let repository = api.model(file.repository.clone());
        let url = repository.url(&file.file);
        let answer = on_thread(move || api.metadata(&url))?
            .recv_timeout(self.answer)
            .map_err(|_| Failure::PassOver(format!("no answer within {:?}", self.answer)))?
            .map_err(|error| refusal(error, folder))?;
        Ok(Offer {
            tag: answer.etag().to_owned(),
            bytes: answer.size() as u64,
            repository,
            file: file.file.clone(),
            folder: folder.to_owned(),
        })
    }

    fn api(&self, folder: &Path) -> Result<Api, ApiError> {
        // Without a home folder the crate panics where it looks for its settings.
        let mut builder = match dirs::home_dir() {
            Some(_) => ApiBuilder::from_env().with_cache_dir(folder.to_owned()),
            None => ApiBuilder::from_cache(Cache::new(folder.to_owned())),
        };
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        builder.build()
    }
}

impl Offer {
    /// Downloads the file; an interrupted download goes on where it was.
    pub(super) fn download(self, on_bytes: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Counter(Arc::clone(&bytes));
        let work = move || self.repository.download_with_progress(&self.file, counter);
        watch(&on_thread(work)?, &bytes, on_bytes)
            .map_err(Failure::PassOver)?
            .map_err(|error| refusal(error, &self.folder))
    }
}

/// Runs `work` on a thread of its own; what it returns can be received unless the receiver is gone.
fn on_thread<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<Receiver<R>, Failure> {
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new()
        .name("hub".to_owned())
        .spawn(move || {
            // Nobody listens any more when the caller gave up.
            let _ = sender.send(work());
        })
        .map_err(|error| Failure::PassOver(format!("no thread could be started: {error}")))?;
    Ok(receiver)
}

/// Waits for a download that counts its bytes; too long without any is a failure.
fn watch<R>(
    download: &Receiver<R>,
    bytes: &AtomicU64,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<R, String> {
    let (mut seen, mut grown) = (0, Instant::now());
    loop {
        match download.recv_timeout(LOOK) {
            Ok(ended) => return Ok(ended),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the download broke off".to_owned()),
        }
        let now = bytes.load(Ordering::Relaxed);
        on_bytes(now);
        if now != seen {
            (seen, grown) = (now, Instant::now());
        } else if grown.elapsed() > STALLED {
            return Err(format!("no byte came for {STALLED:?}"));
        }
    }
}

/// Turns the crate's error into a reason.
fn refusal(error: ApiError, folder: &Path) -> Failure {
    match error {
        ApiError::IoError(error) if error.kind() == io::ErrorKind::StorageFull => {
            StoreError::io("write", folder)(error).into()
        }
        ApiError::RequestError(error) => {
            let text = error.to_string();
            Failure::PassOver(match text.as_str() {
                "http status: 401" | "http status: 403" => format!(
                    "{text}: no such file, or it is gated (accept its terms on the hub and log in there)"
                ),
                _ if text.starts_with("http status") => text,
                _ => format!("the hub cannot be reached ({text})"),
            })
        }
        error => Failure::PassOver(error.to_string()),
    }
}

/// Counts bytes for the thread that watches.
struct Counter(Arc<AtomicU64>);

impl Progress for Counter {
    fn init(&mut self, _size: usize, _file: &str) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn update(&mut self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn finish(&mut self) {}
}
