//! Counters and histograms of the verifier. Every number of a reply's usage is counted here too, where the usage is; the names
//! are part of the interface.

mod gauges;
mod vllm;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use proto::verifier::FallbackReason;
use serving::metrics::{counter, family, histogram, seconds};

pub(crate) use self::gauges::Snapshot;
use self::{gauges::Gauges, vllm::VllmGauges};

/// Prefix of all names, after that of the registry.
const PREFIX: &str = "verifier";

/// All metrics. Cheap to clone; clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Counters without labels.
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
    pub(crate) latencies: Latencies,
    labelled: Labelled,
}

/// Latencies as clients see them.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    /// Once a request.
    pub(crate) time_to_first_token: Histogram,
    pub(crate) request_duration: Histogram,
    /// Once a token after the first round of its reply.
    pub(crate) time_between_tokens: Histogram,
}

/// Counters with labels.
#[derive(Clone, Debug)]
struct Labelled {
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
    /// New metrics, registered in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let to = registry.sub_registry_with_prefix(PREFIX);
        Self {
            prompt_tokens: counter(to, "prompt_tokens", "Tokens of prompts"),
            cached_prompt_tokens: counter(
                to,
                "cached_prompt_tokens",
                "Tokens of prompts that were not computed, since an earlier text began alike",
            ),
            completion_tokens: counter(to, "completion_tokens", "Tokens of replies"),
            committed_bytes: counter(to, "committed_bytes", "Bytes of replies as sent"),
            target_forwards: counter(
                to,
                "target_forwards",
                "Passes of the target after the prompt's",
            ),
            rounds: counter(to, "rounds", "Rounds, plain ones included"),
            proposed_tokens: counter(to, "proposed_tokens", "Candidates verified"),
            accepted_tokens: counter(to, "accepted_tokens", "Candidates accepted"),
            rejected_tokens: counter(to, "rejected_tokens", "Candidates rejected"),
            proposed_alternatives: counter(
                to,
                "proposed_alternatives",
                "Candidates verified that the draft itself does not go on with",
            ),
            accepted_alternatives: counter(
                to,
                "accepted_alternatives",
                "Those of them that were accepted",
            ),
            stale_blocks: counter(to, "stale_blocks", "Blocks of another text"),
            wire_sent_bytes: counter(to, "wire_sent_bytes", "Bytes of messages to drafters"),
            wire_received_bytes: counter(
                to,
                "wire_received_bytes",
                "Bytes of messages from drafters",
            ),
            labelled: Labelled::new(to),
            prefill_seconds: long(to, "prefill", "From admission to the end of the prompt"),
            decode_seconds: long(to, "decode", "From there to the end"),
            latencies: Latencies::new(to),
            draft_wait_seconds: long(to, "draft_wait", "Waiting for a block"),
            queue_seconds: long(to, "queue", "Waiting for the model's thread"),
            verify_seconds: long(to, "verify", "The forward pass of a round"),
            overhead_seconds: short(to, "overhead", "The rest of a round: no pass, no waiting"),
            re_encode_seconds: short(to, "re_encode", "Finding the candidates"),
            align_seconds: short(to, "align", "Aligning draft tokens and candidates"),
            accept_seconds: short(to, "accept", "Deciding what to accept"),
            draft_compute_seconds: long(to, "draft_compute", "Drafting, on the drafter's clock"),
            committed_bytes_per_forward: counts(
                to,
                "committed_bytes_per_forward",
                "Bytes committed by one pass of the target",
            ),
            batch_rows: counts(to, "batch_rows", "Rows of a pass, all requests together"),
            batch_sessions: counts(to, "batch_sessions", "Requests that share a pass"),
            block_tokens: counts(to, "block_tokens", "Candidates of a round with a proposal"),
        }
    }

    /// Registers what is read at the moment of a scrape.
    pub(crate) fn observe(
        registry: &mut Registry,
        read: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) {
        let gauges = Box::new(Gauges::new(read));
        let registry = registry.sub_registry_with_prefix(PREFIX);
        registry.register_collector(gauges);
    }

    /// The same for gauges by vLLM's names, of the model that is served by this one.
    pub(crate) fn observe_as_vllm(
        registry: &mut Registry,
        model: &str,
        read: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) {
        registry.register_collector(Box::new(VllmGauges::new(model, read)));
    }

    /// Counts a request by how it ended.
    pub(crate) fn request(&self, outcome: &'static str) {
        self.labelled
            .requests
            .get_or_create(&Outcome { outcome })
            .inc();
    }

    /// Counts a round without a proposal.
    pub(crate) fn fallback(&self, reason: FallbackReason) {
        let reason = reason.name();
        self.labelled
            .fallbacks
            .get_or_create(&Reason { reason })
            .inc();
    }

    /// Counts the candidates of a round by their place in the block, the first `accepted` of `proposed` as accepted. Candidates
    /// after the first rejected one were not judged and are left out.
    pub(crate) fn positions(&self, proposed: u32, accepted: u32) {
        for position in 1..=proposed.min(accepted + 1) {
            let outcome = if position <= accepted {
                "accepted"
            } else {
                "rejected"
            };
            let at = Position { position, outcome };
            self.labelled.positions.get_or_create(&at).inc();
        }
    }

    /// Counts a group of an alignment by its number of tokens on either side.
    pub(crate) fn group(&self, shape: alignment::aligned::Shape) {
        use alignment::aligned::Shape as Group;
        let shape = match shape {
            Group::OneToOne => "1:1",
            Group::OneToMany => "1:n",
            Group::ManyToOne => "n:1",
            Group::ManyToMany => "n:m",
        };
        self.labelled.groups.get_or_create(&Shape { shape }).inc();
    }
}

impl Latencies {
    fn new(to: &mut Registry) -> Self {
        Self {
            time_to_first_token: whole(
                to,
                "time_to_first_token",
                "From a request's arrival to the first tokens of its reply",
            ),
            request_duration: whole(
                to,
                "request_duration",
                "From a request's arrival to the end of its reply",
            ),
            time_between_tokens: long(
                to,
                "time_between_tokens",
                "From token to token, an equal part for each token of a round",
            ),
        }
    }
}

impl Labelled {
    fn new(to: &mut Registry) -> Self {
        Self {
            requests: family(to, "requests", "Requests by how they ended"),
            fallbacks: family(to, "fallbacks", "Rounds without a proposal by reason"),
            positions: family(
                to,
                "position_tokens",
                "Candidates by place in the block, up to the first that is rejected",
            ),
            groups: family(
                to,
                "alignment_groups",
                "Groups of draft tokens and candidates that belong together",
            ),
        }
    }
}

/// Durations of a millisecond to half a minute.
fn long(to: &mut Registry, name: &'static str, help: &'static str) -> Histogram {
    seconds(to, name, help, exponential_buckets(0.001, 2.0, 16))
}

/// Durations of two milliseconds to nine minutes.
fn whole(to: &mut Registry, name: &'static str, help: &'static str) -> Histogram {
    seconds(to, name, help, exponential_buckets(0.002, 2.0, 19))
}

/// Durations of microseconds to a tenth of a second.
fn short(to: &mut Registry, name: &'static str, help: &'static str) -> Histogram {
    seconds(to, name, help, exponential_buckets(0.000_002, 2.0, 16))
}

/// Counts of 1 to 128.
fn counts(to: &mut Registry, name: &'static str, help: &'static str) -> Histogram {
    histogram(to, name, help, exponential_buckets(1.0, 2.0, 8))
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
            "duet_verifier_time_to_first_token_seconds_count 0",
            "duet_verifier_time_between_tokens_seconds_count 0",
            "duet_verifier_request_duration_seconds_count 0",
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
