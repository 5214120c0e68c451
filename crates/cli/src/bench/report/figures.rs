//! What one setting came to, in numbers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bench::args::{Load, Variant};
use crate::bench::arrivals::Batch;
use crate::bench::sample::{Compared, Sample};
use crate::bench::statistics::{Spread, median, ratio};
use crate::request::per_second;

/// What one setting came to.
pub(crate) struct Outcome {
    pub(super) variant: Variant,
    pub(crate) pairs: Vec<Compared>,
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

/// Rates and counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) plain: f64,
    pub(crate) speculative: f64,
    /// None where nothing was decoded.
    pub(crate) speedup: Option<Spread>,
    pub(super) accepted_per_forward: f64,
    /// Of those, tokens beside the draft's chain.
    pub(super) accepted_alternatives_per_forward: f64,
    pub(super) acceptance: f64,
    pub(super) bytes_per_forward: f64,
}

impl Outcome {
    pub(crate) fn new(variant: Variant) -> Self {
        Self {
            variant,
            pairs: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// Whether requests shared passes, so that none has figures of its own.
    pub(super) fn is_shared(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Median seconds from arrival to end, without and with speculation, where requests shared passes.
    pub(super) fn latency(&self) -> Option<[f64; 2]> {
        let of = |side: usize| median(self.batches.iter().map(|batch| batch.latency[side]));
        self.is_shared().then(|| [of(0), of(1)])
    }

    /// Takes in a run of requests for the tasks with these indices.
    pub(crate) fn add_batches(&mut self, tasks: &[usize], plain: &Batch, speculative: &Batch) {
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

impl Figures {
    pub(super) fn of(outcome: &Outcome, load: Load) -> Self {
        let alone = Self::of_pairs(&outcome.pairs);
        if !outcome.is_shared() {
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
    pub(super) fn of_pairs(pairs: &[Compared]) -> Self {
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
            accepted_alternatives_per_forward: ratio(total.beside, total.forwards).unwrap_or(0.0),
            acceptance: ratio(total.accepted, total.accepted + total.rejected).unwrap_or(0.0),
            bytes_per_forward: ratio(total.bytes, total.forwards).unwrap_or(0.0),
        }
    }

    pub(super) fn json(&self) -> Map<String, Value> {
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
            (
                "accepted_alternatives_per_forward",
                json!(self.accepted_alternatives_per_forward),
            ),
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
pub(super) struct Totals {
    pub(super) tokens: f64,
    bytes: f64,
    forwards: f64,
    pub(super) accepted: f64,
    pub(super) rejected: f64,
    /// Accepted tokens beside the draft's chain.
    beside: f64,
    pub(super) wire: f64,
    /// Seconds.
    pub(super) wait: f64,
    pub(super) decode: f64,
}

impl Totals {
    pub(super) fn of(pairs: &[Compared]) -> Self {
        pairs.iter().fold(Self::default(), |sum, pair| {
            let usage = &pair.speculative.usage;
            Self {
                tokens: sum.tokens + f64::from(usage.completion_tokens),
                bytes: sum.bytes + usage.committed_bytes as f64,
                forwards: sum.forwards + f64::from(usage.target_forwards),
                accepted: sum.accepted + f64::from(usage.accepted_tokens),
                rejected: sum.rejected + f64::from(usage.rejected_tokens),
                beside: sum.beside + f64::from(usage.accepted_alternatives),
                wire: sum.wire + (usage.wire_sent_bytes + usage.wire_received_bytes) as f64,
                wait: sum.wait + usage.draft_wait.as_secs_f64(),
                decode: sum.decode + usage.decode.as_secs_f64(),
            }
        })
    }
}

/// The runs of each prompt.
pub(super) fn by_task(pairs: &[Compared]) -> BTreeMap<usize, Vec<&Compared>> {
    let mut tasks: BTreeMap<usize, Vec<&Compared>> = BTreeMap::new();
    for pair in pairs {
        tasks.entry(pair.task).or_default().push(pair);
    }
    tasks
}
