//! Counters of the services equal the usage of the replies.

use std::{
    thread,
    time::{Duration, Instant},
};

use proto::verifier::Usage;

use crate::{
    exposition::{self, Samples, growth},
    pair::{self, Pair},
    process::PATIENCE,
    prompts,
};

#[tokio::test]
async fn counters_of_both_services_reconcile_with_the_usage_of_the_reply() {
    // Nobody else may ask meanwhile.
    let pair = pair::shared().write().await;
    let before = idle(&pair);
    let request = prompts::sampled(prompts::REPETITION, 32, 5);
    let usage = pair::ask(&pair.verifier.url(), request).await.finish.usage;
    let after = idle(&pair);
    assert!(usage.proposed_tokens > 0, "{usage:?}");
    verifier_counts(&usage, |key| growth(&before.0, &after.0, key));
    drafter_counts(&usage, |key| growth(&before.1, &after.1, key));
}

#[test]
fn probes_of_both_services_pass() {
    let pair = pair::shared().blocking_read();
    for process in [&pair.drafter, &pair.verifier] {
        for path in ["/livez", "/readyz"] {
            assert_eq!(exposition::get(&process.admin_address(), path), "serving\n");
        }
    }
}

fn verifier_counts(usage: &Usage, grown: impl Fn(&str) -> f64) {
    for (name, expected) in [
        ("prompt_tokens", u64::from(usage.prompt_tokens)),
        ("cached_prompt_tokens", usage.cached_prompt_tokens.into()),
        ("completion_tokens", usage.completion_tokens.into()),
        ("committed_bytes", usage.committed_bytes),
        ("target_forwards", usage.target_forwards.into()),
        ("rounds", usage.rounds.into()),
        ("proposed_tokens", usage.proposed_tokens.into()),
        ("accepted_tokens", usage.accepted_tokens.into()),
        ("rejected_tokens", usage.rejected_tokens.into()),
        ("stale_blocks", usage.stale_blocks.into()),
        ("proposed_alternatives", usage.proposed_alternatives.into()),
        ("accepted_alternatives", usage.accepted_alternatives.into()),
        ("wire_sent_bytes", usage.wire_sent_bytes),
        ("wire_received_bytes", usage.wire_received_bytes),
    ] {
        let found = grown(&format!("duet_verifier_{name}_total"));
        assert_exactly(name, found, expected);
    }
    for (why, rounds) in &usage.fallbacks {
        let key = format!("duet_verifier_fallbacks_total{{reason=\"{why}\"}}");
        assert_exactly(&key, grown(&key), (*rounds).into());
    }
    let key = "duet_verifier_requests_total{outcome=\"length\"}";
    assert_exactly(key, grown(key), 1);
    let passes = grown("duet_verifier_verify_seconds_count");
    assert_exactly("passes", passes, usage.target_forwards.into());
}

fn drafter_counts(usage: &Usage, grown: impl Fn(&str) -> f64) {
    let counter = |name: &str| grown(&format!("duet_drafter_{name}_total"));
    assert_exactly("sessions", counter("sessions"), 1);
    let plain: u32 = usage.fallbacks.values().sum();
    let blocks = counter("blocks");
    assert!(
        blocks >= f64::from(usage.rounds - plain),
        "{blocks} blocks: {usage:?}"
    );
    let judged = counter("kept_tokens") + counter("dropped_tokens");
    let drafted = counter("draft_tokens");
    assert!(judged <= drafted, "{judged} judged, {drafted} drafted");
    assert!(counter("kept_tokens") > 0.0, "{usage:?}");
    let verdicts = counter("verdicts");
    assert!(
        verdicts <= f64::from(usage.rounds),
        "{verdicts} verdicts: {usage:?}"
    );
}

/// Metrics of verifier and drafter when no session of either is open.
fn idle(pair: &Pair) -> (Samples, Samples) {
    let (verifier, drafter) = (pair.verifier.admin_address(), pair.drafter.admin_address());
    let started = Instant::now();
    loop {
        let samples = (exposition::scrape(&verifier), exposition::scrape(&drafter));
        let gauge = |samples: &Samples, name: &str| samples[name];
        let open = gauge(&samples.0, "duet_verifier_requests_in_progress")
            + gauge(&samples.1, "duet_drafter_open_sessions");
        if open == 0.0 {
            return samples;
        }
        assert!(started.elapsed() < PATIENCE, "{open} sessions stay open");
        thread::sleep(Duration::from_millis(10));
    }
}

fn assert_exactly(name: &str, found: f64, expected: u64) {
    assert!(
        (found - expected as f64).abs() < 0.5,
        "{name} grew by {found}, not {expected}"
    );
}
