//! From a model's name to an engine that runs it: fetch, load, warm.

use std::{io, path::PathBuf, thread};

use inference::engine::{Engine, EngineOptions, LoadError};
use store::{ModelReference, Store, StoreError};
use tokio::sync::oneshot;

use crate::logged::Logged;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The model's files cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model's files cannot be used.
    #[error("cannot load {model}")]
    Load {
        /// Name of the model.
        model: String,
        /// Cause.
        source: Box<LoadError>,
    },
    /// The system gives no thread.
    #[error("cannot start a thread to load the model")]
    Thread(#[source] io::Error),
    /// The loading thread has died.
    #[error("loading was given up")]
    GivenUp,
}

/// Fetches `model` into the cache in the folder `cache` (`None`: the user's) unless it is there, loads and warms it. Blocks.
pub fn load(
    model: &ModelReference,
    cache: Option<PathBuf>,
    options: EngineOptions,
) -> Result<Engine, ModelError> {
    let path = Store::open(cache)?.resolve(model, &mut Logged::default())?;
    Engine::load(&path, options).map_err(|source| ModelError::Load {
        model: model.to_string(),
        source: Box::new(source),
    })
}

/// Runs `load` on a thread of its own. A runtime's blocking thread would not do: when the process is told to stop, the runtime
/// would wait for the download.
pub async fn on_own_thread<T: Send + 'static>(
    load: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
    let (loaded, wait) = oneshot::channel();
    thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || drop(loaded.send(load())))
        .map_err(ModelError::Thread)?;
    wait.await.map_err(|_| ModelError::GivenUp)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn thread_that_dies_is_an_error() {
        let panics = || -> Result<(), ModelError> { panic!("as this test wants it") };
        let loaded = on_own_thread(panics).await;
        assert!(matches!(loaded, Err(ModelError::GivenUp)));
    }

    #[tokio::test]
    async fn model_that_is_not_there_is_named() {
        let model: ModelReference = "./nowhere.gguf".parse().unwrap();
        let loading = on_own_thread(move || load(&model, None, EngineOptions::default()));
        let error = loading.await.err().unwrap();
        assert!(error.to_string().contains("nowhere.gguf"), "{error}");
    }
}
