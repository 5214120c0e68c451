//! Start of the model's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokenizer::Tokenizer;
use tokenizer::template::ChatTemplate;
use tokio::sync::mpsc;

use super::error::LoadError;
use super::load::Counts;
use super::model_info::ModelInfo;
use super::options::EngineOptions;
use super::work::Command;
use super::worker::Worker;

/// A running thread and the description of its model.
pub(super) struct Started {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) info: ModelInfo,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) template: Option<ChatTemplate>,
    pub(super) counts: Arc<Counts>,
}

/// Starts the thread and waits until the model is loaded and warm.
pub(super) fn start(path: &Path, options: EngineOptions) -> Result<Started, LoadError> {
    let (commands, inbox) = mpsc::channel(options.queue);
    // Not tokio's channel: its blocking wait panics inside a runtime, where a caller may well be.
    let (loaded, wait) = std::sync::mpsc::sync_channel(1);
    let path: PathBuf = path.to_owned();
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    let body = move || {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .thread_name(|index| format!("model-compute-{index}"))
            .use_current_thread()
            .build();
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => {
                let _ = loaded.send(Err(LoadError::Thread(std::io::Error::other(error))));
                return;
            }
        };
        pool.install(|| match Worker::load(&path, &options, shared) {
            Ok((mut worker, about)) => {
                if loaded.send(Ok(about)).is_ok() {
                    worker.run(inbox);
                }
            }
            Err(error) => {
                let _ = loaded.send(Err(error));
            }
        });
    };
    let thread = std::thread::Builder::new().name("model".to_owned());
    thread.spawn(body).map_err(LoadError::Thread)?;
    let (info, tokenizer, template) = wait.recv().map_err(|_| LoadError::Ended)??;
    Ok(Started {
        commands,
        info,
        tokenizer,
        template,
        counts,
    })
}
