//! What the drafter counts. Each number has one place where it is counted; names are part of the interface.

mod gauges;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

pub(crate) use gauges::Gauges;

/// All metrics. Cheap to clone; clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Sessions open now.
    pub(crate) open_sessions: Gauge,
    /// Sessions that were opened.
    pub(crate) sessions: Counter,
    /// Blocks sent.
    pub(crate) blocks: Counter,
    /// Blocks sent without text, since there was nothing to propose.
    pub(crate) declined: Counter,
    /// Tokens drafted to be proposed, whether they were sent or not.
    pub(crate) draft_tokens: Counter,
    /// Tokens drafted beside what was proposed; those of them that were gone on from count as drafted to be proposed, too.
    pub(crate) branch_tokens: Counter,
    /// Bytes of blocks sent.
    pub(crate) block_bytes: Counter,
    /// Verdicts taken in.
    pub(crate) verdicts: Counter,
    /// Drafted tokens that verdicts kept.
    pub(crate) kept_tokens: Counter,
    /// Drafted tokens that verdicts dropped.
    pub(crate) dropped_tokens: Counter,
    /// Verdicts for which more than what was proposed had been drafted.
    pub(crate) branched_verdicts: Counter,
    /// Of those, verdicts after which one of the branches went on.
    pub(crate) branch_hits: Counter,
    /// From the decision to draft a block to the block.
    pub(crate) draft_seconds: Histogram,
    /// Prompt and committed text through the model.
    pub(crate) prefill_seconds: Histogram,
    /// Waiting for the model's thread, once a pass.
    pub(crate) queue_seconds: Histogram,
    failures: Family<Reason, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// New metrics, entered in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            open_sessions: Gauge::default(),
            sessions: Counter::default(),
            blocks: Counter::default(),
            declined: Counter::default(),
            draft_tokens: Counter::default(),
            branch_tokens: Counter::default(),
            block_bytes: Counter::default(),
            verdicts: Counter::default(),
            kept_tokens: Counter::default(),
            dropped_tokens: Counter::default(),
            branched_verdicts: Counter::default(),
            branch_hits: Counter::default(),
            draft_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            prefill_seconds: Histogram::new(exponential_buckets(0.004, 2.0, 14)),
            queue_seconds: Histogram::new(exponential_buckets(0.000_01, 4.0, 10)),
            failures: Family::default(),
        };
        metrics.enter(registry.sub_registry_with_prefix("drafter"));
        metrics
    }

    /// Counts a session, or a block, that failed.
    pub(crate) fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&Reason { reason }).inc();
    }

    fn enter(&self, registry: &mut Registry) {
        let open = "Sessions open now";
        registry.register("open_sessions", open, self.open_sessions.clone());
        for (name, about, counter) in [
            ("sessions", "Sessions opened", &self.sessions),
            ("blocks", "Blocks sent", &self.blocks),
            (
                "declined",
                "Blocks sent without text: there was nothing to propose",
                &self.declined,
            ),
            (
                "draft_tokens",
                "Tokens drafted to be proposed",
                &self.draft_tokens,
            ),
            (
                "branch_tokens",
                "Tokens drafted beside what was proposed",
                &self.branch_tokens,
            ),
            ("block_bytes", "Bytes of blocks sent", &self.block_bytes),
            ("verdicts", "Verdicts taken in", &self.verdicts),
            (
                "kept_tokens",
                "Drafted tokens kept by verdicts",
                &self.kept_tokens,
            ),
            (
                "dropped_tokens",
                "Drafted tokens dropped by verdicts",
                &self.dropped_tokens,
            ),
            (
                "branched_verdicts",
                "Verdicts for which text beside the proposed had been drafted",
                &self.branched_verdicts,
            ),
            (
                "branch_hits",
                "Verdicts after which drafting went on from text beside the proposed",
                &self.branch_hits,
            ),
        ] {
            registry.register(name, about, counter.clone());
        }
        for (name, about, histogram) in [
            ("draft", "Time to draft a block", &self.draft_seconds),
            (
                "prefill",
                "Time to take in prompt and committed text",
                &self.prefill_seconds,
            ),
            (
                "queue",
                "Time that a pass waited for the model's thread",
                &self.queue_seconds,
            ),
        ] {
            registry.register_with_unit(name, about, Unit::Seconds, histogram.clone());
        }
        let failed = "Sessions and blocks that failed, by reason";
        registry.register("failures", failed, self.failures.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_dashboards() {
        let mut registry = Registry::with_prefix("duet");
        let metrics = Metrics::new(&mut registry);
        metrics.failed("busy");
        metrics.draft_seconds.observe(0.02);
        let text = chassis::metrics::encode(&registry).unwrap();
        for line in [
            "duet_drafter_open_sessions 0",
            "duet_drafter_sessions_total 0",
            "duet_drafter_blocks_total 0",
            "duet_drafter_declined_total 0",
            "duet_drafter_draft_tokens_total 0",
            "duet_drafter_branch_tokens_total 0",
            "duet_drafter_block_bytes_total 0",
            "duet_drafter_verdicts_total 0",
            "duet_drafter_kept_tokens_total 0",
            "duet_drafter_dropped_tokens_total 0",
            "duet_drafter_branched_verdicts_total 0",
            "duet_drafter_branch_hits_total 0",
            "duet_drafter_draft_seconds_count 1",
            "duet_drafter_prefill_seconds_count 0",
            "duet_drafter_queue_seconds_count 0",
            "duet_drafter_failures_total{reason=\"busy\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
