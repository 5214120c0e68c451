//! The measurement on one verifier: the order of its requests.
//!
//! With one request at a time the settings take turns prompt by prompt; with several at once, run by run. Plain decoding is one
//! of the settings. Every other time the order is reversed.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use proto::verifier::{Client, Generate, Speculation};

use super::arrivals::{self, Batch};
use super::experiment::{Experiment, OfferedLoad, Variant};
use super::reply::{MeasuredReply, ReplyPair};
use super::report::{ReportRow, VariantReplies};
use super::services::Tested;
use super::task::{Task, Workload};
use crate::request;

/// Tokens of a reply that only warms the services up.
const WARM_TOKENS: u32 = 32;
/// Tokens of a reply that only has its prompt prefilled on both sides: enough that some are drafted.
const PREFILL_TOKENS: u32 = 4;
/// Logit bias of a token that must not be chosen.
const NEVER: f32 = -100.0;

/// A verifier under test, and the experiment to run on it.
pub(super) struct Measurement<'a> {
    tested: Tested,
    experiment: &'a Experiment,
    client: Client,
}

/// One way to decode; `None`: plain.
type Setting = Option<Variant>;

impl<'a> Measurement<'a> {
    pub(super) fn new(tested: Tested, experiment: &'a Experiment) -> anyhow::Result<Self> {
        let client = request::connect(&tested.address)?;
        Ok(Self {
            tested,
            experiment,
            client,
        })
    }

    /// Measures every workload under every load with every setting.
    pub(super) async fn measure(&self, workloads: &[Workload]) -> anyhow::Result<Vec<ReportRow>> {
        let mut rows = Vec::new();
        for workload in workloads {
            for &load in &self.experiment.loads {
                let results = match load {
                    OfferedLoad::AtOnce(1) => self.in_turn(workload).await?,
                    OfferedLoad::AtOnce(_) | OfferedLoad::Arriving(_) => {
                        self.together(workload, load).await?
                    }
                };
                for replies in results {
                    let row =
                        ReportRow::new(&self.tested, self.experiment, workload, load, &replies);
                    print_line(&row.progress());
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    /// Stops the services that were started for the test.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.tested.stop().await
    }

    /// One request at a time.
    async fn in_turn(&self, workload: &Workload) -> anyhow::Result<Vec<VariantReplies>> {
        let settings = self.settings();
        let Some(first) = workload.tasks.first() else {
            return Ok(Vec::new());
        };
        self.prefill_prompts(workload, &settings).await?;
        for &setting in &settings {
            self.warm(workload, first, setting, WARM_TOKENS).await?;
        }
        let mut results = self.results();
        for run in 0..self.experiment.runs {
            for (index, task) in workload.tasks.iter().enumerate() {
                self.progress(workload, run, index);
                let mut replies: Vec<Option<Arc<MeasuredReply>>> = vec![None; settings.len()];
                for place in order(settings.len(), run as usize + index) {
                    let request = self.request(workload, task, settings[place], run);
                    replies[place] = Some(Arc::new(self.ask(request).await?));
                }
                let mut replies = replies.into_iter().flatten();
                let Some(plain) = replies.next() else {
                    continue;
                };
                for (result, speculative) in results.iter_mut().zip(replies) {
                    result.pairs.push(ReplyPair {
                        task: index,
                        plain: Arc::clone(&plain),
                        speculative,
                    });
                }
            }
        }
        Ok(results)
    }

    /// Many requests at a time.
    async fn together(
        &self,
        workload: &Workload,
        load: OfferedLoad,
    ) -> anyhow::Result<Vec<VariantReplies>> {
        let settings = self.settings();
        let all = tasks(workload, load);
        let ask = |setting, run| {
            let tasks = all.iter().map(|&index| &workload.tasks[index]);
            let requests = tasks.map(|task| self.request(workload, task, setting, run));
            let (requests, seed) = (requests.collect(), self.experiment.seed + u64::from(run));
            arrivals::ask(&self.client, requests, load, seed)
        };
        self.prefill_prompts(workload, &settings).await?;
        for &setting in &settings {
            if let Some(first) = workload.tasks.first() {
                self.warm(workload, first, setting, WARM_TOKENS).await?;
            }
        }
        let mut results = self.results();
        for run in 0..self.experiment.runs {
            self.progress(workload, run, 0);
            let mut batches: Vec<Option<Batch>> = vec![None; settings.len()];
            for place in order(settings.len(), run as usize) {
                batches[place] = Some(ask(settings[place], run).await?);
            }
            let mut batches = batches.into_iter().flatten();
            let Some(plain) = batches.next() else {
                continue;
            };
            for (result, speculative) in results.iter_mut().zip(batches) {
                result.add_batches(&all, &plain, &speculative);
            }
        }
        Ok(results)
    }

    /// Fills the prefix caches: the verifier's by plain decoding, the drafter's by the first setting that drafts. Otherwise later
    /// drafters would be at a disadvantage, since only they would still have to prefill the prompts.
    async fn prefill_prompts(
        &self,
        workload: &Workload,
        settings: &[Setting],
    ) -> anyhow::Result<()> {
        for &setting in settings.iter().take(2) {
            for task in &workload.tasks {
                self.warm(workload, task, setting, PREFILL_TOKENS).await?;
            }
        }
        Ok(())
    }

    /// Asks for a reply of at most `tokens` tokens that is not measured.
    async fn warm(
        &self,
        workload: &Workload,
        task: &Task,
        setting: Setting,
        tokens: u32,
    ) -> anyhow::Result<()> {
        let mut request = self.request(workload, task, setting, 0);
        request.max_tokens = Some(self.experiment.max_tokens.min(tokens));
        self.ask(request).await.map(drop)
    }

    fn settings(&self) -> Vec<Setting> {
        let variants = self.experiment.variants.iter().copied().map(Some);
        [None].into_iter().chain(variants).collect()
    }

    fn results(&self) -> Vec<VariantReplies> {
        self.experiment
            .variants
            .iter()
            .copied()
            .map(VariantReplies::new)
            .collect()
    }

    fn request(&self, workload: &Workload, task: &Task, setting: Setting, run: u32) -> Generate {
        let ends = self.tested.end_tokens.iter();
        let never = ends.map(|&id| (id, NEVER)).collect();
        Generate {
            max_tokens: Some(self.experiment.max_tokens),
            sampling: self.experiment.sampling,
            seed: Some(self.experiment.seed + u64::from(run)),
            logit_bias: if workload.is_endless {
                never
            } else {
                Vec::new()
            },
            speculation: setting.map_or(Speculation::Off, Variant::speculation),
            grammar: task.grammar.clone().map(Into::into),
            prediction: task.prediction.clone(),
            ..Generate::new(task.prompt.clone())
        }
    }

    async fn ask(&self, request: Generate) -> anyhow::Result<MeasuredReply> {
        MeasuredReply::take(&mut self.client.clone(), request, Instant::now()).await
    }

    /// Shows on a terminal what is being measured, on a line that the next one replaces.
    fn progress(&self, workload: &Workload, run: u32, done: usize) {
        let mut out = io::stderr();
        if !out.is_terminal() {
            return;
        }
        let (name, drafter) = (&workload.name, &self.tested.drafter);
        let (all, runs) = (workload.tasks.len(), self.experiment.runs);
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(
            out,
            "\r\x1b[K{name}, {drafter}: run {} of {runs}, prompt {} of {all} ",
            run + 1,
            done + 1
        );
    }
}

/// Order of the settings in this turn.
fn order(count: usize, turn: usize) -> Vec<usize> {
    let forward = 0..count;
    if turn.is_multiple_of(2) {
        forward.collect()
    } else {
        forward.rev().collect()
    }
}

/// Indices of the tasks to ask for: all of them, repeated from the first until there are as many as requests at once.
fn tasks(workload: &Workload, load: OfferedLoad) -> Vec<usize> {
    let count = workload.tasks.len();
    let least = match load {
        OfferedLoad::AtOnce(most) => most,
        OfferedLoad::Arriving(_) => count,
    };
    (0..count).cycle().take(count.max(least)).collect()
}

/// Prints a line that stays.
fn print_line(line: &str) {
    let clear = if io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    let _ = writeln!(io::stderr(), "{clear}{line}");
}

#[cfg(test)]
mod tests {
    use proto::model::Prompt;

    use super::*;

    #[test]
    fn every_second_turn_is_reversed() {
        assert_eq!(order(3, 0), [0, 1, 2]);
        assert_eq!(order(3, 1), [2, 1, 0]);
        assert_eq!(order(3, 2), [0, 1, 2]);
    }

    #[test]
    fn few_prompts_are_asked_for_again_to_keep_all_busy() {
        let task = Task::new(String::new(), Prompt::Text("x".to_owned()));
        let workload = |count| Workload {
            name: String::new(),
            tasks: vec![task.clone(); count],
            is_endless: false,
        };
        assert_eq!(tasks(&workload(2), OfferedLoad::AtOnce(5)), [0, 1, 0, 1, 0]);
        assert_eq!(tasks(&workload(3), OfferedLoad::AtOnce(2)), [0, 1, 2]);
        assert_eq!(tasks(&workload(3), OfferedLoad::Arriving(1.0)), [0, 1, 2]);
        assert!(tasks(&workload(0), OfferedLoad::AtOnce(2)).is_empty());
    }
}
