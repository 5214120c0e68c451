//! Rates and counts of one variant.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bench::arrivals::Batch;
use crate::bench::experiment::{OfferedLoad, Variant};
use crate::bench::reply::{MeasuredReply, ReplyPair};
use crate::bench::statistics::{Spread, median, ratio};
use crate::request::per_second;

/// Replies of one variant, each with the plain reply to the same request.
pub(crate) struct VariantReplies {
    pub(super) variant: Variant,
    pub(crate) pairs: Vec<ReplyPair>,
    /// Figures of each run, if several requests were in progress at once.
    batches: Vec<BatchFigures>,
}

/// Throughput and latency of one run, without and with speculation.
#[derive(Clone, Copy, Debug)]
struct BatchFigures {
    /// Tokens per second, prefill included.
    throughput: [f64; 2],
    /// Median time from arrival to end, in seconds.
    latency: [f64; 2],
}

/// Rates and counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) plain: f64,
    pub(crate) speculative: f64,
    /// None if nothing was decoded.
    pub(crate) speedup: Option<Spread>,
    pub(super) accepted_per_forward: f64,
    /// Accepted alternatives among them.
    pub(super) accepted_alternatives_per_forward: f64,
    pub(super) acceptance: f64,
    pub(super) bytes_per_forward: f64,
}

impl VariantReplies {
    pub(crate) fn new(variant: Variant) -> Self {
        Self {
            variant,
            pairs: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// True if requests shared passes, so that no request has figures of its own.
    pub(super) fn is_shared(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Median seconds from arrival to end, without and with speculation; none unless requests shared passes.
    pub(super) fn latency(&self) -> Option<[f64; 2]> {
        let of = |side: usize| median(self.batches.iter().map(|batch| batch.latency[side]));
        self.is_shared().then(|| [of(0), of(1)])
    }

    /// Adds one run of requests for the tasks with these indices.
    pub(crate) fn add_batches(&mut self, tasks: &[usize], plain: &Batch, speculative: &Batch) {
        let both = [plain, speculative];
        let pairs = tasks
            .iter()
            .zip(plain.replies.iter().zip(&speculative.replies));
        self.pairs
            .extend(pairs.map(|(&task, (plain, speculative))| {
                let share = |reply: &MeasuredReply| reply.clone().into();
                ReplyPair {
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
            .replies
            .iter()
            .map(|reply| reply.usage.completion_tokens);
        per_second(f64::from(tokens.sum::<u32>()), self.took)
    }

    fn latency(&self) -> f64 {
        median(self.replies.iter().map(|reply| reply.latency.as_secs_f64()))
    }
}

impl Figures {
    pub(super) fn of(replies: &VariantReplies, load: OfferedLoad) -> Self {
        let alone = Self::of_pairs(&replies.pairs);
        if !replies.is_shared() {
            return alone;
        }
        let of = |figure: fn(&BatchFigures) -> [f64; 2]| {
            let batches = replies.batches.iter().map(figure);
            batches.collect::<Vec<_>>()
        };
        let throughput = of(|batch| batch.throughput);
        let ratios = match load {
            OfferedLoad::AtOnce(_) => throughput.clone(),
            // The inverse ratio: a request that takes half the time is twice as fast.
            OfferedLoad::Arriving(_) => of(|batch| [batch.latency[1], batch.latency[0]]),
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

    /// Figures of requests one at a time: medians over prompts of medians over runs.
    pub(super) fn of_pairs(pairs: &[ReplyPair]) -> Self {
        let tasks = by_task(pairs);
        let over_tasks = |of: fn(&ReplyPair) -> Option<f64>| {
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
            speedup: Spread::of(&over_tasks(ReplyPair::speedup)),
            accepted_per_forward: ratio(total.accepted, total.forwards).unwrap_or(0.0),
            accepted_alternatives_per_forward: ratio(total.accepted_alternatives, total.forwards)
                .unwrap_or(0.0),
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
    accepted_alternatives: f64,
    pub(super) wire: f64,
    /// Seconds of waiting for blocks.
    pub(super) wait: f64,
    pub(super) decode: f64,
}

impl Totals {
    pub(super) fn of(pairs: &[ReplyPair]) -> Self {
        pairs.iter().fold(Self::default(), |sum, pair| {
            let usage = &pair.speculative.usage;
            Self {
                tokens: sum.tokens + f64::from(usage.completion_tokens),
                bytes: sum.bytes + usage.committed_bytes as f64,
                forwards: sum.forwards + f64::from(usage.target_forwards),
                accepted: sum.accepted + f64::from(usage.accepted_tokens),
                rejected: sum.rejected + f64::from(usage.rejected_tokens),
                accepted_alternatives: sum.accepted_alternatives
                    + f64::from(usage.accepted_alternatives),
                wire: sum.wire + (usage.wire_sent_bytes + usage.wire_received_bytes) as f64,
                wait: sum.wait + usage.draft_wait.as_secs_f64(),
                decode: sum.decode + usage.decode.as_secs_f64(),
            }
        })
    }
}

/// Runs of each prompt.
pub(super) fn by_task(pairs: &[ReplyPair]) -> BTreeMap<usize, Vec<&ReplyPair>> {
    let mut tasks: BTreeMap<usize, Vec<&ReplyPair>> = BTreeMap::new();
    for pair in pairs {
        tasks.entry(pair.task).or_default().push(pair);
    }
    tasks
}
