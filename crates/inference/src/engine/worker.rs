//! Work of the model's thread: takes commands, forms passes, answers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use candle_core::{Storage, Tensor};
use tokio::sync::mpsc;

use super::error::{EngineError, LoadError};
use super::gather_window::patience;
use super::load::Counts;
use super::model::{About, Model};
use super::options::EngineOptions;
use super::passed::Logits;
use super::prefixes::{BLOCK, Prefixes};
use super::schedule::{self, Room, Step, Waiting};
use super::session_cache::SessionCache;
use super::work::{Command, Cost, Kept, Work};
use crate::decoder::{Cache, Sequence};

/// Sleep of the thread between two looks at its queue.
const GATHER_PAUSE: Duration = Duration::from_micros(50);

/// The model with the caches of its sessions.
pub(super) struct Worker {
    decoder: Model,
    sessions: HashMap<u64, SessionCache>,
    prefixes: Prefixes,
    max_batch_rows: usize,
    /// Time that the last pass took.
    last_pass: Duration,
    /// Counters that handles read.
    counts: Arc<Counts>,
}

impl Worker {
    pub(super) fn load(
        path: &Path,
        options: &EngineOptions,
        counts: Arc<Counts>,
    ) -> Result<(Self, About), LoadError> {
        let (decoder, about) = Model::load(path, options)?;
        let mut worker = Self {
            decoder,
            sessions: HashMap::new(),
            prefixes: Prefixes::new(options.prefix_cache),
            max_batch_rows: options.max_batch_rows,
            last_pass: Duration::ZERO,
            counts,
        };
        worker.warm()?;
        Ok((worker, about))
    }

    /// Runs one pass, so that the first request neither pays for page faults nor finds damaged weights.
    fn warm(&mut self) -> Result<(), LoadError> {
        let mut cache = Cache::new(self.decoder.architecture());
        let mut batch = [Sequence {
            cache: &mut cache,
            tokens: &[0],
            rows: 1,
            tree: None,
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
    pub(super) fn run(&mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut waiting: Vec<Work> = Vec::new();
        loop {
            if waiting.is_empty() {
                match inbox.blocking_recv() {
                    Some(command) => self.take(command, &mut waiting),
                    None => return,
                }
            }
            self.gather(&mut inbox, &mut waiting);
            sweep(&mut self.sessions, &mut waiting);
            self.reuse(&mut waiting);
            self.count();
            self.pass(&mut waiting);
        }
    }

    /// Takes the commands in the queue, and waits for sessions that are expected within the gather window.
    fn gather(&mut self, inbox: &mut mpsc::Receiver<Command>, waiting: &mut Vec<Work>) {
        let patience = patience(self.last_pass);
        loop {
            while let Ok(command) = inbox.try_recv() {
                self.take(command, waiting);
            }
            let now = Instant::now();
            let mut away = self.sessions.values();
            let is_expected = |held: &SessionCache| {
                held.alive.strong_count() > 0 && held.window.is_expected(now, patience)
            };
            if waiting.is_empty() || !away.any(is_expected) {
                return;
            }
            std::thread::sleep(GATHER_PAUSE);
        }
    }

    fn count(&self) {
        let caches = || self.sessions.values().map(|held| &held.cache);
        let (bytes, positions) = (caches().map(Cache::bytes), caches().map(Cache::len));
        self.counts
            .cache_bytes
            .store(bytes.sum(), Ordering::Relaxed);
        self.counts
            .positions
            .store(positions.sum(), Ordering::Relaxed);
    }

    fn take(&mut self, command: Command, waiting: &mut Vec<Work>) {
        let Command::Forward(mut work) = command else {
            return;
        };
        // The session's last command may have been abandoned in the middle: its positions do not count.
        waiting.retain(|old| old.session != work.session);
        let architecture = self.decoder.architecture();
        let held = self
            .sessions
            .entry(work.session)
            .or_insert_with(|| SessionCache::new(work.alive.clone(), architecture));
        held.window.come(work.arrived);
        match held.gather(work.keep - work.moved.len(), &work.moved) {
            Ok(()) => waiting.push(*work),
            Err(error) => {
                tracing::error!(%error, "moving positions failed");
                work.reader.fail(EngineError::Compute(error.to_string()));
            }
        }
    }

    /// Copies known prefixes of the tokens that wait. Repeated before each pass, so that a prompt follows another one with the same
    /// prefix block by block.
    fn reuse(&mut self, waiting: &mut Vec<Work>) {
        if self.prefixes.is_off() {
            return;
        }
        waiting.retain_mut(|work| {
            if let Err(error) = self.reuse_for(work) {
                tracing::error!(%error, "copying from the prefix cache failed");
                work.reader.fail(EngineError::Compute(error.to_string()));
                return false;
            }
            if work.left() > 0 {
                return true;
            }
            let vocab_size = self.decoder.architecture().vocab_size;
            self.count_prefix(work);
            work.begin();
            let nothing = Logits {
                values: &[],
                vocab_size,
            };
            let kept = work.show(nothing, Cost::default());
            self.answer_one(work, kept);
            false
        });
    }

    fn reuse_for(&mut self, work: &mut Work) -> candle_core::Result<()> {
        let Some(held) = self.sessions.get_mut(&work.session) else {
            return Ok(());
        };
        let known = &work.tokens[..work.tokens.len() - work.rows];
        let next = &known[work.progress.done.min(known.len())..];
        if next.len() < BLOCK {
            return Ok(());
        }
        held.tokens.extend(next);
        let reused = self.prefixes.extend(&held.tokens, &mut held.cache);
        held.tokens.truncate(held.cache.len());
        let reused = reused?;
        work.progress.done += reused;
        work.progress.reused += reused;
        Ok(())
    }

    /// Counts a finished command that could have had a known prefix.
    fn count_prefix(&self, work: &Work) {
        let could = work.keep.is_multiple_of(BLOCK) && work.tokens.len() - work.rows >= BLOCK;
        if self.prefixes.is_off() || !could {
            return;
        }
        let reused = work.progress.reused as u64;
        let counts = &self.counts;
        let which = if reused > 0 {
            &counts.prefix_hits
        } else {
            &counts.prefix_misses
        };
        which.fetch_add(1, Ordering::Relaxed);
        counts.prefix_tokens.fetch_add(reused, Ordering::Relaxed);
    }

    /// Runs one forward pass over the waiting commands, up to the limit of rows. Unfinished commands stay.
    fn pass(&mut self, waiting: &mut Vec<Work>) {
        if waiting.is_empty() {
            return;
        }
        let steps = self.plan(waiting);
        let began = Instant::now();
        let mut batch: Vec<(&Work, Step, SessionCache)> = waiting
            .iter_mut()
            .zip(&steps)
            .filter(|(_, step)| step.tokens > 0)
            .filter_map(|(work, step)| {
                work.begin();
                let held = self.sessions.remove(&work.session)?;
                Some((&*work, *step, held))
            })
            .collect();
        let mut sequences: Vec<Sequence> = batch
            .iter_mut()
            .map(|(work, step, held)| Sequence {
                cache: &mut held.cache,
                tokens: &work.tokens[work.progress.done..][..step.tokens],
                rows: step.rows,
                tree: work.tree.as_ref(),
            })
            .collect();
        let logits = self.decoder.forward(&mut sequences);
        let cost = Cost {
            compute: began.elapsed(),
            batch_rows: steps.iter().map(|step| step.tokens).sum(),
            batch_sessions: batch.len(),
        };
        for (work, _, held) in batch {
            self.sessions.insert(work.session, held);
        }
        self.last_pass = cost.compute;
        self.count();
        let answered = logits.and_then(|logits| {
            with_values(logits.as_ref(), |values| {
                self.answer(waiting, &steps, (values, cost));
            })
        });
        if let Err(error) = answered {
            tracing::error!(%error, "forward pass failed");
            let mut steps = steps.iter();
            waiting.retain_mut(|work| {
                let stays = steps.next().is_none_or(|step| step.tokens == 0);
                if !stays {
                    work.reader.fail(EngineError::Compute(error.to_string()));
                }
                stays
            });
        }
    }

    fn plan(&self, waiting: &[Work]) -> Vec<Step> {
        let list: Vec<Waiting> = waiting
            .iter()
            .map(|work| Waiting {
                left: work.left(),
                rows: work.rows,
                passed_over: work.progress.passed_over,
            })
            .collect();
        let room = Room {
            rows: self.max_batch_rows,
            sessions: self.sessions.len(),
        };
        schedule::plan(&list, room)
    }

    /// Answers the commands that a pass has finished and keeps the others.
    fn answer(&mut self, waiting: &mut Vec<Work>, steps: &[Step], (values, cost): (&[f32], Cost)) {
        let vocab_size = self.decoder.architecture().vocab_size;
        let mut steps = steps.iter();
        let mut rest = values;
        waiting.retain_mut(|work| {
            let step = steps.next().copied().unwrap_or_default();
            work.advance(step, cost);
            let (values, after) = rest.split_at(step.rows * vocab_size);
            rest = after;
            self.remember(work, step);
            if work.left() > 0 {
                return true;
            }
            self.count_prefix(work);
            let kept = work.show(Logits { values, vocab_size }, cost);
            self.answer_one(work, kept);
            false
        });
    }

    /// Moves the kept tokens of a command into place in the cache, and answers its caller.
    fn answer_one(&mut self, work: &mut Work, kept: Kept) {
        let held = self.sessions.get_mut(&work.session);
        let done = match (held, kept) {
            (Some(held), Kept::Path(path)) => held.keep_path(work, path),
            _ => Ok(()),
        };
        if let Some(held) = self.sessions.get_mut(&work.session) {
            held.window.leave(Instant::now());
        }
        match done {
            Ok(()) => work.reader.succeed(),
            Err(error) => work.reader.fail(error),
        }
    }

    /// Notes the tokens of a session's cache, and keeps its whole blocks for prompts with the same prefix.
    fn remember(&mut self, work: &Work, step: Step) {
        let Some(held) = self.sessions.get_mut(&work.session) else {
            return;
        };
        if self.prefixes.is_off() {
            return;
        }
        let end = work.progress.done;
        held.tokens.extend(&work.tokens[end - step.tokens..end]);
        let certain = &held.tokens[..work.certain()];
        if certain.len() / BLOCK == held.kept {
            return;
        }
        held.kept = certain.len() / BLOCK;
        if let Err(error) = self.prefixes.keep(certain, &held.cache) {
            tracing::warn!(%error, "copying to the prefix cache failed");
        }
        let bytes = self.prefixes.bytes();
        self.counts.prefix_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// Forgets sessions that are gone, then commands that nobody waits for. In this order: a session may go between the two, and
/// every command that stays must have a cache.
fn sweep(sessions: &mut HashMap<u64, SessionCache>, waiting: &mut Vec<Work>) {
    sessions.retain(|_, held| held.alive.strong_count() > 0);
    waiting.retain(|work| sessions.contains_key(&work.session) && !work.reader.is_abandoned());
}

/// Gives the logits of a pass to `read` as a slice, without a copy if they are in this memory.
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

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::super::passed::Passed;
    use super::super::work::{Progress, Reader};
    use super::*;

    /// Its caller is still there, or has only just gone.
    struct Waits;

    impl Reader for Waits {
        fn is_abandoned(&self) -> bool {
            false
        }

        fn read(&mut self, _: Logits<'_>, _: Passed<()>) -> Kept {
            Kept::All
        }

        fn succeed(&mut self) {}

        fn fail(&mut self, _: EngineError) {}
    }

    #[test]
    fn work_of_a_session_that_goes_meanwhile_does_not_go_on_without_a_cache() {
        let mut waiting = vec![Work {
            session: 7,
            alive: Weak::new(),
            keep: 0,
            moved: Vec::new(),
            tokens: vec![1],
            rows: 1,
            tree: None,
            reader: Box::new(Waits),
            arrived: Instant::now(),
            progress: Progress::default(),
        }];
        sweep(&mut HashMap::new(), &mut waiting);
        assert!(waiting.is_empty());
    }
}
