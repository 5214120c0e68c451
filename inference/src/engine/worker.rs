//! The model's thread: takes commands, forms passes, answers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use candle_core::{Device, Storage, Tensor};
use tokio::sync::{mpsc, oneshot};

use super::{DeviceChoice, EngineError, EngineOptions, LoadError, Logits, ModelInfo, Passed};
use crate::checkpoint::Checkpoint;
use crate::decoder::{Cache, Decoder, Sequence};
use crate::summary;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// What a handle asks of the thread.
pub(super) enum Command {
    Forward(Box<Work>),
    /// Look for sessions that are gone.
    Sweep,
}

/// One session's tokens on their way through the model.
pub(super) struct Work {
    pub(super) session: u64,
    pub(super) alive: Weak<()>,
    /// Positions to keep before the tokens are appended.
    pub(super) keep: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) rows: usize,
    pub(super) reader: Box<dyn Reader>,
    pub(super) arrived: Instant,
    /// When the thread took it up.
    pub(super) taken: Instant,
    pub(super) compute: Duration,
    /// Tokens computed so far; long prompts take several passes.
    pub(super) done: usize,
}

/// What a pass took.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    compute: Duration,
    batch_rows: usize,
    batch_sessions: usize,
}

/// Reads logits and answers the caller; one method for each way a command can end.
pub(super) trait Reader: Send {
    /// Whether nobody waits any more.
    fn is_abandoned(&self) -> bool;
    fn read(&mut self, logits: Logits<'_>, queued: Duration, cost: Cost);
    fn fail(&mut self, error: EngineError);
}

/// A caller's closure with the channel for its result.
pub(super) struct Reading<F, R> {
    pub(super) read: Option<F>,
    pub(super) reply: Option<oneshot::Sender<Result<Passed<R>, EngineError>>>,
}

impl<R: Send, F: FnOnce(Logits<'_>) -> R + Send> Reader for Reading<F, R> {
    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn read(&mut self, logits: Logits<'_>, queued: Duration, cost: Cost) {
        let (Some(read), Some(reply)) = (self.read.take(), self.reply.take()) else {
            return;
        };
        let Cost {
            compute,
            batch_rows,
            batch_sessions,
        } = cost;
        let value = read(logits);
        // A caller who left in the meantime needs no answer.
        let _ = reply.send(Ok(Passed {
            value,
            queued,
            compute,
            batch_rows,
            batch_sessions,
        }));
    }

    fn fail(&mut self, error: EngineError) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(error));
        }
    }
}

/// A thread that runs and what it found out while loading.
pub(super) struct Started {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) info: ModelInfo,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) template: Option<ChatTemplate>,
    pub(super) cache_bytes: Arc<AtomicU64>,
}

/// Starts the thread and waits until the model is loaded and warm.
pub(super) fn start(path: &Path, options: EngineOptions) -> Result<Started, LoadError> {
    let (commands, inbox) = mpsc::channel(options.queue);
    // Not tokio's channel: its blocking wait panics inside a runtime, where a caller may well be.
    let (loaded, wait) = std::sync::mpsc::sync_channel(1);
    let path: PathBuf = path.to_owned();
    let cache_bytes = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&cache_bytes);
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
        pool.install(|| match Worker::load(&path, &options) {
            Ok((mut worker, about)) => {
                worker.cache_bytes = counter;
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
        cache_bytes,
    })
}

type About = (ModelInfo, Arc<Tokenizer>, Option<ChatTemplate>);

struct Worker {
    decoder: Decoder,
    sessions: HashMap<u64, Held>,
    max_batch_rows: usize,
    /// Memory of all caches, for whoever asks.
    cache_bytes: Arc<AtomicU64>,
}

/// A session's cache and the sign of life of its owner.
struct Held {
    alive: Weak<()>,
    cache: Cache,
}

impl Worker {
    fn load(path: &Path, options: &EngineOptions) -> Result<(Self, About), LoadError> {
        let device = device(options.device)?;
        let checkpoint = Checkpoint::open(path)?;
        let decoder = Decoder::load(&checkpoint, &device)?;
        let info = summary::describe(&checkpoint, options, &device);
        let mut worker = Self {
            decoder,
            sessions: HashMap::new(),
            max_batch_rows: options.max_batch_rows,
            cache_bytes: Arc::default(),
        };
        worker.warm()?;
        Ok((worker, (info, checkpoint.tokenizer, checkpoint.template)))
    }

    /// One pass, so that the first request does not pay for page faults, nor find out that the weights are damaged.
    fn warm(&mut self) -> Result<(), LoadError> {
        let mut cache = Cache::new(self.decoder.architecture());
        let mut batch = [Sequence {
            cache: &mut cache,
            tokens: &[0],
            rows: 1,
        }];
        let mut finite = false;
        let logits = self.decoder.forward(&mut batch);
        logits
            .and_then(|logits| {
                with_values(logits.as_ref(), |values| {
                    finite = values.iter().all(|logit| logit.is_finite());
                })
            })
            .map_err(|error| LoadError::Warm(error.to_string()))?;
        if finite {
            return Ok(());
        }
        let reason = "its logits are not finite, so its weights are damaged; fetch it again";
        Err(LoadError::Warm(reason.to_owned()))
    }

    /// Serves until every handle is gone.
    fn run(&mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut waiting: Vec<Work> = Vec::new();
        loop {
            if waiting.is_empty() {
                match inbox.blocking_recv() {
                    Some(command) => self.take(command, &mut waiting),
                    None => return,
                }
            }
            while let Ok(command) = inbox.try_recv() {
                self.take(command, &mut waiting);
            }
            sweep(&mut self.sessions, &mut waiting);
            self.count_bytes();
            self.pass(&mut waiting);
        }
    }

    fn count_bytes(&self) {
        let bytes = self.sessions.values().map(|held| held.cache.bytes()).sum();
        self.cache_bytes.store(bytes, Ordering::Relaxed);
    }

    fn take(&mut self, command: Command, waiting: &mut Vec<Work>) {
        let Command::Forward(mut work) = command else {
            return;
        };
        work.taken = Instant::now();
        // The session's last command may have been abandoned in the middle: its positions do not count.
        waiting.retain(|old| old.session != work.session);
        let architecture = self.decoder.architecture();
        let held = self.sessions.entry(work.session).or_insert_with(|| Held {
            alive: work.alive.clone(),
            cache: Cache::new(architecture),
        });
        held.cache.truncate(work.keep);
        waiting.push(*work);
    }

    /// One forward pass over what waits, up to the limit of rows; what is not finished stays.
    fn pass(&mut self, waiting: &mut Vec<Work>) {
        // Those with few tokens left first: a long prompt does not hold up others' next token.
        waiting.sort_by_key(|work| work.tokens.len() - work.done);
        let plan = plan(waiting, self.max_batch_rows);
        if plan.is_empty() {
            return;
        }
        let began = Instant::now();
        let mut taken: Vec<Held> = waiting
            .iter()
            .filter_map(|work| self.sessions.remove(&work.session))
            .collect();
        let steps = waiting.iter().zip(&mut taken).zip(&plan);
        let mut sequences: Vec<Sequence> = steps
            .map(|((work, held), step)| Sequence {
                cache: &mut held.cache,
                tokens: &work.tokens[work.done..work.done + step.tokens],
                rows: step.rows,
            })
            .collect();
        let logits = self.decoder.forward(&mut sequences);
        for (work, held) in waiting.iter().zip(taken) {
            self.sessions.insert(work.session, held);
        }
        self.count_bytes();
        let cost = Cost {
            compute: began.elapsed(),
            batch_rows: plan.iter().map(|step| step.tokens).sum(),
            batch_sessions: plan.len(),
        };
        let vocab_size = self.decoder.architecture().vocab_size;
        match logits.and_then(|logits| {
            with_values(logits.as_ref(), |values| {
                answer(
                    waiting,
                    &plan,
                    &Answers {
                        values,
                        vocab_size,
                        cost,
                    },
                );
            })
        }) {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, "forward pass failed");
                for mut work in waiting.drain(..plan.len()) {
                    work.reader.fail(EngineError::Compute(error.to_string()));
                }
            }
        }
    }
}

/// Forgets sessions that are gone, then work that nobody waits for. In this order: a session may go between the two, and what
/// is left waiting must have a cache.
fn sweep(sessions: &mut HashMap<u64, Held>, waiting: &mut Vec<Work>) {
    sessions.retain(|_, held| held.alive.strong_count() > 0);
    waiting.retain(|work| sessions.contains_key(&work.session) && !work.reader.is_abandoned());
}

/// What a pass computes of one work.
struct Step {
    tokens: usize,
    rows: usize,
}

/// How much of each waiting work, in order, fits into one pass. The rows that are wanted are never split.
fn plan(waiting: &[Work], max_rows: usize) -> Vec<Step> {
    let mut left = max_rows;
    let mut steps = Vec::new();
    for work in waiting {
        let remaining = work.tokens.len() - work.done;
        let step = if remaining <= left {
            Step {
                tokens: remaining,
                rows: work.rows,
            }
        } else {
            Step {
                tokens: left.min(remaining - work.rows),
                rows: 0,
            }
        };
        if step.tokens == 0 {
            break;
        }
        left -= step.tokens;
        steps.push(step);
    }
    steps
}

/// The logits of a pass as a slice, without a copy where they are in this memory.
fn with_values(logits: Option<&Tensor>, read: impl FnOnce(&[f32])) -> candle_core::Result<()> {
    let Some(logits) = logits else {
        read(&[]);
        return Ok(());
    };
    let (storage, layout) = logits.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(cpu), Some((start, end))) => read(&cpu.as_slice::<f32>()?[start..end]),
        _ => read(&logits.flatten_all()?.to_vec1::<f32>()?),
    }
    Ok(())
}

/// What a pass gave all of its works.
struct Answers<'a> {
    values: &'a [f32],
    vocab_size: usize,
    cost: Cost,
}

/// Answers the works that are finished and keeps the others.
fn answer(waiting: &mut Vec<Work>, plan: &[Step], answers: &Answers) {
    let mut start = 0;
    let mut index = 0;
    waiting.retain_mut(|work| {
        let Some(step) = plan.get(index) else {
            return true;
        };
        index += 1;
        work.done += step.tokens;
        work.compute += answers.cost.compute;
        let end = start + step.rows * answers.vocab_size;
        let values = &answers.values[start..end];
        start = end;
        if work.done < work.tokens.len() {
            return true;
        }
        let queued = work.taken - work.arrived;
        let cost = Cost {
            compute: work.compute,
            ..answers.cost
        };
        work.reader.read(
            Logits {
                values,
                vocab_size: answers.vocab_size,
            },
            queued,
            cost,
        );
        false
    });
}

fn device(choice: DeviceChoice) -> Result<Device, LoadError> {
    let device = match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(ordinal) => Device::new_cuda(ordinal),
        DeviceChoice::Metal(ordinal) => Device::new_metal(ordinal),
    };
    device.map_err(|error| LoadError::Device(format!("{choice:?} cannot be opened: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its caller is still there, or has only just gone.
    struct Waits;

    impl Reader for Waits {
        fn is_abandoned(&self) -> bool {
            false
        }

        fn read(&mut self, _: Logits<'_>, _: Duration, _: Cost) {}

        fn fail(&mut self, _: EngineError) {}
    }

    #[test]
    fn work_of_a_session_that_goes_meanwhile_does_not_go_on_without_a_cache() {
        let now = Instant::now();
        let mut waiting = vec![Work {
            session: 7,
            alive: Weak::new(),
            keep: 0,
            tokens: vec![1],
            rows: 1,
            reader: Box::new(Waits),
            arrived: now,
            taken: now,
            compute: Duration::ZERO,
            done: 0,
        }];
        sweep(&mut HashMap::new(), &mut waiting);
        assert!(waiting.is_empty());
    }
}
