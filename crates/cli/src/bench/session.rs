//! The course of a measurement on one verifier: which request comes when.
//!
//! One request at a time, the settings follow each other prompt by prompt; several at once, they follow each other run by run.
//! Plain decoding is one of the settings, and every other time the order is reversed.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use proto::verifier::{Client, Generate, Speculation};

use super::args::{Load, Plan, Variant};
use super::arrivals::{self, Batch};
use super::report::{Outcome, Row};
use super::sample::{Compared, Sample};
use super::services::Tested;
use super::workloads::{Task, Workload};
use crate::request;

/// Tokens of a reply that only warms up.
const WARM_TOKENS: u32 = 32;
/// Tokens of a reply that only has its prompt read: some of them are drafted.
const READ_TOKENS: u32 = 4;
/// What keeps a token from being chosen.
const NEVER: f32 = -100.0;

/// A verifier under test.
pub(super) struct Session<'a> {
    tested: Tested,
    plan: &'a Plan,
    client: Client,
}

/// One way to decode: `None` is plain.
type Setting = Option<Variant>;

impl<'a> Session<'a> {
    pub(super) fn new(tested: Tested, plan: &'a Plan) -> anyhow::Result<Self> {
        let client = request::connect(&tested.address)?;
        Ok(Self {
            tested,
            plan,
            client,
        })
    }

    /// Measures every workload under every load, with every setting.
    pub(super) async fn measure(&self, workloads: &[Workload]) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for workload in workloads {
            for &load in &self.plan.loads {
                let outcomes = match load {
                    Load::AtOnce(1) => self.in_turn(workload).await?,
                    Load::AtOnce(_) | Load::Arriving(_) => self.together(workload, load).await?,
                };
                for outcome in outcomes {
                    let row = Row::new(&self.tested, self.plan, workload, load, &outcome);
                    tell(&row.progress());
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    /// Stops what was started for it.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.tested.stop().await
    }

    /// One request at a time.
    async fn in_turn(&self, workload: &Workload) -> anyhow::Result<Vec<Outcome>> {
        let settings = self.settings();
        let Some(first) = workload.tasks.first() else {
            return Ok(Vec::new());
        };
        self.read_prompts(workload, &settings).await?;
        for &setting in &settings {
            self.warm(workload, first, setting, WARM_TOKENS).await?;
        }
        let mut outcomes = self.outcomes();
        for run in 0..self.plan.runs {
            for (index, task) in workload.tasks.iter().enumerate() {
                self.progress(workload, run, index);
                let mut replies: Vec<Option<Arc<Sample>>> = vec![None; settings.len()];
                for place in order(settings.len(), run as usize + index) {
                    let request = self.request(workload, task, settings[place], run);
                    replies[place] = Some(Arc::new(self.ask(request).await?));
                }
                let mut replies = replies.into_iter().flatten();
                let Some(plain) = replies.next() else {
                    continue;
                };
                for (outcome, speculative) in outcomes.iter_mut().zip(replies) {
                    outcome.pairs.push(Compared {
                        task: index,
                        plain: Arc::clone(&plain),
                        speculative,
                    });
                }
            }
        }
        Ok(outcomes)
    }

    /// Many requests at a time.
    async fn together(&self, workload: &Workload, load: Load) -> anyhow::Result<Vec<Outcome>> {
        let settings = self.settings();
        let all = tasks(workload, load);
        let ask = |setting, run| {
            let tasks = all.iter().map(|&index| &workload.tasks[index]);
            let requests = tasks.map(|task| self.request(workload, task, setting, run));
            let (requests, seed) = (requests.collect(), self.plan.seed + u64::from(run));
            arrivals::ask(&self.client, requests, load, seed)
        };
        self.read_prompts(workload, &settings).await?;
        for &setting in &settings {
            if let Some(first) = workload.tasks.first() {
                self.warm(workload, first, setting, WARM_TOKENS).await?;
            }
        }
        let mut outcomes = self.outcomes();
        for run in 0..self.plan.runs {
            self.progress(workload, run, 0);
            let mut batches: Vec<Option<Batch>> = vec![None; settings.len()];
            for place in order(settings.len(), run as usize) {
                batches[place] = Some(ask(settings[place], run).await?);
            }
            let mut batches = batches.into_iter().flatten();
            let Some(plain) = batches.next() else {
                continue;
            };
            for (outcome, speculative) in outcomes.iter_mut().zip(batches) {
                outcome.add_batches(&all, &plain, &speculative);
            }
        }
        Ok(outcomes)
    }

    /// What a verifier keeps of prompts, and by the first setting that drafts the drafter, they then have for every setting. Else
    /// drafters that come later would be at a disadvantage: the verifier has read the prompts that they have to read first.
    async fn read_prompts(&self, workload: &Workload, settings: &[Setting]) -> anyhow::Result<()> {
        for &setting in settings.iter().take(2) {
            for task in &workload.tasks {
                self.warm(workload, task, setting, READ_TOKENS).await?;
            }
        }
        Ok(())
    }

    /// Asks for a reply of so many tokens at most that nobody measures.
    async fn warm(
        &self,
        workload: &Workload,
        task: &Task,
        setting: Setting,
        tokens: u32,
    ) -> anyhow::Result<()> {
        let mut request = self.request(workload, task, setting, 0);
        request.max_tokens = Some(self.plan.max_tokens.min(tokens));
        self.ask(request).await.map(drop)
    }

    fn settings(&self) -> Vec<Setting> {
        let variants = self.plan.variants.iter().copied().map(Some);
        [None].into_iter().chain(variants).collect()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.plan
            .variants
            .iter()
            .copied()
            .map(Outcome::new)
            .collect()
    }

    fn request(&self, workload: &Workload, task: &Task, setting: Setting, run: u32) -> Generate {
        let ends = self.tested.end_tokens.iter();
        let never = ends.map(|&id| (id, NEVER)).collect();
        Generate {
            max_tokens: Some(self.plan.max_tokens),
            sampling: self.plan.sampling,
            seed: Some(self.plan.seed + u64::from(run)),
            logit_bias: if workload.is_endless {
                never
            } else {
                Vec::new()
            },
            speculation: setting.map_or(Speculation::Off, Variant::speculation),
            ..Generate::new(task.prompt.clone())
        }
    }

    async fn ask(&self, request: Generate) -> anyhow::Result<Sample> {
        Sample::take(&mut self.client.clone(), request, Instant::now()).await
    }

    /// Says on a terminal what is being measured, on a line that the next one replaces.
    fn progress(&self, workload: &Workload, run: u32, done: usize) {
        let mut out = io::stderr();
        if !out.is_terminal() {
            return;
        }
        let (name, drafter) = (&workload.name, &self.tested.drafter);
        let (all, runs) = (workload.tasks.len(), self.plan.runs);
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(
            out,
            "\r\x1b[K{name}, {drafter}: run {} of {runs}, prompt {} of {all} ",
            run + 1,
            done + 1
        );
    }
}

/// Places in the order of this turn.
fn order(count: usize, turn: usize) -> Vec<usize> {
    let forward = 0..count;
    if turn.is_multiple_of(2) {
        forward.collect()
    } else {
        forward.rev().collect()
    }
}

/// The tasks to ask for, by index: all of them, and again from the first until there are as many as are asked for at once.
fn tasks(workload: &Workload, load: Load) -> Vec<usize> {
    let count = workload.tasks.len();
    let least = match load {
        Load::AtOnce(most) => most,
        Load::Arriving(_) => count,
    };
    (0..count).cycle().take(count.max(least)).collect()
}

/// A line that stays.
fn tell(line: &str) {
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
        let task = Task {
            id: String::new(),
            kind: None,
            prompt: Prompt::Text("x".to_owned()),
        };
        let workload = |count| Workload {
            name: String::new(),
            tasks: vec![task.clone(); count],
            is_endless: false,
        };
        assert_eq!(tasks(&workload(2), Load::AtOnce(5)), [0, 1, 0, 1, 0]);
        assert_eq!(tasks(&workload(3), Load::AtOnce(2)), [0, 1, 2]);
        assert_eq!(tasks(&workload(3), Load::Arriving(1.0)), [0, 1, 2]);
        assert!(tasks(&workload(0), Load::AtOnce(2)).is_empty());
    }
}
