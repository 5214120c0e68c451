//! One line of the report: a workload with one drafter, one setting, one delay and one load.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alignment::acceptance::{Losslessness, Method};
use serde_json::{Map, Value, json};

use super::super::args::{Load, Plan, Variant};
use super::super::arrivals::Batch;
use super::super::sample::{Compared, Sample};
use super::super::services::Tested;
use super::super::statistics::{Spread, median, ratio};
use super::super::workloads::Workload;
use crate::request::per_second;

/// What one setting came to.
pub(in super::super) struct Outcome {
    variant: Variant,
    pub(in super::super) pairs: Vec<Compared>,
    /// One for each run, where several requests were in progress at once.
    batches: Vec<BatchFigures>,
}

/// What all requests of one run came to, without and with speculation.
#[derive(Clone, Copy, Debug)]
struct BatchFigures {
    /// Tokens a second, the passes of the prompts included.
    throughput: [f64; 2],
    /// Median time from arrival to end, in seconds.
    latency: [f64; 2],
}

/// One line of the report.
pub(in super::super) struct Row {
    pub(in super::super) name: String,
    pub(in super::super) target: String,
    pub(in super::super) drafter: String,
    pub(in super::super) variant: Variant,
    pub(in super::super) round_trip: Duration,
    round_trip_seen: Option<Duration>,
    pub(in super::super) load: Load,
    /// Methods that were used, by name.
    pub(in super::super) methods: String,
    pub(in super::super) figures: Figures,
    runs: u32,
    prompts: usize,
    /// Prompts whose texts differ, by id.
    differing: Vec<String>,
    /// Whether no text may differ.
    promises_text: bool,
    /// By kind of text, where the workload has kinds.
    kinds: Vec<(String, Figures)>,
    replies: Vec<Value>,
    latency: Option<[f64; 2]>,
    fallbacks: BTreeMap<&'static str, u32>,
    proposed: f64,
    wire_bytes_per_token: f64,
    draft_wait_share: f64,
}

/// Rates and counts.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Figures {
    pub(in super::super) plain: f64,
    pub(in super::super) speculative: f64,
    /// None where nothing was decoded.
    pub(in super::super) speedup: Option<Spread>,
    accepted_per_forward: f64,
    acceptance: f64,
    bytes_per_forward: f64,
}

impl Outcome {
    pub(in super::super) fn new(variant: Variant) -> Self {
        Self {
            variant,
            pairs: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// Takes in a run of requests for the tasks with these indices.
    pub(in super::super) fn add_batches(
        &mut self,
        tasks: &[usize],
        plain: &Batch,
        speculative: &Batch,
    ) {
        let both = [plain, speculative];
        let pairs = tasks
            .iter()
            .zip(plain.samples.iter().zip(&speculative.samples));
        self.pairs
            .extend(pairs.map(|(&task, (plain, speculative))| {
                let share = |sample: &Sample| sample.clone().into();
                Compared {
                    task,
                    plain: share(plain),
                    speculative: share(speculative),
                }
            }));
        self.batches.push(BatchFigures {
            throughput: both.map(Batch::throughput),
            latency: both.map(Batch::latency),
        });
    }
}

impl Batch {
    fn throughput(&self) -> f64 {
        let tokens = self
            .samples
            .iter()
            .map(|sample| sample.usage.completion_tokens);
        per_second(f64::from(tokens.sum::<u32>()), self.took)
    }

    fn latency(&self) -> f64 {
        median(
            self.samples
                .iter()
                .map(|sample| sample.latency.as_secs_f64()),
        )
    }
}

impl Row {
    pub(in super::super) fn new(
        tested: &Tested,
        plan: &Plan,
        workload: &Workload,
        load: Load,
        outcome: &Outcome,
    ) -> Self {
        let pairs = &outcome.pairs;
        let methods: BTreeSet<&str> = pairs
            .iter()
            .filter_map(|pair| pair.speculative.method.as_deref())
            .collect();
        let promises_text = methods.iter().all(|name| {
            let method = name.parse::<Method>();
            method.is_ok_and(|method| method.losslessness() == Losslessness::SameText)
        });
        let differing: BTreeSet<usize> = pairs
            .iter()
            .filter(|pair| !pair.is_identical())
            .map(|pair| pair.task)
            .collect();
        let total = Totals::of(pairs);
        Self {
            name: workload.name.clone(),
            target: tested.target.clone(),
            drafter: tested.drafter.clone(),
            variant: outcome.variant,
            round_trip: tested.round_trip,
            round_trip_seen: tested.round_trip_seen,
            load,
            methods: Vec::from_iter(methods).join(","),
            figures: Figures::of(outcome, load),
            runs: plan.runs,
            prompts: workload.tasks.len(),
            differing: differing
                .into_iter()
                .map(|task| workload.tasks[task].id.clone())
                .collect(),
            promises_text,
            kinds: kinds(workload, outcome),
            replies: replies(workload, pairs),
            latency: (!outcome.batches.is_empty())
                .then(|| [0, 1].map(|i| median(outcome.batches.iter().map(|b| b.latency[i])))),
            fallbacks: fallbacks(pairs),
            proposed: total.accepted + total.rejected,
            wire_bytes_per_token: total.wire / total.tokens.max(1.0),
            draft_wait_share: ratio(total.wait, total.decode).unwrap_or(0.0),
        }
    }

    /// Whether every text was the same.
    pub(in super::super) fn is_identical(&self) -> bool {
        self.differing.is_empty()
    }

    /// Prompts whose texts differ though the method promises that they do not.
    pub(in super::super) fn broken_promises(&self) -> impl Iterator<Item = &str> {
        let differing = self.differing.iter().filter(|_| self.promises_text);
        differing.map(String::as_str)
    }

    /// One line that says what has just been measured.
    pub(in super::super) fn progress(&self) -> String {
        let cells = self.cells();
        format!(
            "{}, {} <- {}, K {}, RTT {} ms, load {}: {} ({}), {} accepted per forward, identical: {}",
            self.name,
            self.target,
            self.drafter,
            cells[0],
            cells[1],
            cells[2],
            cells[5],
            cells[6],
            cells[8],
            cells[11]
        )
    }

    /// Milliseconds of the round trip that is emulated.
    pub(in super::super) fn round_trip_milliseconds(&self) -> f64 {
        self.round_trip.as_secs_f64() * 1e3
    }

    /// The cells behind the names, in the order of the headings.
    pub(super) fn cells(&self) -> [String; 12] {
        let figures = &self.figures;
        let spread =
            |of: fn(&Spread) -> String| figures.speedup.as_ref().map_or_else(|| "-".to_owned(), of);
        [
            self.variant.block_length.to_string(),
            self.round_trip_milliseconds().to_string(),
            self.load.to_string(),
            format!("{:.2}", figures.plain),
            format!("{:.2}", figures.speculative),
            spread(|spread| format!("{:.2}x", spread.median)),
            spread(|spread| format!("{:.2}..{:.2}", spread.lower_quartile, spread.upper_quartile)),
            spread(|spread| format!("{:.2}..{:.2}", spread.minimum, spread.maximum)),
            format!("{:.2}", figures.accepted_per_forward),
            if self.proposed > 0.0 {
                format!("{:.2}", figures.acceptance)
            } else {
                "-".to_owned()
            },
            format!("{:.2}", figures.bytes_per_forward),
            match (self.is_identical(), self.promises_text) {
                (true, _) => "yes".to_owned(),
                (false, true) => "NO".to_owned(),
                (false, false) => "no promise".to_owned(),
            },
        ]
    }

    /// As `--json` has it.
    pub(super) fn json(&self) -> Value {
        let (at_once, rate) = match self.load {
            Load::AtOnce(count) => (Some(count), None),
            Load::Arriving(rate) => (None, Some(rate)),
        };
        let seen = self.round_trip_seen.map(|seen| seen.as_secs_f64());
        let mut fields = Map::new();
        for (name, value) in [
            ("name", json!(self.name)),
            ("target", json!(self.target)),
            ("drafter", json!(self.drafter)),
            ("method", json!(self.variant.method.to_string())),
            ("methods_used", json!(self.methods)),
            (
                "block_length",
                self.variant
                    .block_length
                    .0
                    .map_or(json!("auto"), |tokens| json!(tokens)),
            ),
            ("rtt_milliseconds", json!(self.round_trip_milliseconds())),
            ("rtt_seen_milliseconds", json!(seen.map(|seen| seen * 1e3))),
            ("concurrency", json!(at_once)),
            ("arrivals_per_second", json!(rate)),
            ("prompts", json!(self.prompts)),
            ("runs", json!(self.runs)),
            ("speedup_of", json!(self.measure())),
            ("identical", json!(self.is_identical())),
            ("identical_is_promised", json!(self.promises_text)),
            ("differing", json!(self.differing)),
            ("plain_seconds", json!(self.latency.map(|both| both[0]))),
            (
                "speculative_seconds",
                json!(self.latency.map(|both| both[1])),
            ),
            ("proposed_tokens", json!(self.proposed)),
            ("rounds_without_proposal", json!(self.fallbacks)),
            ("wire_bytes_per_token", json!(self.wire_bytes_per_token)),
            ("draft_wait_share", json!(self.draft_wait_share)),
            ("replies", json!(self.replies)),
        ] {
            fields.insert(name.to_owned(), value);
        }
        fields.append(&mut self.figures.json());
        let kinds = self.kinds.iter().map(|(kind, figures)| {
            let mut fields = figures.json();
            fields.insert("kind".to_owned(), json!(kind));
            Value::Object(fields)
        });
        fields.insert("kinds".to_owned(), kinds.collect());
        Value::Object(fields)
    }

    /// What the ratio compares.
    fn measure(&self) -> &'static str {
        match self.load {
            Load::AtOnce(1) => "tokens per second of decoding, each reply by itself",
            Load::AtOnce(_) => "tokens per second of all requests, prompts included",
            Load::Arriving(_) => "time of a request from its arrival to its end",
        }
    }
}

impl Figures {
    fn of(outcome: &Outcome, load: Load) -> Self {
        let alone = Self::of_pairs(&outcome.pairs);
        if outcome.batches.is_empty() {
            return alone;
        }
        let of = |figure: fn(&BatchFigures) -> [f64; 2]| {
            let batches = outcome.batches.iter().map(figure);
            batches.collect::<Vec<_>>()
        };
        let throughput = of(|batch| batch.throughput);
        let ratios = match load {
            Load::AtOnce(_) => throughput.clone(),
            // A request that takes half the time is twice as fast.
            Load::Arriving(_) => of(|batch| [batch.latency[1], batch.latency[0]]),
        };
        let ratios: Vec<f64> = ratios
            .iter()
            .filter_map(|[plain, speculative]| ratio(*speculative, *plain))
            .collect();
        Self {
            plain: median(throughput.iter().map(|both| both[0])),
            speculative: median(throughput.iter().map(|both| both[1])),
            speedup: Spread::of(&ratios),
            ..alone
        }
    }

    /// Of requests one at a time: medians over prompts of medians over runs.
    fn of_pairs(pairs: &[Compared]) -> Self {
        let tasks = by_task(pairs);
        let over_tasks = |of: fn(&Compared) -> Option<f64>| {
            let tasks = tasks.values();
            let medians = tasks.filter_map(|runs| {
                let values: Vec<f64> = runs.iter().filter_map(|pair| of(pair)).collect();
                Spread::of(&values).map(|spread| spread.median)
            });
            medians.collect::<Vec<f64>>()
        };
        let total = Totals::of(pairs);
        Self {
            plain: median(over_tasks(|pair| Some(pair.plain.rate()))),
            speculative: median(over_tasks(|pair| Some(pair.speculative.rate()))),
            speedup: Spread::of(&over_tasks(Compared::speedup)),
            accepted_per_forward: ratio(total.accepted, total.forwards).unwrap_or(0.0),
            acceptance: ratio(total.accepted, total.accepted + total.rejected).unwrap_or(0.0),
            bytes_per_forward: ratio(total.bytes, total.forwards).unwrap_or(0.0),
        }
    }

    fn json(&self) -> Map<String, Value> {
        let speedup = self.speedup.as_ref();
        let spread = speedup.map(|spread| {
            json!({
                "minimum": spread.minimum,
                "lower_quartile": spread.lower_quartile,
                "upper_quartile": spread.upper_quartile,
                "maximum": spread.maximum,
            })
        });
        let fields = [
            ("plain_tokens_per_second", json!(self.plain)),
            ("speculative_tokens_per_second", json!(self.speculative)),
            ("speedup", json!(speedup.map(|spread| spread.median))),
            ("speedup_spread", json!(spread)),
            ("accepted_per_forward", json!(self.accepted_per_forward)),
            ("acceptance", json!(self.acceptance)),
            ("committed_bytes_per_forward", json!(self.bytes_per_forward)),
        ];
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// Sums over the replies with speculation.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    tokens: f64,
    bytes: f64,
    forwards: f64,
    accepted: f64,
    rejected: f64,
    wire: f64,
    /// Seconds.
    wait: f64,
    decode: f64,
}

impl Totals {
    fn of(pairs: &[Compared]) -> Self {
        pairs.iter().fold(Self::default(), |sum, pair| {
            let usage = &pair.speculative.usage;
            Self {
                tokens: sum.tokens + f64::from(usage.completion_tokens),
                bytes: sum.bytes + usage.committed_bytes as f64,
                forwards: sum.forwards + f64::from(usage.target_forwards),
                accepted: sum.accepted + f64::from(usage.accepted_tokens),
                rejected: sum.rejected + f64::from(usage.rejected_tokens),
                wire: sum.wire + (usage.wire_sent_bytes + usage.wire_received_bytes) as f64,
                wait: sum.wait + usage.draft_wait.as_secs_f64(),
                decode: sum.decode + usage.decode.as_secs_f64(),
            }
        })
    }
}

fn by_task(pairs: &[Compared]) -> BTreeMap<usize, Vec<&Compared>> {
    let mut tasks: BTreeMap<usize, Vec<&Compared>> = BTreeMap::new();
    for pair in pairs {
        tasks.entry(pair.task).or_default().push(pair);
    }
    tasks
}

/// Figures by kind of text, in the order of the workload. Requests that share passes have none of their own.
fn kinds(workload: &Workload, outcome: &Outcome) -> Vec<(String, Figures)> {
    if !outcome.batches.is_empty() {
        return Vec::new();
    }
    let mut kinds: Vec<(String, Vec<Compared>)> = Vec::new();
    for pair in &outcome.pairs {
        let Some(kind) = &workload.tasks[pair.task].kind else {
            continue;
        };
        match kinds.iter_mut().find(|(known, _)| known == kind) {
            Some((_, pairs)) => pairs.push(pair.clone()),
            None => kinds.push((kind.clone(), vec![pair.clone()])),
        }
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(kind, pairs)| (kind, Figures::of_pairs(&pairs)))
        .collect()
}

/// One object for each prompt.
fn replies(workload: &Workload, pairs: &[Compared]) -> Vec<Value> {
    let reply = |(&task, runs): (&usize, &Vec<&Compared>)| {
        let task = &workload.tasks[task];
        let pairs: Vec<Compared> = runs.iter().map(|&pair| pair.clone()).collect();
        let mut fields = Figures::of_pairs(&pairs).json();
        fields.remove("speedup_spread");
        fields.insert("id".to_owned(), json!(task.id));
        if let Some(kind) = &task.kind {
            fields.insert("kind".to_owned(), json!(kind));
        }
        let tokens = pairs.first().map(|pair| pair.plain.usage.completion_tokens);
        fields.insert("tokens".to_owned(), json!(tokens));
        let identical = pairs.iter().all(Compared::is_identical);
        fields.insert("identical".to_owned(), json!(identical));
        Value::Object(fields)
    };
    by_task(pairs).iter().map(reply).collect()
}

fn fallbacks(pairs: &[Compared]) -> BTreeMap<&'static str, u32> {
    let mut sums = BTreeMap::new();
    for pair in pairs {
        for (reason, rounds) in &pair.speculative.usage.fallbacks {
            *sums.entry(reason.name()).or_default() += rounds;
        }
    }
    sums
}

#[cfg(test)]
pub(in super::super) mod tests {
    use super::super::super::args::tests::plan;
    use super::super::super::sample::tests::{compared, sample};
    use super::super::super::workloads::Task;
    use super::*;

    fn workload(name: &str, count: usize) -> Workload {
        let task = |i: usize| Task {
            id: format!("task {i}"),
            kind: Some(["even", "odd"][i % 2].to_owned()),
            prompt: proto::model::Prompt::Text("x".to_owned()),
        };
        Workload {
            name: name.to_owned(),
            tasks: (0..count).map(task).collect(),
            is_endless: false,
        }
    }

    fn outcome(pairs: Vec<Compared>) -> Outcome {
        let variant = plan(&["--block-lengths", "4"]).expect("a plan").variants[0];
        Outcome {
            pairs,
            ..Outcome::new(variant)
        }
    }

    fn made(workload: &Workload, load: Load, outcome: &Outcome) -> Row {
        let plan = plan(&[]).expect("a plan");
        let tested = Tested::made("target", "drafter", Duration::from_millis(10));
        Row::new(&tested, &plan, workload, load, outcome)
    }

    /// A row of three prompts, each with this speed-up.
    pub(in super::super::super) fn row(name: &str, speedup: f64) -> Row {
        let pairs = (0..3).map(|task| compared(task, speedup)).collect();
        made(&workload(name, 3), Load::AtOnce(1), &outcome(pairs))
    }

    #[test]
    fn figures_are_medians_over_prompts_of_medians_over_runs() {
        // Prompt 0 has the medians 2.0, prompt 1 4.0, prompt 2 2.5; one run of prompt 1 was disturbed.
        let speedups = [
            (0, 2.0),
            (1, 4.0),
            (2, 2.5),
            (0, 2.0),
            (1, 0.1),
            (2, 2.5),
            (0, 2.0),
            (1, 4.0),
            (2, 2.5),
        ];
        let pairs = speedups.map(|(task, speedup)| compared(task, speedup));
        let row = made(
            &workload("one", 3),
            Load::AtOnce(1),
            &outcome(pairs.to_vec()),
        );
        let spread = row.figures.speedup.unwrap();
        let close = |one: f64, other: f64| (one - other).abs() < 1e-6;
        assert!(
            close(spread.median, 2.5) && close(spread.maximum, 4.0),
            "{spread:?}"
        );
        assert!(close(row.figures.plain, 10.0) && close(row.figures.speculative, 25.0));
    }

    #[test]
    fn json_has_every_promised_field() {
        let json = row("one", 2.0).json();
        for (field, expected) in [
            ("name", json!("one")),
            ("target", json!("target")),
            ("drafter", json!("drafter")),
            ("plain_tokens_per_second", json!(10.0)),
            ("speculative_tokens_per_second", json!(20.0)),
            ("speedup", json!(2.0)),
            ("acceptance", json!(0.625)),
            ("accepted_per_forward", json!(1.0)),
            ("committed_bytes_per_forward", json!(1.8)),
            ("identical", json!(true)),
            ("block_length", json!(4)),
            ("rtt_milliseconds", json!(10.0)),
            ("concurrency", json!(1)),
        ] {
            assert_eq!(json[field], expected, "{field}");
        }
        let kinds = json["kinds"].as_array().unwrap();
        assert_eq!((kinds.len(), &kinds[0]["kind"]), (2, &json!("even")));
        assert_eq!(json["replies"][2]["id"], "task 2");
    }

    #[test]
    fn text_that_differs_breaks_a_promise_only_where_there_is_one() {
        let differs = |method: &str| {
            let mut other = sample("other text", 10, 500);
            other.method = Some(method.to_owned());
            let mut pair = compared(1, 2.0);
            pair.speculative = other.into();
            let pairs = vec![pair];
            made(&workload("one", 2), Load::AtOnce(1), &outcome(pairs))
        };
        let broken = differs("coupled");
        assert!(!broken.is_identical());
        assert!(broken.broken_promises().eq(["task 1"]));
        assert_eq!(broken.json()["identical"], false);
        let allowed = differs("point_mass");
        assert!(!allowed.is_identical());
        assert_eq!(allowed.broken_promises().count(), 0);
    }

    #[test]
    fn throughput_of_many_is_all_tokens_by_all_time_and_arrivals_compare_latency() {
        let batch = |milliseconds: u64, latency: u64| Batch {
            samples: vec![
                Sample {
                    latency: Duration::from_millis(latency),
                    ..sample("text", 10, 100)
                };
                4
            ],
            took: Duration::from_millis(milliseconds),
        };
        let mut outcome = outcome(Vec::new());
        outcome.add_batches(&[0, 1, 0, 1], &batch(2000, 900), &batch(1000, 300));
        let row = made(&workload("one", 2), Load::AtOnce(4), &outcome);
        let close = |one: f64, other: f64| (one - other).abs() < 1e-6;
        assert!(close(row.figures.plain, 20.0) && close(row.figures.speculative, 40.0));
        assert!(close(row.figures.speedup.unwrap().median, 2.0));
        let row = made(&workload("one", 2), Load::Arriving(1.0), &outcome);
        assert!(close(row.figures.speedup.unwrap().median, 3.0));
        assert_eq!(row.json()["arrivals_per_second"], 1.0);
        assert_eq!(row.json()["concurrency"], Value::Null);
    }
}
