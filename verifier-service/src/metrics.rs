//! What the verifier counts. Every number of a reply's usage is here too, from the same source; names are part of the interface.

mod gauges;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use proto::verifier::FallbackReason;

pub(crate) use gauges::Gauges;

/// All metrics. Cheap to clone; clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Counters by number alone.
    pub(crate) prompt_tokens: Counter,
    pub(crate) cached_prompt_tokens: Counter,
    pub(crate) completion_tokens: Counter,
    pub(crate) committed_bytes: Counter,
    pub(crate) target_forwards: Counter,
    pub(crate) rounds: Counter,
    pub(crate) proposed_tokens: Counter,
    pub(crate) accepted_tokens: Counter,
    pub(crate) rejected_tokens: Counter,
    pub(crate) proposed_alternatives: Counter,
    pub(crate) accepted_alternatives: Counter,
    pub(crate) stale_blocks: Counter,
    pub(crate) wire_sent_bytes: Counter,
    pub(crate) wire_received_bytes: Counter,
    /// Once a request.
    pub(crate) prefill_seconds: Histogram,
    pub(crate) decode_seconds: Histogram,
    /// Once a round.
    pub(crate) draft_wait_seconds: Histogram,
    pub(crate) queue_seconds: Histogram,
    pub(crate) verify_seconds: Histogram,
    pub(crate) overhead_seconds: Histogram,
    pub(crate) committed_bytes_per_forward: Histogram,
    pub(crate) batch_rows: Histogram,
    pub(crate) batch_sessions: Histogram,
    /// Once a round with a proposal.
    pub(crate) re_encode_seconds: Histogram,
    pub(crate) align_seconds: Histogram,
    pub(crate) accept_seconds: Histogram,
    pub(crate) draft_compute_seconds: Histogram,
    pub(crate) block_tokens: Histogram,
    requests: Family<Outcome, Counter>,
    fallbacks: Family<Reason, Counter>,
    positions: Family<Position, Counter>,
    groups: Family<Shape, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Position {
    position: u32,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Shape {
    shape: &'static str,
}

impl Metrics {
    /// New metrics, entered in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let micros = || Histogram::new(exponential_buckets(0.000_002, 2.0, 16));
        let counts = || Histogram::new(exponential_buckets(1.0, 2.0, 8));
        let metrics = Self {
            prompt_tokens: Counter::default(),
            cached_prompt_tokens: Counter::default(),
            completion_tokens: Counter::default(),
            committed_bytes: Counter::default(),
            target_forwards: Counter::default(),
            rounds: Counter::default(),
            proposed_tokens: Counter::default(),
            accepted_tokens: Counter::default(),
            rejected_tokens: Counter::default(),
            proposed_alternatives: Counter::default(),
            accepted_alternatives: Counter::default(),
            stale_blocks: Counter::default(),
            wire_sent_bytes: Counter::default(),
            wire_received_bytes: Counter::default(),
            prefill_seconds: seconds(),
            decode_seconds: seconds(),
            draft_wait_seconds: seconds(),
            queue_seconds: seconds(),
            verify_seconds: seconds(),
            overhead_seconds: micros(),
            committed_bytes_per_forward: counts(),
            batch_rows: counts(),
            batch_sessions: counts(),
            re_encode_seconds: micros(),
            align_seconds: micros(),
            accept_seconds: micros(),
            draft_compute_seconds: seconds(),
            block_tokens: counts(),
            requests: Family::default(),
            fallbacks: Family::default(),
            positions: Family::default(),
            groups: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("verifier");
        metrics.enter_counters(registry);
        metrics.enter_histograms(registry);
        metrics
    }

    /// Counts a request by how it ended.
    pub(crate) fn request(&self, outcome: &'static str) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a round without a proposal.
    pub(crate) fn fallback(&self, reason: FallbackReason) {
        let reason = reason.name();
        self.fallbacks.get_or_create(&Reason { reason }).inc();
    }

    /// Counts the candidates of a round by their place in the block, the first `accepted` of `proposed` as accepted. Candidates behind
    /// the first rejected one say nothing and are left out.
    pub(crate) fn positions(&self, proposed: u32, accepted: u32) {
        for position in 1..=proposed.min(accepted + 1) {
            let outcome = if position <= accepted {
                "accepted"
            } else {
                "rejected"
            };
            let at = Position { position, outcome };
            self.positions.get_or_create(&at).inc();
        }
    }

    /// Counts a group of an alignment by how many tokens of either side it has.
    pub(crate) fn group(&self, shape: alignment::aligned::Shape) {
        use alignment::aligned::Shape as Group;
        let shape = match shape {
            Group::OneToOne => "1:1",
            Group::OneToMany => "1:n",
            Group::ManyToOne => "n:1",
            Group::ManyToMany => "n:m",
        };
        self.groups.get_or_create(&Shape { shape }).inc();
    }

    fn enter_counters(&self, registry: &mut Registry) {
        for (name, about, counter) in [
            ("prompt_tokens", "Tokens of prompts", &self.prompt_tokens),
            (
                "cached_prompt_tokens",
                "Tokens of prompts that were not computed, since an earlier text began alike",
                &self.cached_prompt_tokens,
            ),
            (
                "completion_tokens",
                "Tokens of replies",
                &self.completion_tokens,
            ),
            (
                "committed_bytes",
                "Bytes of replies as sent",
                &self.committed_bytes,
            ),
            (
                "target_forwards",
                "Passes of the target after the prompt's",
                &self.target_forwards,
            ),
            ("rounds", "Rounds, plain ones included", &self.rounds),
            (
                "proposed_tokens",
                "Candidates verified",
                &self.proposed_tokens,
            ),
            (
                "accepted_tokens",
                "Candidates accepted",
                &self.accepted_tokens,
            ),
            (
                "rejected_tokens",
                "Candidates rejected",
                &self.rejected_tokens,
            ),
            (
                "proposed_alternatives",
                "Candidates verified that the draft itself does not go on with",
                &self.proposed_alternatives,
            ),
            (
                "accepted_alternatives",
                "Those of them that were accepted",
                &self.accepted_alternatives,
            ),
            ("stale_blocks", "Blocks of another text", &self.stale_blocks),
            (
                "wire_sent_bytes",
                "Bytes of messages to drafters",
                &self.wire_sent_bytes,
            ),
            (
                "wire_received_bytes",
                "Bytes of messages from drafters",
                &self.wire_received_bytes,
            ),
        ] {
            registry.register(name, about, counter.clone());
        }
        registry.register(
            "requests",
            "Requests by how they ended",
            self.requests.clone(),
        );
        let about = "Rounds without a proposal by reason";
        registry.register("fallbacks", about, self.fallbacks.clone());
        let about = "Candidates by place in the block, up to the first that is rejected";
        registry.register("position_tokens", about, self.positions.clone());
        let about = "Groups of draft tokens and candidates that belong together";
        registry.register("alignment_groups", about, self.groups.clone());
    }

    fn enter_histograms(&self, registry: &mut Registry) {
        for (name, about, histogram) in [
            (
                "prefill",
                "From admission to the end of the prompt",
                &self.prefill_seconds,
            ),
            ("decode", "From there to the end", &self.decode_seconds),
            (
                "draft_wait",
                "Waiting for a block",
                &self.draft_wait_seconds,
            ),
            (
                "queue",
                "Waiting for the model's thread",
                &self.queue_seconds,
            ),
            (
                "verify",
                "The forward pass of a round",
                &self.verify_seconds,
            ),
            (
                "overhead",
                "The rest of a round: no pass, no waiting",
                &self.overhead_seconds,
            ),
            (
                "re_encode",
                "Finding the candidates",
                &self.re_encode_seconds,
            ),
            (
                "align",
                "Aligning draft tokens and candidates",
                &self.align_seconds,
            ),
            ("accept", "Deciding what to accept", &self.accept_seconds),
            (
                "draft_compute",
                "Drafting, on the drafter's clock",
                &self.draft_compute_seconds,
            ),
        ] {
            registry.register_with_unit(name, about, Unit::Seconds, histogram.clone());
        }
        for (name, about, histogram) in [
            (
                "committed_bytes_per_forward",
                "Bytes committed by one pass of the target",
                &self.committed_bytes_per_forward,
            ),
            (
                "batch_rows",
                "Rows of a pass, all requests together",
                &self.batch_rows,
            ),
            (
                "batch_sessions",
                "Requests that share a pass",
                &self.batch_sessions,
            ),
            (
                "block_tokens",
                "Candidates of a round with a proposal",
                &self.block_tokens,
            ),
        ] {
            registry.register(name, about, histogram.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_dashboards() {
        let mut registry = Registry::with_prefix("duet");
        let metrics = Metrics::new(&mut registry);
        metrics.request("stop");
        metrics.fallback(FallbackReason::Late);
        metrics.positions(4, 1);
        metrics.group(alignment::aligned::Shape::ManyToOne);
        let text = chassis::metrics::encode(&registry).unwrap();
        for line in [
            "duet_verifier_cached_prompt_tokens_total 0",
            "duet_verifier_proposed_tokens_total 0",
            "duet_verifier_accepted_tokens_total 0",
            "duet_verifier_rejected_tokens_total 0",
            "duet_verifier_accepted_alternatives_total 0",
            "duet_verifier_committed_bytes_total 0",
            "duet_verifier_target_forwards_total 0",
            "duet_verifier_stale_blocks_total 0",
            "duet_verifier_wire_sent_bytes_total 0",
            "duet_verifier_draft_wait_seconds_count 0",
            "duet_verifier_overhead_seconds_count 0",
            "duet_verifier_committed_bytes_per_forward_count 0",
            "duet_verifier_requests_total{outcome=\"stop\"} 1",
            "duet_verifier_fallbacks_total{reason=\"late\"} 1",
            "duet_verifier_position_tokens_total{position=\"1\",outcome=\"accepted\"} 1",
            "duet_verifier_position_tokens_total{position=\"2\",outcome=\"rejected\"} 1",
            "duet_verifier_alignment_groups_total{shape=\"n:1\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("position=\"3\""), "{text}");
    }
}
