//! One line of the report: a workload with one drafter, variant, round trip and load.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alignment::acceptance::{Losslessness, Method};
use serde_json::{Map, Value, json};

use super::figures::{Figures, Totals, VariantReplies, by_task};
use crate::bench::experiment::{Experiment, OfferedLoad, Variant};
use crate::bench::reply::ReplyPair;
use crate::bench::services::Tested;
use crate::bench::statistics::{Spread, ratio};
use crate::bench::task::Workload;

/// One line of the report.
pub(crate) struct ReportRow {
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) drafter: String,
    pub(crate) variant: Variant,
    pub(crate) round_trip: Duration,
    round_trip_seen: Option<Duration>,
    pub(crate) load: OfferedLoad,
    /// Names of the acceptance methods used.
    pub(crate) methods: String,
    pub(crate) figures: Figures,
    runs: u32,
    prompts: usize,
    /// Ids of the prompts whose texts differ.
    differing: Vec<String>,
    /// True if every method used keeps the text.
    promises_text: bool,
    /// Figures by kind of text, if the workload has kinds.
    kinds: Vec<(String, Figures)>,
    replies: Vec<Value>,
    latency: Option<[f64; 2]>,
    fallbacks: BTreeMap<&'static str, u32>,
    proposed: f64,
    wire_bytes_per_token: f64,
    draft_wait_share: f64,
}

impl ReportRow {
    pub(crate) fn new(
        tested: &Tested,
        experiment: &Experiment,
        workload: &Workload,
        load: OfferedLoad,
        variant_replies: &VariantReplies,
    ) -> Self {
        let pairs = &variant_replies.pairs;
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
            variant: variant_replies.variant,
            round_trip: tested.round_trip,
            round_trip_seen: tested.round_trip_seen,
            load,
            methods: Vec::from_iter(methods).join(","),
            figures: Figures::of(variant_replies, load),
            runs: experiment.runs,
            prompts: workload.tasks.len(),
            differing: differing
                .into_iter()
                .map(|task| workload.tasks[task].id.clone())
                .collect(),
            promises_text,
            kinds: kinds(workload, variant_replies),
            replies: replies(workload, pairs),
            latency: variant_replies.latency(),
            fallbacks: fallbacks(pairs),
            proposed: total.accepted + total.rejected,
            wire_bytes_per_token: total.wire / total.tokens.max(1.0),
            draft_wait_share: ratio(total.wait, total.decode).unwrap_or(0.0),
        }
    }

    /// True if all texts are equal.
    pub(crate) fn is_identical(&self) -> bool {
        self.differing.is_empty()
    }

    /// Ids of prompts whose texts differ although the method keeps the text.
    pub(crate) fn broken_promises(&self) -> impl Iterator<Item = &str> {
        let differing = self.differing.iter().filter(|_| self.promises_text);
        differing.map(String::as_str)
    }

    /// One line on what has just been measured.
    pub(crate) fn progress(&self) -> String {
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

    /// Emulated round trip in milliseconds.
    pub(crate) fn round_trip_milliseconds(&self) -> f64 {
        self.round_trip.as_secs_f64() * 1e3
    }

    /// The cells after the names, in the order of the headings.
    pub(super) fn cells(&self) -> [String; 12] {
        let figures = &self.figures;
        let spread =
            |of: fn(&Spread) -> String| figures.speedup.as_ref().map_or_else(|| "-".to_owned(), of);
        [
            self.variant.length(),
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

    /// The row as `--json` prints it.
    pub(super) fn json(&self) -> Value {
        let (at_once, rate) = match self.load {
            OfferedLoad::AtOnce(count) => (Some(count), None),
            OfferedLoad::Arriving(rate) => (None, Some(rate)),
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
            ("alternatives", json!(self.variant.alternatives)),
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

    /// The quantity that the speed-up compares.
    fn measure(&self) -> &'static str {
        match self.load {
            OfferedLoad::AtOnce(1) => "tokens per second of decoding, each reply by itself",
            OfferedLoad::AtOnce(_) => "tokens per second of all requests, prompts included",
            OfferedLoad::Arriving(_) => "time of a request from its arrival to its end",
        }
    }
}

/// Figures by kind of text, in the order of the workload; none if requests shared passes.
fn kinds(workload: &Workload, variant_replies: &VariantReplies) -> Vec<(String, Figures)> {
    if variant_replies.is_shared() {
        return Vec::new();
    }
    let mut kinds: Vec<(String, Vec<ReplyPair>)> = Vec::new();
    for pair in &variant_replies.pairs {
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

/// JSON objects of the prompts.
fn replies(workload: &Workload, pairs: &[ReplyPair]) -> Vec<Value> {
    let reply = |(&task, runs): (&usize, &Vec<&ReplyPair>)| {
        let task = &workload.tasks[task];
        let pairs: Vec<ReplyPair> = runs.iter().map(|&pair| pair.clone()).collect();
        let mut fields = Figures::of_pairs(&pairs).json();
        fields.remove("speedup_spread");
        fields.insert("id".to_owned(), json!(task.id));
        if let Some(kind) = &task.kind {
            fields.insert("kind".to_owned(), json!(kind));
        }
        let tokens = pairs.first().map(|pair| pair.plain.usage.completion_tokens);
        fields.insert("tokens".to_owned(), json!(tokens));
        let identical = pairs.iter().all(ReplyPair::is_identical);
        fields.insert("identical".to_owned(), json!(identical));
        Value::Object(fields)
    };
    by_task(pairs).iter().map(reply).collect()
}

fn fallbacks(pairs: &[ReplyPair]) -> BTreeMap<&'static str, u32> {
    let mut sums = BTreeMap::new();
    for pair in pairs {
        for (reason, rounds) in &pair.speculative.usage.fallbacks {
            *sums.entry(reason.name()).or_default() += rounds;
        }
    }
    sums
}

#[cfg(test)]
pub(crate) mod tests;
