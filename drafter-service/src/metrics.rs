//! Counters and histograms of the drafter. Each number is counted in one place; the names are part of the interface.

mod gauges;

use inference::engine::Engine;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use serving::metrics::{counter, family, gauge, seconds};

use self::gauges::Gauges;

/// Prefix of all names, after that of the registry.
const PREFIX: &str = "drafter";

/// All metrics. Cheap to clone; clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Sessions open now.
    pub(crate) open_sessions: Gauge,
    /// Sessions opened.
    pub(crate) sessions: Counter,
    /// Blocks sent.
    pub(crate) blocks: Counter,
    /// Blocks sent without text, for lack of a proposal.
    pub(crate) declined: Counter,
    /// Tokens drafted to be proposed, sent or not.
    pub(crate) draft_tokens: Counter,
    /// Tokens of branches, drafted in addition to the proposal. Those that a later proposal used count as draft tokens, too.
    pub(crate) branch_tokens: Counter,
    /// Bytes of blocks sent.
    pub(crate) block_bytes: Counter,
    /// Verdicts received.
    pub(crate) verdicts: Counter,
    /// Draft tokens that verdicts kept.
    pub(crate) kept_tokens: Counter,
    /// Draft tokens that verdicts dropped.
    pub(crate) dropped_tokens: Counter,
    /// Verdicts that found branches drafted.
    pub(crate) branched_verdicts: Counter,
    /// Verdicts among them that one of the branches had foreseen.
    pub(crate) branch_hits: Counter,
    /// Time from the decision to draft a block to the block.
    pub(crate) draft_seconds: Histogram,
    /// Time of a session's prompt and committed text in the model.
    pub(crate) prefill_seconds: Histogram,
    /// Wait of a pass for the model's thread.
    pub(crate) queue_seconds: Histogram,
    failures: Family<Reason, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// New metrics, registered in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let to = registry.sub_registry_with_prefix(PREFIX);
        Self {
            open_sessions: gauge(to, "open_sessions", "Sessions open now"),
            sessions: counter(to, "sessions", "Sessions opened"),
            blocks: counter(to, "blocks", "Blocks sent"),
            declined: counter(
                to,
                "declined",
                "Blocks sent without text: there was nothing to propose",
            ),
            draft_tokens: counter(to, "draft_tokens", "Tokens drafted to be proposed"),
            branch_tokens: counter(
                to,
                "branch_tokens",
                "Tokens drafted beside what was proposed",
            ),
            block_bytes: counter(to, "block_bytes", "Bytes of blocks sent"),
            verdicts: counter(to, "verdicts", "Verdicts taken in"),
            kept_tokens: counter(to, "kept_tokens", "Drafted tokens kept by verdicts"),
            dropped_tokens: counter(to, "dropped_tokens", "Drafted tokens dropped by verdicts"),
            branched_verdicts: counter(
                to,
                "branched_verdicts",
                "Verdicts for which text beside the proposed had been drafted",
            ),
            branch_hits: counter(
                to,
                "branch_hits",
                "Verdicts after which drafting went on from text beside the proposed",
            ),
            draft_seconds: seconds(
                to,
                "draft",
                "Time to draft a block",
                exponential_buckets(0.001, 2.0, 14),
            ),
            prefill_seconds: seconds(
                to,
                "prefill",
                "Time to take in prompt and committed text",
                exponential_buckets(0.004, 2.0, 14),
            ),
            queue_seconds: seconds(
                to,
                "queue",
                "Time that a pass waited for the model's thread",
                exponential_buckets(0.000_01, 4.0, 10),
            ),
            failures: family(to, "failures", "Sessions and blocks that failed, by reason"),
        }
    }

    /// Registers what is read of the draft model's engine at the moment of a scrape.
    pub(crate) fn observe(registry: &mut Registry, engine: Engine) {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        registry.register_collector(Box::new(Gauges(engine)));
    }

    /// Counts a session, or a block, that failed.
    pub(crate) fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&Reason { reason }).inc();
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
